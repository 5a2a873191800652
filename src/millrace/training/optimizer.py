"""What an optimizer is: a rule from gradients to new values of variables, as values of the graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value, layer_scope
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable
from millrace.layers.arguments import number, whole
from millrace.training.schedules import LearningRateSchedule, schedule

Updates = dict[Variable, Value]
NAMES_SHOWN = 8  # in a message


class Optimizer:
    """A rule from gradients to new values. An optimizer of one's own defines `update`.

    learning_rate: a number, a schedule of `optimizers.schedules`, or a function from the step (a float value of
    the graph, 0 at first) to a number; a function is not saved with the model.
    weight_decay: w <- w (1 - rate * weight_decay) beside the step, or part of the gradient; see each optimizer.
    clipnorm: scale each weight's gradient down to this norm at most. clipvalue: keep each number of a gradient
    within -clipvalue ... clipvalue. global_clipnorm: scale all gradients down together to this norm at most.
    One of the three alone may be given.
    gradient_accumulation_steps: change the weights each n-th step only, by the mean of n gradients; a schedule
    still counts every step.
    learning_rate_multipliers: factors of the rate for some weights, {"bias": 2.0}; each key is a regular expression
    that is searched for in names such as "conv1/bias", and the first that is found counts.
    weight_decay_exclude: regular expressions for the names of weights that do not decay, ["bias"]; one that is found
    in no name excludes nothing.

    Raises ArgumentError that names the argument.  Source: Keras Optimizer; Caffe (lr_mult, decay_mult).
    """

    known: ClassVar[dict[str, type[Optimizer]]] = {}
    slots: ClassVar[tuple[str, ...]] = ()  # what it remembers for each weight, in float32 at least
    decay_in_gradient: ClassVar[bool] = False  # whether weight decay is added to the gradient

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Optimizer.known[cls.__name__.lower()] = cls

    def __init__(
        self, learning_rate: float | Callable[[Value], Any] | Mapping[str, Any] = 0.01,
        weight_decay: float | None = None, clipnorm: float | None = None, clipvalue: float | None = None,
        global_clipnorm: float | None = None, gradient_accumulation_steps: int | None = None,
        learning_rate_multipliers: Mapping[str, float] | None = None, weight_decay_exclude: Sequence[str] = (),
    ):  # fmt: skip
        timed = callable(learning_rate) or isinstance(learning_rate, Mapping)
        self.schedule = schedule(learning_rate) if timed else None
        first = 0.0 if self.schedule else number(learning_rate, "learning_rate", 0)
        self.weight_decay = number(weight_decay or 0.0, "weight_decay", 0)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [name for name, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ArgumentError(f"only one of clipnorm, clipvalue and global_clipnorm may be given, got {given}.")
        for name, value in clips.items():
            if value is not None and not number(value, name, 0):
                raise ArgumentError(f"{name} must be above 0: no gradient would be left.")
            setattr(self, name, None if value is None else float(value))
        self.gradient_accumulation_steps = (
            None
            if gradient_accumulation_steps in (None, 1)
            else whole(gradient_accumulation_steps, "gradient_accumulation_steps")
        )
        self.learning_rate_multipliers = multipliers(learning_rate_multipliers or {})
        self.weight_decay_exclude = patterns(weight_decay_exclude, "weight_decay_exclude")
        self.learning_rate = Variable(np.float32(first), name="optimizer/learning_rate", trainable=False)
        self.iterations = Variable(np.int64(0), name="optimizer/iterations", trainable=False)
        self.memory: dict[Variable, dict[str, Variable]] = {}

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None

    def __setattr__(self, name: str, value: Any) -> None:
        """`optimizer.learning_rate = 0.01` gives the variable that every compiled step reads a new value."""
        if name == "learning_rate" and "learning_rate" in vars(self) and not isinstance(value, Variable):
            if self.schedule is not None:
                raise ArgumentError("the learning rate is a function of the step: it cannot be set.")
            self.learning_rate.assign(np.float32(number(value, "learning_rate", 0)))
        else:
            super().__setattr__(name, value)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Let some weights be without weight decay: these variables, and those in whose names a pattern is found.

        var_names: regular expressions, such as ["bias"]. To be called before the model is compiled.
        Raises ArgumentError after that, and for what is no pattern.  Source: Keras Optimizer.exclude_from_weight_decay.
        """
        if self.memory:
            raise ArgumentError(
                "exclude_from_weight_decay comes too late: the step is made already. Call it before compile."
            )
        exact = [f"^{re.escape(variable.name)}$" for variable in var_list or ()]
        more = patterns([*exact, *(var_names or ())], "var_names")
        self.weight_decay_exclude = list(dict.fromkeys([*self.weight_decay_exclude, *more]))

    def decay_of(self, variable: Variable) -> float:
        """The weight decay of a variable: that of all, or none."""
        excluded = any(re.search(pattern, variable.name) for pattern in self.weight_decay_exclude)
        return 0.0 if excluded else self.weight_decay

    def multiplier_of(self, variable: Variable) -> float:
        """What a variable's learning rate is multiplied by."""
        found = (m for pattern, m in self.learning_rate_multipliers.items() if re.search(pattern, variable.name))
        return next(found, 1.0)

    def slot_start(self, slot: str) -> float:
        """What a slot holds at first."""
        return 0.0

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of variables that have none yet.

        Raises ArgumentError for a learning rate multiplier that is for none of the variables.
        """
        for pattern in self.learning_rate_multipliers:
            if not any(re.search(pattern, variable.name) for variable in variables):
                there = [variable.name for variable in variables]
                shown = ", ".join(there[:NAMES_SHOWN]) + (", ..." if len(there) > NAMES_SHOWN else "")
                raise ArgumentError(
                    f"learning_rate_multipliers: {pattern!r} is found in no name of a weight that is trained: {shown}."
                )
        names = (*self.slots, *(("gradient_sum",) if self.gradient_accumulation_steps else ()))
        for variable in variables:
            if variable not in self.memory:
                dtype = wide(variable.dtype)
                starts = {slot: self.slot_start(slot) if slot in self.slots else 0.0 for slot in names}
                self.memory[variable] = {
                    slot: Variable(
                        np.full(variable.shape, start, dtype), f"optimizer/{variable.name}/{slot}", trainable=False
                    )
                    for slot, start in starts.items()
                }
                for made in self.memory[variable].values():
                    made.sharding = variable.sharding

    @property
    def shared(self) -> list[Variable]:
        """What it remembers once for all weights."""
        return []

    @property
    def variables(self) -> list[Variable]:
        slots = [slot for slots in self.memory.values() for slot in slots.values()]
        return [self.learning_rate, self.iterations, *self.shared, *slots]

    def updates(self, variables: Sequence[Variable], gradients: Sequence[Value]) -> Updates:
        """New values of the variables, of the optimizer's memory and of the step count."""
        self.build(variables)
        with layer_scope("optimizer"):
            passed = mr.cast(self.iterations, "float32")
            rate = self.learning_rate.value if self.schedule is None else mr.as_value(self.schedule(passed), "float32")
            counts: Updates = {self.iterations: mr.add(self.iterations, np.int64(1))}
            if self.schedule is not None:
                counts[self.learning_rate] = rate
            wide_gradients = [mr.cast(g, wide(g.dtype)) for g in gradients]
            n = self.gradient_accumulation_steps
            if n is None:
                return counts | self._step(variables, wide_gradients, rate, passed + 1.0)
            sums = {v: self.memory[v]["gradient_sum"] + g for v, g in zip(variables, wide_gradients, strict=True)}
            nth = mr.remainder(mr.add(self.iterations, np.int64(1)), np.int64(n))
            due = mr.equal(nth, np.int64(0))
            step = mr.floor(passed / float(n)) + 1.0
            new = self._step(variables, [total / float(n) for total in sums.values()], rate, step)
            kept = {v: mr.where(due, value, v) for v, value in new.items()}
            for variable, total in sums.items():
                kept[self.memory[variable]["gradient_sum"]] = mr.where(due, mr.zeros_like(total), total)
            return counts | kept

    def _step(self, variables: Sequence[Variable], gradients: Sequence[Value], rate: Value, step: Value) -> Updates:
        new = self.update_shared(step)
        rates = {m: rate if m == 1.0 else rate * m for m in map(self.multiplier_of, variables)}
        for variable, gradient in zip(variables, self._clipped(gradients), strict=True):
            g, own, decay = gradient, rates[self.multiplier_of(variable)], self.decay_of(variable)
            if decay and self.decay_in_gradient:
                g = g + decay * mr.cast(variable.value, g.dtype)
            made = self.update(variable, g, own, step, self.memory[variable])
            if decay and not self.decay_in_gradient:
                made[variable] = made[variable] - own * decay * mr.cast(variable.value, g.dtype)
            new |= {v: mr.cast(value, v.dtype) for v, value in made.items()}
        return new

    def _clipped(self, gradients: Sequence[Value]) -> list[Value]:
        """The gradients within the bounds that were asked for."""
        if self.clipvalue is not None:
            return [mr.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        squares = [mr.sum(mr.square(mr.cast(g, "float32"))) for g in gradients]
        if self.clipnorm is not None:
            scales = [self.clipnorm / mr.maximum(mr.sqrt(square), self.clipnorm) for square in squares]
        elif self.global_clipnorm is not None:
            norm = mr.sqrt(mr.sum(mr.stack(squares)))
            scales = [self.global_clipnorm / mr.maximum(norm, self.global_clipnorm)] * len(squares)
        else:
            return list(gradients)
        return [g * mr.cast(scale, g.dtype) for g, scale in zip(gradients, scales, strict=True)]

    def update_shared(self, step: Value) -> Updates:
        """New values of what it remembers once for all weights; `step` counts from 1."""
        return {}

    def update(self, w: Variable, g: Value, rate: Value, step: Value, slots: dict[str, Variable]) -> Updates:
        """New values of one weight and of its slots; `step` counts from 1. Weight decay is seen to elsewhere."""
        raise ArgumentError(f"optimizer {type(self).__name__} does not define update")

    @property
    def is_saved_whole(self) -> bool:
        """Whether a file can hold it: a learning rate that is a bare function cannot be kept."""
        return self.schedule is None or isinstance(self.schedule, LearningRateSchedule)

    def get_config(self) -> dict[str, Any]:
        kept = {k: v for k, v in vars(self).items() if isinstance(v, (bool, int, float, str))}
        by_name = ("learning_rate_multipliers", "weight_decay_exclude")
        kept |= {name: getattr(self, name) for name in by_name if getattr(self, name)}
        timed = isinstance(self.schedule, LearningRateSchedule)
        rate = self.schedule.get_config() if timed else float(self.learning_rate.numpy())  # type: ignore[union-attr]
        return {"class_name": type(self).__name__.lower(), "config": {**kept, "learning_rate": rate}}


def patterns(given: Any, name: str) -> list[str]:
    """Regular expressions for names of variables.  Raises ArgumentError that names the argument."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ArgumentError(f'{name} must be a list of parts of names, such as ["bias"], got {given!r}.')
    made = list(given)
    for pattern in made:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ArgumentError(f"{name}: {pattern!r} is no regular expression: {error}.") from None
    return made


def multipliers(given: Any) -> dict[str, float]:
    """Factors of the learning rate by pattern.  Raises ArgumentError for what is no pattern or no number from 0."""
    name = "learning_rate_multipliers"
    if not isinstance(given, Mapping):
        raise ArgumentError(f'{name} must be a mapping such as {{"bias": 2.0}}, got {given!r}.')
    return {p: number(given[p], f"{name}[{p!r}]", 0) for p in patterns(given, name)}


def wide(dtype: str) -> str:
    """The dtype that an optimizer remembers and adds in: 16 bits are too few to add small steps to."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype
