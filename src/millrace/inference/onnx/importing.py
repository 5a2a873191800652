"""ONNX models read: node after node, each by the translation of its operation, becomes a predictor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from millrace.inference.onnx import (  # noqa: F401 - each registers its translations
    import_attention,
    import_control,
    import_elementwise,
    import_images,
    import_indexing,
    import_logic,
    import_losses,
    import_normalization,
    import_pooling,
    import_products,
    import_quantization,
    import_recurrent,
    import_reductions,
    import_sampling,
    import_shapes,
    import_windows,
)
from millrace.inference.onnx.about import about_of
from millrace.inference.onnx.attributes import attributes_of, resolved
from millrace.inference.onnx.functions import body_of, defaults_of, schema_of
from millrace.inference.onnx.knowing import Budget, known_result, settled
from millrace.inference.onnx.reading import Read, domain_of, graphs_of, label, opsets_of, read_model
from millrace.inference.onnx.shapes import input_types
from millrace.inference.onnx.sinking import sunk
from millrace.inference.onnx.tensors import MOST_ELEMENTS, array_of
from millrace.inference.onnx.translating import TRANSLATIONS, Call, Given, Translation, UntranslatedError, value_of
from millrace.inference.predictor import Predictor
from millrace.ir.core import Value, layer_scope
from millrace.ir.dims import Dim, product
from millrace.ir.errors import DimensionError, FileError, MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.state import Variable
from millrace.ir.types import FLOATS

KNOWN_NUMBERS = 4096  # whole numbers in a tensor that may serve as a shape or positions; more are data
STATISTICS = {"BatchNormalization": (3, 4)}  # inputs that training does not change by gradients
DEEPEST_CALL = 24  # functions that call functions
MOST_TURNS = 5_000  # nodes that functions and loops bring, beside five times those that the file lists


def from_onnx(
    source: str | Path | bytes | ModelProto, engine: Any = None, sizes: Mapping[str, int] | None = None
) -> Predictor:
    """The predictor that an ONNX model describes.

    source: a path, the bytes of a file, or an onnx.ModelProto. Tensors of floats become variables, so that
    `mr.Model(list(p.graph.inputs), list(p.graph.outputs))` can be trained on. Open sizes become dimensions.
    engine: "xla", "numpy", or None for the best there is. sizes: numbers for open sizes, by their names in the model,
    such as {"length": 128}: exporters name sizes that the rest of their model takes for fixed.

    Raises ArgumentError for a size that the model does not name, FileError for a file that is missing or damaged, and
    UntranslatedError, which is one, for a model that Millrace cannot say; it names the node and why, and all operators
    that are missing.
    Source: ONNX, Open Neural Network Exchange, its operators of versions 7 to 28.
    """
    read = read_model(source)
    graph = _Importer(read, dict(sizes or {})).graph()
    return Predictor(graph, [value.name for value in read.model.graph.output], about_of(read), engine)


@dataclass
class _Place:
    """Where a node stands: which operators and attributes count there, and how deep it is."""

    opsets: Mapping[str, int]
    given: Mapping[str, AttributeProto] = field(default_factory=dict)
    depth: int = 0


Names = dict[str, Given]


class _Importer:
    """One model on its way into a graph."""

    def __init__(self, read: Read, sizes: Mapping[str, int]):
        self.read, self.sizes, self.budget = read, sizes, Budget()
        self.done, self.most = 0, MOST_TURNS + 5 * read.nodes
        self.variables: dict[str, Variable] = {}

    def graph(self) -> Graph:
        """The graph of the model."""
        proto, place = self.read.model.graph, _Place(self.read.opsets)
        wanted = {value.name for value in proto.output}
        nodes, used = _used(proto.node, wanted)
        self.refuse_missing(nodes, place)
        tensors = {tensor.name for tensor in proto.initializer}
        types = input_types([value for value in proto.input if value.name not in tensors], self.sizes)
        inputs = {name: Placeholder(name, type)() for name, type in types.items()}
        names: Names = {**inputs, **self.tensors(proto, used)}
        self.run(nodes, names, place, used)
        outputs = [_as_value(names[value.name], value.name) for value in proto.output]
        return simplify(sunk(simplify(Graph(list(inputs.values()), outputs))))

    def tensors(self, graph: GraphProto, used: Iterable[str]) -> Names:
        """A graph's tensors: those of floats as variables, short ones of whole numbers known now."""
        needed = set(used)
        statistics = {
            node.input[index]
            for node in graph.node
            for index in STATISTICS.get(node.op_type, ())
            if index < len(node.input)
        }
        return {
            tensor.name: self.tensor(tensor, tensor.name not in statistics)
            for tensor in graph.initializer
            if tensor.name in needed
        }

    def tensor(self, tensor: TensorProto, trainable: bool) -> Given:
        array = array_of(tensor, self.read.folder, f"tensor {tensor.name[:80]!r}")
        is_float = array.dtype.name in FLOATS
        if array.ndim == 0 or array.size == 0 or (not is_float and array.size <= KNOWN_NUMBERS):
            return array
        name, count = tensor.name, 2
        while (found := self.variables.get(name)) is not None:
            if found.dtype == array.dtype.name and np.array_equal(found.numpy(), array):
                return found.value  # of a loop's body, in each turn
            name, count = f"{tensor.name}_{count}", count + 1
        self.variables[name] = Variable(array, name, trainable and is_float)
        return self.variables[name].value

    def refuse_missing(self, nodes: Iterable[NodeProto], place: _Place) -> None:
        """Raise one error that names every operator that is missing."""
        missing: dict[str, list[str]] = {}
        for node in self.all_nodes(nodes, place, set()):
            missing.setdefault(operator(node), []).append(label(node))
        if missing:
            listed = "; ".join(f"{name} ({_several(where)})" for name, where in sorted(missing.items()))
            raise UntranslatedError(f"the model uses operators that Millrace does not import: {listed}.")

    def all_nodes(self, nodes: Iterable[NodeProto], place: _Place, seen: set[tuple[str, str]]) -> Iterator[NodeProto]:
        """The nodes that nothing translates, in the model's graph, in graphs within, and in functions that it calls."""
        for node in nodes:
            key = (domain_of(node), node.op_type)
            for inner in graphs_of(node):
                yield from self.all_nodes(inner.node, place, seen)
            if key in self.read.functions:
                if key not in seen:
                    seen.add(key)
                    yield from self.all_nodes(self.read.functions[key].node, place, seen)
            elif self.translation(node, place) is None and body_of(node, place.opsets, None) is None:
                yield node

    def translation(self, node: NodeProto, place: _Place) -> Translation | None:
        """The translation of a node's operator, None for one that has none or that the model defines itself."""
        own = (domain_of(node), node.op_type) in self.read.functions
        known = domain_of(node) == "" and "" in place.opsets
        return TRANSLATIONS.get(node.op_type) if known and not own else None

    def run(self, nodes: Iterable[NodeProto], names: Names, place: _Place, used: set[str]) -> None:
        """Compute the nodes' outputs into `names`."""
        for node in nodes:
            made = self.node(node, names, place, used)
            for name, value in zip(node.output, made, strict=False):
                if name:
                    names[name] = value

    def node(self, node: NodeProto, names: Names, place: _Place, used: set[str]) -> Sequence[Given]:
        """The outputs of a node."""
        self.done += 1
        if self.done > self.most:
            raise FileError(f"the model's loops and functions amount to more than {self.most} nodes.")
        node = resolved(node, place.given)
        inputs = [names[name] if name else None for name in node.input]
        translation = self.translation(node, place)
        if translation is None:
            return self.function(node, inputs, place)
        attributes = attributes_of(node, schema_of(node, place.opsets), self.read.folder)

        def within(graph: GraphProto, given: Sequence[Given]) -> list[Given]:
            return self.within(graph, given, names, place)

        asked = max((index for index, name in enumerate(node.output, 1) if name in used), default=0)
        version = place.opsets.get("", 0)
        call = Call(node.op_type, label(node), inputs, attributes, asked, version, within, len(node.output))
        try:
            with layer_scope(_scope(node)):
                found = known_result(call, translation, self.budget)
                made = [settled(x) for x in (found if isinstance(found, (tuple, list)) else (found,))]
        except UntranslatedError:
            raise
        except DimensionError as error:
            how = (
                "If the model is made for one size, name it: from_onnx(..., sizes={name: number}), or "
                "millrace import FILE OUT --sizes NAME=NUMBER"
            )
            raise call.refused(f"{str(error.args[0]).rstrip('.')}. {how}") from error
        except MillraceError as error:
            raise call.refused(str(error.args[0]).rstrip(".")) from error
        except RecursionError as error:
            raise call.refused("it is nested too deeply") from error
        except Exception as error:  # a file may hold anything: attributes of the wrong kind, inputs that do not fit
            raise call.refused(
                f"its inputs and attributes do not fit together ({type(error).__name__}: {error})"
            ) from error
        if len(made) < asked:
            raise call.refused(f"its output {len(made)} is used, which Millrace does not compute")
        for value in made:
            if isinstance(value, Value) and _at_least(value.shape) > MOST_ELEMENTS:
                raise call.refused(f"its result is {value.type}, more than {MOST_ELEMENTS} numbers")
        return made

    def function(self, node: NodeProto, inputs: Sequence[Given], place: _Place) -> Sequence[Given]:
        """The outputs of a node that is defined by other nodes: by a function of the model, or by ONNX."""
        if place.depth >= DEEPEST_CALL:
            raise UntranslatedError(f"node {label(node)} cannot be imported: functions call functions without end.")
        own = self.read.functions.get((domain_of(node), node.op_type))
        body = own if own is not None else body_of(node, place.opsets, inputs)
        if body is None:
            raise UntranslatedError(f"the model uses an operator that Millrace does not import: {operator(node)}.")
        if len(node.input) > len(body.input) or len(node.output) > len(body.output):
            raise FileError(f"node {label(node)} has more inputs or outputs than the function that it calls.")
        given = defaults_of(node, body, place.opsets) | {attribute.name: attribute for attribute in node.attribute}
        inner = _Place(
            {**place.opsets, **opsets_of(body.opset_import, f"function {body.name[:80]!r}")}, given, place.depth + 1
        )
        names: Names = dict.fromkeys(body.input)
        names.update(zip(body.input, inputs, strict=False))
        nodes, used = _used(body.node, set(body.output[: len(node.output)]))
        if own is None:
            self.refuse_missing(nodes, inner)
        self.run(nodes, names, inner, used)
        return [names.get(name) for name in body.output[: len(node.output)]]

    def within(self, graph: GraphProto, given: Sequence[Given], names: Names, place: _Place) -> list[Given]:
        """The outputs of a graph within, which sees the names around it."""
        if len(given) != len(graph.input):
            raise FileError(
                f"the graph {graph.name[:80]!r} takes {len(graph.input)} inputs, and is given {len(given)}."
            )
        if place.depth >= DEEPEST_CALL:
            raise FileError(f"the graph {graph.name[:80]!r} is nested too deeply.")
        nodes, used = _used(graph.node, {value.name for value in graph.output})
        inside = {**names, **self.tensors(graph, used)}
        inside.update(zip((value.name for value in graph.input), given, strict=True))
        self.run(nodes, inside, _Place(place.opsets, place.given, place.depth + 1), used)
        return [inside[value.name] for value in graph.output]


