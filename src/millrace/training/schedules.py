"""Schedules by Keras's names: the learning rate as a function of the step, saved with the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.layers.arguments import number, whole
from millrace.layers.identify import identified


class LearningRateSchedule:
    """A rule from the step, a float value of the graph that is 0 at first, to the learning rate.

    A schedule of one's own defines `call(step)`, and keeps its arguments as attributes of the same names.
    A number may be given as the step, too: float(schedule(1000)).
    Source: Keras LearningRateSchedule.
    """

    known: ClassVar[dict[str, type[LearningRateSchedule]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LearningRateSchedule.known[cls.__name__] = cls

    def call(self, step: Value) -> Any:
        raise ArgumentError(f"schedule {type(self).__name__} does not define call(self, step)")

    def __call__(self, step: Any) -> Value:
        return mr.as_value(self.call(mr.cast(mr.as_value(step), "float32")), "float32")

    def get_config(self) -> dict[str, Any]:
        return {"class_name": type(self).__name__, "config": dict(vars(self))}


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate^(step / decay_steps); staircase: in whole powers.

    Source: Keras ExponentialDecay.
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False):
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", 0)
        self.decay_steps = whole(decay_steps, "decay_steps")
        self.decay_rate, self.staircase = number(decay_rate, "decay_rate", 0), bool(staircase)

    def periods(self, step: Value) -> Value:
        """How often decay_steps have passed."""
        passed = step / float(self.decay_steps)
        return mr.floor(passed) if self.staircase else passed

    def call(self, step: Value) -> Any:
        return self.initial_learning_rate * mr.power(mr.constant(self.decay_rate), self.periods(step))


class InverseTimeDecay(ExponentialDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps); staircase: in whole periods.

    Source: Keras InverseTimeDecay.
    """

    def call(self, step: Value) -> Any:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self.periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], values[1] up to and with boundaries[1], ..., then the last.

    Source: Keras PiecewiseConstantDecay.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]):
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                f"values must be one more than boundaries: got {len(values)} values, {len(boundaries)} boundaries."
            )
        self.boundaries = [whole(b, "a boundary", 0) for b in boundaries]
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ArgumentError(f"boundaries must grow, got {list(boundaries)}.")
        self.values = [number(value, "a value", 0) for value in values]

    def call(self, step: Value) -> Any:
        rate = mr.constant(self.values[-1])
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True):
            rate = mr.where(mr.less_equal(step, float(boundary)), value, rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """From initial_learning_rate to end_learning_rate in decay_steps, along (1 - step / decay_steps)^power.

    cycle: after the end, start again over a period that ends at the next multiple of decay_steps.
    Source: Keras PolynomialDecay.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, end_learning_rate: float = 0.0001, power: float = 1.0,
        cycle: bool = False,
    ):  # fmt: skip
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", 0)
        self.decay_steps = whole(decay_steps, "decay_steps")
        self.end_learning_rate = number(end_learning_rate, "end_learning_rate", 0)
        self.power, self.cycle = number(power, "power", 0), bool(cycle)

    def call(self, step: Value) -> Any:
        if self.cycle:
            length = self.decay_steps * mr.maximum(mr.ceil(step / float(self.decay_steps)), 1.0)
        else:
            length, step = mr.constant(float(self.decay_steps)), mr.minimum(step, float(self.decay_steps))
        left = mr.power(1.0 - step / length, self.power)
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate to alpha times it in decay_steps; before that a warm-up, if asked for.

    warmup_target, warmup_steps: first go in a line from initial_learning_rate to warmup_target in warmup_steps,
    then decay from there.  Source: Loshchilov and Hutter 2017, eq. 5; Keras CosineDecay.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, alpha: float = 0.0,
        warmup_target: float | None = None, warmup_steps: int = 0,
    ):  # fmt: skip
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", 0)
        self.decay_steps, self.alpha = whole(decay_steps, "decay_steps"), number(alpha, "alpha", 0)
        self.warmup_target = None if warmup_target is None else number(warmup_target, "warmup_target", 0)
        self.warmup_steps = whole(warmup_steps, "warmup_steps", 0)

    def call(self, step: Value) -> Any:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._share(step)
        start, top = self.initial_learning_rate, self.warmup_target
        rising = start + (top - start) * step / float(max(self.warmup_steps, 1))
        falling = top * self._share(step - float(self.warmup_steps))
        return mr.where(mr.less(step, float(self.warmup_steps)), rising, falling)

    def _share(self, step: Value) -> Value:
        passed = mr.clip(step / float(self.decay_steps), 0.0, 1.0)
        return (1.0 - self.alpha) * 0.5 * (1.0 + mr.cos(math.pi * passed)) + self.alpha


class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine again and again: each period t_mul times as long as the last, from m_mul times its height.

    first_decay_steps: the first period. alpha: the share of the initial rate that is never gone below.
    Source: Loshchilov and Hutter 2017, section 3; Keras CosineDecayRestarts.
    """

    def __init__(
        self, initial_learning_rate: float, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0,
        alpha: float = 0.0,
    ):  # fmt: skip
        self.initial_learning_rate = number(initial_learning_rate, "initial_learning_rate", 0)
        self.first_decay_steps = whole(first_decay_steps, "first_decay_steps")
        self.t_mul, self.m_mul = number(t_mul, "t_mul", 1), number(m_mul, "m_mul", 0)
        self.alpha = number(alpha, "alpha", 0)

    def call(self, step: Value) -> Any:
        passed = step / float(self.first_decay_steps)
        if self.t_mul == 1:
            restarts = mr.floor(passed)
            share = passed - restarts
        else:
            # period i starts at (t^i - 1) / (t - 1); the small push keeps the logarithm's rounding from ending it late
            restarts = mr.floor(mr.log(1.0 + passed * (self.t_mul - 1.0)) / math.log(self.t_mul) + 1e-6)
            length = mr.power(mr.constant(self.t_mul), restarts)
            share = mr.maximum(passed - (length - 1.0) / (self.t_mul - 1.0), 0.0) / length
        height = mr.power(mr.constant(self.m_mul), restarts)
        cosine = 0.5 * height * (1.0 + mr.cos(math.pi * share))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


def schedule(identifier: Any) -> Any:
    """A schedule from its saved form, or what was given as it is: a function, or a schedule.

    Raises ArgumentError for a name that is not known.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return identified("schedule", identifier, LearningRateSchedule, LearningRateSchedule.known)


__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "schedule",
]
