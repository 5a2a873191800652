"""Reductions: many elements become one along some axes; and the running sum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Primitive, Sample, Value, none, require_float
from millrace.ir.dims import product
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.rewrite import simplification
from millrace.ir.types import HALVES, TensorType
from millrace.ir.typeset import axes_below, called
from millrace.ir.work import elements
from millrace.ops.sampling import bad_types, distinct, tensor, uniform


def check_axes(name: str, axes: tuple[int, ...], x: TensorType) -> None:
    """Axes in range, ascending, none twice."""
    if any(not 0 <= axis < x.ndim for axis in axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"{name} over axes {axes} of {x}: axes must be different and between 0 and {x.ndim - 1}.")


def reduced(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    return x.with_shape(*(size for axis, size in enumerate(x.shape) if axis not in axes))


def among_routines(low: Any, x: Any) -> bool:
    """Whether a routine may fold x that would gain nothing by itself, but keeps what is around it together."""
    return bool(low.bundled) and low.has_routine(x) and x.size > 0


def reduction_formula(fold: str, x: TensorType, axes: tuple[int, ...], element: str = "{}") -> Formula:
    """`out[i] = fold(element(x[i, p]) for p in range(...))`."""
    kept = iter(indices("i", x.ndim - len(axes)))
    folded = iter(indices("p", len(axes)))
    index = [next(folded) if axis in axes else next(kept) for axis in range(x.ndim)]
    loops = "".join(f" for {index[axis]} in range({x.shape[axis]})" for axis in sorted(axes))
    out = [name for axis, name in enumerate(index) if axis not in axes]
    body = element.format(at("x", index))
    return Formula(f"{at('out', out)} = {fold}({body}{loops})" if axes else f"{at('out', out)} = {body}")


def over(axes: tuple[int, ...]) -> str:
    """The axes of a fold as it is typed; nothing where it folds none."""
    return f", axis={axes[0] if len(axes) == 1 else axes}" if axes else ""


class Reduction(Primitive, abstract=True):
    """A fold over some axes, which vanish from the shape."""

    fold: ClassVar[str]
    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        check_axes(self.name.lower(), self.axes, x)
        return reduced(x, self.axes)

    def flop(self, x: TensorType) -> int:
        return elements(x)

    def formula(self, x: TensorType) -> Formula:
        return reduction_formula(self.fold, x, self.axes)

    def notation(self, x: str) -> str:
        return f"{self.fold}({x}{over(self.axes)})"

    def latex(self, x: str) -> str:
        return called(self.fold, x, below=axes_below(self.axes))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        axes: tuple[tuple[int, ...], ...] = ((0,), (1,), (0, 2), (0, 1, 2), ())
        made = [Sample(cls(a), (distinct(rng, (2, 3, 2)),)) for a in axes]  # type: ignore[call-arg]
        return [*made, Sample(cls((0,)), (distinct(rng, (5, 2), "float64"),))]  # type: ignore[call-arg]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((2,)), "axes must be", tensor("float32", 3, 4)),  # type: ignore[call-arg]
            bad_types(cls((0, 0)), "axes must be", tensor("float32", 3, 4)),  # type: ignore[call-arg]
        ]


@dataclass(frozen=True)
class Sum(Reduction):
    """The sum over axes.  Source: NumPy sum."""

    accumulates = True

    axes: tuple[int, ...]
    fold = "sum"

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype == "bool":
            raise DTypeError(f"sum takes numbers, got {x}. Convert with mr.cast(x, 'int32').")
        return super().infer(x)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.sum(x, axis=self.axes, dtype=x.dtype)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.spread(g, x, self.axes)

    def lower(self, low: Any, x: Any) -> Any:
        if among_routines(low, x) and self.axes == tuple(range(x.ndim - 1)) and x.ndim > 1:
            return low.routine("column_sums", x.shape[-1:], x)
        if among_routines(low, x) and self.axes == (x.ndim - 1,):
            return low.routine("row_sums", x.shape[:-1], x)
        # As a product with ones a bias's gradient takes 1 ms for XLA's 175 (AlexNet's conv2, batch 32, 2 cores, Zen 5).
        if low.platform == "cpu" and is_columns(x, self.axes):
            low.note("product with ones", "up to 170 times faster than a fused sum of columns on a CPU")
            return column_sums(low, x, 1.0)
        return low.jnp.sum(x, axis=self.axes, dtype=x.dtype)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        large = uniform(rng, (COLUMNS, 2, 3))
        return [*super().samples(rng), Sample(cls((0, 1)), (large,)), Sample(cls((0,)), (large.astype(np.float64),))]

    @classmethod
    def errors(cls) -> list:
        return [*super().errors(), bad_types(cls((0,)), "takes numbers", tensor("bool", 3))]


COLUMNS = 64  # from so many rows on, columns are summed by a matrix product


def is_columns(x: Any, axes: tuple[int, ...]) -> bool:
    """Whether all axes but the last are summed, and there is enough to sum for a matrix product."""
    rows = math.prod(x.shape[:-1])
    return x.dtype.name in ("float32", "float64") and axes == tuple(range(x.ndim - 1)) and rows >= COLUMNS


def column_sums(low: Any, x: Any, factor: float) -> Any:
    """The sum of each column of x times a factor, as a matrix product."""

    def added(rows: Any) -> Any:
        return low.lax.dot(low.jnp.full((1, len(rows)), factor, rows.dtype), rows, precision=low.lax.Precision.HIGHEST)

    return low.boundary(added, x.reshape(-1, x.shape[-1]))[0]


@dataclass(frozen=True)
class Product(Reduction):
    """The product over axes.  Source: NumPy prod."""

    accumulates = True

    axes: tuple[int, ...]
    fold = "product"

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype == "bool":
            raise DTypeError(f"product takes numbers, got {x}. Use mr.all for booleans.")
        return super().infer(x)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.prod(x, axis=self.axes, dtype=x.dtype)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        """Of each factor: the product of all others, found without dividing, so that zeros do no harm."""
        kept = tuple(axis for axis in range(x.ndim) if axis not in self.axes)
        order = kept + self.axes
        rows = mr.reshape(mr.transpose(x, order), (product(reduced(x.type, self.axes).shape), -1))
        count = rows.shape[1]
        if not isinstance(count, int):
            raise ShapeError(f"the gradient of a product over the named dimension {count} is not defined")
        rows_each = mr.broadcast_to(mr.expand_dims(rows, 1), (rows.shape[0], count, count))
        others = mr.prod(
            mr.where(mr.equal(mr.iota((count, count), 0), mr.iota((count, count), 1)), 1.0, rows_each), axis=2
        )
        shape = tuple(x.shape[axis] for axis in order)
        inverse = tuple(int(a) for a in np.argsort(order))
        return mr.multiply(mr.spread(g, x, self.axes), mr.transpose(mr.reshape(others, shape), inverse))

    def lower(self, low: Any, x: Any) -> Any:
        return low.jnp.prod(x, axis=self.axes, dtype=x.dtype)


class Extreme(Reduction, abstract=True):
    """The greatest or least element; elements that tie share the gradient, as in PyTorch's amax."""

    def infer(self, x: TensorType) -> TensorType:
        out = super().infer(x)
        if any(x.shape[axis] == 0 for axis in self.axes):
            raise ShapeError(f"{self.fold} over an empty axis of {x} has no value")
        return out

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        chosen = mr.cast(mr.equal(x, mr.spread(out, x, self.axes)), x.dtype)
        ties = mr.sum(chosen, axis=self.axes)
        return mr.multiply(chosen, mr.spread(g / ties, x, self.axes))

    @classmethod
    def errors(cls) -> list:
        return [*super().errors(), bad_types(cls((0,)), "empty axis", tensor("float32", 0, 2))]  # type: ignore[call-arg]


