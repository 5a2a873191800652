"""Functions of each element: arithmetic, activations, dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from millrace.inference.onnx.tensors import dtype_asked
from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value
from millrace.ir.types import HALVES

UNARY = {
    "Abs": "abs", "Neg": "negative", "Sign": "sign", "Ceil": "ceil", "Floor": "floor", "Round": "round", "Sqrt": "sqrt",
    "Exp": "exp", "Log": "log", "Erf": "erf", "Reciprocal": "reciprocal", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "Sin": "sin", "Cos": "cos", "Softplus": "softplus", "Softsign": "softsign", "Mish": "mish",
}  # fmt: skip


@translates(*UNARY)
def unary(mr: Any, call: Call) -> Value:
    """Functions that Millrace has under a name of its own."""
    made: Value = getattr(mr, UNARY[call.op_type])(call.value(0))
    return made


def wide(mr: Any, x: Value) -> Value:
    """x, as float32 where it has 16 bits or whole numbers."""
    return mr.cast(x, "float32") if x.dtype in HALVES or not x.type.is_float else x


def in_float(mr: Any, x: Value, function: Callable[[Value], Value]) -> Value:
    """A function that is said by others, in float32 where x has 16 bits: so each is rounded once, at the end."""
    return mr.cast(function(wide(mr, x)), x.dtype)


@translates("Tan")
def tan(mr: Any, call: Call) -> Value:
    return in_float(mr, call.value(0), lambda x: mr.sin(x) / mr.cos(x))


@translates("Sinh")
def sinh(mr: Any, call: Call) -> Value:
    """(e^x - e^-x) / 2; by expm1, which does not cancel near 0."""

    def function(x: Value) -> Value:
        grown = mr.expm1(mr.abs(x))
        return mr.sign(x) * 0.5 * (grown + mr.where(mr.isfinite(grown), grown / (grown + 1.0), 1.0))

    return in_float(mr, call.value(0), function)


@translates("Cosh")
def cosh(mr: Any, call: Call) -> Value:
    return in_float(mr, call.value(0), lambda x: 0.5 * (mr.exp(x) + mr.exp(-x)))


@translates("Asinh")
def asinh(mr: Any, call: Call) -> Value:
    """log(x + sqrt(x^2 + 1)), for |x|, with x's sign, by log1p near 0."""

    def function(x: Value) -> Value:
        a = mr.abs(x)
        return mr.sign(x) * mr.log1p(a + a * a / (1.0 + mr.sqrt(a * a + 1.0)))

    return in_float(mr, call.value(0), function)


@translates("Acosh")
def acosh(mr: Any, call: Call) -> Value:
    return in_float(mr, call.value(0), lambda x: mr.log(x + mr.sqrt(x - 1.0) * mr.sqrt(x + 1.0)))


@translates("Atanh")
def atanh(mr: Any, call: Call) -> Value:
    return in_float(mr, call.value(0), lambda x: 0.5 * (mr.log1p(x) - mr.log1p(-x)))


@translates("Relu")
def relu(mr: Any, call: Call) -> Value:
    x = call.value(0)
    return mr.relu(x) if x.type.is_float else mr.maximum(x, 0)


@translates("LeakyRelu")
def leaky_relu(mr: Any, call: Call) -> Value:
    return mr.leaky_relu(call.value(0), call.attribute("alpha", 0.01))


@translates("PRelu")
def prelu(mr: Any, call: Call) -> Value:
    x, slope = call.value(0), call.value(1)
    return mr.where(x < 0, x * slope, x)


@translates("Elu")
def elu(mr: Any, call: Call) -> Value:
    return mr.elu(call.value(0), call.attribute("alpha", 1.0))


@translates("Selu")
def selu(mr: Any, call: Call) -> Value:
    alpha, gamma = (
        call.attribute("alpha", 1.67326319217681884765625),
        call.attribute("gamma", 1.05070102214813232421875),
    )
    return gamma * mr.elu(call.value(0), alpha)


@translates("Celu")
def celu(mr: Any, call: Call) -> Value:
    return mr.celu(call.value(0), call.attribute("alpha", 1.0))


@translates("HardSigmoid")
def hard_sigmoid(mr: Any, call: Call) -> Value:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return mr.clip(call.value(0) * alpha + beta, 0.0, 1.0)


@translates("HardSwish")
def hard_swish(mr: Any, call: Call) -> Value:
    return mr.hard_silu(call.value(0))


@translates("Swish")
def swish(mr: Any, call: Call) -> Value:
    x = call.value(0)
    return x * mr.sigmoid(x * call.attribute("alpha", 1.0))


@translates("Gelu")
def gelu(mr: Any, call: Call) -> Value:
    return mr.gelu(call.value(0), call.attribute("approximate", "none") == "tanh")


@translates("ThresholdedRelu")
def thresholded_relu(mr: Any, call: Call) -> Value:
    x = call.value(0)
    return mr.where(x > call.attribute("alpha", 1.0), x, mr.zeros_like(x))


@translates("Shrink")
def shrink(mr: Any, call: Call) -> Value:
    """Moved towards 0 by `bias` beyond `lambd`, 0 within."""
    x, bias, edge = call.value(0), call.attribute("bias", 0.0), call.attribute("lambd", 0.5)
    return in_float(mr, x, lambda x: mr.where(x < -edge, x + bias, mr.where(x > edge, x - bias, 0.0)))


