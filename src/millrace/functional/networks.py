"""Functions that networks are made of and that people know by name."""

from __future__ import annotations

import math
from collections.abc import Sequence

from millrace.functional.arithmetic import abs as abs_
from millrace.functional.arithmetic import add, exp, log1p, maximum, multiply, negative, rsqrt, square, subtract, where
from millrace.functional.convert import Like, as_value, broadcast_to, normal_axis, together
from millrace.functional.products import matmul
from millrace.functional.reductions import mean
from millrace.functional.shaping import moveaxis, swapaxes
from millrace.ir.core import Op, Value
from millrace.ops import normalization
from millrace.ops.layer_normalization import LayerNormalization
from millrace.ops.softmax import LogSoftmax, Softmax, SoftmaxCrossEntropy
from millrace.ops.weights import ExampleWeights


def _along(op: Op, x: Like, axis: int) -> Value:
    """An operation of the last axis, along another one."""
    x = as_value(x)
    if normal_axis(axis, x.ndim) == x.ndim - 1:
        return op(x)
    return moveaxis(op(moveaxis(x, axis, -1)), -1, axis)


def softmax(x: Like, axis: int = -1) -> Value:
    """Positive numbers that sum to 1 along an axis, in proportion to exp(x).  Source: Keras softmax."""
    return _along(Softmax(), x, axis)


def log_softmax(x: Like, axis: int = -1) -> Value:
    """The logarithm of softmax, without underflow.  Source: Keras log_softmax."""
    return _along(LogSoftmax(), x, axis)


def softmax_cross_entropy(logits: Like, labels: Like) -> Value:
    """-log softmax(logits)[label] for each example, in nats: logits [..., classes], labels [...]."""
    return SoftmaxCrossEntropy()(as_value(logits), as_value(labels))


def sigmoid_cross_entropy(logits: Like, labels: Like) -> Value:
    """-(y log p + (1-y) log(1-p)) with p = sigmoid(logits), without overflow.  Source: Keras binary_crossentropy."""
    logits, labels = together(logits, labels)
    return add(subtract(maximum(logits, 0.0), multiply(logits, labels)), log1p(exp(negative(abs_(logits)))))


def local_response_normalization(x: Like, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> Value:
    """x / (k + alpha * sum of squares over n adjacent channels)^beta, channels last.

    Source: Krizhevsky et al. 2012, section 3.3.
    """
    return normalization.LocalResponseNormalization(n, float(k), float(alpha), float(beta))(as_value(x))


def example_weights(x: Like) -> Value:
    """How much each example of x [batch, ...] counts: 1, or what a training step puts there. float32[batch]."""
    return ExampleWeights()(as_value(x))


def batch_normalization(
    x: Like, scale: Like, offset: Like, mean: Like, variance: Like, weights: Like, epsilon: float = 1e-3
) -> tuple[Value, Value, Value]:
    """Each channel (last axis) to mean 0 and variance 1 over the batch, then times scale plus offset.

    Returns the output and the batch's mean and variance [channels]. weights [batch]: how much each example
    counts. `mean` and `variance` are what inference uses instead.
    Source: Ioffe and Szegedy 2015.
    """
    values = [as_value(v) for v in (x, scale, offset, mean, variance, weights)]
    return normalization.BatchNormalization(float(epsilon))(*values)


def layer_normalization(x: Like, scale: Like, offset: Like, epsilon: float = 1e-3, centred: bool = True) -> Value:
    """Each example along its last axes to mean 0 and variance 1, then times scale plus offset.

    x [..., *axes], scale and offset [*axes]. centred=False: divided by the root of the mean square alone.
    Source: Ba, Kiros and Hinton 2016; Zhang and Sennrich 2019.
    """
    op = LayerNormalization(float(epsilon), bool(centred))
    return op(as_value(x), as_value(scale), as_value(offset))


def standardize(x: Like, axes: Sequence[int], epsilon: float = 1e-3) -> Value:
    """x shifted and scaled to mean 0 and variance 1 along axes: (x - mean) / sqrt(variance + epsilon).

    Source: Ba, Kiros and Hinton 2016.
    """
    x = as_value(x)
    centred = subtract(x, mean(x, axes, keepdims=True))
    return multiply(centred, rsqrt(add(mean(square(centred), axes, keepdims=True), epsilon)))


def dot_product_attention(
    query: Like, key: Like, value: Like, mask: Like | None = None, scale: float | None = None
) -> tuple[Value, Value]:
    """softmax(query key^T * scale) value, and the attention weights: who looks at what.

    query [..., targets, D], key [..., sources, D], value [..., sources, V], mask bool, true where a target
    may look at a source, broadcast to [..., targets, sources] -> [..., targets, V] and [..., targets,
    sources]. scale: 1 / sqrt(D) unless given. A target that may look nowhere gets zeros.
    Source: Vaswani et al. 2017, section 3.2.1.
    """
    weights = attention_weights(query, key, mask, scale)
    return matmul(weights, value), weights


def attention_weights(query: Like, key: Like, mask: Like | None = None, scale: float | None = None) -> Value:
    """softmax(query key^T * scale): how much each target looks at each source; shapes as dot_product_attention."""
    query, key = as_value(query), as_value(key)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return masked_softmax(multiply(matmul(query, swapaxes(key, -1, -2)), factor), mask)


def masked_softmax(scores: Like, mask: Like | None = None) -> Value:
    """Softmax over the last axis among the positions where mask is true; zeros where none is."""
    scores = as_value(scores)
    if mask is None:
        return softmax(scores)
    there = broadcast_to(mask, scores.shape)
    weights = softmax(where(there, scores, LOWEST[scores.dtype]))
    return where(there, weights, 0.0)


LOWEST = {"float16": -6e4, "bfloat16": -1e30, "float32": -1e30, "float64": -1e300}  # far below any score, yet finite