@dataclass(frozen=True)
class Max(Extreme):
    """The greatest element over axes; ties share the gradient.  Source: NumPy max, PyTorch amax."""

    axes: tuple[int, ...]
    fold = "max"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.max(x, axis=self.axes)

    def lower(self, low: Any, x: Any) -> Any:
        if among_routines(low, x) and self.axes == (x.ndim - 1,):
            return low.routine("row_maxima", x.shape[:-1], x)
        return low.jnp.max(x, axis=self.axes)


@dataclass(frozen=True)
class Min(Extreme):
    """The least element over axes; ties share the gradient.  Source: NumPy min, PyTorch amin."""

    axes: tuple[int, ...]
    fold = "min"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.min(x, axis=self.axes)

    def lower(self, low: Any, x: Any) -> Any:
        return low.jnp.min(x, axis=self.axes)


class Quantifier(Reduction, abstract=True):
    """A question about all elements over axes."""

    gradient = none("it answers yes or no: it does not change smoothly")

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype != "bool":
            raise DTypeError(f"{self.fold} takes booleans, got {x}. Compare first, as in x > 0.")
        return super().infer(x)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        axes: tuple[tuple[int, ...], ...] = ((0,), (1, 2), (0, 1, 2))
        return [Sample(cls(a), (rng.random((2, 3, 2)) < 0.6,)) for a in axes]  # type: ignore[call-arg]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((0,)), "takes booleans", tensor("float32", 3)),  # type: ignore[call-arg]
            bad_types(cls((1,)), "axes must be", tensor("bool", 3)),  # type: ignore[call-arg]
        ]


