# ruff: noqa: E501 - lines of IR are as long as they are
"""A plan edited by hand into nonsense is refused, each time with the reason; the plan itself passes."""

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from h3c.compiler.chips.load import load_chip
from h3c.compiler.pipeline import verify
from h3c.compiler.plan_files import new_context
from h3c.passes.verify_tile import VerifyTile
from h3c.runtime_sim.chip_ir import chip_to_ir
from h3c.runtime_sim.errors import InputError

B = "@chip::@buffer"
PLAN = f"""
builtin.module {{
  func.func @main(%x: tensor<8x64xf32> {{h3.name = "x"}}) -> (tensor<8x32xf32> {{h3.name = "y"}}) {{
    %w = h3.weight "w" absent : tensor<64x96xf32>
    %v = h3.weight "v" absent : tensor<96x32xf32>
    %r = tile.segment once -> tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 4>> {{
      %p = tile.program %w step 0 : (tensor<64x96xf32>) -> tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 4>>
      tile.yield %p : tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 4>>
    }}
    %y = tile.segment 0 -> tensor<8x32xf32> {{
      %a = tile.mvm %x, %r first 0 of 96 step 0 : (tensor<8x64xf32>, tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 4>>) -> tensor<8x64xf32, {B}>
      %b = tile.mvm %x, %w on @chip::@photonic first 64 of 96 step 0 : (tensor<8x64xf32>, tensor<64x96xf32>) -> tensor<8x32xf32, {B}>
      %c = tile.join %a, %b axis 1 : (tensor<8x64xf32, {B}>, tensor<8x32xf32, {B}>) -> tensor<8x96xf32, {B}>
      %q = tile.program %v step 1 : (tensor<96x32xf32>) -> tensor<96x32xf32, #tile.arrays<@chip::@sram, 4 to 6>>
      %d = tile.mvm %c, %q step 1 : (tensor<8x96xf32, {B}>, tensor<96x32xf32, #tile.arrays<@chip::@sram, 4 to 6>>) -> tensor<8x32xf32, {B}>
      %e = tile.store %d step 2 : (tensor<8x32xf32, {B}>) -> tensor<8x32xf32>
      tile.yield %e : tensor<8x32xf32>
    }}
    func.return %y : tensor<8x32xf32>
  }}
}}"""

EDITS = {
    "a rewrite of arrays that hold a resident": ("@sram, 4 to 6>", "@sram, 2 to 4>", "where the weight of"),
    "more arrays than the tier has": ("@sram, 4 to 6>", "@sram, 25599 to 25601>", "expected arrays 0 to 25600"),
    "fewer arrays than the weight takes": ("@sram, 4 to 6>", "@sram, 4 to 5>", "expected 2 arrays on sram, got 1"),
    "no ranges": ("@sram, 4 to 6>", "@sram>", "got none"),
    "a tier that the chip has not": ("@sram, 4 to 6>", "@flash, 4 to 6>", "expected one of the tiers"),
    "a place that the chip has not": ("@chip::@buffer", "@chip::@cache", "expected a place that the chip has"),
    "outputs made twice": ("first 64 of 96", "first 0 of 96", "expected the part from output 64, got 0"),
    "outputs that overlap": ("first 64 of 96", "first 60 of 96", "expected the part from output 64, got 60"),
    "a step that goes back": ("tile.store %d step 2", "tile.store %d step 0", "expected step 1 or later, got step 0"),
    "weights in a tier that streams": ("@sram, 4 to 6>", "@photonic, 4 to 6>", "expected arrays 0 to 0 of photonic"),
    "a streamed weight on a tier with arrays": ("on @chip::@photonic", "on @chip::@reram", "which holds its weights"),
    "segments that fall": ("tile.segment 0 ->", "tile.segment once ->", "expected it once"),
    "a mode that the tier has not": (
        "first 64 of 96 step 0",
        'first 64 of 96 precision "4-4-4" step 0',
        "expected one of 8-8-8, 6-6-8",
    ),
    "the result left in the buffer": ("tile.yield %e : tensor<8x32xf32>", f"tile.yield %d : tensor<8x32xf32, {B}>", ""),
}


def parsed(text: str) -> ModuleOp:
    module = Parser(new_context(), text).parse_module()
    module.body.block.insert_op_before(chip_to_ir(load_chip("h3pimap")), next(iter(module.body.block.ops)))
    return module


def verified(text: str) -> None:
    module = parsed(text)
    verify(module, "test")
    VerifyTile().apply(Context(), module)


def test_the_plan_itself_passes() -> None:
    verified(PLAN)


@pytest.mark.parametrize(("old", "new", "reason"), EDITS.values(), ids=EDITS)
def test_an_edited_plan_is_refused_with_its_reason(old: str, new: str, reason: str) -> None:
    assert old in PLAN
    with pytest.raises(InputError) as refusal:
        verified(PLAN.replace(old, new))
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_weight_that_was_overwritten_is_lost() -> None:
    again = (
        "%z = tile.program %v step 1 : (tensor<96x32xf32>) -> tensor<96x32xf32, #tile.arrays<@chip::@sram, 4 to 6>>\n"
    )
    with pytest.raises(InputError, match="its weight was lost: array 4 of sram was written again"):
        verified(PLAN.replace("      %d = tile.mvm", f"      {again}      %d = tile.mvm"))


def test_values_that_overflow_the_buffer_are_refused() -> None:
    text = PLAN.replace("8x64xf32", "65536x64xf32").replace("8x32xf32", "65536x32xf32").replace("8x96", "65536x96")
    with pytest.raises(InputError, match="expected at most 2097152 bytes in the buffer"):
        verified(text)


def test_a_part_read_as_if_it_were_the_whole_is_refused() -> None:
    text = PLAN.replace("tile.mvm %c, %q", "tile.mvm %a, %q").replace("%c = tile.join", "%unused = tile.join")
    text = text.replace(
        f"(tensor<8x96xf32, {B}>, tensor<96x32xf32, #t", f"(tensor<8x64xf32, {B}>, tensor<64x32xf32, #t"
    )
    text = text.replace("tensor<96x32xf32", "tensor<64x32xf32")
    with pytest.raises(InputError, match="64 of 96 outputs are read as if they were all"):
        verified(text)
