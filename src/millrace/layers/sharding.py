"""Layers whose filters or units are split over the devices of a mesh."""

from __future__ import annotations

from typing import Any

from millrace.functional.sharding import split_last, whole_last
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable


def mesh_axis(name: Any) -> str | None:
    """The `shard` argument of a layer.  Raises ArgumentError for what is no name."""
    if name is None or (isinstance(name, str) and name.isidentifier()):
        return name
    raise ArgumentError(f"shard must be the name of a mesh axis, such as 'tower', or None; got {name!r}.")


def split_weights(axis: str | None, *weights: Variable | None) -> None:
    """Lay out weights so that each device has those of its own filters or units, their last axis."""
    for weight in weights:
        if axis is not None and weight is not None:
            weight.sharding = (*[None] * (weight.ndim - 1), axis)


def seen(axis: str | None, x: Value, groups: int = 1) -> Value:
    """What such a layer sees of its input: the channels of its own groups, or those of all devices."""
    if axis is None:
        return x
    return whole_last(x) if groups == 1 else split_last(x, axis)


def own_channels(axis: str | None, out: Value) -> Value:
    """What such a layer makes: each device its own channels."""
    return out if axis is None else split_last(out, axis)
