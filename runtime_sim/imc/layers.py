"""Layers as the template sees them: the numbers of a convolution, whatever operator they come from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..product import Product

IntArray = NDArray[np.int64]


class Layer(NamedTuple):
    """A convolution of `channels` inputs and `outputs` outputs a group, at `rows` x `cols` positions of its result.

    A product of vectors with a matrix has a 1 x 1 kernel, one column, and its vectors as rows.
    """

    channels: int
    outputs: int
    kernel_rows: int
    kernel_cols: int
    groups: int
    rows: int
    cols: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return prod(self)


@dataclass(frozen=True)
class Layers:
    """Layers as arrays, which broadcast against designs; `count`: how often each occurs in its network."""

    channels: IntArray
    outputs: IntArray
    kernel_rows: IntArray
    kernel_cols: IntArray
    groups: IntArray
    rows: IntArray
    cols: IntArray
    count: IntArray

    @staticmethod
    def of(layers: Iterable[Layer]) -> "Layers":
        """Equal layers once, with their number, in order of first appearance; arrays of shape (unique layers, 1)."""
        counted = Counter(layers)
        table = np.array([[*layer, count] for layer, count in counted.items()], np.int64).reshape(-1, len(_FIELDS))
        return Layers(*(column[:, None] for column in table.T))

    @staticmethod
    def one(layer: Layer) -> "Layers":
        """One layer, as arrays of no dimension."""
        return Layers(*(np.asarray(value, np.int64) for value in (*layer, 1)))

    def __len__(self) -> int:
        return len(self.count)


_FIELDS = (*Layer._fields, "count")


def layer_of(product: Product) -> Layer:
    """The layer that a matrix operator is on a chip of the template.

    Of a convolution the last two dimensions are rows and columns; a third one multiplies channels (kernel) and rows
    (positions), and a batch multiplies rows; with one dimension its positions are rows. Of a product with a static
    weight, vectors are rows and leading dimensions of the weight groups.

    A product of two values made at run time is costed as the archive does ("Products of attention": 197 tokens, 12
    heads are layers of 197 x 197 and of 197 x 64 at 12 positions): a stationary weight of tokens x outputs that serves
    all heads, one vector a head. Tokens are the longer of vectors and inputs.
    """
    if not product.static and not product.kernel:
        return Layer(max(product.m, product.k), product.n, 1, 1, 1, product.groups, 1)
    if not product.kernel:
        return Layer(product.k, product.n, 1, 1, product.groups, product.m, 1)
    kernel_rows, kernel_cols = (*product.kernel, 1)[:2] if len(product.kernel) == 1 else product.kernel[-2:]
    return Layer(
        product.k // (kernel_rows * kernel_cols),
        product.n,
        kernel_rows,
        kernel_cols,
        product.groups,
        product.m // product.result_cols,
        product.result_cols,
    )
