"""ONNX's pooling: by Millrace's operations where they have the attributes, else by shifted slices, axis by axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from millrace.inference.onnx.import_elementwise import wide
from millrace.inference.onnx.translating import Call, translates
from millrace.inference.onnx.windows import (
    Span,
    channels_first,
    channels_last,
    known_space,
    numbers,
    padding,
    space,
    spans,
)
from millrace.ir.core import Value
from millrace.ir.dims import product

MOST_SLICES = 1024


def _axes(call: Call, x: Value) -> list[Span]:
    sizes = known_space(call, x)
    windows = call.attribute("kernel_shape")
    if not windows or len(windows) != len(sizes):
        raise call.refused(f"kernel_shape={windows} must have {len(sizes)} numbers, one for each axis of space")
    return spans(call, sizes, [int(n) for n in windows])


def _plain(x: Value, axes: list[Span]) -> bool:
    """Whether Millrace's pooling says it: floats, windows without gaps, none of them all padding."""
    tight = all(a.dilation == 1 and max(a.needed) < a.window for a in axes)
    return x.type.is_float and x.dtype != "float16" and tight and len(axes) <= 3


def _slices(mr: Any, x: Value, axis: int, span: Span, fill: float) -> list[Value]:
    """What each place of the window meets along an axis, at all positions."""
    around = [(0, 0)] * x.ndim
    around[axis] = span.needed
    if any(span.needed):
        x = mr.pad(x, around, fill)
    last = (span.out - 1) * span.stride + 1
    starts = (place * span.dilation for place in range(span.window))
    return [mr.slice_axis(x, axis, start, start + last, span.stride) for start in starts]


def _check_slices(call: Call, axes: list[Span]) -> None:
    """Raise UntranslatedError for windows of more elements than are taken one by one."""
    count = sum(span.window for span in axes)
    if count > MOST_SLICES:
        raise call.refused(f"its windows have {count} elements along their axes: {MOST_SLICES} at most are taken so")


def _pooled(mr: Any, call: Call, x: Value, axes: list[Span], join: Callable[..., Any], fill: float) -> Value:
    """All elements of each window joined, along one axis of space after another."""
    _check_slices(call, axes)
    for axis, span in enumerate(axes, 2):
        x = reduce(join, _slices(mr, x, axis, span, fill))
    return x


def _least(x: Value) -> float:
    """What padding is to a maximum."""
    return -np.inf if x.type.is_float else float(np.iinfo(x.dtype).min)


@translates("MaxPool")
def max_pool(mr: Any, call: Call) -> Any:
    """The greatest element of each window and, where wanted, its place among all elements of x."""
    x = call.value(0)
    axes = _axes(call, x)
    if call.wanted > 1:
        return _with_places(mr, call, x, axes)
    if not _plain(x, axes):
        return _pooled(mr, call, x, axes, mr.maximum, _least(x))
    made = mr.max_pool(channels_last(mr, x), *_as_millrace(axes))
    return channels_first(mr, made)