def operator(node: NodeProto) -> str:
    """An operator with its domain, where that is not ONNX's own."""
    domain = domain_of(node)
    return f"{domain}.{node.op_type}"[:160] if domain else node.op_type[:80]


def _used(nodes: Sequence[NodeProto], wanted: set[str]) -> tuple[list[NodeProto], set[str]]:
    """The nodes that the wanted names rest on, in their order, and all names that they use."""
    used, kept = set(wanted), []
    for node in reversed(nodes):
        if any(name in used for name in node.output):
            kept.append(node)
            used.update(_inputs_of(node))
    return kept[::-1], used


def _inputs_of(node: NodeProto) -> Iterator[str]:
    """The names that a node uses, also inside its graphs."""
    yield from node.input
    for graph in graphs_of(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _inputs_of(inner)


def _as_value(given: Given, name: str) -> Value:
    if given is None:
        raise UntranslatedError(f"the model's output {name[:80]!r} is one that Millrace does not compute.")
    return value_of(given)


def _at_least(shape: tuple[Any, ...]) -> int:
    """The number of elements of a shape whose open sizes are 1."""
    return int(product(tuple(sum(c for _, c in s.terms) if isinstance(s, Dim) else s for s in shape)))


def _scope(node: NodeProto) -> str:
    return (node.name or node.op_type).strip("/")[:120] or node.op_type or "node"


def _several(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} nodes, first {names[0]}"
