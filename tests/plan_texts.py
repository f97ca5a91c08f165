"""Plans from a few lines of text, for tests of what they compute."""

from typing import Any

from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from h3c.compiler.chips.load import load_chip
from h3c.compiler.plan_files import new_context
from h3c.dialects.constants import type_of
from h3c.runtime_sim.chip_ir import chip_to_ir
from h3c.runtime_sim.weights import STORE

Array = NDArray[Any]


def weight(name: str, array: Array) -> str:
    """The line that defines %name."""
    return f'%{name} = h3.weight "{name}" digest "{STORE.put(array)}" : {type_of(array)}'


def plan(arguments: str, results: str, body: str, opset: int = 17) -> ModuleOp:
    """A plan on the chip h3pimap; `arguments` and `results` with their h3.name."""
    text = f"""
    builtin.module attributes {{h3.model = {{name = "m", opset = {{ai.onnx = {opset} : i64}}}}}} {{
      func.func @main({arguments}) -> ({results}) {{
        {body}
      }}
    }}"""
    module = Parser(new_context(), text).parse_module()
    module.body.block.insert_op_before(chip_to_ir(load_chip("h3pimap")), next(iter(module.body.block.ops)))
    module.verify()
    return module


def digital(types: str, ops: str, results: str, opset: int = 17) -> ModuleOp:
    """A plan of one digital region %a -> %r."""
    body = f"""
      %y = tile.segment 0 -> {results} {{
        %d = tile.digital %x step 0 : ({types}) -> {results} {{
        ^bb0(%a: {types}):
          {ops}
          tile.yield %r : {results}
        }}
        tile.yield %d : {results}
      }}
      func.return %y : {results}"""
    return plan(f'%x: {types} {{h3.name = "x"}}', f'{results} {{h3.name = "y"}}', body, opset)