@dataclass(frozen=True)
class AnyTrue(Quantifier):
    """Whether any element holds.  Source: NumPy any."""

    axes: tuple[int, ...]
    fold = "any"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.any(x, axis=self.axes)

    def lower(self, low: Any, x: Any) -> Any:
        return low.jnp.any(x, axis=self.axes)


@dataclass(frozen=True)
class AllTrue(Quantifier):
    """Whether all elements hold.  Source: NumPy all."""

    axes: tuple[int, ...]
    fold = "all"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.all(x, axis=self.axes)

    def lower(self, low: Any, x: Any) -> Any:
        return low.jnp.all(x, axis=self.axes)


TINY = 2.0**-100  # so small that no sum of finite numbers overflows


@dataclass(frozen=True)
class AllFinite(Composite):
    """Whether no element is infinite or NaN.  Source: NumPy isfinite and all."""

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        return TensorType("bool", ())

    def expand(self, mr: Any, x: Value) -> Value:
        return mr.all(mr.isfinite(x))

    gradient = none("true or false does not change smoothly")  # type: ignore[assignment]

    def lower(self, low: Any, x: Any) -> Any:
        # An infinity or a NaN stays in the sum that it enters, so the sums of columns tell: 2.6 ms for the 7.7 of
        # isfinite and all (9216 x 4096, 2 cores, Zen 5).
        if among_routines(low, x):
            return low.routine("finite", (), x)
        if low.platform == "cpu" and is_columns(x, tuple(range(x.ndim - 1))):
            low.note("sums of columns", "3 times faster than looking at each element on a CPU")
            return low.jnp.all(low.jnp.isfinite(column_sums(low, x, TINY)))
        return super().lower(low, x)

    def formula(self, x: TensorType) -> Formula:
        return reduction_formula("all", x, tuple(range(x.ndim)), "isfinite({})")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        def sample(*shape: int, holds: float = 0.5) -> Sample:
            x = uniform(rng, shape)
            x[(0,) * len(shape)] = holds
            return Sample(cls(), (x,))

        large = np.full((COLUMNS, 2), np.finfo(np.float32).max, np.float32)
        return [
            sample(3, 2), sample(5, holds=np.inf), sample(holds=np.nan), sample(COLUMNS, 3),
            *(sample(COLUMNS, 3, holds=x) for x in (np.inf, -np.inf, np.nan)), Sample(cls(), (large,)),
        ]  # fmt: skip

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "floating-point", tensor("int32", 3))]


class ArgExtreme(Reduction, abstract=True):
    """The position of an extreme element along one axis, as int32; the first of several."""

    gradient = none("a position does not change smoothly")
    axis: int

    def infer(self, x: TensorType) -> TensorType:
        check_axes(self.fold, (self.axis,), x)
        if x.dtype == "bool" or x.shape[self.axis] == 0:
            raise DTypeError(f"{self.fold} takes a non-empty axis of numbers, got axis {self.axis} of {x}.")
        return reduced(x, (self.axis,)).with_dtype("int32")

    def formula(self, x: TensorType) -> Formula:
        return reduction_formula(self.fold, x, (self.axis,))

    def notation(self, x: str) -> str:
        return f"{self.fold}({x}, axis={self.axis})"

    def latex(self, x: str) -> str:
        return called(self.fold, x, below=axes_below(self.axis))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        make: Any = cls
        tied = rng.integers(0, 3, (3, 5)).astype("float32")
        return [Sample(make(axis), (x,)) for axis in (0, 1) for x in (tied, tied.astype("int32"))]

    @classmethod
    def errors(cls) -> list:
        make: Any = cls
        return [
            bad_types(make(2), "axes must be", tensor("float32", 3, 4)),
            bad_types(make(0), "non-empty", tensor("float32", 0, 4)),
        ]


