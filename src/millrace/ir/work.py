"""How much work operations are: the arithmetic they take, and the memory that they cannot help touching."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from millrace.ir.core import Node, Value
from millrace.ir.leaves import Constant
from millrace.ir.types import TensorType


def flop(nodes: Iterable[Node]) -> int:
    """Floating-point operations of nodes whose types have no names left; a multiplication and an addition are two."""
    return sum(node.op.flop(*(value.type for value in node.inputs)) for node in nodes)


def elements(type: TensorType) -> int:
    """How many numbers a value holds whose shape has no names left."""
    return int(type.size)  # type: ignore[arg-type]


def size_in_bytes(type: TensorType) -> int:
    """The memory of a value whose shape has no names left."""
    return elements(type) * np.dtype(type.dtype).itemsize


def stored(value: Value) -> Value:
    """What lies in memory behind a value that is only another view of it."""
    while value.op.views:
        value = value.node.inputs[0]
    return value


def bytes_touched(group: Iterable[Node], kept: Iterable[Value]) -> int:
    """The least memory traffic of a group of nodes: what it reads from outside once, what others need of it once.

    kept: every value that is needed outside of the group. Inside, a program may keep everything in registers.
    """
    nodes = list(group)
    own = {value for node in nodes for value in node.outputs}
    read = {stored(value) for node in nodes if not node.op.views for value in node.inputs}
    written = {stored(value) for value in kept}
    reads = sum(size_in_bytes(value.type) for value in read - own if not isinstance(value.op, Constant))
    return reads + sum(size_in_bytes(value.type) for value in written & own)
