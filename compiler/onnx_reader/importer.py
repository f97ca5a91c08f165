"""ONNX files as modules of the onnx dialect: `read_onnx(Path("model.onnx"), {"batch": 1})`."""

from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import TypeAlias

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    ModuleOp,
    NoneType,
    StringAttr,
    UnrankedTensorType,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects.h3 import WeightOp
from ...dialects.onnx import OP_BY_NAME, CustomOp, NoValueOp, YieldOp
from ...dialects.onnx_base import dictionary_of
from ...dialects.text import escape
from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import constant_node_array, graph_attributes, graphs_in
from ...runtime_sim.weights import STORE, set_stores
from .attributes import to_property
from .dimensions import batch_names, bind
from .initializers import array_op, initializer_op, matrix_weights, take_initializers
from .inlining import inline
from .load import check_graph, load, opset_of, standard
from .names import location, set_hint, title
from .shapes import Types, infer_types

Scope: TypeAlias = MutableMapping[str, SSAValue]


def read_onnx(path: Path, dims: Mapping[str, int] | None = None) -> ModuleOp:
    """The model in an ONNX file, its symbolic dimensions bound; what is wrong with it is an InputError.

    Values of weights go to the process's store (runtime_sim/weights.py); the module's `h3.stores` lists the file.
    """
    model, digest = load(path)
    check_graph(path, model.graph, opset_of(model))
    dims = dims or {}
    batch = batch_names(model, dims)
    bind(path, model, dims)
    initializers = take_initializers(path, model.graph)
    skeleton = inline(path, _skeleton(model, initializers))
    del model
    types = infer_types(path, skeleton, initializers)
    module = _Importer(path, initializers, types).module(skeleton, batch)
    if any(isinstance(op, WeightOp) and op.digest is not None for op in module.walk()):
        set_stores(module, [(str(path), digest)])
        STORE.register_onnx(path, digest)
    return module


def absent_note(module: ModuleOp) -> str | None:
    """One line for the user if some weights came without their values, else None."""
    weights = [op for op in module.walk() if isinstance(op, WeightOp)]
    absent = [op for op in weights if op.absent is not None]
    if not absent:
        return None
    return f"{len(absent)} of {len(weights)} weights have no values: time and energy only, no outputs"


def _skeleton(model: ModelProto, initializers: Mapping[str, TensorProto]) -> ModelProto:
    """The model without its initializers, so that passing it to onnx copies little."""
    skeleton = ModelProto(ir_version=model.ir_version)
    skeleton.opset_import.extend(model.opset_import)
    skeleton.functions.extend(model.functions)
    graph = skeleton.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(value for value in model.graph.input if value.name not in initializers)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    return skeleton


