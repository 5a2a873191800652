"""Comparison, logic on booleans and bits, choosing between values, and converting their dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from millrace.ir.core import Primitive, Sample, Value, none, require_same
from millrace.ir.errors import DTypeError
from millrace.ir.formula import ATOM, COMPARISON, SUM, Formula, Term, at, indices, within
from millrace.ir.rewrite import simplification
from millrace.ir.types import DTYPES, FLOATS, TensorType, dtype_name, is_float_array
from millrace.ir.typeset import chosen, enclosed
from millrace.ops.arithmetic import Binary
from millrace.ops.elementwise import Elementwise
from millrace.ops.sampling import bad_types, is_constant, tensor, uniform


class Comparison(Binary, abstract=True):
    """A question about two operands, answered element by element."""

    gradient = none("a comparison answers yes or no: it does not change smoothly")
    levels = (COMPARISON, SUM, SUM)

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        require_same(self, x, y)
        return x.with_dtype("bool")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x, y = (rng.integers(-2, 3, (3, 4)) for _ in range(2))
        return [Sample(cls(), (x.astype(d), y.astype(d))) for d in ("float32", "int32", "bool", "uint8")]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "one shape", tensor("float32", 3), tensor("float32", 4)),
            bad_types(cls(), "one dtype", tensor("float32", 3), tensor("int32", 3)),
        ]


@dataclass(frozen=True)
class Equal(Comparison):
    """Whether x equals y.  Source: NumPy equal."""

    law = "{x} == {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.equal(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.eq(x, y)


@dataclass(frozen=True)
class NotEqual(Comparison):
    """Whether x differs from y.  Source: NumPy not_equal."""

    law = "{x} != {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.not_equal(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.ne(x, y)


@dataclass(frozen=True)
class Less(Comparison):
    """Whether x is less than y.  Source: NumPy less."""

    law = "{x} < {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.less(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.lt(x, y)


@dataclass(frozen=True)
class LessEqual(Comparison):
    """Whether x is at most y.  Source: NumPy less_equal."""

    law = "{x} <= {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.less_equal(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.le(x, y)


@dataclass(frozen=True)
class Greater(Comparison):
    """Whether x is greater than y.  Source: NumPy greater."""

    law = "{x} > {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.greater(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.gt(x, y)


@dataclass(frozen=True)
class GreaterEqual(Comparison):
    """Whether x is at least y.  Source: NumPy greater_equal."""

    law = "{x} >= {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.greater_equal(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.ge(x, y)


class Logic(Binary, abstract=True):
    """Logic on booleans, bit by bit on whole numbers."""

    levels = (COMPARISON, ATOM, ATOM)
    gradient = none("logic does not change smoothly")
    floats_refused = "takes booleans or whole numbers"

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        require_same(self, x, *rest)
        if x.is_float:
            raise DTypeError(f"{self.name.lower()} {self.floats_refused}, got {x}. Compare first, as in x > 0.")
        return x

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x, y = (rng.integers(0, 200, (3, 4)) for _ in range(2))
        return [Sample(cls(), (x.astype(d), y.astype(d))) for d in ("int32", "uint8")] + [
            Sample(cls(), (x % 2 == 0, y % 2 == 0))
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "whole numbers", tensor("float32", 3), tensor("float32", 3)),
            bad_types(cls(), "one shape", tensor("bool", 3), tensor("bool", 4)),
        ]


@dataclass(frozen=True)
class And(Logic):
    """Both; bit by bit on whole numbers.  Source: NumPy bitwise_and."""

    law = "{x} & {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.bitwise_and(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.bitwise_and(x, y)


@dataclass(frozen=True)
class Or(Logic):
    """Either or both; bit by bit on whole numbers.  Source: NumPy bitwise_or."""

    law = "{x} | {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.bitwise_or(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.bitwise_or(x, y)


@dataclass(frozen=True)
class Xor(Logic):
    """One but not both; bit by bit on whole numbers.  Source: NumPy bitwise_xor."""

    law = "{x} ^ {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.bitwise_xor(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.bitwise_xor(x, y)

    def notation(self, x: str, y: str) -> str:
        return f"xor({x}, {y})"


@dataclass(frozen=True)
class Not(Logic):
    """The opposite; every bit inverted on whole numbers.  Source: NumPy invert."""

    law = "~{x}"
    operands: ClassVar[tuple[str, ...]] = ("x",)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        operand = at("x", index)
        if x.dtype.startswith("uint"):
            return Formula(f"{at('out', index)} = {2 ** int(x.dtype[4:]) - 1} - {operand}")
        return Formula(f"{at('out', index)} = {'not ' if x.dtype == 'bool' else '~'}{operand}")

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.invert(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.bitwise_not(x)

    def notation(self, x: str) -> str:
        return Term(f"not {within(x, ATOM)}", COMPARISON)

    def latex(self, x: str) -> str:
        return Term(rf"\neg {enclosed(x, ATOM)}", COMPARISON)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(), sample.inputs[:1]) for sample in super().samples(rng)]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "whole numbers", tensor("float32", 3))]


class Shift(Logic, abstract=True):
    """Moving the bits of unsigned whole numbers."""

    def infer(self, x: TensorType, *rest: TensorType) -> TensorType:
        require_same(self, x, *rest)
        if not x.dtype.startswith("uint"):
            raise DTypeError(f"{self.name} takes unsigned whole numbers, got {x}. Convert with mr.cast.")
        return x

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x, y = rng.integers(0, 2**32, (3, 4), np.uint32), rng.integers(0, 32, (3, 4), np.uint32)
        return [Sample(cls(), (x, y))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "unsigned", tensor("int32", 3), tensor("int32", 3))]


@dataclass(frozen=True)
class ShiftRight(Shift):
    """x moved right by y bits, zeros moving in: out = x >> y.  Source: NumPy right_shift."""

    law = "{x} >> {y}"

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.right_shift(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.shift_right_logical(x, y)


@dataclass(frozen=True)
class ShiftLeft(Shift):
    """x moved left by y bits, modulo 2 to the number of bits: out = x << y.  Source: NumPy left_shift."""

    law = "{x} << {y}"

    def formula(self, x: TensorType, y: TensorType) -> Formula:
        index = indices("i", x.ndim)
        return Formula(f"{at('out', index)} = ({at('x', index)} << {at('y', index)}) % {2 ** int(x.dtype[4:])}")

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.left_shift(x, y)

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return low.lax.shift_left(x, y)


@dataclass(frozen=True)
class IsFinite(Elementwise):
    """Whether x is neither infinite nor NaN.  Source: NumPy isfinite."""

    law = "isfinite({x})"
    operands = ("x",)
    gradient = none("a comparison answers yes or no: it does not change smoothly")

    def infer(self, x: TensorType) -> TensorType:
        if not x.is_float:
            raise DTypeError(f"is_finite takes floating-point values, got {x}: whole numbers are always finite.")
        return x.with_dtype("bool")

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.isfinite(x)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.is_finite(x)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(), (np.array([1, np.nan, np.inf, -np.inf, 0], np.float32),))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "floating-point", tensor("int32", 3))]


@dataclass(frozen=True)
class Select(Primitive):
    """x where the condition holds, else y.  Source: NumPy where."""

    pointwise = True

    def infer(self, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
        if condition.dtype != "bool":
            raise DTypeError(f"select takes a boolean condition, got {condition}. Compare first, as in x > 0.")
        require_same(self, x, y)
        require_same(self, condition, x.with_dtype("bool"))
        return x

    def evaluate(self, condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(condition, x, y)

    def gradient(self, mr: Any, g: Value, out: Value, condition: Value, x: Value, y: Value) -> Any:
        return None, mr.where(condition, g, 0.0), mr.where(condition, 0.0, g)

    def lower(self, low: Any, condition: Any, x: Any, y: Any) -> Any:
        return low.lax.select(condition, x, y)

    def formula(self, condition: TensorType, x: TensorType, y: TensorType) -> Formula:
        i = indices("i", x.ndim)
        return Formula(f"{at('out', i)} = {at('x', i)} if {at('condition', i)} else {at('y', i)}")

    def notation(self, condition: str, x: str, y: str) -> str:
        return f"where({condition}, {x}, {y})"

    def latex(self, condition: str, x: str, y: str) -> str:
        return chosen(condition, x, y)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        def make(shape: tuple[int, ...], dtype: str) -> Sample:
            x, y = uniform(rng, shape, dtype=dtype), uniform(rng, shape, dtype=dtype)
            return Sample(cls(), (np.asarray(rng.random(shape) < 0.5), x, y))

        return [make((3, 4), "float32"), make((), "float64"), make((5,), "int32")]

    @classmethod
    def errors(cls) -> list:
        three = tensor("float32", 3)
        return [
            bad_types(cls(), "boolean condition", three, three, three),
            bad_types(cls(), "one shape", tensor("bool", 3), three, tensor("float32", 4)),
            bad_types(cls(), "one shape", tensor("bool", 4), three, three),
        ]


@dataclass(frozen=True)
class Cast(Primitive):
    """The same numbers in another dtype; a whole number drops the fraction and stays within its limits.

    Source: NumPy astype; limits as StableHLO convert on XLA.
    """

    moves = True
    pointwise = True

    dtype: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        if not is_float_array(x) or self.dtype == "bool" or self.dtype in FLOATS:
            return x.astype(self.dtype)
        limits = np.iinfo(self.dtype)  # as XLA: NaN is 0, what does not fit becomes the nearest that does
        inside = (x > float(limits.min)) & (x < float(limits.max))
        out = np.where(inside, x, 0).astype(self.dtype)
        out = np.where(x >= float(limits.max), limits.max, out)
        return np.where(x <= float(limits.min), limits.min, out).astype(self.dtype)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.cast(g, x.dtype) if x.type.is_float and out.type.is_float else None

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.convert_element_type(x, self.dtype)

    def formula(self, x: TensorType) -> Formula:
        i = indices("i", x.ndim)
        whole = self.dtype.startswith(("int", "uint"))
        convert = (lambda v: v != 0) if self.dtype == "bool" else int if whole else float
        return Formula(f"{at('out', i)} = {self.dtype}({at('x', i)})", functions={self.dtype: convert})

    def notation(self, x: str) -> str:
        return f"{self.dtype}({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = np.array([[0, 1.5, 2.75], [3.25, 100, 0.99]])
        into = [Sample(cls(dtype), (x.astype("float32"),)) for dtype in DTYPES]
        return into + [Sample(cls("float32"), (x.astype(dtype),)) for dtype in DTYPES]

    @classmethod
    def errors(cls) -> list:
        return [(lambda: cls("complex64"), "not one of Millrace's"), (lambda: cls("float33"), "float33")]


@simplification("where(constant) = its branch", Select)
def select_known(mr: Any, op: Select, condition: Value, x: Value, y: Value) -> Value | None:
    """A condition that is known chooses now."""
    return x if is_constant(condition, True) else y if is_constant(condition, False) else None


@simplification("cast to the same dtype = x", Cast)
def cast_same(mr: Any, op: Cast, x: Value) -> Value | None:
    """A value that has the dtype already needs no conversion."""
    return x if x.dtype == op.dtype else None
