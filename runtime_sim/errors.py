"""The one exception for input that h3c cannot take."""

from xdsl.dialects.builtin import FileLineColLoc, NameLoc
from xdsl.ir import Operation
from xdsl.utils.exceptions import PassFailedException


class InputError(PassFailedException):
    """Bad input: its text is the one line that the user sees (file or node, expectation, value).

    It derives from xDSL's own exception, so that a stock `xdsl-opt` reports it as a failed pass.
    """


def where(op: Operation) -> str:
    """How a message names `op`: `net.onnx: node /fc1/Gemm`, as far as that is known, else by its own name."""
    location = op.location
    if not isinstance(location, NameLoc):
        return op.name
    child = location.location
    file = f"{child.filename.data}: " if isinstance(child, FileLineColLoc) else ""
    return f"{file}node {location.desc.data}"
