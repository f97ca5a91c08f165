"""What h3c adds to every xDSL tool: its dialects and passes, found through the entry point `xdsl.universe`.

Every xDSL tool imports this module at start-up, so nothing is imported here until it is used.
"""

from collections.abc import Callable
from importlib import import_module

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.universe import Universe

DIALECTS = {"onnx": ("onnx", "Onnx"), "h3": ("h3", "H3"), "tile": ("tile", "Tile")}

PASSES = {
    "attach-chip": ("compiler.chips.attach_chip", "AttachChip"),
    "fold-constants": ("passes.fold_constants", "FoldConstants"),
    "fold-batch-norm": ("passes.fold_batch_norm", "FoldBatchNorm"),
    "lower-matrix-ops": ("passes.lower_matrix_ops", "LowerMatrixOps"),
    "model-figures": ("passes.model_figures", "ModelFigures"),
    "absorb-transposes": ("passes.absorb_transposes", "AbsorbTransposes"),
    "absorb-quantisation": ("passes.absorb_quantisation", "AbsorbQuantisation"),
    "fuse-bias-activation": ("passes.fuse_bias_activation", "FuseBiasActivation"),
    "verify-h3": ("passes.verify_h3", "VerifyH3"),
    "place-parts": ("passes.place_parts", "PlaceParts"),
    "verify-placement": ("passes.verify_placement", "VerifyPlacement"),
    "lower-to-tile": ("passes.lower_to_tile", "LowerToTile"),
    "assign-arrays": ("passes.assign_arrays", "AssignArrays"),
    "verify-tile": ("passes.verify_tile", "VerifyTile"),
}


def _dialect(module: str, name: str) -> Callable[[], Dialect]:
    return lambda: getattr(import_module(f"..dialects.{module}", __package__), name)


def _pass(module: str, name: str) -> Callable[[], type[ModulePass]]:
    return lambda: getattr(import_module(f"..{module}", __package__), name)


H3C_UNIVERSE = Universe(
    all_dialects={name: _dialect(*where) for name, where in DIALECTS.items()},
    all_passes={name: _pass(*where) for name, where in PASSES.items()},
)
