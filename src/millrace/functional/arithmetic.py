"""Functions of each element, under NumPy's names: broadcasting and promotion are added here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from millrace.functional.convert import (
    Like,
    as_value,
    broadcast_shapes,
    broadcast_to,
    cast,
    in_range,
    is_weak,
    together,
)
from millrace.ir.core import Op, Value
from millrace.ir.errors import DTypeError
from millrace.ops import arithmetic, compare, elementwise


def as_float(x: Like) -> Value:
    """x as a floating-point value: whole numbers become float32, as they would at first sight."""
    x = as_value(x)
    return x if x.type.is_float else cast(x, "float32")


def _unary(op: type[Op], name: str, convert: Any = as_float) -> Any:
    def function(x: Like) -> Value:
        return op()(convert(x))

    return _named(function, name, op)


def _binary(op: type[Op], name: str) -> Any:
    def function(x: Like, y: Like) -> Value:
        return op()(*together(x, y))

    return _named(function, name, op)


def _comparison(op: type[Op], name: str) -> Any:
    def function(x: Like, y: Like) -> Value:
        return op()(*together(reaching(x, y), reaching(y, x)))

    return _named(function, name, op)


def reaching(x: Like, y: Like) -> Like:
    """x, in int64 where it holds whole numbers whose dtype does not reach to the bare number y: uint8 beside 256."""
    if is_weak(x) or not is_weak(y):
        return x
    x = as_value(x)
    beyond = x.type.is_integer and isinstance(y, int) and not in_range(y, x.dtype)
    return cast(x, "int64") if beyond and x.dtype != "uint64" else x


def _named(function: Any, name: str, op: type[Op]) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = op.__doc__
    function.__module__ = __name__
    return function


exp = _unary(elementwise.Exp, "exp")
log = _unary(elementwise.Log, "log")
log1p = _unary(elementwise.Log1p, "log1p")
expm1 = _unary(elementwise.Expm1, "expm1")
sqrt = _unary(elementwise.Sqrt, "sqrt")
rsqrt = _unary(elementwise.Rsqrt, "rsqrt")
tanh = _unary(elementwise.Tanh, "tanh")
sigmoid = _unary(elementwise.Sigmoid, "sigmoid")
erf = _unary(elementwise.Erf, "erf")
sin = _unary(elementwise.Sin, "sin")
cos = _unary(elementwise.Cos, "cos")
floor = _unary(elementwise.Floor, "floor")
ceil = _unary(elementwise.Ceil, "ceil")
round = _unary(elementwise.Round, "round")
isfinite = _unary(compare.IsFinite, "isfinite")
stop_gradient = _unary(elementwise.StopGradient, "stop_gradient")
negative = _unary(elementwise.Negative, "negative", as_value)
abs = _unary(elementwise.Abs, "abs", as_value)
sign = _unary(elementwise.Sign, "sign", as_value)
logical_not = _unary(compare.Not, "logical_not", as_value)

add = _binary(arithmetic.Add, "add")
subtract = _binary(arithmetic.Subtract, "subtract")
multiply = _binary(arithmetic.Multiply, "multiply")
maximum = _binary(arithmetic.Maximum, "maximum")
minimum = _binary(arithmetic.Minimum, "minimum")
equal = _comparison(compare.Equal, "equal")
not_equal = _comparison(compare.NotEqual, "not_equal")
less = _comparison(compare.Less, "less")
less_equal = _comparison(compare.LessEqual, "less_equal")
greater = _comparison(compare.Greater, "greater")
greater_equal = _comparison(compare.GreaterEqual, "greater_equal")
logical_and = _binary(compare.And, "logical_and")
logical_or = _binary(compare.Or, "logical_or")
logical_xor = _binary(compare.Xor, "logical_xor")
left_shift = _binary(compare.ShiftLeft, "left_shift")
right_shift = _binary(compare.ShiftRight, "right_shift")


def divide(x: Like, y: Like) -> Value:
    """The quotient x / y; whole numbers become float32 first.  Source: NumPy divide."""
    x, y = together(*(float(n) if is_weak(n) else n for n in (x, y)))
    return arithmetic.Divide()(as_float(x), as_float(y))


def floor_divide(x: Like, y: Like) -> Value:
    """The greatest whole number that is not above x / y, in their dtype; whole numbers by 0 give 0.

    Of floats, the quotient is taken as rounded: 1 by 0.1 is 10, where NumPy, which sees that 0.1 is a little more than
    that, gives 9. Whole numbers are divided as float64: beyond 2^53 the result may be off.
    Source: NumPy floor_divide.
    """
    by_zero = not is_weak(y) or y == 0
    x, y = together(x, y)
    if x.dtype == "bool":
        raise DTypeError(f"floor_divide takes numbers, got {x.type}. Convert with mr.cast(x, 'int32').")
    if x.type.is_float:
        return floor(divide(x, y))
    quotient = cast(floor(divide(cast(x, "float64"), cast(y, "float64"))), x.dtype)
    return where(equal(y, 0), 0, quotient) if by_zero else quotient


def remainder(x: Like, y: Like) -> Value:
    """What floor division leaves, x - y floor(x / y), with the sign of y; of whole numbers by 0 it is 0.

    Of floats it is rounded, and NaN for an infinite y, where NumPy gives x.  Source: NumPy remainder.
    """
    by_zero = not is_weak(y) or y == 0
    rest = subtract(x, multiply(y, floor_divide(x, y)))
    return where(equal(y, 0), 0, rest) if by_zero and not rest.type.is_float else rest


def power(x: Like, y: Like) -> Value:
    """x to the power y; a whole-number y that is known is exact for negative x too.

    Whole numbers become float32, so that 2 to the power -1 is 0.5.  Source: NumPy power.
    """
    if isinstance(y, (int, float)) and not isinstance(y, bool) and float(y).is_integer() and math.fabs(y) < 1024:
        return elementwise.IntegerPower(int(y))(as_float(x))
    if isinstance(y, (int, float)) and y == 0.5:
        return sqrt(x)
    x, y = together(x, y)
    return arithmetic.Power()(as_float(x), as_float(y))


def square(x: Like) -> Value:
    """x times itself.  Source: NumPy square."""
    x = as_value(x)
    return elementwise.IntegerPower(2)(x) if x.type.is_float else multiply(x, x)


def reciprocal(x: Like) -> Value:
    """1 / x; whole numbers become float32 first.  Source: NumPy reciprocal."""
    return divide(1.0, x)


def clip(x: Like, low: Like = None, high: Like = None) -> Value:
    """x kept between low and high, None for no bound; the gradient passes at the bounds.

    A bound of NaN is none, where NumPy's result is NaN.  Source: NumPy clip.
    """
    x = as_value(x)
    if x.type.is_integer:  # a bound that no number of the dtype can cross is none
        low = None if isinstance(low, int) and low < np.iinfo(x.dtype).min else low
        high = None if isinstance(high, int) and high > np.iinfo(x.dtype).max else high
    x = x if low is None else where(less(x, low), low, x)
    return x if high is None else where(greater(x, high), high, x)


def isnan(x: Like) -> Value:
    """Whether x is not a number.  Source: NumPy isnan."""
    x = as_float(x)
    return not_equal(x, x)


def where(condition: Like, x: Like, y: Like) -> Value:
    """x where the condition holds, else y.  Source: NumPy where."""
    condition = as_value(condition)
    x, y = together(x, y)
    shape = broadcast_shapes(condition.shape, x.shape)
    return compare.Select()(*(broadcast_to(part, shape) for part in (condition, x, y)))
