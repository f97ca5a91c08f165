"""Einsum of two operands as a (batched) product of matrices: transposed and reshaped before, and back after."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.ir import Operation, SSAValue

from ...dialects.constants import tensor_of
from ...dialects.onnx import attr_str
from ...dialects.values import shape_of, tensor_type
from .constants import is_constant, rearranged
from .family import Family, float_operands
from .matmul import matmul, weight_is_left
from .site import Site


@dataclass(frozen=True)
class Contraction:
    """`a, b -> y` by index letters. Each letter is in one of four groups, in the order of the result (k: of a)."""

    a: str
    b: str
    y: str
    batch: str
    rows: str
    """Only in a and y; `columns`: only in b and y; `summed`: in a and b alone."""
    columns: str
    summed: str

    def swapped(self) -> "Contraction":
        return Contraction(self.b, self.a, self.y, self.batch, self.columns, self.rows, self.summed)


def contraction(op: Operation) -> Contraction | None:
    """The equation of an Einsum as a product of matrices; None if it isn't one."""
    if len(op.operands) != 2:
        return None
    ranks = [len(shape_of(value)) for value in op.operands]
    written = attr_str(op, "equation").replace(" ", "")
    inputs, arrow, result = written.partition("->")
    terms = inputs.split(",")
    if len(terms) != 2 or (not arrow and "..." in inputs):
        return None
    if not arrow:  # classical mode: the letters that appear once, in alphabetical order
        result = "".join(sorted(letter for letter in set(inputs) - {","} if inputs.count(letter) == 1))
    named = [len(term.replace("...", "")) for term in terms]
    widths = [rank - n if "..." in term else 0 for rank, n, term in zip(ranks, named, terms, strict=True)]
    # The dimensions that an ellipsis stands for, as capitals that the equation does not use.
    free = [chr(code) for code in range(0x3B1, 0x3B1 + max(widths))]
    a, b = (term.replace("...", "".join(free[len(free) - n :])) for term, n in zip(terms, widths, strict=True))
    y = result.replace("...", "".join(free))
    return _grouped(op, a, b, y)


def _grouped(op: Operation, a: str, b: str, y: str) -> Contraction | None:
    once = all(len(set(term)) == len(term) for term in (a, b, y))
    summed = "".join(letter for letter in a if letter in b and letter not in y)
    batch = "".join(letter for letter in y if letter in a and letter in b)
    rows = "".join(letter for letter in y if letter in a and letter not in b)
    columns = "".join(letter for letter in y if letter in b and letter not in a)
    whole = set(a) == set(batch + rows + summed) and set(b) == set(batch + columns + summed)
    if not once or not whole or not summed or len(y) != len(batch + rows + columns):
        return None
    sizes = dict(zip(a, shape_of(op.operands[0]), strict=True))
    for letter, size in zip(b, shape_of(op.operands[1]), strict=True):
        if sizes.setdefault(letter, size) != size:
            return None  # broadcast along an ellipsis
    return Contraction(a, b, y, batch, rows, columns, summed)


def lower_einsum(site: Site) -> None:
    """Both operands as (batches of) matrices, their product, and its dimensions in the order asked for."""
    op = site.op
    left, right = op.operands
    how = contraction(op)
    assert how is not None
    if weight_is_left(left, right):
        left, right, how = right, left, how.swapped()
    type = tensor_type(op.results[0])
    sizes = dict(zip(how.a, shape_of(left), strict=True)) | dict(zip(how.b, shape_of(right), strict=True))

    def extents(letters: str) -> list[int]:
        return [sizes[letter] for letter in letters]

    k, n, batch = prod(extents(how.summed)), prod(extents(how.columns)), extents(how.batch)
    # Rows keep their dimensions where there is no batch: fewer reshapes, and h3.matmul takes any rank of x.
    rows = [prod(extents(how.rows))] if how.batch else extents(how.rows)
    x = _arranged(site, left, how.a, how.batch + how.rows + how.summed, [*batch, *rows, k])
    w = _arranged(site, right, how.b, how.batch + how.summed + how.columns, [*batch, k, n])
    y = matmul(site, x, w, tensor_of((*batch, *rows, n), type.element_type))
    order = how.batch + how.rows + how.columns
    y = site.reshape(y, extents(order))
    site.replace(site.transpose(y, [order.index(letter) for letter in how.y]))


def _arranged(site: Site, value: SSAValue, letters: str, order: str, shape: Sequence[int]) -> SSAValue:
    """`value`, whose dimensions are called `letters`, with them in the order `order` and in shape `shape`."""
    perm = [letters.index(letter) for letter in order]
    if is_constant(value):
        if perm == sorted(perm) and shape_of(value) == tuple(shape):
            return value
        return rearranged(site, value, shape, lambda array: array.transpose(perm).reshape(tuple(shape)), "arranged")
    return site.reshape(site.transpose(value, perm), shape)


def takes_einsum(op: Operation) -> bool:
    """Two operands of floats, and an equation that is a product of matrices."""
    return float_operands(op) and contraction(op) is not None


def einsum_macs(op: Operation) -> int:
    """The product of the extents of all indices."""
    how = contraction(op)
    assert how is not None
    a, b = (shape_of(value) for value in op.operands)
    sizes = dict(zip(how.a, a, strict=True)) | dict(zip(how.b, b, strict=True))
    return prod(sizes.values())


FAMILIES = {"Einsum": Family(lower_einsum, einsum_macs, takes=takes_einsum)}
