"""Arithmetic of two operands, element by element, and the algebra that simplifies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from millrace.ir.core import Sample, Value, require_float, require_same
from millrace.ir.errors import DTypeError
from millrace.ir.formula import ATOM, POWER, PRODUCT, SUM, Term, within
from millrace.ir.rewrite import simplification
from millrace.ir.types import TensorType
from millrace.ir.typeset import quotient, raised
from millrace.ops.elementwise import Elementwise, Negative
from millrace.ops.sampling import bad_types, is_constant, tensor, uniform


class Binary(Elementwise, abstract=True):
    """Arithmetic of two operands of one dtype and shape."""

    operands: ClassVar[tuple[str, ...]] = ("x", "y")
    x_domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    y_domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    levels: ClassVar[tuple[int, ...]] = ()  # of the result, and the loosest of each operand; () prints a call
    whole = True  # whether whole numbers have it

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        require_same(self, x, y)
        if x.dtype == "bool":
            raise DTypeError(f"{self.name.lower()} takes numbers, got {x}. Convert with mr.cast(x, 'float32').")
        if not self.whole:
            require_float(self, x)
        return x

    def notation(self, x: str, y: str) -> str:
        if not self.levels:
            return f"{self.name.lower()}({x}, {y})"
        own, left, right = self.levels
        return Term(f"{within(x, left)} {self.law.split()[1]} {within(y, right)}", own)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for shape, dtype in (((3, 4), "float32"), ((), "float32"), ((2, 5), "float64")):
            x, y = uniform(rng, shape, *cls.x_domain, dtype), uniform(rng, shape, *cls.y_domain, dtype)
            made.append(Sample(cls(), (x, np.where(np.abs(x - y) < 0.1, y + 0.3, y).astype(dtype))))
        if cls.whole:
            made.append(Sample(cls(), (rng.integers(-5, 6, (4,), np.int32), rng.integers(1, 6, (4,), np.int32))))
        return made

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "one shape", tensor("float32", 3), tensor("float32", 4)),
            bad_types(cls(), "one dtype", tensor("float32", 3), tensor("float64", 3)),
            bad_types(cls(), "takes numbers", tensor("bool", 3), tensor("bool", 3)),
        ]


@dataclass(frozen=True)
class Add(Binary):
    """The sum: out = x + y.  Source: NumPy add."""

    law = "{x} + {y}"
    levels = (SUM, SUM, SUM)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.add(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return g, g

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.add(x, y)


@dataclass(frozen=True)
class Subtract(Binary):
    """The difference: out = x - y.  Source: NumPy subtract."""

    law = "{x} - {y}"
    levels = (SUM, SUM, PRODUCT)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.subtract(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return g, mr.negative(g)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.sub(x, y)


@dataclass(frozen=True)
class Multiply(Binary):
    """The product: out = x * y.  Source: NumPy multiply."""

    law = "{x} * {y}"
    levels = (PRODUCT, PRODUCT, PRODUCT)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.multiply(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return g * y, g * x

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.mul(x, y)


@dataclass(frozen=True)
class Divide(Binary):
    """The quotient of floating-point values: out = x / y.  Source: NumPy divide."""

    law = "{x} / {y}"
    levels = (PRODUCT, PRODUCT, POWER)
    y_domain = (0.5, 2.0)
    whole = False

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.divide(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return g / y, -g * out / y

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.div(x, y)

    def latex(self, x: str, y: str) -> str:
        return quotient(x, y)


@dataclass(frozen=True)
class Power(Binary):
    """x to the power y: out = x^y, NaN for x below 0 and a fractional y.  Source: NumPy power."""

    law = "{x} ** {y}"
    x_domain = (0.3, 2.0)
    whole = False

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.power(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        positive = mr.greater(x, 0.0)  # at x = 0 the limit of x^y log x is 0, and log would say -inf
        safe = mr.where(positive, x, 1.0)
        along_x = mr.where(mr.equal(y, 0.0), 0.0, g * y * mr.power(x, y - 1.0))  # 0^0 does not change with x
        return along_x, mr.where(positive, g * out * mr.log(safe), 0.0)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.pow(x, y)

    def notation(self, x: str, y: str) -> str:
        return Term(f"{within(x, ATOM)}^{within(y, ATOM)}", POWER)

    def latex(self, x: str, y: str) -> str:
        return raised(x, y)


@dataclass(frozen=True)
class Maximum(Binary):
    """The greater of the two; equal ones share the gradient.  Source: NumPy maximum."""

    law = "max({x}, {y})"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.maximum(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return _to_the_chosen(mr, g, x, y, mr.greater)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.max(x, y)

    def notation(self, x: str, y: str) -> str:
        return f"maximum({x}, {y})"


@dataclass(frozen=True)
class Minimum(Binary):
    """The lesser of the two; equal ones share the gradient.  Source: NumPy minimum."""

    law = "min({x}, {y})"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.minimum(x, y)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return _to_the_chosen(mr, g, x, y, mr.less)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.min(x, y)

    def notation(self, x: str, y: str) -> str:
        return f"minimum({x}, {y})"


def _to_the_chosen(mr: Any, g: Value, x: Value, y: Value, better: Any) -> tuple[Value, Value]:
    half = mr.where(mr.equal(x, y), 0.5 * g, 0.0)
    return mr.where(better(x, y), g, half), mr.where(better(y, x), g, half)


@simplification("x + 0 = x", Add)
def add_zero(mr: Any, op: Add, x: Value, y: Value) -> Value | None:
    """Adding zero changes nothing."""
    return x if is_constant(y, 0) else y if is_constant(x, 0) else None


@simplification("x - 0 = x", Subtract)
def subtract_zero(mr: Any, op: Subtract, x: Value, y: Value) -> Value | None:
    """Subtracting zero changes nothing."""
    return x if is_constant(y, 0) else None


@simplification("x * 1 = x", Multiply)
def multiply_one(mr: Any, op: Multiply, x: Value, y: Value) -> Value | None:
    """Multiplying by one changes nothing."""
    return x if is_constant(y, 1) else y if is_constant(x, 1) else None


@simplification("x / 1 = x", Divide)
def divide_one(mr: Any, op: Divide, x: Value, y: Value) -> Value | None:
    """Dividing by one changes nothing."""
    return x if is_constant(y, 1) else None


@simplification("-(-x) = x", Negative)
def negative_twice(mr: Any, op: Negative, x: Value) -> Value | None:
    """Two negations cancel."""
    return x.node.inputs[0] if isinstance(x.op, Negative) else None


@simplification("x + -y = x - y", Add)
def add_negative(mr: Any, op: Add, x: Value, y: Value) -> Value | None:
    """Adding a negative is subtracting."""
    if isinstance(y.op, Negative):
        return mr.subtract(x, y.node.inputs[0])
    return mr.subtract(y, x.node.inputs[0]) if isinstance(x.op, Negative) else None
