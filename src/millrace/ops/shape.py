"""Operations that move elements and change none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.dims import Size as Dimension
from millrace.ir.dims import at_most, same, shape_text
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import ATOM, PRODUCT, SUM, Formula, Term, at, indices, within
from millrace.ir.types import TensorType
from millrace.ir.typeset import transposed
from millrace.ops.reduce import check_axes
from millrace.ops.sampling import bad_types, tensor, uniform


def inverse_permutation(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(axis) for axis in range(len(axes)))


@dataclass(frozen=True)
class Reshape(Primitive):
    """The same elements in the same order, under another shape.  Source: NumPy reshape."""

    moves = views = True
    shape: tuple[Dimension, ...]

    def infer(self, x: TensorType) -> TensorType:
        out = x.with_shape(*self.shape)
        if not same(x.size, out.size):
            raise ShapeError(
                f"cannot reshape {x} ({x.size} elements) to {shape_text(self.shape)} ({out.size} elements)."
            )
        return out

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(self.shape)  # type: ignore[arg-type]

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.reshape(g, x.shape)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.reshape(x, self.shape)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", len(self.shape))
        flat = "0"
        for name, size in zip(index, self.shape, strict=True):
            flat = name if flat == "0" else f"({flat}) * {size} + {name}"
        inner: list[str] = []
        rest = flat
        for size in reversed(x.shape):
            inner.insert(0, f"({rest}) % {size}")
            rest = f"({rest}) // {size}"
        return Formula(f"{at('out', index)} = {at('x', inner)}")

    def notation(self, x: str) -> str:
        return f"reshape({x}, {shape_text(self.shape)})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (2, 6))
        return [Sample(cls(s), (x,)) for s in ((12,), (3, 4), (2, 3, 2), (2, 1, 6))] + [
            Sample(cls(()), (uniform(rng, (1, 1)),))
        ]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls((5,)), "cannot reshape", tensor("float32", 2, 3))]


@dataclass(frozen=True)
class Transpose(Primitive):
    """Permute axes: axis n of the output is axis axes[n] of x.  Source: StableHLO transpose."""

    moves = True
    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if sorted(self.axes) != list(range(x.ndim)):
            raise ShapeError(
                f"transpose of {x} by axes {self.axes}: name each axis from 0 to {x.ndim - 1} exactly once."
            )
        return x.with_shape(*(x.shape[axis] for axis in self.axes))

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.transpose(x, self.axes)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.transpose(g, inverse_permutation(self.axes))

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.transpose(x, self.axes)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        return Formula(f"{at('out', index)} = {at('x', [index[n] for n in inverse_permutation(self.axes)])}")

    def notation(self, x: str) -> str:
        return f"{within(x, ATOM)}.T" if self.axes == (1, 0) else f"transpose({x}, {self.axes})"

    def latex(self, x: str) -> str:
        return transposed(x) if self.axes == (1, 0) else super().latex(x)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls((1, 0)), (uniform(rng, (2, 3)),)),
            Sample(cls((2, 0, 1)), (uniform(rng, (2, 3, 4)),)),
            Sample(cls((0, 2, 1)), (rng.integers(0, 9, (2, 3, 4), np.int32),)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((0, 0)), "exactly once", tensor("float32", 2, 3)),
            bad_types(cls((0,)), "exactly once", tensor("float32", 2, 3)),
        ]


@dataclass(frozen=True)
class Broadcast(Primitive):
    """Repeat along new axes and along axes of size 1: axis n of x becomes axis axes[n].

    Source: StableHLO broadcast_in_dim.
    """

    moves = views = True
    pointwise = True

    shape: tuple[Dimension, ...]
    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if len(self.axes) != x.ndim or list(self.axes) != sorted(set(self.axes)):
            raise ShapeError(
                f"broadcast of {x}: axes {self.axes} must rise and name one output axis for each of its own."
            )
        if any(not 0 <= axis < len(self.shape) for axis in self.axes):
            raise ShapeError(f"broadcast of {x}: axes {self.axes} do not lie in {shape_text(self.shape)}.")
        for axis, size in zip(self.axes, x.shape, strict=True):
            if size != 1 and not same(size, self.shape[axis]):
                raise ShapeError(
                    f"cannot broadcast {x} to {shape_text(self.shape)}: {size} is neither 1 nor {self.shape[axis]}."
                )
        return x.with_shape(*self.shape)

    def repeated(self, x: TensorType) -> tuple[int, ...]:
        """The output axes along which x is repeated."""
        return tuple(
            axis
            for axis, size in enumerate(self.shape)
            if axis not in self.axes or (x.shape[self.axes.index(axis)] == 1 and size != 1)
        )

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        shape = [1] * len(self.shape)
        for axis, size in zip(self.axes, x.shape, strict=True):
            shape[axis] = size
        return np.broadcast_to(x.reshape(shape), self.shape)  # type: ignore[arg-type]

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return mr.reshape(mr.sum(g, axis=self.repeated(x.type)), x.shape)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.broadcast_in_dim(x, self.shape, self.axes)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", len(self.shape))
        inner = ["0" if size == 1 else index[axis] for axis, size in zip(self.axes, x.shape, strict=True)]
        return Formula(f"{at('out', index)} = {at('x', inner)}")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls((2, 3), (1,)), (uniform(rng, (3,)),)),
            Sample(cls((2, 3), (0, 1)), (uniform(rng, (2, 1)),)),
            Sample(cls((4, 2), ()), (uniform(rng, ()),)),
            Sample(cls((2, 3, 4), (0, 2)), (uniform(rng, (1, 4)),)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((2, 3), (1,)), "cannot broadcast", tensor("float32", 4)),
            bad_types(cls((2, 3), ()), "must rise", tensor("float32", 3)),
            bad_types(cls((2, 3), (2,)), "do not lie", tensor("float32", 3)),
        ]


@dataclass(frozen=True)
class Concatenate(Primitive):
    """One after another along an axis.  Source: NumPy concatenate."""

    moves = True
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        if not types:
            raise ShapeError("concatenate needs at least one value.")
        first, total = types[0], types[0].shape[self.axis] if 0 <= self.axis < types[0].ndim else 0
        check_axes("concatenate", (self.axis,), first)
        for other in types[1:]:
            if other.dtype != first.dtype:
                raise DTypeError(f"concatenate takes one dtype, got {first} and {other}. Convert with mr.cast.")
            agree = other.ndim == first.ndim and all(
                axis == self.axis or same(a, b)
                for axis, (a, b) in enumerate(zip(first.shape, other.shape, strict=True))
            )
            if not agree:
                raise ShapeError(f"concatenate along axis {self.axis}: {first} and {other} differ elsewhere too.")
            total = total + other.shape[self.axis]
        return first.with_shape(*first.shape[: self.axis], total, *first.shape[self.axis + 1 :])

    def evaluate(self, *arrays: np.ndarray) -> np.ndarray:
        return np.concatenate(arrays, axis=self.axis)

    def gradient(self, mr: Any, g: Value, out: Value, *inputs: Value) -> Any:
        parts, start = [], 0
        for x in inputs:
            size = x.shape[self.axis]
            parts.append(mr.slice_axis(g, self.axis, start, start + size))
            start = start + size
        return tuple(parts)

    def lower(self, low: Any, *arrays: Any) -> Any:
        return low.lax.concatenate(arrays, self.axis)

    def formula(self, *types: TensorType) -> Formula:
        index = indices("i", types[0].ndim)
        text = ""
        start: Dimension = 0
        for n, x in enumerate(types):
            inner = [f"{name} - {start}" if axis == self.axis and start else name for axis, name in enumerate(index)]
            start += x.shape[self.axis]
            last = n == len(types) - 1
            text += at(f"x{n}", inner) + ("" if last else f" if {index[self.axis]} < {start} else ")
        return Formula(f"{at('out', index)} = {text}")

    def notation(self, *operands: str) -> str:
        return f"concatenate([{', '.join(operands)}], axis={self.axis})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls(0), (uniform(rng, (2, 3)), uniform(rng, (1, 3)))),
            Sample(cls(1), (uniform(rng, (2, 3)), uniform(rng, (2, 1)), uniform(rng, (2, 2)))),
            Sample(cls(0), (uniform(rng, (2,)),)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(0), "at least one"),
            bad_types(cls(0), "differ elsewhere", tensor("float32", 2, 3), tensor("float32", 2, 4)),
            bad_types(cls(0), "one dtype", tensor("float32", 2), tensor("int32", 2)),
            bad_types(cls(1), "axes must be", tensor("float32", 2), tensor("float32", 2)),
        ]


def slice_length(start: Dimension, stop: Dimension, step: int) -> Dimension:
    return (stop - start + (step - 1)) // step


@dataclass(frozen=True)
class Slice(Primitive):
    """From start up to, not including, stop, in steps, along every axis.  Source: StableHLO slice."""

    moves = True
    start: tuple[Dimension, ...]
    stop: tuple[Dimension, ...]
    step: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        if not len(self.start) == len(self.stop) == len(self.step) == x.ndim:
            raise ShapeError(f"slice of {x}: give start, stop and step for each of its {x.ndim} axes.")
        for axis, (start, stop, step, size) in enumerate(zip(self.start, self.stop, self.step, x.shape, strict=True)):
            if step < 1:
                raise ShapeError(f"slice of {x}: the step of axis {axis} is {step}, it must be at least 1.")
            if not (at_most(0, start) and at_most(start, stop) and at_most(stop, size)):
                raise ShapeError(f"slice {start}:{stop} of axis {axis} does not lie inside {x}.")
        lengths = (slice_length(*bounds) for bounds in zip(self.start, self.stop, self.step, strict=True))
        return x.with_shape(*lengths)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x[tuple(slice(*bounds) for bounds in zip(self.start, self.stop, self.step, strict=True))]

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        low: list[Any] = []
        high: list[Any] = []
        interior: list[int] = []
        for start, step, size, length in zip(self.start, self.step, x.shape, g.shape, strict=True):
            used = (length - 1) * step + 1 if length != 0 else 0
            low.append(start)
            high.append(size - start - used)
            interior.append(step - 1)
        return Pad(tuple(low), tuple(high), tuple(interior), 0.0)(g)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.slice(x, self.start, self.stop, self.step)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        inner = [f"{a} + {n} * {s}" for a, n, s in zip(self.start, index, self.step, strict=True)]
        return Formula(f"{at('out', index)} = {at('x', inner)}")

    def notation(self, x: str) -> str:
        steps = (f":{step}" if step != 1 else "" for step in self.step)
        spans = (f"{a}:{b}{s}" for a, b, s in zip(self.start, self.stop, steps, strict=True))
        return f"{within(x, ATOM)}[{', '.join(spans)}]"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (4, 7))
        return [
            Sample(cls((1, 0), (3, 7), (1, 1)), (x,)),
            Sample(cls((0, 1), (4, 7), (2, 3)), (x,)),
            Sample(cls((0, 2), (4, 2), (1, 1)), (x,)),
            Sample(cls((3, 6), (4, 7), (5, 5)), (x,)),
        ]

    @classmethod
    def errors(cls) -> list:
        x = tensor("float32", 4)
        return [
            bad_types(cls((0,), (5,), (1,)), "does not lie inside", x),
            bad_types(cls((3,), (2,), (1,)), "does not lie inside", x),
            bad_types(cls((0,), (4,), (0,)), "at least 1", x),
            bad_types(cls((0, 0), (4, 4), (1, 1)), "each of its 1 axes", x),
        ]


@dataclass(frozen=True)
class Pad(Primitive):
    """Surround with a fill value, and put `interior` of it between neighbours.  Source: StableHLO pad."""

    moves = True
    low: tuple[int, ...]
    high: tuple[int, ...]
    interior: tuple[int, ...]
    fill: float = 0.0

    def infer(self, x: TensorType) -> TensorType:
        if not len(self.low) == len(self.high) == len(self.interior) == x.ndim:
            raise ShapeError(f"pad of {x}: give low, high and interior for each of its {x.ndim} axes.")
        sizes = []
        for size, low, high, interior in zip(x.shape, self.low, self.high, self.interior, strict=True):
            if any(isinstance(n, int) and n < 0 for n in (low, high, interior)):
                raise ShapeError(
                    f"pad of {x}: low {self.low}, high {self.high} and interior {self.interior} cannot be negative."
                )
            between = (size - 1) * interior if size != 0 else 0
            sizes.append(size + between + low + high)
        return x.with_shape(*sizes)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        shape: Any = self.infer(TensorType.of(x)).shape
        out = np.full(shape, self.fill, x.dtype)
        out[self._data(x.shape)] = x
        return out

    def _data(self, shape: tuple[Any, ...]) -> tuple[slice, ...]:
        """Where the data lies in the padded array."""
        spans = zip(self.low, shape, self.interior, strict=True)
        return tuple(slice(a, a + (n - 1) * (i + 1) + 1 if n else a, i + 1) for a, n, i in spans)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        if x.type.is_concrete and x.type.size == 0:
            return mr.zeros_like(x)
        data = self._data(x.shape)
        return Slice(tuple(s.start for s in data), tuple(s.stop for s in data), tuple(s.step for s in data))(g)

    def lower(self, low: Any, x: Any) -> Any:
        fill = low.jnp.asarray(self.fill, x.dtype)
        return low.lax.pad(x, fill, tuple(zip(self.low, self.high, self.interior, strict=True)))

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        inner, conditions = [], []
        for name, a, i, size in zip(index, self.low, self.interior, x.shape, strict=True):
            inner.append(f"({name} - {a}) // {i + 1}")
            conditions.append(f"0 <= {name} - {a} < {(size - 1) * (i + 1) + 1}")
            if i:
                conditions.append(f"({name} - {a}) % {i + 1} == 0")
        return Formula(
            f"{at('out', index)} = {at('x', inner)} if {' and '.join(conditions) or 'True'} else {self.fill}"
        )

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (2, 3))
        return [
            Sample(cls((1, 0), (0, 2), (0, 0)), (x,)),
            Sample(cls((0, 1), (1, 0), (2, 1), -1.5), (x,)),
            Sample(cls((0, 0), (0, 0), (0, 0)), (x,)),
            Sample(cls((1,), (1,), (0,), 7.0), (np.arange(3, dtype=np.int32),)),
        ]

    @classmethod
    def errors(cls) -> list:
        x = tensor("float32", 4)
        return [
            bad_types(cls((-1,), (0,), (0,)), "cannot be negative", x),
            bad_types(cls((1, 1), (0, 0), (0, 0)), "each of its 1 axes", x),
        ]


@dataclass(frozen=True)
class Reverse(Primitive):
    """The elements in opposite order along axes.  Source: NumPy flip."""

    moves = True
    axes: tuple[int, ...]

    def infer(self, x: TensorType) -> TensorType:
        check_axes("reverse", self.axes, x)
        return x

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.flip(x, self.axes)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return Reverse(self.axes)(g)

    def lower(self, low: Any, x: Any) -> Any:
        return low.lax.rev(x, self.axes)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        inner = [f"{x.shape[a]} - 1 - {n}" if a in self.axes else n for a, n in enumerate(index)]
        return Formula(f"{at('out', index)} = {at('x', inner)}")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (2, 3))
        return [Sample(cls((0,)), (x,)), Sample(cls((0, 1)), (x,)), Sample(cls((1,)), (x,))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls((1,)), "axes must be", tensor("float32", 3))]


@dataclass(frozen=True)
class Size(Primitive):
    """A dimension as a value, such as the number of examples in the batch, as an int32.

    Source: StableHLO get_dimension_size.
    """

    moves = True
    of: Dimension

    def infer(self) -> TensorType:
        if isinstance(self.of, int) and self.of < 0:
            raise ShapeError(f"a size cannot be negative, got {self.of}.")
        return TensorType("int32", ())

    def evaluate(self) -> np.ndarray:
        return np.int32(self.of)  # type: ignore[return-value,arg-type]

    def gradient(self, mr: Any, g: Value, out: Value) -> Any:
        return ()

    def lower(self, low: Any) -> Any:
        return low.jnp.asarray(self.of, np.int32)

    def formula(self) -> Formula:
        return Formula(f"out[()] = {self.of}")

    def notation(self) -> str:
        text = str(self.of)
        return Term(text, SUM if "+" in text or "-" in text else PRODUCT if "*" in text else ATOM)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(n), ()) for n in (1, 128)]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(-1), "cannot be negative")]
