"""What moves numbers, makes constants, and asks for shapes."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from millrace.functional.convert import broadcast_shapes
from millrace.inference.onnx.tensors import MOST_ELEMENTS, dtype_asked
from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value
from millrace.ir.dims import Dim, Size, at_most, product
from millrace.ir.errors import ShapeError
from millrace.ir.types import TensorType

MOST_COUNTED = 2**24  # numbers of a Range, or of positions that are listed here


@translates("Constant")
def constant(mr: Any, call: Call) -> np.ndarray:
    """One of several attributes holds it."""
    for name, dtype in (("value", None), ("value_float", "float32"), ("value_int", "int64")):
        if call.attribute(name) is not None:
            return np.asarray(call.attribute(name), dtype)
    for name, dtype in (("value_floats", "float32"), ("value_ints", "int64")):
        if call.attribute(name) is not None:
            return np.asarray(call.attribute(name), dtype)
    raise call.refused("its constant is no tensor of numbers")


@translates("ConstantOfShape")
def constant_of_shape(mr: Any, call: Call) -> Value:
    value = call.attribute("value")
    value = np.zeros(1, np.float32) if value is None else value
    if value.size != 1:
        raise call.refused(f"it fills with one number, and is given {value.size}")
    return mr.broadcast_to(mr.constant(value.reshape(())), limited(call, call.sizes(0, "shape"), value.dtype.name))


def limited(call: Call, shape: list[Size], dtype: str) -> tuple[Size, ...]:
    """A shape that the file asks for.  Raises UntranslatedError for one that is negative or too large."""
    try:
        type = TensorType(dtype, tuple(shape))
    except ShapeError as error:
        raise call.refused(str(error.args[0])) from None
    if isinstance(type.size, int) and type.size > MOST_ELEMENTS:
        raise call.refused(f"it makes {type}, more than {MOST_ELEMENTS} numbers")
    return type.shape


def sizes_array(sizes: Any) -> np.ndarray:
    """Sizes as an array: of int64, or of objects where some are open."""
    made = np.empty(len(sizes), object)
    made[:] = list(sizes)
    return made if any(isinstance(size, Dim) for size in sizes) else made.astype(np.int64)


@translates("Shape")
def shape(mr: Any, call: Call) -> np.ndarray:
    sizes = _shape_of(call)
    return sizes_array(sizes[slice(call.attribute("start", 0), call.attribute("end"))])


def _shape_of(call: Call) -> tuple[Size, ...]:
    given = call.inputs[0]
    return call.value(0).shape if given is None else tuple(given.shape)


@translates("Size")
def size(mr: Any, call: Call) -> np.ndarray:
    return sizes_array([product(_shape_of(call))]).reshape(())


@translates("Reshape")
def reshape(mr: Any, call: Call) -> Value:
    """0 keeps the size of that axis, unless zeros are meant as such; -1 is computed."""
    x, sizes = call.value(0), call.sizes(1, "shape")
    if not call.attribute("allowzero", 0):
        if any(s == 0 and n >= x.ndim for n, s in enumerate(sizes)):
            raise call.refused(f"its shape {sizes} keeps an axis that {x.type} lacks")
        sizes = [x.shape[n] if isinstance(s, int) and s == 0 else s for n, s in enumerate(sizes)]
    return mr.reshape(x, sizes)


@translates("Flatten")
def flatten(mr: Any, call: Call) -> Value:
    x, axis = call.value(0), call.attribute("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return mr.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))


@translates("Squeeze")
def squeeze(mr: Any, call: Call) -> Value:
    return mr.squeeze(call.value(0), call.numbers(1, "axes"))


@translates("Unsqueeze")
def unsqueeze(mr: Any, call: Call) -> Value:
    axes = call.numbers(1, "axes")
    if axes is None:
        raise call.refused("it lacks its axes")
    return mr.expand_dims(call.value(0), axes)


@translates("Transpose")
def transpose(mr: Any, call: Call) -> Value:
    return mr.transpose(call.value(0), call.attribute("perm"))


@translates("Concat")
def concat(mr: Any, call: Call) -> Value:
    values = [call.value(k) for k in range(len(call.inputs))]
    return mr.concatenate(values, call.attribute("axis", 1))


@translates("Split")
def split(mr: Any, call: Call) -> tuple[Value, ...]:
    """Into given sizes, or as equally as can be: the last part may be smaller."""
    x, axis = call.value(0), call.attribute("axis", 0)
    sizes = call.numbers(1, "split")
    if sizes is None:
        count = call.attribute("num_outputs", call.outputs)
        total = x.shape[axis]
        if not isinstance(total, int) or not 0 < count <= call.outputs:
            raise call.refused(f"it splits {x.type} into {count} parts, of sizes that are not known")
        width = -(-total // count)
        sizes = [min(width, total - n * width) for n in range(count)]
        if min(sizes) < 0:
            raise call.refused(f"it splits {total} elements into {count} parts")
    ends = list(accumulate(sizes))
    if ends and ends[-1] != x.shape[axis]:
        raise call.refused(f"its sizes {sizes} do not add up to axis {axis} of {x.type}")
    return tuple(mr.slice_axis(x, axis % x.ndim, e - s, e) for s, e in zip(sizes, ends, strict=True))


@translates("Slice")
def slice_(mr: Any, call: Call) -> Value:
    """Bounds are attributes before version 10, inputs since; beyond the ends they mean the ends."""
    x = call.value(0)
    starts, ends = call.numbers(1, "starts") or [], call.numbers(2, "ends") or []
    axes = call.numbers(3, "axes")
    axes = list(range(len(starts))) if axes is None else axes
    steps = call.numbers(4, "steps") or [1] * len(starts)
    if len({axis % x.ndim for axis in axes}) < len(axes):
        raise call.refused("it names an axis twice")
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        x = _sliced(mr, call, x, axis % x.ndim if -x.ndim <= axis < x.ndim else axis, start, stop, step)
    return x


def _sliced(mr: Any, call: Call, x: Value, axis: int, start: Any, stop: Any, step: int) -> Value:
    size = x.shape[axis]
    if all(isinstance(n, int) for n in (start, stop, size)):
        picked = range(size)[slice(start, stop, step)] if step > 0 or stop >= -size else range(size)[start::step]
        if not picked:
            return mr.slice_axis(x, axis, 0, 0)
        if step > 0:
            return mr.slice_axis(x, axis, picked[0], picked[-1] + 1, step)
        return mr.flip(mr.slice_axis(x, axis, picked[-1], picked[0] + 1, -step), axis)
    far = 2**31 - 1
    if (
        step == -1
        and isinstance(start, int)
        and isinstance(stop, int)
        and (start == -1 or start >= far)
        and stop <= -far
    ):
        return mr.flip(x, axis)
    if step < 1:
        raise call.refused(f"it goes backwards from {start} to {stop} over {x.type}, whose size is not known")

    def bound(n: Size) -> Size:
        if not isinstance(n, int):
            return n
        return size if n >= far else 0 if n <= -far else n if n >= 0 else size + n

    first, end = bound(start), bound(stop)
    if step > 1 or (at_most(0, first) and at_most(first, end) and at_most(end, size)):
        return mr.slice_axis(x, axis, first, end, step)
    return _part(mr, x, axis, first, end)


def _part(mr: Any, x: Value, axis: int, first: Size, end: Size) -> Value:
    """From first to end along an axis, where only data says whether they lie inside.

    A sum of zeros, padded by as many as lie before and behind, is an error as soon as one of them is negative.
    """
    length = end - first
    zeros = mr.pad(mr.zeros((length,), "int32"), ((first, x.shape[axis] - end),))
    return mr.take(x, mr.iota((length,), 0) + mr.sum(zeros) + mr.size(first), axis)


@translates("Tile")
def tile(mr: Any, call: Call) -> Value:
    x, counts = call.value(0), call.sizes(1, "repeats")
    if len(counts) != x.ndim:
        raise call.refused(f"it repeats {x.type} {counts} times: one number an axis is needed")
    limited(call, [n * s for n, s in zip(counts, x.shape, strict=True)], x.dtype)
    return mr.tile(x, counts)


@translates("Expand")
def expand(mr: Any, call: Call) -> Value:
    """To the shape that both broadcast to: a size of 1 keeps the input's."""
    x, sizes = call.value(0), call.sizes(1, "shape")
    return mr.broadcast_to(x, limited(call, list(broadcast_shapes(x.shape, tuple(sizes))), x.dtype))


