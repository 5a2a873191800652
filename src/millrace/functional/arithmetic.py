"""Functions of each element, under NumPy's names: broadcasting and promotion are added here."""

from __future__ import annotations

import math
from typing import Any

from millrace.functional.convert import Like, as_value, broadcast_shapes, broadcast_to, cast, together
from millrace.ir.core import Op, Value
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
equal = _binary(compare.Equal, "equal")
not_equal = _binary(compare.NotEqual, "not_equal")
less = _binary(compare.Less, "less")
less_equal = _binary(compare.LessEqual, "less_equal")
greater = _binary(compare.Greater, "greater")
greater_equal = _binary(compare.GreaterEqual, "greater_equal")
logical_and = _binary(compare.And, "logical_and")
logical_or = _binary(compare.Or, "logical_or")
logical_xor = _binary(compare.Xor, "logical_xor")
left_shift = _binary(compare.ShiftLeft, "left_shift")
right_shift = _binary(compare.ShiftRight, "right_shift")


def divide(x: Like, y: Like) -> Value:
    """The quotient x / y; whole numbers become float32 first.  Source: NumPy divide."""
    x, y = together(x, y)
    return arithmetic.Divide()(as_float(x), as_float(y))


def floor_divide(x: Like, y: Like) -> Value:
    """The greatest whole number that is not above x / y, in their dtype.  Source: NumPy floor_divide."""
    x, y = together(x, y)
    if x.type.is_float:
        return floor(divide(x, y))
    return cast(floor(divide(cast(x, "float64"), cast(y, "float64"))), x.dtype)


def remainder(x: Like, y: Like) -> Value:
    """What floor division leaves, with the sign of y.  Source: NumPy remainder."""
    return subtract(x, multiply(y, floor_divide(x, y)))


def power(x: Like, y: Like) -> Value:
    """x to the power y; a whole-number y that is known is exact for negative x too.  Source: NumPy power."""
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
    """1 / x.  Source: NumPy reciprocal."""
    return divide(1.0, x)


def clip(x: Like, low: Like = None, high: Like = None) -> Value:
    """x kept between low and high, None for no bound; the gradient passes at the bounds.  Source: NumPy clip."""
    x = as_value(x)
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
