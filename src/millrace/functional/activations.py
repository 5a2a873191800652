"""Activation functions under Keras's names. None overflows for large x, in its value or its gradient.

At a kink the gradient is that of one of the two sides: of the left one for relu, leaky_relu and elu.
"""

from __future__ import annotations

import math

from millrace.functional.arithmetic import (
    abs,
    add,
    as_float,
    clip,
    divide,
    erf,
    exp,
    expm1,
    greater,
    less,
    less_equal,
    log1p,
    maximum,
    multiply,
    negative,
    sigmoid,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from millrace.functional.convert import Like, cast, normal_axis
from millrace.functional.reductions import max as max_
from millrace.functional.reductions import sum as sum_
from millrace.functional.shaping import expand_dims, moveaxis, split
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ops import elementwise

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # a fixed point: mean 0, variance 1


def _least(name: str, argument: str, value: float, open: bool = False) -> None:
    """Raises ArgumentError for a number that is below 0, or at it where `open`."""
    if isinstance(value, (int, float)) and not (value > 0 or (value == 0 and not open)):
        raise ArgumentError(f"{name}: {argument} must be {'above' if open else 'at least'} 0, got {value!r}.")


def relu(x: Like, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Value:
    """x where above `threshold`, at most `max_value`, else negative_slope * (x - threshold).

    As it is, max(x, 0). Raises ArgumentError for a negative slope or max_value.
    Source: Krizhevsky et al. 2012, section 3.1; Keras relu.
    """
    x = as_float(x)
    _least("relu", "negative_slope", negative_slope)
    if max_value is not None:
        _least("relu", "max_value", max_value)
    if negative_slope == 0 and threshold == 0:
        out = elementwise.Relu()(x)
    else:
        out = where(greater(x, threshold), x, multiply(negative_slope, subtract(x, threshold)))
    return out if max_value is None else where(less(x, max_value), out, max_value)


def relu6(x: Like) -> Value:
    """min(max(x, 0), 6); its gradient at 0 and at 6 is 0.  Source: Howard et al. 2017; Keras relu6."""
    return relu(x, max_value=6.0)


def leaky_relu(x: Like, negative_slope: float = 0.2) -> Value:
    """x where positive, else negative_slope * x, also in the gradient at 0.  Source: Keras leaky_relu."""
    x = as_float(x)
    return where(greater(x, 0.0), x, multiply(x, negative_slope))


def elu(x: Like, alpha: float = 1.0) -> Value:
    """x where positive, else alpha * (exp(x) - 1).  Source: Clevert et al. 2016; Keras elu."""
    x = as_float(x)
    return where(greater(x, 0.0), x, multiply(alpha, expm1(where(greater(x, 0.0), 0.0, x))))


def selu(x: Like) -> Value:
    """scale * elu(x, alpha), scale and alpha so chosen that mean 0 and variance 1 stay from layer to layer.

    Source: Klambauer et al. 2017, equation 2; Keras selu.
    """
    return multiply(SELU_SCALE, elu(x, SELU_ALPHA))


def celu(x: Like, alpha: float = 1.0) -> Value:
    """x where positive, else alpha * (exp(x / alpha) - 1): elu with slope 1 at 0 for every alpha.

    Raises ArgumentError for alpha 0.  Source: Barron 2017; Keras celu.
    """
    if isinstance(alpha, (int, float)) and alpha == 0:
        raise ArgumentError(f"celu: alpha must not be 0, got {alpha!r}.")
    x = as_float(x)
    below = where(greater(x, 0.0), 0.0, x)
    return where(greater(x, 0.0), x, multiply(alpha, expm1(divide(below, alpha))))


def gelu(x: Like, approximate: bool = False) -> Value:
    """x times the share of a standard normal below x: x (1 + erf(x / sqrt(2))) / 2.

    approximate: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    Source: Hendrycks and Gimpel 2016, section 2; Keras gelu.
    """
    x = as_float(x)
    if not approximate:
        return multiply(multiply(x, 0.5), add(erf(multiply(x, math.sqrt(0.5))), 1.0))
    near = clip(x, -30.0, 30.0)  # beyond, tanh is 1 or -1 long since, and the cube would overflow float16
    cubic = multiply(near, add(1.0, multiply(0.044715, square(near))))
    return multiply(multiply(x, 0.5), add(1.0, tanh(multiply(math.sqrt(2 / math.pi), cubic))))


def silu(x: Like) -> Value:
    """x * sigmoid(x), also called swish.  Source: Ramachandran et al. 2017; Keras silu."""
    x = as_float(x)
    return multiply(x, sigmoid(x))


def mish(x: Like) -> Value:
    """x * tanh(softplus(x)).  Source: Misra 2019; Keras mish."""
    x = as_float(x)
    return multiply(x, tanh(softplus(x)))


def hard_sigmoid(x: Like) -> Value:
    """relu6(x + 3) / 6: straight lines near sigmoid.  Source: Keras hard_sigmoid."""
    return multiply(relu6(add(as_float(x), 3.0)), 1 / 6)


def hard_silu(x: Like) -> Value:
    """x * hard_sigmoid(x), also called hard swish.  Source: Howard et al. 2019; Keras hard_silu."""
    x = as_float(x)
    return multiply(x, hard_sigmoid(x))


def log_sigmoid(x: Like) -> Value:
    """log(sigmoid(x)) = -softplus(-x), exact where sigmoid itself would be 0.  Source: Keras log_sigmoid."""
    return negative(softplus(negative(as_float(x))))


def sparse_sigmoid(x: Like) -> Value:
    """0 up to -1, 1 from 1 on, (x + 1) / 2 between: the slope of sparse_plus.  Source: Keras sparse_sigmoid."""
    return multiply(0.5, add(clip(as_float(x), -1.0, 1.0), 1.0))


def softplus(x: Like) -> Value:
    """log(1 + exp(x)), a smooth relu that never overflows.  Source: Glorot et al. 2011; Keras softplus."""
    x = as_float(x)
    return add(maximum(x, 0.0), log1p(exp(negative(abs(x)))))


def sparse_plus(x: Like) -> Value:
    """0 up to -1, x from 1 on, (x + 1)^2 / 4 between.  Source: Keras sparse_plus."""
    x = as_float(x)
    between = multiply(0.25, square(add(clip(x, -1.0, 1.0), 1.0)))
    return where(less(x, 1.0), where(less_equal(x, -1.0), 0.0, between), x)


def squareplus(x: Like, b: float = 4.0) -> Value:
    """(x + sqrt(x^2 + b)) / 2, a smooth relu without exp; b says how wide its bend is.

    Below 0 computed as (b / 2) / (sqrt(x^2 + b) - x), which does not cancel.
    Raises ArgumentError for b of 0 or less.  Source: Barron 2021; Keras squareplus.
    """
    _least("squareplus", "b", b, open=True)
    x = as_float(x)
    wide = cast(x, "float32") if x.dtype == "float16" else x  # whose square would overflow
    root = sqrt(add(square(wide), b))
    positive = greater(wide, 0.0)
    below = divide(0.5 * b, subtract(root, where(positive, 0.0, wide)))
    return cast(where(positive, multiply(0.5, add(wide, root)), below), x.dtype)


def softsign(x: Like) -> Value:
    """x / (1 + |x|), between -1 and 1.  Source: Bergstra et al. 2009; Keras softsign."""
    x = as_float(x)
    return divide(x, add(1.0, abs(x)))


def tanh_shrink(x: Like) -> Value:
    """x - tanh(x).  Source: Keras tanh_shrink."""
    x = as_float(x)
    return subtract(x, tanh(x))


def hard_tanh(x: Like) -> Value:
    """x kept between -1 and 1.  Source: Keras hard_tanh."""
    return clip(as_float(x), -1.0, 1.0)


def soft_shrink(x: Like, threshold: float = 0.5) -> Value:
    """x moved towards 0 by `threshold`, 0 within it.  Source: Keras soft_shrink."""
    _least("soft_shrink", "threshold", threshold)
    x = as_float(x)
    below = where(less(x, -threshold), add(x, threshold), 0.0)
    return where(greater(x, threshold), subtract(x, threshold), below)


def hard_shrink(x: Like, threshold: float = 0.5) -> Value:
    """x where |x| is above `threshold`, else 0.  Source: Keras hard_shrink."""
    _least("hard_shrink", "threshold", threshold)
    x = as_float(x)
    return where(greater(abs(x), threshold), x, 0.0)


def threshold(x: Like, threshold: float, default_value: float) -> Value:
    """x where above `threshold`, else `default_value`.  Source: Keras threshold."""
    x = as_float(x)
    return where(greater(x, threshold), x, default_value)


def glu(x: Like, axis: int = -1) -> Value:
    """a * sigmoid(b), where a and b are the two halves of x along an axis of even size.

    Raises ShapeError where the axis cannot be halved.  Source: Dauphin et al. 2017, equation 1; Keras glu.
    """
    x = as_float(x)
    axis = normal_axis(axis, x.ndim)
    size = x.shape[axis]
    if not isinstance(size, int) or size % 2:
        raise ShapeError(f"glu halves axis {axis}, which must have an even number of elements: {x.type}.")
    a, b = split(x, 2, axis)
    return multiply(a, sigmoid(b))


def sparsemax(x: Like, axis: int = -1) -> Value:
    """The nearest point to x whose elements along an axis are at least 0 and sum to 1: many are 0.

    max(x - tau, 0), where the sum over an axis of max(x - tau, 0) is 1. An element is above tau where
    the others' excess over it sums to less than 1; all pairs are compared, in memory n^2 for an axis of n.
    Source: Martins and Astudillo 2016, section 2; Keras sparsemax.
    """
    x = as_float(x)
    axis = normal_axis(axis, x.ndim)
    if axis != x.ndim - 1:
        return moveaxis(sparsemax(moveaxis(x, axis, -1)), -1, axis)
    wide = cast(x, "float32") if x.type.dtype in ("float16", "bfloat16") else x
    shifted = subtract(wide, max_(wide, -1, keepdims=True))
    near = maximum(shifted, -2.0)  # what is lower by 1 or more is never above tau
    excess = subtract(expand_dims(near, -2), expand_dims(near, -1))  # [..., element, other]
    support = less(sum_(maximum(excess, 0.0), -1), 1.0)
    count = sum_(cast(support, wide.dtype), -1, keepdims=True)
    tau = divide(subtract(sum_(where(support, shifted, 0.0), -1, keepdims=True), 1.0), count)
    return cast(where(support, subtract(shifted, tau), 0.0), x.dtype)
