"""Arithmetic and functions that act on each element by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from millrace.ir.core import Primitive, Sample, Value, none, require_float
from millrace.ir.errors import DTypeError
from millrace.ir.formula import ATOM, POWER, PRODUCT, SUM, Formula, Term, at, indices, within
from millrace.ir.rewrite import simplification
from millrace.ir.types import TensorType
from millrace.ir.typeset import quotient, raised
from millrace.ops.sampling import bad_types, tensor, uniform


class Elementwise(Primitive, abstract=True):
    """A family whose formula is one law for each element."""

    law: ClassVar[str]
    operands: ClassVar[tuple[str, ...]]

    pointwise = True

    def formula(self, *types: TensorType) -> Formula:
        index = indices("i", types[0].ndim)
        law = self.law_text().format(**{name: at(name, index) for name in self.operands})
        return Formula(f"{at('out', index)} = {law}")

    def law_text(self) -> str:
        return self.law


class Unary(Elementwise, abstract=True):
    """A function of one floating-point operand."""

    operands = ("x",)
    domain: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    away_from: ClassVar[tuple[float, ...]] = ()  # where the function has a kink or a step

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        return x

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.multiply(g, self.derivative(mr, out, x))

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        raise AssertionError

    def notation(self, x: str) -> str:
        return f"{self.law_text().split('(')[0]}({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        made = []
        for shape, dtype in (
            ((3, 4), "float32"),
            ((), "float32"),
            ((2, 1, 5), "float64"),
            ((0, 3), "float32"),
        ):
            x = uniform(rng, shape, *cls.domain, dtype)
            for kink in cls.away_from:
                x = np.where(np.abs(x - kink) < 0.1, x + 0.25, x).astype(dtype)
            made.append(Sample(cls(), (x,)))
        return made

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "floating-point", tensor("int32", 3))]


@dataclass(frozen=True)
class Exp(Unary):
    """The exponential: out = exp(x).  Source: NumPy exp."""

    law = "exp({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return out

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.exp(x)


@dataclass(frozen=True)
class Log(Unary):
    """The natural logarithm: out = log(x), -inf at 0, NaN below.  Source: NumPy log."""

    law = "log({x})"
    domain = (0.2, 3.0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.divide(1.0, x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.log(x)


@dataclass(frozen=True)
class Log1p(Unary):
    """log(1 + x), exact for small x.  Source: NumPy log1p."""

    law = "log1p({x})"
    domain = (-0.8, 3.0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.log1p(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.divide(1.0, x + 1.0)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.log1p(x)


@dataclass(frozen=True)
class Expm1(Unary):
    """exp(x) - 1, exact for small x.  Source: NumPy expm1."""

    law = "expm1({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.expm1(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return out + 1.0

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.expm1(x)


@dataclass(frozen=True)
class Sqrt(Unary):
    """The square root: out = sqrt(x), NaN below 0.  Source: NumPy sqrt."""

    law = "sqrt({x})"
    domain = (0.2, 3.0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.divide(0.5, out)

    def latex(self, x: str) -> str:
        return rf"\sqrt{{{x}}}"

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.sqrt(x)


@dataclass(frozen=True)
class Rsqrt(Unary):
    """The reciprocal square root: out = 1 / sqrt(x).  Source: StableHLO rsqrt."""

    law = "1 / sqrt({x})"
    domain = (0.2, 3.0)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return 1 / np.sqrt(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return -0.5 * out / x

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.rsqrt(x)

    def notation(self, x: str) -> str:
        return f"rsqrt({x})"

    def latex(self, x: str) -> str:
        return quotient("1", rf"\sqrt{{{x}}}")


@dataclass(frozen=True)
class Tanh(Unary):
    """The hyperbolic tangent: out = tanh(x), between -1 and 1.  Source: NumPy tanh."""

    law = "tanh({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return 1.0 - mr.square(out)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.tanh(x)


@dataclass(frozen=True)
class Sigmoid(Unary):
    """The logistic function: out = 1 / (1 + exp(-x)), between 0 and 1.  Source: StableHLO logistic."""

    law = "sigmoid({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))  # never overflows
        return np.where(x >= 0, 1 / (1 + small), small / (1 + small))

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return out * (1.0 - out)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.logistic(x)


@dataclass(frozen=True)
class Erf(Unary):
    """The error function: out = 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.1.
    """

    law = "erf({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        values = np.array([math.erf(v) for v in x.ravel().tolist()], x.dtype)
        return values.reshape(x.shape)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return (2.0 / math.sqrt(math.pi)) * mr.exp(-mr.square(x))

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.erf(x)


@dataclass(frozen=True)
class Sin(Unary):
    """The sine of x in radians.  Source: NumPy sin."""

    law = "sin({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.sin(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.cos(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.sin(x)


@dataclass(frozen=True)
class Cos(Unary):
    """The cosine of x in radians.  Source: NumPy cos."""

    law = "cos({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.cos(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return -mr.sin(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.cos(x)


@dataclass(frozen=True)
class Relu(Unary):
    """The rectifier: out = max(x, 0); its gradient at 0 is 0.

    Source: Krizhevsky et al. 2012, section 3.1; the gradient at 0 as PyTorch's.
    """

    law = "max({x}, 0.0)"
    away_from = (0.0,)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.cast(mr.greater(out, 0.0), x.dtype)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Value:
        return mr.where(mr.greater(out, 0.0), g, 0.0)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.max(x, low.jnp.zeros((), x.dtype))

    def notation(self, x: str) -> str:
        return f"relu({x})"


class Stepwise(Unary, abstract=True):
    """A function that is constant between its steps: its gradient is zero."""

    away_from: ClassVar[tuple[float, ...]] = (-2.0, -1.0, 0.0, 1.0, 2.0)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.zeros_like(x)


@dataclass(frozen=True)
class Floor(Stepwise):
    """The greatest whole number that is not above x.  Source: NumPy floor."""

    law = "floor({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.floor(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.floor(x)


@dataclass(frozen=True)
class Ceil(Stepwise):
    """The least whole number that is not below x.  Source: NumPy ceil."""

    law = "ceil({x})"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.ceil(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.ceil(x)


@dataclass(frozen=True)
class Round(Stepwise):
    """The nearest whole number, halves to the even one.  Source: NumPy round."""

    law = "round({x})"
    away_from = (-1.5, -0.5, 0.5, 1.5)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.round(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.round(x, low.lax.RoundingMethod.TO_NEAREST_EVEN)


@dataclass(frozen=True)
class IntegerPower(Unary):
    """x to a whole power: out = x^exponent.  Source: NumPy power."""

    accumulates = True

    exponent: int
    law = "{{x}} ** {exponent}"
    domain = (0.4, 2.0)

    def law_text(self) -> str:
        return self.law.format(exponent=self.exponent)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x**self.exponent if self.exponent >= 0 else 1 / x**-self.exponent

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        if self.exponent == 0:
            return mr.zeros_like(x)
        return float(self.exponent) * (mr.ones_like(x) if self.exponent == 1 else mr.power(x, self.exponent - 1))

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.integer_pow(x, self.exponent)

    def notation(self, x: str) -> str:
        power = str(self.exponent) if self.exponent >= 0 else f"({self.exponent})"
        return Term(f"{within(x, ATOM)}^{power}", POWER)

    def latex(self, x: str) -> str:
        return raised(x, str(self.exponent))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(n), (uniform(rng, (2, 3), *cls.domain),)) for n in (-2, -1, 0, 1, 2, 3, 7)]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(2), "floating-point", tensor("int32", 3))]


@dataclass(frozen=True)
class StopGradient(Unary):
    """The same value, taken as a constant by differentiation.  Source: Keras stop_gradient."""

    moves = views = True
    law = "{x}"

    gradient: ClassVar[Any] = none("stop_gradient keeps it constant, as you asked")

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x

    def lower(self, low: Any, x: Any) -> Any:
        return x

    def notation(self, x: str) -> str:
        return f"stop_gradient({x})"


class Signed(Unary, abstract=True):
    """A function that whole numbers have too."""

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype == "bool":
            raise DTypeError(f"{self.name.lower()} takes numbers, got {x}. Convert with mr.cast(x, 'int32').")
        return x

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [*super().samples(rng), Sample(cls(), (rng.integers(-5, 6, (2, 3), np.int32),))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "takes numbers", tensor("bool", 3))]


@dataclass(frozen=True)
class Negative(Signed):
    """The negative: out = -x.  Source: NumPy negative."""

    law = "-{x}"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.negative(x)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Value:
        return mr.negative(g)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.neg(x)

    def notation(self, x: str) -> str:
        return Term(f"-{within(x, PRODUCT)}", SUM)


@dataclass(frozen=True)
class Abs(Signed):
    """The magnitude: out = |x|; its gradient at 0 is 0.  Source: NumPy absolute."""

    law = "abs({x})"
    away_from = (0.0,)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.abs(x)

    def derivative(self, mr: Any, out: Value, x: Value) -> Value:
        return mr.sign(x)

    def latex(self, x: str) -> str:
        return rf"\left|{x}\right|"

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.abs(x)


@dataclass(frozen=True)
class Sign(Signed):
    """-1, 0 or 1, as x is below, at or above 0.  Source: NumPy sign."""

    law = "sign({x})"
    away_from = (0.0,)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.sign(x)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Value:
        return mr.zeros_like(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.sign(x)


@simplification("x^1 = x", IntegerPower)
def first_power(mr: Any, op: IntegerPower, x: Value) -> Value | None:
    """The first power is the value itself."""
    return x if op.exponent == 1 else None