@translates("Pad")
def pad(mr: Any, call: Call) -> Value:
    """Widths are attributes before version 11, inputs since; negative ones cut off."""
    x = call.value(0)
    axes = [n % x.ndim for n in call.numbers(3, "axes") or range(x.ndim)]
    widths = call.numbers(1, "pads") or []
    if len(widths) != 2 * len(axes):
        raise call.refused(f"it pads {len(axes)} axes with {len(widths)} widths")
    pairs: list[tuple[Any, Any]] = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, widths[: len(axes)], widths[len(axes) :], strict=True):
        pairs[axis] = before, after
    mode = call.attribute("mode", "constant")
    for axis, (before, after) in enumerate(pairs):
        if isinstance(before, int) and isinstance(after, int) and min(before, after) < 0:
            size = x.shape[axis]
            x = mr.slice_axis(x, axis, max(-before, 0), size + min(after, 0))
            pairs[axis] = max(before, 0), max(after, 0)
    if mode == "constant":
        limited(call, [s + a + b for s, (a, b) in zip(x.shape, pairs, strict=True)], x.dtype)
        fill = call.known(2, "constant_value").reshape(()).item() if call.has(2) else call.attribute("value", 0.0)
        return mr.pad(x, pairs, fill)
    if mode not in ("reflect", "edge", "wrap"):
        raise call.refused(f"its mode is {mode!r}: constant, reflect, edge and wrap are read")
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            size = x.shape[axis]
            if not all(isinstance(n, int) for n in (size, before, after)) or size + before + after > MOST_COUNTED:
                raise call.refused(f"it pads axis {axis} of {x.type} with {mode} by {before} and {after}")
            x = mr.take(x, np.pad(np.arange(size), (before, after), mode), axis)
    return x


