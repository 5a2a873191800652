"""Elements at positions: read, written, marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value
from millrace.ir.dims import Size, product

SEQUENTIAL = 2**24  # updates times elements, where updates are applied one after another


def counted_from_start(mr: Any, call: Call, index: int, size: Size) -> Value:
    """Positions of which negative ones count from the end, as positions from the start."""
    given = call.inputs[index]
    if isinstance(given, np.ndarray) and given.dtype != object and isinstance(size, int):
        if given.size and not (-size <= given.min() and given.max() < size):
            raise call.refused(f"it takes position {given.min()} or {given.max()} of {size}")
        return mr.constant(np.where(given < 0, given + size, given))
    return _positive(mr, call.value(index), size)


def _positive(mr: Any, positions: Value, size: Size) -> Value:
    positions = mr.cast(positions, "int64")
    return mr.where(positions < 0, positions + mr.size(size, "int64"), positions)


@translates("Gather")
def gather(mr: Any, call: Call) -> Value:
    x, axis = call.value(0), call.attribute("axis", 0)
    return mr.take(x, counted_from_start(mr, call, 1, x.shape[axis]), axis)


def strides(shape: Sequence[Size]) -> list[Size]:
    """How many elements lie between neighbours along each axis."""
    return [product(tuple(shape[axis + 1 :])) for axis in range(len(shape))]


def flat_along(mr: Any, shape: tuple[Size, ...], positions: Value, axis: int) -> Value:
    """Places in a value with all its elements in a row: those of `positions`, but along `axis` what they say."""
    total: Any = mr.constant(np.int64(0))
    for n, stride in enumerate(strides(shape)):
        along = _positive(mr, positions, shape[n]) if n == axis else mr.iota(positions.shape, n, "int64")
        total = total + along * mr.size(stride, "int64")
    return total


@translates("GatherElements")
def gather_elements(mr: Any, call: Call) -> Value:
    x, positions = call.value(0), call.value(1)
    return mr.take(x, flat_along(mr, x.shape, positions, call.attribute("axis", 0) % x.ndim), None)


def flat_rows(mr: Any, shape: tuple[Size, ...], positions: Value, batch: int) -> tuple[Value, int]:
    """Places among rows, which the last axis of `positions` names by several numbers; and how many axes it names."""
    depth = positions.shape[-1]
    if not isinstance(depth, int) or batch + depth > len(shape):
        raise ValueError(f"positions {positions.type} name more axes than there are")
    total: Any = mr.constant(np.int64(0))
    rows = strides(shape[: batch + depth])
    for n in range(batch):
        total = total + mr.iota(positions.shape[:-1], n, "int64") * mr.size(rows[n], "int64")
    for n in range(depth):
        part = mr.squeeze(mr.slice_axis(positions, positions.ndim - 1, n, n + 1), -1)
        total = total + _positive(mr, part, shape[batch + n]) * mr.size(rows[batch + n], "int64")
    return mr.broadcast_to(total, positions.shape[:-1]), batch + depth


@translates("GatherND")
def gather_nd(mr: Any, call: Call) -> Value:
    x, positions = call.value(0), call.value(1)
    places, named = flat_rows(mr, x.shape, positions, call.attribute("batch_dims", 0))
    return mr.take(mr.reshape(x, (product(x.shape[:named]), *x.shape[named:])), places, 0)


@translates("ScatterElements", "Scatter")
def scatter_elements(mr: Any, call: Call) -> Value:
    x, positions = call.value(0), call.value(1)
    places = mr.ravel(flat_along(mr, x.shape, positions, call.attribute("axis", 0) % x.ndim))
    made = scattered(mr, call, mr.ravel(x), places, mr.ravel(call.value(2)))
    return mr.reshape(made, x.shape)


@translates("ScatterND")
def scatter_nd(mr: Any, call: Call) -> Value:
    x, positions = call.value(0), call.value(1)
    places, named = flat_rows(mr, x.shape, positions, 0)
    rows = mr.reshape(x, (product(x.shape[:named]), *x.shape[named:]))
    updates = mr.reshape(call.value(2), (product(places.shape), *x.shape[named:]))
    return mr.reshape(scattered(mr, call, rows, mr.ravel(places), updates), x.shape)


def scattered(mr: Any, call: Call, x: Value, places: Value, updates: Value) -> Value:
    """x with updates at places along its first axis: in the place of what is there, or joined with it."""
    how = call.attribute("reduction", "none")
    if how == "add" and x.dtype != "bool":
        return mr.scatter_add(x, places, updates)
    if how == "none":
        carried = x.dtype if x.dtype != "bool" else "int32"
        hit = mr.scatter_add(mr.zeros(x.shape[:1], "int32"), places, mr.ones(places.shape, "int32")) > 0
        put = mr.scatter_add(mr.zeros(x.shape, carried), places, mr.cast(updates, carried))
        hit = mr.broadcast_to(mr.reshape(hit, (*x.shape[:1], *(1,) * (x.ndim - 1))), x.shape)
        return mr.where(hit, mr.cast(put, x.dtype), x)
    joined = {"mul": mr.multiply, "max": mr.maximum, "min": mr.minimum}.get(how)
    work = product((*places.shape, *x.shape))
    if joined is None or not isinstance(work, int) or work > SEQUENTIAL or x.dtype == "bool":
        raise call.refused(f"it joins {updates.type} into {x.type} by {how!r}: one after another, that is too many")

    def step(state: Value, given: tuple[Value, Value]) -> tuple[Value, None]:
        place, update = given
        here = mr.equal(mr.iota((x.shape[0],), 0, "int64"), place)
        here = mr.broadcast_to(mr.reshape(here, (x.shape[0], *(1,) * (x.ndim - 1))), x.shape)
        return mr.where(here, joined(state, mr.broadcast_to(update, x.shape)), state), None

    return mr.scan(step, x, (places, updates))[0]


@translates("OneHot")
def one_hot(mr: Any, call: Call) -> Value:
    """The second of two values at the position, the first elsewhere; a position outside marks none."""
    places, depth = call.value(0), int(call.known(1, "depth").reshape(-1)[0])
    off, on = (mr.take(call.value(2), mr.constant(np.int64(n)), 0) for n in (0, 1))
    marked = mr.cast(mr.one_hot(_positive(mr, places, depth), depth, "int32"), "bool")
    axis = call.attribute("axis", -1)
    return mr.moveaxis(mr.where(marked, on, off), -1, axis)


@translates("Compress")
def compress(mr: Any, call: Call) -> Value:
    """The elements where a condition holds, which decides how many there are."""
    x, axis = call.value(0), call.attribute("axis")
    places = np.flatnonzero(call.known(1, "condition"))
    x, axis = (mr.ravel(x), 0) if axis is None else (x, axis)
    if not places.size:
        return mr.slice_axis(x, axis % x.ndim, 0, 0)
    return mr.take(x, mr.constant(places), axis)


@translates("ReverseSequence")
def reverse_sequence(mr: Any, call: Call) -> Value:
    """The first steps of each sequence in opposite order, as many as it has."""
    x, time, batch = call.value(0), call.attribute("time_axis", 0), call.attribute("batch_axis", 1)
    lengths = mr.cast(call.value(1), "int64")
    lengths = mr.reshape(lengths, tuple(s if axis == batch else 1 for axis, s in enumerate(x.shape)))
    steps = mr.iota(x.shape, time, "int64")
    places = mr.where(steps < lengths, lengths - 1 - steps, steps)
    return mr.take(x, flat_along(mr, x.shape, places, time), None)


@translates("NonZero")
def nonzero(mr: Any, call: Call) -> np.ndarray:
    """Where elements are not zero, which decides how many there are: known now, or not at all."""
    return np.stack(np.nonzero(np.atleast_1d(call.known(0, "input")))).astype(np.int64)
