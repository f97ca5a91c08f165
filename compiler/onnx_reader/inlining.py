"""Functions: those that the model brings are inlined, those that others publish are expanded from `functions/`.

A file there is a function in ONNX's text form. Attributes of the node become its last inputs, as floats, because
operator sets before 12 cannot turn an attribute into a tensor; `rounding_mode` chooses the function that rounds.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, NodeProto, helper, inliner, numpy_helper, parser

from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import graphs_in
from .load import AI_ONNX, opset_of, standard
from .names import title

_QUANT_DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
_FILES = {"Quant": "quant", "IntQuant": "quant", "BipolarQuant": "bipolar_quant"}
_ATTRIBUTES = {"quant": (("signed", 1), ("narrow", 1)), "bipolar_quant": ()}
"""Attributes that become inputs, with their defaults (QONNX operator definitions)."""
_ROUNDING = {"ROUND": "round", "CEIL": "ceil", "FLOOR": "floor", "ROUND_TO_ZERO": "round_to_zero"}
_DOMAIN = "h3c.published"
_ROUND_SINCE = 11
"""The operator set that brought Round."""


def inline(path: Path, model: ModelProto) -> ModelProto:
    """The model without functions: its own inlined, published ones expanded. Large initializers should be taken out."""
    _expand(path, model)
    if not model.functions:
        return model
    _check_opsets(path, model)
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # the inliner has no common base for its errors
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _check_opsets(path: Path, model: ModelProto) -> None:
    """A function may import another version of an operator set only if its operators mean the same in both."""
    opset = opset_of(model)
    for function in model.functions:
        own = {"" if entry.domain in AI_ONNX else entry.domain: entry.version for entry in function.opset_import}
        theirs, ours = own.get("", 0), opset.get("", 0)
        for index, node in enumerate(function.node):
            if theirs == ours or not standard(node) or not onnx.defs.has(node.op_type):
                continue
            versions = [onnx.defs.get_schema(node.op_type, version).since_version for version in (theirs, ours)]
            if versions[0] != versions[1]:
                raise InputError(
                    f"{path}: function {function.name!r} uses opset {theirs}, the model {ours}, "
                    f"and {title(node, index)} differs between them"
                )
        for domain, version in own.items():
            if domain not in opset:
                model.opset_import.add(domain=domain, version=version)


def _expand(path: Path, model: ModelProto) -> None:
    """Let nodes with a published definition call it, in place."""
    used: dict[str, FunctionProto] = {}
    for graph in graphs_in(model.graph):
        if not any(node.domain in _QUANT_DOMAINS and node.op_type in _FILES for node in graph.node):
            continue
        nodes: list[NodeProto] = []
        for index, node in enumerate(graph.node):
            if node.domain in _QUANT_DOMAINS and node.op_type in _FILES:
                nodes.extend(_call(path, node, index, opset_of(model)[""], used))
            else:
                nodes.append(node)
        copied = [_copy(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(copied)
    if used:
        model.functions.extend(used.values())
        model.opset_import.add(domain=_DOMAIN, version=1)


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _call(path: Path, node: NodeProto, index: int, opset: int, used: dict[str, FunctionProto]) -> list[NodeProto]:
    """The nodes that stand for one node: constants for its attributes, and a call."""
    file = _FILES[node.op_type]
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    rounding = values.get("rounding_mode", b"ROUND").decode("utf-8", "replace").upper()
    if rounding not in _ROUNDING:
        known = ", ".join(_ROUNDING)
        raise InputError(f"{path}: {title(node, index)}: rounding mode {rounding!r}, expected one of {known}")
    nodes: list[NodeProto] = []
    inputs = list(node.input)
    for name, default in _ATTRIBUTES[file]:
        tensor = numpy_helper.from_array(np.array(values.get(name, default), np.float32))
        inputs.append(f"{node.output[0]}__{name}")
        nodes.append(helper.make_node("Constant", [], inputs[-1:], value=tensor))
    round_file = _ROUNDING[rounding]
    if round_file == "round" and opset < _ROUND_SINCE:
        round_file = "round_before_11"
    name = f"{file}_{round_file}" if file == "quant" else file
    if name not in used:
        used[name] = _function(file, name, opset)
        if file == "quant":
            used.setdefault(round_file, _function(round_file, round_file, opset))
            for inner in used[name].node:
                inner.op_type = round_file if inner.domain == _DOMAIN else inner.op_type
    nodes.append(helper.make_node(name, inputs, list(node.output), name=node.name, domain=_DOMAIN))
    return nodes


def _function(file: str, name: str, opset: int) -> FunctionProto:
    text = files("h3c.compiler.onnx_reader").joinpath("functions", f"{file}.onnxtxt").read_text()
    function: FunctionProto = parser.parse_function(text)
    function.name = name
    for entry in function.opset_import:
        entry.version = opset if entry.domain == "" else entry.version
    return function
