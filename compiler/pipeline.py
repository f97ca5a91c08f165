"""The default pipeline, from the onnx level to a plan, as one visible list."""

from collections.abc import Callable, Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ..runtime_sim.errors import InputError, where
from .universe import H3C_UNIVERSE

PIPELINE: tuple[tuple[str, str], ...] = (
    ("fold-constants", "first, as lowering depends on shapes, which models compute"),
    ("model-figures", "counts ONNX operators: after folding, before any rewrite hides some"),
    ("attach-chip", "from here on passes may ask the chip"),
    ("fold-batch-norm", "while a convolution and its normalisation are still adjacent onnx ops"),
    ("lower-matrix-ops", "matrix work becomes h3 ops, all else stays onnx"),
    ("absorb-transposes", "a transpose before a weight becomes `transposed`; needs h3.matmul"),
    ("absorb-quantisation", "before fusing, as an int32 bias times its scales is then a plain bias"),
    ("fuse-bias-activation", "last of the rewrites: any op between product and bias would block it"),
    ("verify-h3", "matrix work is h3 work only, and is consistent"),
    ("place-parts", "decides; reads numbers only"),
    ("verify-placement", "the decision fits the chip"),
    ("lower-to-tile", "needs all parts and segments"),
    ("assign-arrays", "ranges of arrays, once all places are known"),
    ("verify-tile", "the plan can run, and runs the same each time"),
)
"""(pass, why it stands where it stands)."""

Options = dict[str, dict[str, object]]
"""Arguments of passes, by pass."""


def build(options: Options, names: Sequence[str] = tuple(name for name, _ in PIPELINE)) -> list[ModulePass]:
    """The passes called `names`, with their options."""
    return [H3C_UNIVERSE.all_passes[name]()(**options.get(name, {})) for name in names]


def around(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The passes before and after the pass `name`."""
    names = tuple(each for each, _ in PIPELINE)
    at = names.index(name)
    return names[:at], names[at + 1 :]


def run(
    module: ModuleOp,
    passes: Sequence[ModulePass],
    context: Context,
    *,
    after: Callable[[ModulePass], None] = lambda _: None,
) -> None:
    """Run `passes` on `module`, verifying it after each; `after` is told of each pass that is done."""
    for one in passes:
        one.apply(context, module)
        verify(module, f"after {one.name}")
        after(one)


def verify(module: ModuleOp, when: str) -> None:
    """Verify `module`; the error names the first op that does not verify, without the module around it."""
    try:
        module.verify()
    except Exception as error:
        told = first_fault(module)
        raise InputError(f"{told or error} ({when})") from None


def first_fault(module: ModuleOp) -> str | None:
    """The first op that does not verify by itself, and why."""
    for op in module.walk():
        try:
            op.verify(verify_nested_ops=False)
        except Exception as error:
            return f"{where(op)}: {op.name}: {_message(error)}"
    return None


def _message(error: Exception) -> str:
    """What went wrong, without xDSL's drawing of the op around it."""
    told = str(error).rpartition("Operation does not verify: ")[2] or str(error)
    return " ".join(told.splitlines()[0].split()) if told else type(error).__name__
