"""ONNX's normalizations, as they are used after training. Numbers of 16 bits are computed with as float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millrace.inference.onnx.import_elementwise import wide
from millrace.inference.onnx.translating import Call, translates
from millrace.inference.onnx.windows import along_channels, channels_first, channels_last
from millrace.ir.core import Value


@translates("BatchNormalization")
def batch_normalization(mr: Any, call: Call) -> Value:
    """X [batch, channels, ...] by the running mean and variance; scale, B, mean and variance [channels]."""
    if call.attribute("training_mode", 0):
        raise call.refused("training_mode=1 asks for the statistics of a batch: write the model for inference")
    if call.wanted > 1:
        raise call.refused("its outputs beyond the first are those of training: write the model for inference")
    x = call.value(0)
    scale, offset, mean, variance = (wide(mr, call.value(n)) for n in range(1, 5))
    factor = mr.multiply(mr.rsqrt(mr.add(variance, float(call.attribute("epsilon", 1e-5)))), scale)
    shift = mr.subtract(offset, mr.multiply(mean, factor))
    if not call.attribute("spatial", 1) and scale.ndim > 1:  # statistics for each element, in opsets below 9
        return mr.cast(mr.add(mr.multiply(wide(mr, x), factor), shift), x.dtype)
    last = channels_last(mr, wide(mr, x))  # as the convolution before it, so that the two can become one
    made = mr.cast(mr.add(mr.multiply(last, factor), shift), x.dtype)
    return channels_first(mr, made)


def _standardized(mr: Any, x: Value, axes: Sequence[int], epsilon: float) -> tuple[Value, Value, Value]:
    """(x - mean) / sqrt(variance + epsilon), the mean, and 1 / sqrt(variance + epsilon), which keep the axes."""
    mean = mr.mean(x, axes, keepdims=True)
    centred = mr.subtract(x, mean)
    share = mr.rsqrt(mr.add(mr.mean(mr.square(centred), axes, keepdims=True), epsilon))
    return mr.multiply(centred, share), mean, share


@translates("InstanceNormalization")
def instance_normalization(mr: Any, call: Call) -> Value:
    """Each channel of each example to mean 0 and variance 1 over space, then times scale plus B."""
    x = call.value(0)
    if x.ndim < 3:
        raise call.refused(f"its input is {x.type}, and has to be [batch, channels, *space]")
    made, _, _ = _standardized(mr, wide(mr, x), range(2, x.ndim), float(call.attribute("epsilon", 1e-5)))
    scale, offset = (along_channels(mr, wide(mr, call.value(n)), x.ndim) for n in (1, 2))
    return mr.cast(mr.add(mr.multiply(made, scale), offset), x.dtype)


def _last_axes(call: Call, x: Value) -> range:
    """From the attribute `axis` to the last."""
    axis = int(call.attribute("axis", -1))
    if not -x.ndim <= axis < x.ndim:
        raise call.refused(f"axis={axis} is none of its input {x.type}")
    return range(axis % x.ndim, x.ndim)


def _in_precision(mr: Any, call: Call, x: Value) -> Value:
    """x in the dtype that stash_type asks for: float32 (1), or 16 bits, which float32 holds."""
    return mr.cast(x, "float32") if call.attribute("stash_type", 1) == 1 else wide(mr, x)


@translates("LayerNormalization")
def layer_normalization(mr: Any, call: Call) -> tuple[Value, Value, Value]:
    """Over the axes from `axis` on to mean 0 and variance 1, then times Scale plus B; the mean and 1 / deviation."""
    x = call.value(0)
    epsilon, axes = float(call.attribute("epsilon", 1e-5)), _last_axes(call, x)
    made, mean, share = _standardized(mr, _in_precision(mr, call, x), axes, epsilon)
    made = mr.multiply(mr.cast(made, x.dtype), call.value(1))
    return (mr.add(made, call.value(2)) if call.has(2) else made), mean, share


@translates("RMSNormalization")
def rms_normalization(mr: Any, call: Call) -> Value:
    """Over the axes from `axis` on divided by sqrt(mean of squares + epsilon), then times scale."""
    x = call.value(0)
    scale, epsilon, axes = call.value(1), float(call.attribute("epsilon", 1e-5)), _last_axes(call, x)
    inner = _in_precision(mr, call, x)
    share = mr.rsqrt(mr.add(mr.mean(mr.square(inner), axes, keepdims=True), epsilon))
    made = mr.multiply(mr.cast(mr.multiply(inner, share), scale.dtype), scale)
    return made


@translates("GroupNormalization")
def group_normalization(mr: Any, call: Call) -> Value:
    """Channels in num_groups groups, each to mean 0 and variance 1; scale and bias for each channel.

    In opset 18 scale and bias were for each group.
    """
    x, groups = call.value(0), int(call.attribute("num_groups", 0))
    channels = x.shape[1] if x.ndim >= 3 else None
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise call.refused(f"num_groups={groups} does not divide the channels of its input {x.type}")
    inner = _in_precision(mr, call, x)
    grouped = mr.reshape(inner, (x.shape[0], groups, channels // groups, *x.shape[2:]))
    made, _, _ = _standardized(mr, grouped, range(2, x.ndim + 1), float(call.attribute("epsilon", 1e-5)))
    if call.opset < 21:
        scale, bias = (along_channels(mr, mr.cast(call.value(n), inner.dtype), x.ndim + 1) for n in (1, 2))
        made = mr.reshape(mr.add(mr.multiply(made, scale), bias), x.shape)
        return mr.cast(made, x.dtype)
    scale, bias = (along_channels(mr, mr.cast(call.value(n), inner.dtype), x.ndim) for n in (1, 2))
    made = mr.add(mr.multiply(mr.reshape(made, x.shape), scale), bias)
    return mr.cast(made, x.dtype)


@translates("LRN")
def lrn(mr: Any, call: Call) -> Value:
    """x / (bias + alpha / size * sum of squares over `size` adjacent channels)^beta.

    Of an even size ONNX has the larger part after a channel, and Millrace before it: the channels are turned around.
    """
    x, size = call.value(0), int(call.attribute("size", 0))
    k, alpha = float(call.attribute("bias", 1.0)), float(call.attribute("alpha", 1e-4))
    if size < 1 or k <= 0:
        raise call.refused(f"size={size} has to be at least 1 and bias={k} above 0")
    last = channels_last(mr, wide(mr, x))

    def normalized(x: Value) -> Value:
        beta = float(call.attribute("beta", 0.75))
        return mr.local_response_normalization(x, size, k, alpha / size, beta)

    made = normalized(last) if size % 2 else mr.flip(normalized(mr.flip(last, -1)), -1)
    return channels_first(mr, mr.cast(made, x.dtype))


@translates("LpNormalization")
def lp_normalization(mr: Any, call: Call) -> Value:
    """x by its norm along an axis; zeros stay zeros."""
    x, axis, p = call.value(0), int(call.attribute("axis", -1)), int(call.attribute("p", 2))
    if p not in (1, 2):
        raise call.refused(f"p={p} is neither 1 nor 2")
    norm: Callable[[Value], Value] = mr.abs if p == 1 else mr.square
    inner = wide(mr, x)
    total = mr.sum(norm(inner), axis, keepdims=True)
    total = total if p == 1 else mr.sqrt(total)
    nothing = mr.equal(total, 0.0)
    return mr.cast(mr.divide(inner, mr.where(nothing, 1.0, total)), x.dtype)


@translates("MeanVarianceNormalization")
def mean_variance_normalization(mr: Any, call: Call) -> Value:
    """(x - mean) / (deviation + 1e-9) over axes."""
    x = call.value(0)
    if call.opset < 9:
        raise call.refused("before opset 9 it had other attributes: convert the model to opset 9 or later")
    axes = call.attribute("axes", (0, 2, 3))
    inner = wide(mr, x)
    centred = mr.subtract(inner, mr.mean(inner, axes, keepdims=True))
    deviation = mr.sqrt(mr.mean(mr.square(centred), axes, keepdims=True))
    return mr.cast(mr.divide(centred, mr.add(deviation, 1e-9)), x.dtype)
