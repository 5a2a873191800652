"""Shapes and positions, under NumPy's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from millrace.functional.convert import (
    Like,
    as_value,
    common_dtype,
    constant,
    normal_axes,
    normal_axis,
)
from millrace.ir.core import Value
from millrace.ir.dims import Dim, Size, product
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.state import Variable
from millrace.ops import index, rearranging, shape  # noqa: F401  (rearranging registers its rewrites)


def reshape(x: Like, newshape: Sequence[Size] | Size) -> Value:
    """The same elements under another shape; one size may be -1 and is computed.  Source: NumPy reshape."""
    x = as_value(x)
    sizes = [newshape] if isinstance(newshape, (int, Dim)) else list(newshape)
    if sizes.count(-1) > 1:
        raise ShapeError(f"reshape to {tuple(sizes)}: only one size may be -1.")
    if -1 in sizes:
        rest = product(tuple(s for s in sizes if s != -1))
        divides = isinstance(x.type.size, Dim) or isinstance(rest, Dim) or (rest and x.type.size % rest == 0)
        if not divides:
            raise ShapeError(f"cannot reshape {x.type} to {tuple(sizes)}: {x.type.size} is not a multiple of {rest}.")
        sizes[sizes.index(-1)] = x.type.size // rest
    return shape.Reshape(tuple(sizes))(x)


def ravel(x: Like) -> Value:
    """All elements along one axis.  Source: NumPy ravel."""
    return reshape(x, (-1,))


def transpose(x: Like, axes: Sequence[int] | None = None) -> Value:
    """Axes permuted; None reverses them.  Source: NumPy transpose."""
    x = as_value(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(int(a) % max(x.ndim, 1) for a in axes)
    return x if order == tuple(range(x.ndim)) else shape.Transpose(order)(x)


def swapaxes(x: Like, axis1: int, axis2: int) -> Value:
    """Two axes exchanged.  Source: NumPy swapaxes."""
    x = as_value(x)
    order = list(range(x.ndim))
    a, b = normal_axis(axis1, x.ndim), normal_axis(axis2, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


def moveaxis(x: Like, source: int, destination: int) -> Value:
    """One axis moved to another place.  Source: NumPy moveaxis."""
    x = as_value(x)
    order = [axis for axis in range(x.ndim) if axis != normal_axis(source, x.ndim)]
    order.insert(normal_axis(destination, x.ndim), normal_axis(source, x.ndim))
    return transpose(x, order)


def expand_dims(x: Like, axis: int) -> Value:
    """A new axis of size 1.  Source: NumPy expand_dims."""
    x = as_value(x)
    at = normal_axis(axis, x.ndim + 1)
    return shape.Reshape((*x.shape[:at], 1, *x.shape[at:]))(x)


def squeeze(x: Like, axis: int | Sequence[int] | None = None) -> Value:
    """Axes of size 1 removed.  Source: NumPy squeeze."""
    x = as_value(x)
    axes = normal_axes(axis, x.ndim) if axis is not None else tuple(a for a, s in enumerate(x.shape) if s == 1)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"cannot squeeze axis {a} of {x.type}: its size is {x.shape[a]}, not 1.")
    return shape.Reshape(tuple(s for a, s in enumerate(x.shape) if a not in axes))(x)


def concatenate(arrays: Sequence[Like], axis: int = 0) -> Value:
    """One after another along an axis.  Source: NumPy concatenate."""
    values = common_dtype(*arrays)
    if not values:
        raise ShapeError("concatenate needs at least one value.")
    return shape.Concatenate(normal_axis(axis, values[0].ndim))(*values)


def stack(arrays: Sequence[Like], axis: int = 0) -> Value:
    """Along a new axis.  Source: NumPy stack."""
    values = [as_value(x) for x in arrays]
    return concatenate([expand_dims(x, axis) for x in values], axis)


def split(x: Like, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Value]:
    """Cut into equal sections, or before the given positions, along an axis.  Source: NumPy split."""
    x = as_value(x)
    axis = normal_axis(axis, x.ndim)
    total = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or not isinstance(total, int) or total % indices_or_sections:
            raise ShapeError(f"cannot split axis {axis} of {x.type} into {indices_or_sections} equal sections.")
        width = total // indices_or_sections
        cuts: list[Any] = list(range(0, total + 1, width))
    else:
        cuts = [0, *indices_or_sections, total]
    return [slice_axis(x, axis, a, b) for a, b in pairwise(cuts)]


def slice_axis(x: Like, axis: int, start: Size, stop: Size, step: int = 1) -> Value:
    """From start up to stop along one axis."""
    x = as_value(x)
    if start == 0 and stop == x.shape[axis] and step == 1:
        return x
    starts: list[Size] = [0] * x.ndim
    stops, steps = list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return shape.Slice(tuple(starts), tuple(stops), tuple(steps))(x)


def flip(x: Like, axis: int | Sequence[int] | None = None) -> Value:
    """The elements in opposite order along axes.  Source: NumPy flip."""
    x = as_value(x)
    return shape.Reverse(normal_axes(axis, x.ndim))(x)


def pad(x: Like, pad_width: Sequence[Sequence[int]], constant_values: float = 0.0) -> Value:
    """Surrounded by a constant: ((before, after), ...) for each axis.  Source: NumPy pad."""
    x = as_value(x)
    widths = [tuple(w) for w in pad_width]
    if len(widths) != x.ndim or any(len(w) != 2 for w in widths):
        raise ShapeError(f"pad of {x.type} takes (before, after) for each of its {x.ndim} axes, got {pad_width}.")
    low, high = tuple(w[0] for w in widths), tuple(w[1] for w in widths)
    return shape.Pad(low, high, (0,) * x.ndim, float(constant_values))(x)


def pad_interior(x: Like, low: Sequence[int], high: Sequence[int], interior: Sequence[int], fill: float = 0.0) -> Value:
    """Surrounded by `low` and `high` fill values, with `interior` of them between neighbours."""
    return shape.Pad(tuple(low), tuple(high), tuple(interior), float(fill))(as_value(x))


def tile(x: Like, reps: Sequence[int]) -> Value:
    """Repeated as a whole along each axis.  Source: NumPy tile."""
    x = as_value(x)
    reps = (1,) * (x.ndim - len(reps)) + tuple(reps)
    for axis, count in enumerate(reps):
        x = concatenate([x] * count, axis) if count != 1 else x
    return x


def take(x: Like, indices: Like, axis: int = 0) -> Value:
    """Elements at positions along an axis; positions outside move to the nearest end.  Source: NumPy take."""
    x = as_value(x)
    return index.Take(normal_axis(axis, x.ndim))(x, as_value(indices))


def scatter_add(x: Like, indices: Like, updates: Like, axis: int = 0) -> Value:
    """x with updates added at positions along an axis.  Source: NumPy add.at."""
    x = as_value(x)
    return index.ScatterAdd(normal_axis(axis, x.ndim))(x, as_value(indices), as_value(updates, x.dtype))


def one_hot(x: Like, num_classes: int, dtype: str = "float32") -> Value:
    """1 at each position along a new last axis, else 0.  Source: Keras one_hot."""
    return index.OneHot(num_classes, dtype)(as_value(x))


def iota(size: Sequence[Size], axis: int, dtype: str = "int32") -> Value:
    """Each element's position along an axis.  Source: StableHLO iota."""
    return index.Iota(tuple(size), axis, dtype)()


