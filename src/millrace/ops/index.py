"""Choosing elements by position, and counting positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.dims import same
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType, dtype_name
from millrace.ir.work import elements
from millrace.ops.reduce import check_axes
from millrace.ops.sampling import bad_types, tensor, uniform


def require_indices(name: str, positions: TensorType) -> None:
    if not positions.is_integer:
        raise DTypeError(f"{name} takes whole-number indices, got {positions}. Convert with mr.cast(i, 'int32').")


@dataclass(frozen=True)
class Take(Primitive):
    """Elements of x at positions along an axis; positions outside are moved to the nearest end.

    The output's shape is x's with the axis replaced by the indices' shape.
    Source: NumPy take, mode "clip".
    """

    moves = True

    axis: int

    def infer(self, x: TensorType, positions: TensorType) -> TensorType:
        check_axes("take", (self.axis,), x)
        require_indices("take", positions)
        if x.shape[self.axis] == 0:
            raise ShapeError(f"take from the empty axis {self.axis} of {x}.")
        return x.with_shape(*x.shape[: self.axis], *positions.shape, *x.shape[self.axis + 1 :])

    def evaluate(self, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return np.take(x, positions.astype(np.int64), axis=self.axis, mode="clip")

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, positions: Value) -> Any:
        return ScatterAdd(self.axis)(mr.zeros_like(x), positions, g), None

    def lower(self, low: Any, x: Any, positions: Any) -> Any:
        return low.jnp.take(x, positions, axis=self.axis, mode="clip")

    def formula(self, x: TensorType, positions: TensorType) -> Formula:
        index = indices("i", x.ndim - 1 + positions.ndim)
        chosen = at("positions", index[self.axis : self.axis + positions.ndim])
        clipped = f"min(max({chosen}, 0), {x.shape[self.axis]} - 1)"
        inner = [*index[: self.axis], clipped, *index[self.axis + positions.ndim :]]
        return Formula(f"{at('out', index)} = {at('x', inner)}")

    def notation(self, x: str, positions: str) -> str:
        return f"take({x}, {positions}, axis={self.axis})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (4, 3))
        return [
            Sample(cls(0), (x, np.array([3, 0, 0], np.int32))),
            Sample(cls(1), (x, np.array([[0, 2], [1, 1]], np.int32))),
            Sample(cls(0), (x, np.array(2, np.int64))),
            Sample(cls(0), (x, np.array([-1, 9], np.int32))),
        ]

    @classmethod
    def errors(cls) -> list:
        x, i = tensor("float32", 4), tensor("int32", 2)
        return [
            bad_types(cls(1), "axes must be", x, i),
            bad_types(cls(0), "whole-number", x, tensor("float32", 2)),
            bad_types(cls(0), "empty axis", tensor("float32", 0), i),
        ]


@dataclass(frozen=True)
class ScatterAdd(Primitive):
    """x with updates added at positions along an axis; several at one position add up.

    Positions outside are moved to the nearest end, as Take reads them.  Source: NumPy add.at.
    """

    accumulates = True

    axis: int

    def infer(self, x: TensorType, positions: TensorType, updates: TensorType) -> TensorType:
        expected = Take(self.axis).infer(x, positions)
        if updates.dtype != x.dtype:
            raise DTypeError(f"scatter_add takes one dtype, got {x} and updates {updates}. Convert with mr.cast.")
        if updates.ndim != expected.ndim or not all(
            same(*ab) for ab in zip(updates.shape, expected.shape, strict=True)
        ):
            raise ShapeError(f"scatter_add into {x} at {positions} takes updates of {expected}, got {updates}.")
        return x

    def flop(self, x: TensorType, positions: TensorType, updates: TensorType) -> int:
        return elements(updates)

    def evaluate(self, x: np.ndarray, positions: np.ndarray, updates: np.ndarray) -> np.ndarray:
        out = np.array(np.moveaxis(x, self.axis, 0))
        clipped = np.clip(positions.astype(np.int64), 0, x.shape[self.axis] - 1)
        moved = np.moveaxis(updates, range(self.axis, self.axis + positions.ndim), range(positions.ndim))
        np.add.at(out, clipped, moved)
        return np.moveaxis(out, 0, self.axis)

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, positions: Value, updates: Value) -> Any:
        return g, None, mr.take(g, positions, axis=self.axis)

    def lower(self, low: Any, x: Any, positions: Any, updates: Any) -> Any:
        jnp = low.jnp
        out = jnp.moveaxis(x, self.axis, 0)
        clipped = jnp.clip(positions.astype(np.int64), 0, x.shape[self.axis] - 1)  # in a narrow dtype the bound wraps
        moved = jnp.moveaxis(updates, tuple(range(self.axis, self.axis + positions.ndim)), tuple(range(positions.ndim)))
        return jnp.moveaxis(out.at[clipped].add(moved), 0, self.axis)

    def formula(self, x: TensorType, positions: TensorType, updates: TensorType) -> Formula:
        index = indices("i", x.ndim)
        loops = indices("p", positions.ndim)
        inner = [*index[: self.axis], *loops, *index[self.axis + 1 :]]
        spans = "".join(f" for {n} in range({size})" for n, size in zip(loops, positions.shape, strict=True))
        clipped = f"min(max({at('positions', loops)}, 0), {x.shape[self.axis]} - 1)"
        chosen = f"({at('updates', inner)} if {clipped} == {index[self.axis]} else 0)"
        total = f"sum({chosen}{spans})" if loops else chosen
        return Formula(f"{at('out', index)} = {at('x', index)} + {total}")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        x = uniform(rng, (4, 3))
        return [
            Sample(cls(0), (x, np.array([3, 0, 0], np.int32), uniform(rng, (3, 3)))),
            Sample(cls(1), (x, np.array([[0, 2], [1, 1]], np.int32), uniform(rng, (4, 2, 2)))),
            Sample(cls(1), (x, np.array(9, np.int32), uniform(rng, (4,)))),
        ]

    @classmethod
    def errors(cls) -> list:
        x, i = tensor("float32", 4, 3), tensor("int32", 2)
        return [
            bad_types(cls(0), "takes updates of", x, i, tensor("float32", 3, 3)),
            bad_types(cls(0), "one dtype", x, i, tensor("float64", 2, 3)),
            bad_types(cls(0), "whole-number", x, tensor("float32", 2), tensor("float32", 2, 3)),
        ]


@dataclass(frozen=True)
class Iota(Primitive):
    """The position along an axis: out[i, j] = i for axis 0.  Source: StableHLO iota."""

    moves = True

    shape: tuple[Any, ...]
    axis: int
    dtype: str = "int32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_name(self.dtype))

    def infer(self) -> TensorType:
        type = TensorType(self.dtype, self.shape)
        check_axes("iota", (self.axis,), type)
        if self.dtype == "bool":
            raise DTypeError("iota counts in numbers, not booleans.")
        return type

    def evaluate(self) -> np.ndarray:
        shape = [1] * len(self.shape)
        shape[self.axis] = -1
        counted = np.arange(self.shape[self.axis]).astype(self.dtype)
        return np.broadcast_to(counted.reshape(shape), self.shape)

    def gradient(self, mr: Any, g: Value, out: Value) -> Any:
        return ()

    def lower(self, low: Any) -> Any:
        return low.lax.broadcasted_iota(self.dtype, self.shape, self.axis)

    def formula(self) -> Formula:
        index = indices("i", len(self.shape))
        return Formula(f"{at('out', index)} = {index[self.axis]}")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls((3, 4), axis, dtype), ()) for axis in (0, 1) for dtype in ("int32", "float32")]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls((3,), 1), "axes must be"), bad_types(cls((3,), 0, "bool"), "numbers")]


@dataclass(frozen=True)
class OneHot(Composite):
    """1 at the position that x names along a new last axis of `depth`, 0 elsewhere.

    A position outside gives zeros everywhere.  Source: Keras one_hot.
    """

    depth: int
    dtype: str = "float32"

    def infer(self, x: TensorType) -> TensorType:
        require_indices("one_hot", x)
        if self.depth < 1:
            raise ShapeError(f"one_hot needs a depth of at least 1, got {self.depth}.")
        return TensorType(self.dtype, (*x.shape, self.depth))

    def expand(self, mr: Any, x: Value) -> Value:
        shape = (*x.shape, self.depth)
        positions, x = mr.iota(shape, x.ndim, dtype="int64"), mr.cast(x, "int64")  # a narrow dtype would wrap
        return mr.cast(mr.equal(mr.broadcast_to(mr.expand_dims(x, x.ndim), shape), positions), self.dtype)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim + 1)
        return Formula(f"{at('out', index)} = 1 if {at('x', index[:-1])} == {index[-1]} else 0")

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls(4), (np.array([3, 0, 7, -1], np.int32),)),
            Sample(cls(3, "float64"), (rng.integers(0, 3, (2, 2)),)),
            Sample(cls(2, "int32"), (np.array(1, np.uint8),)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(3), "whole-number", tensor("float32", 3)),
            bad_types(cls(0), "at least 1", tensor("int32", 3)),
        ]
