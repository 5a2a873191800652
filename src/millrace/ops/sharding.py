"""How a value lies over the devices of a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.mesh import OPEN
from millrace.ir.rewrite import simplification
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform


@dataclass(frozen=True)
class Shard(Primitive):
    """x itself, split over the devices of a mesh as its axes say.

    axes: for each axis of x the axis of the mesh over which it is split, None where each device has it whole, "*"
    where the compiler may choose. Numbers stay the same: on one device, or in a mesh without these axes, nothing
    happens. Where a split value becomes whole, the devices send each other their parts.
    Source: Xu et al. 2021, GSPMD, section 3; JAX lax.with_sharding_constraint.
    """

    moves = views = True
    pointwise = True

    axes: tuple[str | None, ...]

    def infer(self, x: TensorType) -> TensorType:
        if len(self.axes) != x.ndim:
            raise ShapeError(f"shard takes a mesh axis, None or {OPEN!r} for each axis of x; got {self.axes} for {x}.")
        named = [axis for axis in self.axes if axis not in (None, OPEN)]
        if len(named) != len(set(named)):
            raise ShapeError(f"shard can split one axis of x over a mesh axis, not two: {self.axes} for {x}.")
        return x

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        # Where parts came together, what comes back may be split again at once, and so is added up only there.
        return Shard(self.axes)(g) if any(axis not in (None, OPEN) for axis in self.axes) else g

    def lower(self, low: Any, x: Any) -> Any:
        return low.shard(x, self.axes)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        return Formula(f"{at('out', index)} = {at('x', index)}")

    def notation(self, x: str) -> str:
        named = [axis for axis in self.axes if axis not in (None, OPEN)]
        return f"split({x}, over {', '.join(map(str, named))})" if named else f"whole({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(cls((OPEN, "tower")), (uniform(rng, (2, 4)),)),
            Sample(cls((None,)), (np.array([1, 2], np.uint32),)),
        ]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((None,)), "for each axis", tensor("float32", 2, 2)),
            bad_types(cls(("tower", "tower")), "not two", tensor("float32", 2, 2)),
        ]


@simplification("shard on one device = x", Shard)
def unsplit(mr: Any, op: Shard, x: Value) -> Value | None:
    """without a mesh nothing is split: a value stands for itself"""
    return x
