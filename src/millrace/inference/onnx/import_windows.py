"""ONNX's convolutions. ONNX has channels first, Millrace channels last: each stands between two transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.inference.onnx.translating import Call, translates
from millrace.inference.onnx.windows import (
    Span,
    automatic,
    channels_first,
    channels_last,
    known_space,
    numbers,
    padding,
    spans,
)
from millrace.ir.core import Value

MOST = 3  # axes of space that Millrace's convolutions have
EXACT = 2**24  # float32 holds all whole numbers up to here


@translates("Conv")
def conv(mr: Any, call: Call) -> Value:
    """X [batch, channels, *space], W [filters, channels / groups, *kernel], B [filters]."""
    made = convolved(mr, call, call.value(0), call.value(1))
    if call.has(2):
        made = mr.add(made, call.value(2))
    return channels_first(mr, made)


def convolved(mr: Any, call: Call, x: Value, kernel: Value) -> Value:
    """The convolution, still channels last: [batch, *out, filters]."""
    sizes = known_space(call, x, MOST)
    windows = _kernel_sizes(call, kernel, x)
    groups = int(call.attribute("group", 1))
    filters, channels = kernel.shape[:2]
    if groups < 1 or filters % groups or x.shape[1] != channels * groups:
        raise call.refused(f"with group={groups}, its kernel {kernel.type} does not fit its input {x.type}")
    axes = spans(call, sizes, windows)
    order = (*range(2, kernel.ndim), 1, 0)
    made: Value = mr.conv(
        channels_last(mr, x), mr.transpose(kernel, order), [a.stride for a in axes], [a.needed for a in axes],
        [a.dilation for a in axes], groups,
    )  # fmt: skip
    return made


def _kernel_sizes(call: Call, kernel: Value, x: Value) -> list[int]:
    if kernel.ndim != x.ndim or not kernel.type.is_concrete:
        raise call.refused(f"its kernel is {kernel.type}, and has to have {x.ndim} axes of known sizes, as {x.type}")
    windows = [int(n) for n in kernel.shape[2:]]
    if list(call.attribute("kernel_shape") or windows) != windows:
        raise call.refused(f"kernel_shape={call.attribute('kernel_shape')} is not that of its kernel {kernel.type}")
    return windows


@translates("ConvTranspose")
def conv_transpose(mr: Any, call: Call) -> Value:
    """X [batch, channels, *space], W [channels, filters / groups, *kernel], B [filters]."""
    x, kernel = call.value(0), call.value(1)
    sizes = known_space(call, x, MOST)
    windows = _kernel_sizes(call, kernel, x)
    axes = _transposed_spans(call, sizes, windows)
    beyond = [max(-a.after, 0) for a in axes]  # output_padding that no window reaches: zeros after
    order = (*range(2, kernel.ndim), 1, 0)
    reached = [a.size - more for a, more in zip(axes, beyond, strict=True)]
    made = mr.conv_transpose(
        channels_last(mr, x), mr.transpose(kernel, order), reached,
        [a.stride for a in axes], [(a.before, max(a.after, 0)) for a in axes], [a.dilation for a in axes],
        int(call.attribute("group", 1)),
    )  # fmt: skip
    if any(beyond):
        made = mr.pad(made, ((0, 0), *((0, more) for more in beyond), (0, 0)))
    if call.has(2):
        made = mr.add(made, call.value(2))
    return channels_first(mr, made)


def _transposed_spans(call: Call, sizes: list[int], windows: list[int]) -> list[Span]:
    """The windows of the convolution that leads back from the output, of size `size`, to x, of size `out`."""
    rank, how = len(sizes), automatic(call)
    strides, dilations = numbers(call, "strides", rank, 1), numbers(call, "dilations", rank, 1)
    more, wanted = numbers(call, "output_padding", rank, 0), call.attribute("output_shape")
    low, high = padding(call, rank) if how == "NOTSET" and not wanted else ([0] * rank, [0] * rank)
    made = []
    for axis, (out, window, stride, dilation) in enumerate(zip(sizes, windows, strides, dilations, strict=True)):
        before, after = low[axis], high[axis]
        whole = stride * (out - 1) + more[axis] + (window - 1) * dilation + 1
        if wanted or how.startswith("SAME"):
            total = whole - (int(wanted[axis - rank]) if wanted else out * stride)
            less = max(total, 0) // 2
            before = less if how == "SAME_UPPER" else max(total, 0) - less
            after = total - before
        size = whole - before - after
        if size < 1:
            raise call.refused(f"pads=({before}, {after}) along axis {axis} of space leave nothing of {whole} elements")
        made.append(Span(size, window, stride, dilation, before, after - more[axis], out))
    return made


@translates("ConvInteger")
def conv_integer(mr: Any, call: Call) -> Value:
    """x and w of 8 bits, less their zero points; the sums are int32."""
    made = convolved_whole(mr, call, (0, 2), (1, 3))
    return channels_first(mr, made)


def convolved_whole(mr: Any, call: Call, x: tuple[int, int], kernel: tuple[int, int]) -> Value:
    """The convolution of whole numbers, exact, channels last: int32[batch, *out, filters].

    x and kernel: which inputs are the numbers and their zero points. Computed in floats that hold every sum.
    """
    values = call.value(x[0]), call.value(kernel[0])
    dtype = exact_in(int(np.prod(values[1].shape[1:])))
    image, weights = (mr.cast(value, dtype) for value in values)
    if call.has(x[1]):
        image = mr.subtract(image, mr.cast(call.value(x[1]), dtype))
    if call.has(kernel[1]):
        zero = mr.reshape(mr.cast(call.value(kernel[1]), dtype), (-1, *(1,) * (weights.ndim - 1)))
        weights = mr.subtract(weights, zero)
    return mr.cast(convolved(mr, call, image, weights), "int32")


def exact_in(terms: int) -> str:
    """The floats that hold every sum of so many products of 8 bits."""
    return "float32" if terms * 255 * 255 <= EXACT else "float64"
