"""What is known while a model is read: shapes, whose sizes may be open, and what is computed from them.

Exporters write Shape, Gather, Concat and Reshape where they mean "keep the batch". Such arrays hold whole numbers and
dimensions, dtype object, and are computed here at once. Arrays of numbers alone go the way of all others, by their
translation, and are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call, Given, Translation
from millrace.ir.core import Value, functional
from millrace.ir.dims import Dim, at_most, same
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Read

FOLDED = 2**16  # elements of a value that is computed while the model is read
TOTAL = 2**24  # elements of all of them together
NEVER_NOW = ("If", "Loop", "Scan")


@dataclass
class Budget:
    """How much may still be computed while a model is read."""

    left: int = TOTAL


def settled(given: Given) -> Given:
    """An array of dimensions that turned out to be numbers, as numbers."""
    objects = isinstance(given, np.ndarray) and given.dtype == object
    if not objects or any(isinstance(item, Dim) for item in given.reshape(-1)):  # type: ignore[union-attr]
        return given
    return given.astype(np.int64)  # type: ignore[union-attr]


def known_result(call: Call, translation: Translation, budget: Budget) -> Any:
    """What a node gives: known now where all that it takes is, else values of the graph."""
    given = [x for x in call.inputs[: 1 if call.op_type == "CastLike" else None] if x is not None]
    if any(isinstance(x, Value) for x in given) or call.op_type in NEVER_NOW:
        return translation(functional(), call)
    if any(x.dtype == object for x in given) and call.op_type in OPEN:
        made = OPEN[call.op_type](call)
        if made is not None:
            return made
    made = translation(functional(), call)
    results = made if isinstance(made, (tuple, list)) else (made,)
    return tuple(_evaluated(x, budget) if isinstance(x, Value) else x for x in results)


def _evaluated(value: Value, budget: Budget) -> Given:
    """A value that rests on constants alone, computed where it is small."""
    nodes = topological([value])
    if any(isinstance(node.op, (Placeholder, Read)) or node.op.name in ("Size", "Scan") for node in nodes):
        return value
    sizes: list[Any] = [x.type.size for node in nodes for x in node.outputs]
    if any(isinstance(size, Dim) or size > FOLDED for size in sizes):
        return value
    budget.left -= sum(sizes)
    return Graph([], [value]).evaluate([])[0] if budget.left >= 0 else value


Known = Callable[[Call], Any]
OPEN: dict[str, Known] = {}  # on arrays that hold dimensions


def _open(*names: str) -> Callable[[Known], Known]:
    def register(known: Known) -> Known:
        OPEN.update(dict.fromkeys(names, known))
        return known

    return register


def _objects(call: Call) -> list[np.ndarray]:
    """The inputs with Python's numbers, which dimensions can be added to."""
    return [np.asarray(x).astype(object) for x in call.inputs if x is not None]


def _each(call: Call, function: Callable[..., Any]) -> np.ndarray:
    arrays = np.broadcast_arrays(*_objects(call))
    made = [function(*items) for items in zip(*(array.reshape(-1).tolist() for array in arrays), strict=True)]
    out = np.empty(len(made), object)
    out[:] = made
    return out.reshape(arrays[0].shape)


def _truth(array: np.ndarray) -> np.ndarray:
    return array.astype(bool)


@_open("Add", "Sum")
def _add(call: Call) -> Any:
    return _each(call, lambda *items: sum(items[1:], items[0]))


@_open("Sub")
def _subtract(call: Call) -> Any:
    return _each(call, lambda a, b: a - b)


@_open("Mul")
def _multiply(call: Call) -> Any:
    return _each(call, lambda a, b: a * b)


@_open("Div")
def _divide(call: Call) -> Any:
    return _each(call, lambda a, b: a // b if isinstance(a, Dim) or isinstance(b, Dim) else _quotient(a, b))


def _quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@_open("Neg")
def _negative(call: Call) -> Any:
    return _each(call, lambda a: 0 - a)


@_open("Max")
def _max(call: Call) -> Any:
    return _each(call, lambda *items: _extreme(items, lambda a, b: at_most(b, a)))


@_open("Min")
def _min(call: Call) -> Any:
    return _each(call, lambda *items: _extreme(items, at_most))


def _extreme(items: Sequence[Any], beats: Callable[[Any, Any], bool]) -> Any:
    """The first that surely beats all others."""
    return next(a for a in items if all(beats(a, b) for b in items))


@_open("Equal")
def _equal(call: Call) -> Any:
    return _truth(_each(call, same))


@_open("Less")
def _less(call: Call) -> Any:
    return _truth(_each(call, lambda a, b: _decided(at_most(a + 1, b), at_most(b, a))))


@_open("Greater")
def _greater(call: Call) -> Any:
    return _truth(_each(call, lambda a, b: _decided(at_most(b + 1, a), at_most(a, b))))


@_open("LessOrEqual")
def _less_or_equal(call: Call) -> Any:
    return _truth(_each(call, lambda a, b: _decided(at_most(a, b), at_most(b + 1, a))))


@_open("GreaterOrEqual")
def _greater_or_equal(call: Call) -> Any:
    return _truth(_each(call, lambda a, b: _decided(at_most(b, a), at_most(a + 1, b))))


def _decided(yes: bool, no: bool) -> bool:
    if yes == no:
        raise ValueError("which of two sizes is greater is known only when data arrives")
    return yes


@_open("Where")
def _where(call: Call) -> Any:
    return _each(call, lambda condition, a, b: a if condition else b)


@_open("Identity")
def _identity(call: Call) -> Any:
    return call.inputs[0]


@_open("Cast")
def _cast(call: Call) -> Any:
    return call.inputs[0] if call.attribute("to") in (6, 7) else None  # int32 and int64 hold sizes as they are


@_open("Gather")
def _gather(call: Call) -> Any:
    data, positions = _objects(call)
    return np.asarray(np.take(data, positions.astype(np.int64), axis=call.attribute("axis", 0)))


@_open("Concat")
def _concat(call: Call) -> Any:
    return np.concatenate(_objects(call), axis=call.attribute("axis", 0))


@_open("Unsqueeze")
def _unsqueeze(call: Call) -> Any:
    return np.expand_dims(_objects(call)[0], tuple(call.numbers(1, "axes") or ()))


@_open("Squeeze")
def _squeeze(call: Call) -> Any:
    axes = call.numbers(1, "axes")
    return np.squeeze(_objects(call)[0], None if axes is None else tuple(axes))


@_open("Reshape")
def _reshape(call: Call) -> Any:
    return _objects(call)[0].reshape(call.sizes(1, "shape"))


@_open("ReduceProd")
def _product(call: Call) -> Any:
    array = _objects(call)[0]
    if array.ndim != 1:
        return None
    total: Any = 1
    for item in array.tolist():
        total = total * item
    made = np.empty((1,) if call.attribute("keepdims", 1) else (), object)
    made[...] = total
    return made


@_open("Slice")
def _slice(call: Call) -> Any:
    array = _objects(call)[0]
    if array.ndim != 1:
        return None
    (start,), (end,), (step,) = (call.numbers(k, name) or [1] for k, name in ((1, "starts"), (2, "ends"), (4, "steps")))
    return array[slice(start, end if step > 0 or end >= -len(array) else None, step)]


@_open("Split")
def _split(call: Call) -> Any:
    array = _objects(call)[0]
    sizes = call.numbers(1, "split")
    if sizes is None or array.ndim != 1:
        return None
    return tuple(np.split(array, np.cumsum(sizes)[:-1]))