def arange(start: int, stop: int | None = None, step: int = 1, dtype: str = "int32") -> Value:
    """Whole numbers from start up to, not including, stop.  Source: NumPy arange."""
    return constant(np.arange(start, stop, step).astype(dtype) if stop is not None else np.arange(start).astype(dtype))


def getitem(x: Value | Variable, key: Any) -> Value:
    """x[key] with whole numbers, slices, None, ... and one array of positions.  Source: NumPy indexing."""
    x = as_value(x)
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, (Value, np.ndarray, list)) for k in keys):
        if len(keys) != 1:
            raise ArgumentError(
                "index with one array of positions alone: x[positions], or mr.take(x, positions, axis)."
            )
        return take(x, keys[0], 0)
    used = builtin_sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise ShapeError(f"{used} indices for {x.type}, which has {x.ndim} axes.")
    if Ellipsis not in keys:
        keys.append(Ellipsis)
    at = keys.index(Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - used)

    axis = 0
    dropped: list[int] = []
    added: list[int] = []
    for position, k in enumerate(keys):
        if k is None:
            added.append(position - len(dropped))
            continue
        size = x.shape[axis]
        if isinstance(k, (int, np.integer)):
            if not isinstance(size, int) or not -size <= k < size:
                raise ShapeError(f"index {k} is out of range for axis {axis} of {x.type}.")
            x = slice_axis(x, axis, int(k) % size, int(k) % size + 1)
            dropped.append(axis)
        elif isinstance(k, slice):
            x = _sliced(x, axis, k, size)
        else:
            raise ArgumentError(f"cannot index with {type(k).__name__}: use whole numbers, slices, None or ...")
        axis += 1
    x = squeeze(x, dropped) if dropped else x
    for position in added:
        x = expand_dims(x, position)
    return x


builtin_sum = sum


def _sliced(x: Value, axis: int, key: slice, size: Size) -> Value:
    if key == slice(None):
        return x
    if not isinstance(size, int):
        raise ShapeError(f"cannot slice the named dimension {size} of {x.type} with {key.start}:{key.stop}.")
    start, stop, step = key.indices(size)
    count = len(range(start, stop, step))
    if step < 0:
        first = start + (count - 1) * step
        part = slice_axis(x, axis, first, start + 1, -step) if count else slice_axis(x, axis, 0, 0)
        return flip(part, axis)
    return slice_axis(x, axis, start, max(stop, start), step) if count else slice_axis(x, axis, 0, 0)
