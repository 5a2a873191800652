"""Output heads: what turns a network's last numbers into an answer.

| the question | head | loss |
|---|---|---|
| which one of several classes? | Softmax | categorical cross-entropy |
| the same, but log-probabilities are what is used next | LogSoftmax | its mean, negated |
| yes or no; or several labels, each yes or no | Sigmoid | binary cross-entropy |
| how much? | none: Dense(units) | mean squared error |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.layers.arguments import axis_number, number
from millrace.layers.base import Layer


class Softmax(Layer):
    """Probabilities: positive numbers that sum to 1 along an axis: for one class out of several.

    out_i = exp(x_i / temperature) / sum_j exp(x_j / temperature). A temperature below 1 makes the answer
    surer, above 1 more even; it changes no order of the classes. Any shape, kept; a `mask` (bool, like x)
    leaves positions out, and gives 0 where none is left. Train with categorical cross-entropy.

    Raises ArgumentError for a temperature that is not above 0.
    Source: Keras Softmax; Bridle 1990; Hinton et al. 2015 (temperature).
    """

    supports_masking = True

    def __init__(self, axis: int = -1, temperature: float = 1.0, **common: Any):
        super().__init__(**common)
        self.axis, self.temperature = axis_number(axis), number(temperature, "temperature", 0, open_low=True)

    def call(self, x: Value, mask: Value | None = None) -> Value:
        scores = _tempered(x, self.temperature)
        if mask is None or mask.ndim < x.ndim:  # a mask of steps: it goes on, but the classes of a step stay
            return mr.softmax(scores, self.axis)
        last, there = (mr.moveaxis(v, self.axis, -1) for v in (scores, mask))
        return mr.moveaxis(mr.masked_softmax(last, there), -1, self.axis)

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return masks[0] if masks and masks[0] is not None and masks[0].ndim < inputs[0].ndim else None


class LogSoftmax(Layer):
    """Logarithms of probabilities: x - log sum exp x, exact where a probability itself would be 0.

    For scores that are added up (a sentence's words) or compared; exp of it is Softmax. Any shape, kept.

    Raises as Softmax.  Source: PyTorch LogSoftmax; Goodfellow et al. 2016, section 6.2.2.3.
    """

    supports_masking = True

    def __init__(self, axis: int = -1, temperature: float = 1.0, **common: Any):
        super().__init__(**common)
        self.axis, self.temperature = axis_number(axis), number(temperature, "temperature", 0, open_low=True)

    def call(self, x: Value) -> Value:
        return mr.log_softmax(_tempered(x, self.temperature), self.axis)


class Sigmoid(Layer):
    """A probability for each number apart: 1 / (1 + exp(-x)): for yes or no, or for several labels at once.

    The outputs need not sum to 1: each answers a question of its own. Any shape, kept. Train with binary
    cross-entropy.  Source: Keras sigmoid; Goodfellow et al. 2016, section 6.2.2.2.
    """

    supports_masking = True

    def call(self, x: Value) -> Value:
        return mr.sigmoid(x)


def _tempered(x: Value, temperature: float) -> Value:
    return x if temperature == 1 else x * (1 / temperature)
