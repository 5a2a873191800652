"""Layers that draw random numbers: a state of their own, which training advances."""

from __future__ import annotations

from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.layers.arguments import number
from millrace.layers.base import Layer
from millrace.layers.initializers import current_seed


class Randomized(Layer):
    """What needs random numbers: a state, uint32[2], so that a resumed run draws the same ones.

    seed: of this layer's numbers, the seed of all layers where None.
    """

    seed: int | None = None

    def add_random(self) -> None:
        """Make the state; called by `build`."""
        state: Any = mr.random_state(current_seed() if self.seed is None else self.seed)
        self.random = self.add_weight("random", (2,), state, trainable=False)

    def draw(self, what: str = "") -> tuple[Value, str]:
        """The state for one use of the layer, which training advances, and the name of what is drawn."""
        self.add_update(self.random, mr.next_state(self.random))
        parts = (self.name, what, str(len(self.calls)))
        return mr.as_value(self.random), "/".join(part for part in parts if part)


def dropped(rate: Any, keep_prob: Any = None, name: str = "rate") -> float:
    """The share that is set to 0.  Raises ArgumentError unless it is from 0 to below 1."""
    if keep_prob is not None:
        return 1 - number(keep_prob, "keep_prob", 0, 1, open_low=True)
    return number(rate, name, 0, 1, open_high=True)