@translates("Range")
def counted(mr: Any, call: Call) -> Any:
    """From start up to limit in steps; the bounds may be open dimensions."""
    start, limit, delta = (call.known(k, name).reshape(()).item() for k, name in enumerate(("start", "limit", "delta")))
    dtypes = {x.dtype.name for x in call.inputs if x is not None and not isinstance(x, Value) and x.dtype != object}
    dtype = next(iter(dtypes), "int64")
    if any(isinstance(n, Dim) for n in (start, limit, delta)):
        return mr.arange(start, limit, delta, dtype)
    count = max(int(np.ceil((limit - start) / delta)), 0)
    if count > MOST_COUNTED:
        raise call.refused(f"it counts {count} numbers, more than {MOST_COUNTED}")
    return (start + np.arange(count) * delta).astype(dtype)


@translates("EyeLike")
def eye_like(mr: Any, call: Call) -> Value:
    x = call.value(0)
    on = mr.equal(mr.iota(x.shape, 0) + call.attribute("k", 0), mr.iota(x.shape, 1))
    return mr.cast(on, dtype_asked(call, "dtype", x.dtype))


@translates("Trilu")
def trilu(mr: Any, call: Call) -> Value:
    """The part on and above a diagonal, or on and below it; zeros elsewhere."""
    x = call.value(0)
    k = int(call.known(1, "k").reshape(-1)[0]) if call.has(1) else 0
    rows, columns = mr.iota(x.shape[-2:], 0, "int64"), mr.iota(x.shape[-2:], 1, "int64")
    kept = (mr.greater_equal if call.attribute("upper", 1) else mr.less_equal)(columns, rows + k)
    return mr.where(kept, x, mr.zeros_like(x))


@translates("DepthToSpace")
def depth_to_space(mr: Any, call: Call) -> Value:
    """Channels become blocks of pixels, [batch, channels, height, width]."""
    x, block = call.value(0), call.attribute("blocksize", 0)
    n, c, h, w = x.shape
    deep = c // (block * block)
    if call.attribute("mode", "DCR") == "DCR":
        made = mr.transpose(mr.reshape(x, (n, block, block, deep, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        made = mr.transpose(mr.reshape(x, (n, deep, block, block, h, w)), (0, 1, 4, 2, 5, 3))
    return mr.reshape(made, (n, deep, h * block, w * block))


@translates("SpaceToDepth")
def space_to_depth(mr: Any, call: Call) -> Value:
    """Blocks of pixels become channels, [batch, channels, height, width]."""
    x, block = call.value(0), call.attribute("blocksize", 0)
    n, c, h, w = x.shape
    parts = mr.reshape(x, (n, c, h // block, block, w // block, block))
    moved = mr.transpose(parts, (0, 3, 5, 1, 2, 4) if call.attribute("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4))
    return mr.reshape(moved, (n, c * block * block, h // block, w // block))
