"""Functions that networks are made of and that people know by name."""

from __future__ import annotations

from millrace.functional.arithmetic import abs as abs_
from millrace.functional.arithmetic import add, exp, log1p, maximum, multiply, negative, subtract
from millrace.functional.convert import Like, as_value, normal_axis, together
from millrace.functional.shaping import moveaxis
from millrace.ir.core import Op, Value
from millrace.ops import normalization


def _along(op: Op, x: Like, axis: int) -> Value:
    """An operation of the last axis, along another one."""
    x = as_value(x)
    if normal_axis(axis, x.ndim) == x.ndim - 1:
        return op(x)
    return moveaxis(op(moveaxis(x, axis, -1)), -1, axis)


def softmax(x: Like, axis: int = -1) -> Value:
    """Positive numbers that sum to 1 along an axis, in proportion to exp(x).  Source: Keras softmax."""
    return _along(normalization.Softmax(), x, axis)


def log_softmax(x: Like, axis: int = -1) -> Value:
    """The logarithm of softmax, without underflow.  Source: Keras log_softmax."""
    return _along(normalization.LogSoftmax(), x, axis)


def softmax_cross_entropy(logits: Like, labels: Like) -> Value:
    """-log softmax(logits)[label] for each example, in nats: logits [..., classes], labels [...]."""
    return normalization.SoftmaxCrossEntropy()(as_value(logits), as_value(labels))


def sigmoid_cross_entropy(logits: Like, labels: Like) -> Value:
    """-(y log p + (1-y) log(1-p)) with p = sigmoid(logits), without overflow.  Source: Keras binary_crossentropy."""
    logits, labels = together(logits, labels)
    return add(subtract(maximum(logits, 0.0), multiply(logits, labels)), log1p(exp(negative(abs_(logits)))))


def local_response_normalization(x: Like, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> Value:
    """x / (k + alpha * sum of squares over n adjacent channels)^beta, channels last.

    Source: Krizhevsky et al. 2012, section 3.3.
    """
    return normalization.LocalResponseNormalization(n, float(k), float(alpha), float(beta))(as_value(x))