@translates("Clip")
def clip(mr: Any, call: Call) -> Value:
    """Bounds are attributes before version 11, inputs since."""
    x = call.value(0)
    low, high = (call.value(k) if call.has(k) else call.attribute(name) for k, name in ((1, "min"), (2, "max")))
    x = x if low is None else mr.maximum(x, low)
    return x if high is None else mr.minimum(x, high)


@translates("Add", "Sub", "Mul")
def arithmetic(mr: Any, call: Call) -> Value:
    function = {"Add": mr.add, "Sub": mr.subtract, "Mul": mr.multiply}[call.op_type]
    return function(call.value(0), call.value(1))


@translates("Div")
def divide(mr: Any, call: Call) -> Value:
    """Whole numbers drop the fraction, whatever the sign."""
    x, y = call.value(0), call.value(1)
    if x.type.is_float:
        return mr.divide(x, y)
    return truncated(mr, x, y)


def truncated(mr: Any, x: Value, y: Value) -> Value:
    """The quotient of whole numbers without its fraction."""
    if x.dtype.startswith("uint"):
        return mr.floor_divide(x, y)
    return mr.sign(x) * mr.sign(y) * mr.floor_divide(mr.abs(x), mr.abs(y))


@translates("Mod")
def modulo(mr: Any, call: Call) -> Value:
    """With the sign of the divisor; with fmod=1 with that of the dividend, as C has it."""
    x, y = call.value(0), call.value(1)
    if not call.attribute("fmod", 0):
        rest = mr.remainder(x, y)
        if not x.type.is_float:
            return rest
        beyond = mr.logical_and(mr.equal(mr.abs(y), math.inf), mr.isfinite(x))  # no multiple of it is below x
        return mr.where(beyond, mr.where(mr.sign(x) * mr.sign(y) < 0, y, x), rest)
    if x.type.is_float:
        return in_float(mr, x, lambda x: mr.sign(x) * mr.remainder(mr.abs(x), mr.abs(mr.cast(y, x.dtype))))
    return x - y * truncated(mr, x, y)


@translates("Pow")
def power(mr: Any, call: Call) -> Value:
    """In the dtype of the base."""
    x, y = call.value(0), call.value(1)
    given = call.inputs[1]
    known = isinstance(given, np.ndarray) and given.dtype != object and given.size == 1 and given.ndim <= x.ndim
    if known and x.type.is_float:  # a whole power that is known is exact below 0 as well
        return mr.power(x, given.reshape(()).item())  # type: ignore[union-attr]
    if x.type.is_float:
        return mr.cast(mr.power(x, mr.cast(y, x.dtype)), x.dtype)
    return mr.cast(mr.power(mr.cast(x, "float64"), mr.cast(y, "float64")), x.dtype)


@translates("Min", "Max", "Sum", "Mean")
def of_several(mr: Any, call: Call) -> Value:
    """One result of any number of inputs, which broadcast."""
    function = {"Min": mr.minimum, "Max": mr.maximum, "Sum": mr.add, "Mean": mr.add}[call.op_type]
    values = [call.value(k) for k in range(len(call.inputs))]
    total = reduce(function, values)
    return total * (1.0 / len(values)) if call.op_type == "Mean" and len(values) > 1 else total


@translates("Cast", "CastLike")
def cast(mr: Any, call: Call) -> Value:
    x = call.value(0)
    if call.op_type == "CastLike":
        return mr.cast(x, call.value(1).dtype)
    return mr.cast(x, dtype_asked(call, "to"))


@translates("Identity")
def identity(mr: Any, call: Call) -> Any:
    return call.inputs[0] if call.has(0) else call.value(0)


@translates("Dropout")
def dropout(mr: Any, call: Call) -> Any:
    """Nothing once training is over; its mask keeps all."""
    if call.has(2) and bool(call.known(2, "training_mode").reshape(-1)[0]):
        ratio = float(call.known(1, "ratio").reshape(-1)[0]) if call.has(1) else 0.5
        if ratio:
            raise call.refused("it drops at random, in training mode: export the model for inference")
    x = call.value(0)
    return x if call.wanted < 2 else (x, mr.full(x.shape, True, "bool"))


ANGLES = {"Asin": 0.0, "Acos": math.pi / 2, "Atan": 0.0}


def arctangent(mr: Any, x: Value) -> Value:
    """atan of x by a polynomial of its fraction: |x| is halved twice by atan(x) = 2 atan(x / (1 + sqrt(1 + x^2)))."""
    inverted = mr.abs(x) > 1.0
    small = mr.where(inverted, 1.0 / mr.where(inverted, x, 1.0), x)
    for _ in range(2):
        small = small / (1.0 + mr.sqrt(1.0 + small * small))
    square, terms = small * small, 8 if x.dtype != "float64" else 14
    total: Any = 1.0 / (2 * terms + 1)
    for n in range(terms - 1, -1, -1):
        total = 1.0 / (2 * n + 1) - square * total
    near = 4.0 * small * total
    return mr.where(inverted, mr.sign(x) * (math.pi / 2) - near, near)


@translates(*ANGLES)
def angle(mr: Any, call: Call) -> Value:
    """Millrace has no inverse of the sine: asin(x) = atan(x / sqrt(1 - x^2)), and acos is what it lacks to pi/2."""

    def function(x: Value) -> Value:
        if call.op_type == "Atan":
            return arctangent(mr, x)
        root = mr.sqrt((1.0 - x) * (1.0 + x))
        inside = 2.0 * arctangent(mr, x / (1.0 + root))
        return inside if call.op_type == "Asin" else math.pi / 2 - inside

    return in_float(mr, call.value(0), function)