@dataclass(frozen=True)
class ArgMax(ArgExtreme):
    """The position of the first greatest element along an axis.  Source: NumPy argmax."""

    axis: int
    fold = "argmax"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.argmax(x, axis=self.axis).astype(np.int32)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.argmax(x, self.axis, np.int32)


@dataclass(frozen=True)
class ArgMin(ArgExtreme):
    """The position of the first least element along an axis.  Source: NumPy argmin."""

    axis: int
    fold = "argmin"

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.argmin(x, axis=self.axis).astype(np.int32)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.argmin(x, self.axis, np.int32)


@dataclass(frozen=True)
class CumulativeSum(Primitive):
    """The running sum along an axis; from the end where `reverse`.  Source: NumPy cumsum."""

    accumulates = True

    axis: int
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:
        check_axes("cumulative_sum", (self.axis,), x)
        if x.dtype == "bool":
            raise DTypeError(f"cumulative_sum takes numbers, got {x}. Convert with mr.cast(x, 'int32').")
        return x

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.flip(x, self.axis) if self.reverse else x
        out = np.cumsum(x, axis=self.axis, dtype=x.dtype)
        return np.flip(out, self.axis) if self.reverse else out

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return CumulativeSum(self.axis, not self.reverse)(g)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.cumsum(x, self.axis, reverse=self.reverse)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        here = index[self.axis]
        inner = [*index[: self.axis], "p", *index[self.axis + 1 :]]
        span = f"{here}, {x.shape[self.axis]}" if self.reverse else f"{here} + 1"
        return Formula(f"{at('out', index)} = sum({at('x', inner)} for p in range({span}))")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (3, 4))
        return [Sample(cls(0), (x,)), Sample(cls(1), (x,)), Sample(cls(1, True), (x,))]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(2), "axes must be", tensor("float32", 3, 4)),
            bad_types(cls(0), "takes numbers", tensor("bool", 3)),
        ]


@dataclass(frozen=True)
class Mean(Composite):
    """The arithmetic mean over axes: the sum divided by the number of elements.  Source: NumPy mean."""

    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        require_float(self, x)
        check_axes("mean", self.axes, x)
        if any(x.shape[axis] == 0 for axis in self.axes):
            raise ShapeError(f"mean over an empty axis of {x} has no value")
        return reduced(x, self.axes)

    def expand(self, mr: Any, x: Value) -> Value:
        return self.shared(mr, mr.sum(self.roomy(mr, x), axis=self.axes), x)

    def roomy(self, mr: Any, x: Value) -> Value:
        """x in a dtype that holds sums and counts: those of many elements overflow float16."""
        return mr.cast(x, "float32") if x.dtype in HALVES else x

    def shared(self, mr: Any, total: Value, x: Value) -> Value:
        """A total divided by the number of elements of x that it is shared among, in x's dtype."""
        total = self.roomy(mr, total)
        count = mr.size(product(tuple(x.shape[axis] for axis in self.axes)), total.dtype)
        return mr.cast(mr.divide(total, count), x.dtype)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.spread(self.shared(mr, g, x), x, self.axes)

    def formula(self, x: TensorType) -> Formula:
        total = reduction_formula("sum", x, self.axes)
        count = product(tuple(x.shape[axis] for axis in self.axes))
        return Formula(f"{total.text} / {count}")

    def notation(self, x: str) -> str:
        return f"mean({x}{over(self.axes)})"

    def latex(self, x: str) -> str:
        return called("mean", x, below=axes_below(self.axes))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        axes: tuple[tuple[int, ...], ...] = ((0,), (1,), (0, 1), ())
        return [Sample(cls(a), (uniform(rng, (3, 4)),)) for a in axes]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((0,)), "floating-point", tensor("int32", 3)),
            bad_types(cls((1,)), "axes must be", tensor("float32", 3)),
            bad_types(cls((0,)), "empty axis", tensor("float32", 0, 3)),
        ]


@simplification("sum over no axes = x", Sum, Max, Min, Product)
def reduce_nothing(mr: Any, op: Any, x: Value) -> Value | None:
    """A fold over no axes is the value itself."""
    return x if not op.axes else None
