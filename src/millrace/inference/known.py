"""What a graph computes from its variables and constants alone: known before any input arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Node, Value
from millrace.ir.dims import Dim
from millrace.ir.graph import Graph, apply
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable
from millrace.ir.types import FLOATS, HALVES, is_float_array
from millrace.ops.compare import Cast
from millrace.ops.scan import Scan
from millrace.ops.shape import Broadcast

LARGEST = 2**28  # numbers of a value that is looked into: 2 GiB


class Known:
    """The values of a graph that depend on its variables and constants alone, and their numbers.

    A variable that the graph updates is not known. Numbers are computed in float64, so that a result that is rounded
    to float32 is rounded once. variables: for each known value those that it is made of.
    """

    def __init__(self, graph: Graph):
        self.variables: dict[Value, tuple[Variable, ...]] = {}
        self._arrays: dict[Value, np.ndarray] = {}
        for node in graph.nodes:
            if self._is_known(node, graph):
                own = (node.op.variable,) if isinstance(node.op, Read) else ()
                found = dict.fromkeys(v for x in node.inputs for v in self.variables[x])
                self.variables |= dict.fromkeys(node.outputs, (*own, *found))

    def __contains__(self, value: Value) -> bool:
        return value in self.variables

    def _is_known(self, node: Node, graph: Graph) -> bool:
        if isinstance(node.op, (Placeholder, Assign)) or not node.op.pure:
            return False
        if isinstance(node.op, Read):
            return node.op.variable not in graph.updates
        concrete = all(x.type.is_concrete and x.type.size <= LARGEST for x in node.outputs)  # type: ignore[operator]
        return concrete and not has_open_sizes(node.op) and all(x in self.variables for x in node.inputs)

    def array(self, value: Value) -> np.ndarray:
        """The numbers of a known value; floats in float64."""
        if value not in self._arrays:
            node = value.node
            arrays = self._computed(node, [self.array(x) for x in node.inputs])
            self._arrays |= zip(node.outputs, arrays, strict=True)
        return self._arrays[value]

    def _computed(self, node: Node, given: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        op: Any = node.op
        if isinstance(op, (Constant, Read)):
            return tuple(wide(array) for array in apply(node, []))
        if isinstance(op, (Composite, Scan)):  # what they are made of has the dtypes of the graph
            narrow = [array.astype(x.dtype) for array, x in zip(given, node.inputs, strict=True)]
            return tuple(wide(array) for array in apply(node, narrow))
        if isinstance(op, Cast) and op.dtype in FLOATS and op.dtype not in HALVES and is_float_array(given[0]):
            return (given[0],)
        with np.errstate(all="ignore"):
            out = op.evaluate(*given)
        return tuple(wide(np.asarray(array)) for array in (out if isinstance(out, tuple) else (out,)))

    def lane(self, value: Value) -> np.ndarray | None:
        """The numbers of a value that is repeated along some axes, perhaps open ones: those axes have size 1.

        None where a value is not known in this sense.
        """
        op: Any = value.op
        if isinstance(op, Broadcast):
            inner = self.lane(value.node.inputs[0])
            if inner is None:
                return None
            shape = [1] * value.ndim
            for axis, size in zip(op.axes, inner.shape, strict=True):
                shape[axis] = size
            return inner.reshape(shape)
        if op.pointwise and not isinstance(op, Composite) and value.node.inputs:
            lanes = [self.lane(x) for x in value.node.inputs]
            return None if any(x is None for x in lanes) else self._computed(value.node, lanes)[0]  # type: ignore[arg-type]
        return self.array(value) if value in self.variables else None

    def behind(self, value: Value) -> tuple[Variable, ...]:
        """The variables that a value with a lane is made of; of another it would look through all of the graph."""
        if value in self.variables:
            return self.variables[value]
        return tuple(dict.fromkeys(v for x in value.node.inputs for v in self.behind(x)))

    def is_only_used_here(self, value: Value, uses: Mapping[Value, int]) -> bool:
        """Whether nothing else needs this value or what it is made of; constants do not count."""
        used_once = uses[value] == 1 or isinstance(value.op, Constant)
        return used_once and all(self.is_only_used_here(x, uses) for x in value.node.inputs)

    def is_only_moved(self, value: Value) -> bool:
        """Whether no arithmetic lies between a value and the variables that it is made of."""
        return value.op.moves and all(self.is_only_moved(x) for x in value.node.inputs)


def has_open_sizes(op: Any) -> bool:
    """Whether an operation knows a dimension only by its name."""
    attributes = (x for one in vars(op).values() for x in (one if isinstance(one, tuple) else (one,)))
    return any(isinstance(x, Dim) for x in attributes)


def wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if is_float_array(array) else array
