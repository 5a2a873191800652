"""Splitting values over the devices of a mesh."""

from __future__ import annotations

from collections.abc import Sequence

from millrace.functional.convert import Like, as_value
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.mesh import OPEN
from millrace.ops.sharding import Shard


def shard(x: Like, axes: Sequence[str | None]) -> Value:
    """x, split over the devices of a mesh: its axis i over the mesh axis axes[i].

    None: whole on each device; "*": as the compiler chooses. The values stay the same; where no mesh is given to
    `mr.function` or `model.compile`, nothing happens.

    Raises ShapeError unless there is one entry for each axis, ArgumentError for an entry that is no name.
    Source: JAX lax.with_sharding_constraint.
    """
    if isinstance(axes, str) or not all(axis is None or isinstance(axis, str) for axis in axes):
        raise ArgumentError(f"axes must be names of mesh axes, None or {OPEN!r}, one for each axis of x; got {axes!r}.")
    return Shard(tuple(axes))(as_value(x))


def split_last(x: Like, axis: str) -> Value:
    """x with its last axis split over a mesh axis, the others as they are."""
    value = as_value(x)
    return shard(value, (*[OPEN] * (value.ndim - 1), axis))


def whole_last(x: Like) -> Value:
    """x with its last axis whole on each device, the others as they are."""
    value = as_value(x)
    return shard(value, (*[OPEN] * (value.ndim - 1), None))
