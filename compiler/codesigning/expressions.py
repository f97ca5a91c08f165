"""Arithmetic over named figures, from text: what the constraints and derived fields of a space are written in.

Numbers, names, + - * / // % **, min, max, sqrt, log2, ceil, floor, abs, and one comparison in a constraint. All is in
float64 over arrays that broadcast; nothing else of Python can be reached from such a text.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError

Floats = NDArray[np.float64]
Figures = Mapping[str, Any]
"""Arrays (or numbers) by name."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "sqrt": (1, np.sqrt),
    "log2": (1, np.log2),
    "ceil": (1, np.ceil),
    "floor": (1, np.floor),
    "abs": (1, np.abs),
}
_COMPARISONS: dict[type[ast.cmpop], str] = {ast.LtE: "<=", ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">", ast.Eq: "=="}
_MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Expression:
    """A number that follows from figures."""

    text: str
    where: str
    """File and path, for what is wrong with it."""
    node: ast.expr

    @property
    def names(self) -> list[str]:
        """The figures that it speaks of."""
        calls = {id(node.func) for node in ast.walk(self.node) if isinstance(node, ast.Call)}
        return [node.id for node in ast.walk(self.node) if isinstance(node, ast.Name) and id(node) not in calls]

    def value(self, figures: Figures) -> Floats:
        """Its value for each chip; where arithmetic fails (1 / 0) it is infinite or no number."""
        self.check(figures)
        with np.errstate(all="ignore"):
            return np.asarray(_value(self.node, figures), np.float64)

    def check(self, known: Iterable[str]) -> None:
        """Whether all its figures are `known`."""
        names = sorted(known)
        for name in self.names:
            if name not in names:
                close = get_close_matches(name, names, 1, 0.5)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
                raise InputError(f"{self.where}: expected known figures ({hint}), got {name!r} in {self.text!r}")


@dataclass(frozen=True)
class Comparison:
    """What a chip must keep: `left` `relation` `right`."""

    text: str
    left: Expression
    relation: str
    right: Expression

    def violation(self, figures: Figures) -> Floats:
        """By how much each chip breaks it, relative to the right side; 0 where it is kept, infinite where unknown."""
        left, right = self.left.value(figures), self.right.value(figures)
        with np.errstate(all="ignore"):
            over = {"<=": left - right, "<": left - right, ">=": right - left, ">": right - left}
            short = np.abs(left - right) if self.relation == "==" else over[self.relation]
            kept = short < 0 if self.relation in ("<", ">") else short <= 0
            amount = short / np.maximum(np.abs(right), 1e-300)
        # A strict relation that is just met is broken, though by nothing: it counts as a least amount.
        return np.where(kept, 0.0, np.where(np.isnan(amount), np.inf, np.maximum(amount, 1e-12)))


def expression(text: object, where: str) -> Expression:
    """The number that `text` describes: a text, or a plain number."""
    told = str(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else None
    if told is None:
        raise InputError(f"{where}: expected an expression such as 'area_mm2 * 2', got {text!r}")
    node = _parsed(told, where)
    _check_number(node, told, where)
    return Expression(told, where, node)


def comparison(text: object, where: str) -> Comparison:
    """The constraint that `text` describes."""
    if not isinstance(text, str):
        raise InputError(f"{where}: expected a comparison such as 'area_mm2 <= 800', got {text!r}")
    node = _parsed(text, where)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS:
        signs = ", ".join(_COMPARISONS.values())
        raise InputError(f"{where}: expected one comparison ({signs}) of two numbers, got {text!r}")
    sides = node.left, node.comparators[0]
    for side in sides:
        _check_number(side, text, where)
    left, right = (Expression(text, where, side) for side in sides)
    return Comparison(text, left, _COMPARISONS[type(node.ops[0])], right)


def _parsed(text: str, where: str) -> ast.expr:
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{where}: expected at most {_MOST_CHARACTERS} characters, got {len(text)}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{where}: expected arithmetic over figures, got {text!r}") from None


def _check_number(node: ast.expr, text: str, where: str) -> None:
    """Refuse all that is no plain arithmetic."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and abs(number) < 1e300:
            return
        case ast.Name():
            return
        case ast.UnaryOp(op=ast.UAdd() | ast.USub()):
            _check_number(node.operand, text, where)
        case ast.BinOp() if type(node.op) in _BINARY:
            _check_number(node.left, text, where)
            _check_number(node.right, text, where)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
            if len(node.args) != _FUNCTIONS[name][0]:
                raise InputError(
                    f"{where}: expected {name} with {_FUNCTIONS[name][0]} numbers, got {len(node.args)} in {text!r}"
                )
            for argument in node.args:
                _check_number(argument, text, where)
        case _:
            known = f"numbers, figures, + - * / // % **, {', '.join(_FUNCTIONS)}"
            raise InputError(f"{where}: expected arithmetic ({known}), got {ast.unparse(node)!r} in {text!r}")


def _value(node: ast.expr, figures: Figures) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return np.float64(number)
        case ast.Name(id=name):
            return np.asarray(figures[name], np.float64)
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, figures)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, figures), _value(right, figures))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name][1](*(_value(argument, figures) for argument in arguments))
        case _:
            raise TypeError(f"checked when it was read: {ast.dump(node)}")
