"""Transposes moved towards a graph's outputs, past what computes element by element, until they meet their inverses.

ONNX has channels first and Millrace last: each convolution comes between two transposes, and with an activation or a
sum between them the second of one and the first of the next stay apart. Moved, they cancel.
"""

from __future__ import annotations

from typing import Any

from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph, again
from millrace.ops.reduce import Max, Mean, Min, Sum
from millrace.ops.shape import Broadcast, Concatenate, Transpose, inverse_permutation

Axes = tuple[int, ...]


def sunk(graph: Graph) -> Graph:
    """The graph with its transposes moved where that leaves fewer of them, else as it is."""
    moved = graph.rebuild(_moved)
    return moved if _count(moved) < _count(graph) else graph


def _count(graph: Graph) -> int:
    return sum(isinstance(node.op, Transpose) for node in graph.nodes)


def _moved(node: Node, inputs: tuple[Value, ...]) -> Any:
    """What stands for a node whose inputs are transposed: the same before the transpose, which comes after it."""
    axes = next((x.op.axes for x in inputs if isinstance(x.op, Transpose)), None)
    made = None if axes is None or len(node.outputs) != 1 else _before(node.op, inputs, axes)
    return again(node, node.op, inputs) if made is None else made


def _before(op: Any, inputs: tuple[Value, ...], axes: Axes) -> Value | None:
    if isinstance(op, Transpose):
        both = tuple(axes[axis] for axis in op.axes)
        x = inputs[0].node.inputs[0]
        return x if both == tuple(range(len(both))) else Transpose(both)(x)
    if isinstance(op, (Mean, Sum, Max, Min)):
        left = [axes[axis] for axis in range(len(axes)) if axis not in op.axes]
        same_order = left == sorted(left)
        return type(op)(tuple(sorted(axes[a] for a in op.axes)))(inputs[0].node.inputs[0]) if same_order else None
    by_element = op.pointwise and op.pure and not isinstance(op, Broadcast)
    if not by_element and not isinstance(op, Concatenate):
        return None
    found = [_untransposed(x, axes) for x in inputs]
    given = [x for x in found if x is not None]
    if len(given) < len(found):
        return None
    return Transpose(axes)(Concatenate(axes[op.axis])(*given) if isinstance(op, Concatenate) else op(*given))


def _untransposed(x: Value, axes: Axes) -> Value | None:
    """What gives x when its axes are permuted so, where that is at hand: before a transpose, or repeated otherwise."""
    if isinstance(x.op, Transpose):
        return x.node.inputs[0] if x.op.axes == axes else None
    if not isinstance(x.op, Broadcast):
        return None
    small, places = x.node.inputs[0], [axes[axis] for axis in x.op.axes]
    order = tuple(sorted(range(len(places)), key=places.__getitem__))
    small = small if order == tuple(range(len(order))) else Transpose(order)(small)
    shape = tuple(x.shape[axis] for axis in inverse_permutation(axes))
    return Broadcast(shape, tuple(sorted(places)))(small)
