"""How much each example of a batch counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Primitive, Sample, none
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform


@dataclass(frozen=True)
class ExampleWeights(Primitive):
    """How much each example counts: out[i] = 1, where x [batch, ...] has examples; float32[batch].

    By itself all count alike. A training step puts its own weights in the place of this operation: 0 for
    the copies that fill up a short last batch, so that statistics of a batch are of real examples alone.
    Source: NumPy ones.
    """

    moves = True

    gradient = none("how much an example counts does not depend on its numbers")

    def infer(self, x: TensorType) -> TensorType:
        if x.ndim < 1:
            raise ShapeError(f"example weights need a batch axis, got {x}.")
        return TensorType("float32", x.shape[:1])

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        return np.ones(len(x), np.float32)

    def lower(self, low: Any, x: Any) -> Any:
        return low.jnp.ones(x.shape[0], np.float32)

    def formula(self, x: TensorType) -> Formula:
        return Formula("out[i0] = 1.0")

    def notation(self, x: str) -> str:
        return "example_weights"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(), (uniform(rng, shape),)) for shape in ((3,), (2, 4))]

    @classmethod
    def errors(cls) -> list:
        return [bad_types(cls(), "a batch axis", tensor("float32"))]
