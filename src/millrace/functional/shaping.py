"""Shapes and positions, under NumPy's names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from millrace.functional.arithmetic import add, multiply
from millrace.functional.convert import (
    Like,
    as_shape,
    as_value,
    common_dtype,
    constant,
    in_range,
    listed_axes,
    normal_axes,
    normal_axis,
)
from millrace.ir.bounds import check_elements
from millrace.ir.core import Expression, Value
from millrace.ir.dims import Dim, Size, at_most, product
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError
from millrace.ir.state import Variable
from millrace.ir.types import dtype_name
from millrace.ops import index, rearranging, shape  # noqa: F401  (rearranging registers its rewrites)


def reshape(x: Like, newshape: Sequence[Size] | Size) -> Value:
    """The same elements under another shape; one size may be -1 and is computed.  Source: NumPy reshape."""
    x = as_value(x)
    sizes = list(as_shape(newshape, "newshape"))
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
    given: Any = range(x.ndim)[::-1] if axes is None else as_shape(axes, "axes")
    order = tuple(a % x.ndim if -x.ndim <= a < 0 else a for a in given)  # the operation refuses the rest
    return x if order == tuple(range(x.ndim)) else shape.Transpose(order)(x)


def swapaxes(x: Like, axis1: int, axis2: int) -> Value:
    """Two axes exchanged.  Source: NumPy swapaxes."""
    x = as_value(x)
    order = list(range(x.ndim))
    a, b = normal_axis(axis1, x.ndim, "axis1"), normal_axis(axis2, x.ndim, "axis2")
    order[a], order[b] = b, a
    return transpose(x, order)


def moveaxis(x: Like, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """One axis moved to another place, or each of several; the others keep their order.  Source: NumPy moveaxis."""
    x = as_value(x)
    old, new = listed_axes(source, x.ndim, "source"), listed_axes(destination, x.ndim, "destination")
    if len(old) != len(new):
        raise ArgumentError(f"moveaxis takes as many sources as destinations, got {source} and {destination}.")
    order = [axis for axis in range(x.ndim) if axis not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def expand_dims(x: Like, axis: int | Sequence[int]) -> Value:
    """A new axis of size 1, or several; places count in the result.  Source: NumPy expand_dims."""
    x = as_value(x)
    ndim = x.ndim + (1 if isinstance(axis, (int, np.integer)) else len(axis) if isinstance(axis, (list, tuple)) else 0)
    new, old = listed_axes(axis, ndim), iter(x.shape)
    return shape.Reshape(tuple(1 if at in new else next(old) for at in range(ndim)))(x)


def squeeze(x: Like, axis: int | Sequence[int] | None = None) -> Value:
    """Axes of size 1 removed.  Source: NumPy squeeze."""
    x = as_value(x)
    axes = normal_axes(axis, x.ndim) if axis is not None else tuple(a for a, s in enumerate(x.shape) if s == 1)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"cannot squeeze axis {a} of {x.type}: its size is {x.shape[a]}, not 1.")
    return shape.Reshape(tuple(s for a, s in enumerate(x.shape) if a not in axes))(x)


def concatenate(arrays: Sequence[Like], axis: int | None = 0) -> Value:
    """One after another along an axis; for None all elements in a row.  Source: NumPy concatenate."""
    values = common_dtype(*_several("concatenate", arrays))
    if not values:
        raise ShapeError("concatenate needs at least one value.")
    if axis is None:
        values, axis = [ravel(x) for x in values], 0
    return shape.Concatenate(normal_axis(axis, values[0].ndim))(*values)


def stack(arrays: Sequence[Like], axis: int = 0) -> Value:
    """Along a new axis.  Source: NumPy stack."""
    values = common_dtype(*_several("stack", arrays))
    return concatenate([expand_dims(x, axis) for x in values], axis)


def _several(name: str, arrays: Any) -> Any:
    if isinstance(arrays, Expression):
        raise ArgumentError(f"{name} takes values in a list, got a single one of shape {list(arrays.shape)}.")
    return arrays


def split(x: Like, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Value]:
    """Cut into equal sections, or before the given positions, along an axis.  Source: NumPy split.

    Positions count as in Python's slices: negative ones from the end, those beyond it make empty pieces.
    """
    x = as_value(x)
    axis = normal_axis(axis, x.ndim)
    total = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)) and not isinstance(indices_or_sections, bool):
        if indices_or_sections < 1 or not isinstance(total, int) or total % indices_or_sections:
            raise ShapeError(f"cannot split axis {axis} of {x.type} into {indices_or_sections} equal sections.")
        width = total // int(indices_or_sections)
        return [slice_axis(x, axis, n * width, (n + 1) * width) for n in range(int(indices_or_sections))]
    pieces = list(pairwise([0, *as_shape(indices_or_sections, "indices_or_sections"), total]))
    if isinstance(total, int):
        known = [slice(a, b).indices(total) for a, b in pieces]
        pieces = [(a, max(a, b)) for a, b, _ in known]
    return [slice_axis(x, axis, a, b) for a, b in pieces]


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


def pad(x: Like, pad_width: Any, constant_values: float = 0.0) -> Value:
    """Surrounded by a constant: ((before, after), ...) for each axis, or (before, after) or one width for all.

    Raises ShapeError for other widths, DTypeError for a constant that x's dtype does not hold.  Source: NumPy pad.
    """
    x = as_value(x)
    if isinstance(constant_values, Expression) or np.ndim(constant_values):
        raise ArgumentError(f"pad takes one number known now as constant_values, got {constant_values!r}.")
    if not in_range(constant_values, x.dtype):
        raise DTypeError(f"pad: {constant_values} does not fit {x.dtype}. Convert x with mr.cast first.")
    pairs = _pad_pairs(x, pad_width)
    low, high = tuple(before for before, _ in pairs), tuple(after for _, after in pairs)
    return shape.Pad(low, high, (0,) * x.ndim, float(constant_values))(x)


def _pad_pairs(x: Value, pad_width: Any) -> list[tuple[Any, Any]]:
    """(before, after) for each axis."""
    wrong = ShapeError(
        f"pad of {x.type} takes one width, (before, after), or (before, after) for each of its {x.ndim} axes, "
        f"got {pad_width}."
    )
    if x.ndim == 0 and isinstance(pad_width, (list, tuple)) and not pad_width:
        return []
    try:
        pairs = np.broadcast_to(np.array(pad_width, dtype=object), (x.ndim, 2))
    except ValueError:
        raise wrong from None
    widths = as_shape(list(pairs.ravel()), "pad_width")
    return list(zip(widths[::2], widths[1::2], strict=True))


def pad_interior(x: Like, low: Sequence[int], high: Sequence[int], interior: Sequence[int], fill: float = 0.0) -> Value:
    """Surrounded by `low` and `high` fill values, with `interior` of them between neighbours."""
    return shape.Pad(tuple(low), tuple(high), tuple(interior), float(fill))(as_value(x))


def tile(x: Like, reps: Sequence[Size] | Size) -> Value:
    """Repeated as a whole along each axis; fewer `reps` are for the last axes, more add axes in front.

    Source: NumPy tile.
    """
    x, counts = as_value(x), as_shape(reps, "reps")
    ndim = max(x.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    sizes = (1,) * (ndim - x.ndim) + x.shape
    if any(isinstance(count, int) and count < 0 for count in counts):
        raise ArgumentError(f"tile repeats 0 times or more along each axis, got {reps}.")
    spread = tuple(size for pair in zip(counts, sizes, strict=True) for size in pair)  # each count before its axis
    made = shape.Broadcast(spread, tuple(range(2 * (ndim - x.ndim) + 1, 2 * ndim, 2)))(x)
    return shape.Reshape(tuple(count * size for count, size in zip(counts, sizes, strict=True)))(made)


def take(x: Like, indices: Like, axis: int | None = 0) -> Value:
    """Elements at positions, whole numbers, along an axis, or of all elements in a row for None.

    Positions outside move to the nearest end, so -1 is the first, where NumPy's is the last. The axis is 0 unless
    given, where NumPy's is None.  Source: NumPy take.
    """
    x = as_value(x)
    if axis is None:
        x, axis = ravel(x), 0
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
    return index.Iota(as_shape(size, "size"), axis, dtype)()


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: str | None = None) -> Value:
    """Numbers from start up to, not including, stop: int32, or float32 where one of them is a float.

    start and stop may be dimensions, such as x.shape[0], that are known only when data arrives.

    Raises ArgumentError for values of a graph and a step of 0, ShapeError where how many there are cannot be decided,
    DTypeError for whole numbers that the dtype does not hold.
    Source: NumPy arange.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    bounds = (start, stop, step)
    kinds = (int, float, np.integer, np.floating, Dim)
    if any(isinstance(n, bool) or not isinstance(n, kinds) for n in bounds) or isinstance(step, Dim):
        shown = ", ".join(str(getattr(n, "type", n)) for n in bounds)
        raise ArgumentError(
            f"arange takes numbers that are known now, or dimensions such as x.shape[0], got {shown}. To count up to "
            "a value, compare an arange that is long enough with it."
        )
    if step == 0:
        raise ArgumentError("arange: step must not be 0.")
    is_float = any(isinstance(n, (float, np.floating)) for n in bounds)
    dtype = dtype_name(dtype) if dtype is not None else "float32" if is_float else "int32"
    if any(isinstance(n, Dim) for n in bounds):
        return _counted(start, stop, step, dtype)
    check_elements((abs((stop - start) / step),), "arange")
    made = np.arange(start, stop, step)
    if made.size and not (in_range(made[0], dtype) and in_range(made[-1], dtype)):
        raise DTypeError(f"arange from {start} to {stop} does not fit {dtype}: pass a wider dtype.")
    return constant(made.astype(dtype))


def _counted(start: Size, stop: Size, step: int, dtype: str) -> Value:
    """arange between dimensions."""
    if not isinstance(step, (int, np.integer)):
        raise ArgumentError(f"arange from {start} to {stop} takes a whole number as step, got {step!r}.")
    length = (stop - start) // int(step)
    if not at_most(0, length):
        raise ShapeError(f"arange from {start} to {stop}: whether {stop} is at least {start} is not known.")
    counted = iota((length,), 0, dtype)
    counted = counted if step == 1 else multiply(counted, int(step))
    return counted if start == 0 else add(counted, as_value(start, dtype))


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
