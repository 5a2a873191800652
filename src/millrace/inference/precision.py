"""Weights kept in fewer bits: bfloat16, or int8 with a float32 scale for each output channel.

The graph itself brings them back to float32 before they are used, so inputs and outputs stay as they are, and so does
every engine and format that runs graphs. Vectors (biases, scales, statistics) stay float32: they are few, and every
one of their numbers counts for a whole channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.inference.folding import remade
from millrace.inference.linear import channels, sides
from millrace.inference.predictor import Predictor
from millrace.ir.core import Node, Value
from millrace.ir.errors import ArgumentError, DataError, one_of
from millrace.ir.graph import Graph, again
from millrace.ir.state import Read, Variable
from millrace.ops.arithmetic import Multiply
from millrace.ops.compare import Cast
from millrace.ops.index import Take
from millrace.ops.scan import Scan
from millrace.ops.shape import Broadcast, Slice, Transpose

PRECISIONS = ("float32", "bfloat16", "int8")
LARGEST = 127  # of int8 without -128, so that a weight and its negative are kept alike

Axes = tuple[int, ...]


def lowered(predictor: Predictor, precision: str) -> Predictor:
    """The same predictor with its weights kept in another precision: "float32" (it itself), "bfloat16" or "int8".

    bfloat16: every matrix of float32 weights, rounded to nearest; it computes in float32. int8: the weights of
    products, convolutions, embeddings and recurrent layers, each output channel (of an embedding each row) divided by
    a scale of its own, its largest magnitude / 127, and rounded to nearest. Other weights stay float32.

    Raises ArgumentError for an unknown precision, or for a predictor that is in another one already; DataError for
    weights that are not finite.
    """
    if precision not in PRECISIONS:
        raise one_of("precision", precision, PRECISIONS)
    if not isinstance(predictor, Predictor):
        raise ArgumentError(f"lowered takes a predictor, got {predictor!r:.200}: Predictor.of(model) makes one.")
    about = predictor.about
    if precision == about.precision:
        return predictor
    if about.precision != "float32":
        raise ArgumentError(
            f"{about.name!r} keeps its weights in {about.precision} already: begin with the float32 model, of which no "
            "weight has been rounded yet."
        )
    graph = in_bfloat16(predictor.graph) if precision == "bfloat16" else in_int8(predictor.graph)
    return predictor.with_graph(graph, replace(about, precision=precision))


def in_bfloat16(graph: Graph) -> Graph:
    """The graph with its matrices of weights in bfloat16, brought to float32 before they are used.

    Not computed in bfloat16: rounding every product as well would cost accuracy once more, and on a CPU that has no
    arithmetic of its own for it takes longer.
    """
    new: dict[Value, Value] = {}
    for variable in matrices(graph):
        kept = Variable(finite(variable).astype("bfloat16"), variable.name, variable.trainable)
        new[variable.value] = Cast("float32")(kept.value)
    return remade(graph, keep, new)


def in_int8(graph: Graph) -> Graph:
    """The graph with weights in int8 and their scales, brought to float32 before they are used."""
    users = users_of(graph)
    new: dict[Value, Value] = {}
    tables: dict[Value, Quantized] = {}
    for variable in matrices(graph):
        axes = channel_axes(variable.value, users)
        if axes is None:
            continue
        made = Quantized.of(variable, axes)
        if all(isinstance(node.op, Take) for node, _ in users[variable.value]):
            tables[variable.value] = made
        new[variable.value] = made.whole()

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        if node.inputs and node.inputs[0] in tables:  # only the rows that are taken are brought to float32
            return tables[node.inputs[0]].taken(node.op, inputs[1])
        return keep(node, inputs)

    return remade(graph, make, new)


@dataclass(frozen=True)
class Quantized:
    """Weights as whole numbers from -127 to 127, times a scale [sizes along `axes`] for each place along these axes."""

    numbers: Variable
    scale: Variable
    axes: Axes

    @staticmethod
    def of(variable: Variable, axes: Axes) -> Quantized:
        """A variable's numbers in int8.  Raises DataError where they are not finite."""
        exact = finite(variable).astype(np.float64)
        others = tuple(axis for axis in range(exact.ndim) if axis not in axes)
        largest = np.abs(exact).max(axis=others, keepdims=True, initial=0.0)
        scale = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
        numbers = np.clip(np.rint(exact / scale), -LARGEST, LARGEST).astype(np.int8)
        return Quantized(
            Variable(numbers, variable.name, trainable=False),
            Variable(scale.squeeze(others), f"{variable.name}_scale", trainable=False),
            axes,
        )

    def whole(self) -> Value:
        """All of the weights in float32."""
        scale = Broadcast(self.numbers.shape, self.axes)(self.scale.value)
        return Multiply()(Cast("float32")(self.numbers.value), scale)

    def taken(self, take: Any, positions: Value) -> Value:
        """The weights at positions along the one axis that has scales."""
        numbers = Cast("float32")(take(self.numbers.value, positions))
        scale = Take(0)(self.scale.value, positions)
        along = tuple(range(take.axis, take.axis + positions.ndim))
        return Multiply()(numbers, Broadcast(numbers.shape, along)(scale))


def matrices(graph: Graph) -> list[Variable]:
    """The variables of two axes or more that hold float32 and keep what they hold."""
    return [v for v in graph.variables if v.dtype == "float32" and v.ndim > 1 and v not in graph.updates]


Users = Mapping[Value, list[tuple[Node, int]]]


def users_of(graph: Graph) -> Users:
    """For each value the nodes that use it, and as which of their operands."""
    found: defaultdict[Value, list[tuple[Node, int]]] = defaultdict(list)
    for node in graph.nodes:
        for place, value in enumerate(node.inputs):
            found[value].append((node, place))
    return found


def channel_axes(value: Value, users: Users) -> Axes | None:
    """The axes of weights along which each place gets a scale: those of their first use; None: they stay as they are.

    Weights in other uses than products, convolutions, tables and loops stay, as do those that nothing uses.
    """
    found = [axes_in(node, place, users) for node, place in users.get(value, [])]
    return found[0] if found and None not in found else None


def axes_in(node: Node, place: int, users: Users) -> Axes | None:
    """The axes of a node's operand that are output channels; None where the operand is no weight."""
    op: Any = node.op
    if place in sides(op):
        return tuple(sorted(channels(node, place).values()))
    if isinstance(op, Take) and place == 0:
        return (op.axis,)
    if isinstance(op, Transpose):
        axes = channel_axes(node.outputs[0], users)
        return None if axes is None else tuple(sorted(op.axes[a] for a in axes))
    if isinstance(op, Slice):
        return channel_axes(node.outputs[0], users)
    if isinstance(op, Scan) and place >= op.carries + op.sequences:  # a constant of the loop
        return channel_axes(op.graph.inputs[place], users_of(op.graph))
    return None


def finite(variable: Variable) -> np.ndarray:
    """What a variable holds.  Raises DataError unless all of it is finite."""
    array = variable.numpy()
    if not np.isfinite(array).all():
        raise DataError(
            f"{variable.name!r} holds {np.sum(~np.isfinite(array)):,} numbers that are NaN or infinite: such weights "
            "cannot be kept in fewer bits, and predict nothing either."
        )
    return array


def keep(node: Node, inputs: tuple[Value, ...]) -> Any:
    return node.outputs if isinstance(node.op, Read) else again(node, node.op, inputs)