class _Importer:
    """Builds the function of one model."""

    def __init__(self, path: Path, initializers: Mapping[str, TensorProto], types: Types):
        self.path, self.types = path, types
        self.unused = dict(initializers)  # initializers become ops when they are first read
        self.weights: frozenset[str] = frozenset()
        self.read: frozenset[str] = frozenset()
        self.block = Block()
        self.top: Scope = {}

    def module(self, model: ModelProto, batch: Mapping[str, str]) -> ModuleOp:
        graph = model.graph
        self.weights = matrix_weights(graph)
        self.read = frozenset(
            name
            for inner in graphs_in(graph)
            for names in (*(node.input for node in inner.node), [value.name for value in inner.output])
            for name in names
        )
        for value in graph.input:
            argument = self.block.insert_arg(self.types.of[value.name], len(self.block.args))
            set_hint(argument, value.name)
            self.top[value.name] = argument
        self.add_nodes(graph, self.block, self.top, self.types)
        results = [self.value(value.name, self.top) for value in graph.output]
        self.block.add_op(ReturnOp(*results))
        inputs = list(self.block.arg_types)
        outputs = [value.type for value in results]
        function = FuncOp(
            "main",
            (inputs, outputs),
            Region(self.block),
            arg_attrs=_argument_attributes(graph.input, batch),
            res_attrs=_argument_attributes(graph.output, batch),
        )
        opset = {escape(domain or "ai.onnx"): IntegerAttr(version, i64) for domain, version in opset_of(model).items()}
        figures = {"name": StringAttr(escape(self.path.stem)), "opset": dictionary_of(opset)}
        return ModuleOp([function], {"h3.model": dictionary_of(figures)})

    def value(self, name: str, scope: Scope) -> SSAValue:
        """The value of a name; an initializer becomes an op of the function the first time."""
        if name not in scope:
            op = initializer_op(self.path, self.unused.pop(name), self.weights)
            self.block.add_op(op)
            set_hint(op.results[0], name)
            self.top[name] = op.results[0]
        return scope[name]

    def add_nodes(self, graph: GraphProto, block: Block, scope: Scope, types: Types) -> None:
        """Append the nodes of a graph to a block."""
        for index, node in enumerate(graph.node):
            if standard(node) and node.op_type == "Constant":
                op = array_op(
                    self.path, node.output[0], constant_node_array(node, f"{self.path}: {title(node, index)}")
                )
            else:
                op = self.node(node, index, block, scope, types)
            op.location = location(node, index)
            block.add_op(op)
            for name, result in zip(node.output, op.results, strict=False):
                if name:
                    set_hint(result, name)
                    scope[name] = result

    def node(self, node: NodeProto, index: int, block: Block, scope: Scope, types: Types) -> Operation:
        """The op of a node that is no Constant."""
        names = _without_trailing_blanks(node.input)
        operands: list[SSAValue] = []
        for name in names:
            if name:
                operands.append(self.value(name, scope))
            else:
                none = NoValueOp()
                block.add_op(none)
                operands.append(none.result)
        results = [self.result_type(node, index, name, types) for name in _without_trailing_blanks(node.output)]
        properties = {
            attribute.name: to_property(self.path, node, index, attribute)
            for attribute in node.attribute
            if not attribute.HasField("g")
        }
        bodies = {each.name: each.g for each in graph_attributes(node)}
        if not standard(node):
            custom = _custom_properties(node, properties, list(bodies))
            regions = [self.body(body, scope, types.inside[index, name]) for name, body in bodies.items()]
            return CustomOp.create(operands=operands, result_types=results, properties=custom, regions=regions)
        op_class = OP_BY_NAME[node.op_type]
        if missing := [name for name in op_class.GRAPHS if name not in bodies]:
            raise InputError(f"{self.path}: {title(node, index)}: attribute {missing[0]!r} is missing")
        regions = [self.body(bodies[name], scope, types.inside[index, name]) for name in op_class.GRAPHS]
        return op_class.create(operands=operands, result_types=results, properties=properties, regions=regions)

    def result_type(self, node: NodeProto, index: int, name: str, types: Types) -> Attribute:
        if not name:
            return NoneType()
        if isinstance(types.of.get(name), UnrankedTensorType) and name not in self.read:
            return NoneType()  # nothing reads it, and nothing tells its rank (the mask of a Dropout)
        if name not in types.of:
            raise InputError(f"{self.path}: {title(node, index)}: the type of its output {name!r} is not known")
        return types.of[name]

    def body(self, graph: GraphProto, outer: Scope, types: Types) -> Region:
        """The region of a graph attribute."""
        scope: Scope = ChainMap({}, outer)
        block = Block()
        for value in graph.input:
            argument = block.insert_arg(types.of[value.name], len(block.args))
            set_hint(argument, value.name)
            scope[value.name] = argument
        for name, tensor in take_initializers(self.path, graph).items():
            op = initializer_op(self.path, tensor, matrix_weights(graph))
            block.add_op(op)
            set_hint(op.results[0], name)
            scope[name] = op.results[0]
        self.add_nodes(graph, block, scope, types)
        block.add_op(YieldOp([self.value(value.name, scope) for value in graph.output]))
        return Region(block)


def _without_trailing_blanks(names: Iterable[str]) -> list[str]:
    """Operands or results, without those at the end that are left out."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _custom_properties(node: NodeProto, attributes: Mapping[str, Attribute], graphs: list[str]) -> dict[str, Attribute]:
    properties: dict[str, Attribute] = {
        "domain": StringAttr(escape(node.domain)),
        "op_type": StringAttr(escape(node.op_type)),
    }
    if attributes:
        properties["attributes"] = dictionary_of(attributes)
    if graphs:
        properties["graph_names"] = ArrayAttr([StringAttr(escape(name)) for name in graphs])
    return properties


def _argument_attributes(values: Iterable[ValueInfoProto], batch: Mapping[str, str]) -> ArrayAttr[DictionaryAttr]:
    """`{h3.name = "x"}` of each value, with `h3.dim` where its leading dimension was symbolic."""
    found: list[DictionaryAttr] = []
    for value in values:
        entries = {"h3.dim": batch.get(value.name), "h3.name": value.name}
        found.append(DictionaryAttr({key: StringAttr(escape(text)) for key, text in entries.items() if text}))
    return ArrayAttr(found)
