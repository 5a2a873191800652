"""What is computed once, however often it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, Value
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform


@dataclass(frozen=True)
class Once(Primitive):
    """x itself, put into memory before anything uses it.

    For what costs much and is then repeated along an axis: XLA on a CPU fuses it into its uses, and so computes it
    anew for each repetition. One field of random bits [224, 224, 3] as noise for 128 images: 4.6 ms for 148 (2 cores,
    Zen 4).
    Source: JAX lax.optimization_barrier.
    """

    moves = views = True
    pointwise = True

    def infer(self, x: TensorType) -> TensorType:
        if x.ndim < 1:
            raise ShapeError(f"once is for values that are worth memory, with at least one axis; got {x}.")
        return x

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return x

    def gradient(self, mr: Any, g: Value, out: Value, x: Value) -> Any:
        return g

    def lower(self, low: Any, x: Any) -> Any:
        return low.boundary(lambda x: x, x)

    def formula(self, x: TensorType) -> Formula:
        index = indices("i", x.ndim)
        return Formula(f"{at('out', index)} = {at('x', index)}")

    def notation(self, x: str) -> str:
        return f"once({x})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(), (uniform(rng, (2, 3)),)), Sample(cls(), (np.array([1, 2], np.uint32),))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "at least one axis", tensor("float32"))]
