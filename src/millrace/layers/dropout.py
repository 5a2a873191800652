"""Layers that disturb training so that a network does not lean on single units."""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.types import TensorType
from millrace.layers.base import Layer
from millrace.layers.initializers import current_seed


class Dropout(Layer):
    """In training, set each number to 0 with probability `rate` and divide the others by 1 - rate.

    Any shape, kept. After training it is gone: evaluation and prediction see x itself. `keep_prob` is
    1 - rate, for those who count what stays; give one of the two. The masks come from a state of the
    layer's own, uint32[2], so a saved and resumed run draws the same ones.

    Raises ArgumentError unless 0 <= rate < 1, or if both are given.
    Source: Keras Dropout; Srivastava et al. 2014; Krizhevsky et al. 2012, section 4.2.
    """

    def __init__(
        self,
        rate: float | None = None,
        keep_prob: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        if (rate is None) == (keep_prob is None):
            raise ArgumentError("Dropout takes either rate (the share set to 0) or keep_prob (the share kept).")
        if keep_prob is not None:
            if not isinstance(keep_prob, (int, float)) or not 0 < keep_prob <= 1:
                raise ArgumentError(f"keep_prob must be above 0 and at most 1, got {keep_prob!r}.")
            rate = 1 - keep_prob
        if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 <= rate < 1:
            raise ArgumentError(f"rate must be at least 0 and below 1, got {rate!r}.")
        self.rate, self.seed = float(rate), seed

    def build(self, x: TensorType) -> None:
        state: Any = mr.random_state(current_seed() if self.seed is None else self.seed)
        self.random = self.add_weight("random", (2,), state, trainable=False)

    def call(self, x: Value) -> Value:
        self.add_update(self.random, mr.next_state(self.random))
        return mr.dropout(x, self.rate, self.random, stream=f"{self.name}/{len(self.calls)}")
