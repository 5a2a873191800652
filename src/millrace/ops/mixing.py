"""Examples of a batch mixed with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Sample, Value
from millrace.ir.dims import same
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform


@dataclass(frozen=True)
class MixUp(Composite):
    """Each example mixed with a partner: out[i] = share[i] x[i] + (1 - share[i]) x[partner[i]].

    x and share float, [batch, ...] and [batch] from 0 to 1, partner int32[batch], positions in the batch -> like x.
    Training alone: then it is x itself. A training step finds this operation in a model's graph, and mixes the losses
    of the two answers by the same shares.  Source: Zhang et al. 2017, mixup: beyond empirical risk minimization.
    """

    def infer(self, x: TensorType, share: TensorType, partner: TensorType) -> TensorType:
        if not x.is_float:
            raise DTypeError(f"mixup takes floating-point values, got {x}. Convert with mr.cast.")
        for name, one, kind in (("share", share, "a float"), ("partner", partner, "an int32")):
            fits = one.is_float if one is share else one.dtype == "int32"
            if not fits or one.ndim != 1 or x.ndim < 1 or not same(one.shape[0], x.shape[0]):
                raise ShapeError(f"mixup of {x} takes one {name} for each example, {kind}; got {one}.")
        return x

    def expand(self, mr: Any, x: Value, share: Value, partner: Value) -> Value:
        other = mr.reshape(mr.cast(1.0 - share, x.dtype), (x.shape[0], *(1,) * (x.ndim - 1)))
        return x + other * (mr.take(x, partner) - x)  # exactly x where the partner is x

    def inference(self, mr: Any, x: Value, share: Value, partner: Value) -> Value:
        return x

    def formula(self, x: TensorType, share: TensorType, partner: TensorType) -> Formula:
        index = indices("i", x.ndim)
        own, other = at("x", index), at("x", [f"partner[{index[0]}]", *index[1:]])
        return Formula(f"{at('out', index)} = share[{index[0]}] * {own} + (1 - share[{index[0]}]) * {other}")

    def notation(self, x: str, share: str, partner: str) -> str:
        return f"mixup({x}, {share}, {partner})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        share, partner = np.array([0.25, 1, 0.5], np.float32), np.array([2, 0, 1], np.int32)
        return [Sample(cls(), (uniform(rng, shape), share, partner)) for shape in ((3, 2), (3,), (3, 2, 2))]

    @classmethod
    def errors(cls) -> list:
        x, share, partner = tensor("float32", 3, 2), tensor("float32", 3), tensor("int32", 3)
        return [
            bad_types(cls(), "floating-point", tensor("uint8", 3, 2), share, partner),
            bad_types(cls(), "one share", x, tensor("float32", 2), partner),
            bad_types(cls(), "one share", x, tensor("int32", 3), partner),
            bad_types(cls(), "one partner", x, share, tensor("float32", 3)),
            bad_types(cls(), "one share", tensor("float32"), share, partner),
        ]