def _as_millrace(axes: list[Span]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    return [a.window for a in axes], [a.stride for a in axes], [a.needed for a in axes]


def _with_places(mr: Any, call: Call, x: Value, axes: list[Span]) -> tuple[Value, Value]:
    """The maxima, and their places: of several equal elements the first in row order."""
    _check_slices(call, axes)
    place = _places(mr, x, bool(call.attribute("storage_order", 0)))
    for axis, span in reversed(list(enumerate(axes, 2))):  # the last axis first: then ties fall to the first element
        elements, places = _slices(mr, x, axis, span, _least(x)), _slices(mr, place, axis, span, 0.0)
        x, place = elements[0], places[0]
        for element, where in zip(elements[1:], places[1:], strict=True):
            better = mr.greater(element, x)
            x, place = mr.where(better, element, x), mr.where(better, where, place)
    return x, place


def _places(mr: Any, x: Value, columns_first: bool) -> Value:
    """Each element's place among all elements of x, in row order or, within each channel, in column order: int64."""
    order = [0, 1, *(range(2, x.ndim) if not columns_first else range(x.ndim - 1, 1, -1))]
    total, stride = None, 1
    for axis in reversed(order):
        part = mr.multiply(mr.iota(x.shape, axis, "int64"), mr.cast(mr.size(stride), "int64"))
        total = part if total is None else mr.add(total, part)
        stride = stride * x.shape[axis]
    return total  # type: ignore[return-value]


@translates("AveragePool")
def average_pool(mr: Any, call: Call) -> Value:
    """The mean of each window. Elements that ceil_mode adds beyond the padding never count."""
    x = call.value(0)
    axes = _axes(call, x)
    counted = bool(call.attribute("count_include_pad", 0))
    within = all(a.needed[1] <= a.after for a in axes)
    if _plain(x, axes) and (within or not counted):
        made = mr.average_pool(channels_last(mr, x), *_as_millrace(axes), count_padding=counted)
        return channels_first(mr, made)
    made = _pooled(mr, call, wide(mr, x), axes, mr.add, 0.0)
    for axis, span in enumerate(axes, 2):
        share = (1 / np.maximum(span.counted(counted), 1)).astype(made.dtype)
        made = mr.multiply(made, share.reshape(-1, *(1,) * (x.ndim - axis - 1)))
    return mr.cast(made, x.dtype)


@translates("LpPool")
def lp_pool(mr: Any, call: Call) -> Value:
    """(sum |x|^p)^(1/p) over each window; padding is zeros."""
    x = call.value(0)
    p = float(call.attribute("p", 2))
    return _root(mr, _pooled(mr, call, _power(mr, x, p), _axes(call, x), mr.add, 0.0), p)


def _power(mr: Any, x: Value, p: float) -> Value:
    return mr.square(x) if p == 2 else mr.power(mr.abs(x), p)


def _root(mr: Any, x: Value, p: float) -> Value:
    return x if p == 1 else mr.sqrt(x) if p == 2 else mr.power(x, 1 / p)


@translates("GlobalAveragePool")
def global_average_pool(mr: Any, call: Call) -> Value:
    """The mean over all of space, whose sizes may be open."""
    x = call.value(0)
    return mr.mean(x, _all_space(call, x), keepdims=True)


@translates("GlobalMaxPool")
def global_max_pool(mr: Any, call: Call) -> Value:
    """The greatest element over all of space, whose sizes may be open."""
    x = call.value(0)
    return mr.max(x, _all_space(call, x), keepdims=True)


@translates("GlobalLpPool")
def global_lp_pool(mr: Any, call: Call) -> Value:
    """(sum |x|^p)^(1/p) over all of space, whose sizes may be open."""
    x = call.value(0)
    p = float(call.attribute("p", 2))
    return _root(mr, mr.sum(_power(mr, x, p), _all_space(call, x), keepdims=True), p)


def _all_space(call: Call, x: Value) -> list[int]:
    return list(range(2, 2 + len(space(call, x))))


@translates("MaxUnpool")
def max_unpool(mr: Any, call: Call) -> Value:
    """Each maximum back in its place, zeros elsewhere: the places are those that MaxPool gives."""
    x, places = call.value(0), call.value(1)
    sizes = known_space(call, x)
    windows = [int(n) for n in call.attribute("kernel_shape") or ()]
    rank = len(sizes)
    strides, (low, high) = numbers(call, "strides", rank, 1), padding(call, rank)
    if len(windows) != rank or any(s < w for s, w in zip(strides, windows, strict=True)):
        raise call.refused(f"its windows overlap (kernel_shape={windows}, strides={strides}): places may meet twice")
    natural = [
        (size - 1) * stride - before - after + window
        for size, stride, window, before, after in zip(sizes, strides, windows, low, high, strict=True)
    ]
    shape = (*x.shape[:2], *natural)
    flat = mr.scatter_add(mr.zeros((product(shape),), x.dtype), mr.reshape(places, (-1,)), mr.reshape(x, (-1,)))
    made: Value = mr.reshape(flat, shape)
    if not call.has(2):
        return made
    more = [int(n) - size for n, size in zip(call.sizes(2, "output_shape")[2:], natural, strict=True)]  # type: ignore[arg-type]
    if min(more) < 0:
        raise call.refused(f"its output_shape is smaller than {natural}, where its maxima lie")
    return mr.pad(made, ((0, 0), (0, 0), *((0, n) for n in more)))
