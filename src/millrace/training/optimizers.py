"""Optimizers by Keras's names: gradients become new values of variables, as values of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value, layer_scope
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable
from millrace.layers.identify import identified

Updates = dict[Variable, Value]


def number(value: Any, name: str, low: float, high: float = float("inf"), open_high: bool = False) -> float:
    """A number within bounds.  Raises ArgumentError that names the argument."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    fine = fine and low <= value <= high
    if not fine or (open_high and value == high):
        bounds = f"at least {low:g}" + (
            f" and {'below' if open_high else 'at most'} {high:g}" if high < float("inf") else ""
        )
        raise ArgumentError(f"{name} must be a number of {bounds}, got {value!r}.")
    return float(value)


class Optimizer:
    """A rule from gradients to new values. An optimizer of one's own defines `update`.

    learning_rate: a number, or a function from the step (a float value of the graph, 0 at first) to one.
    weight_decay: see each optimizer.
    """

    known: ClassVar[dict[str, type[Optimizer]]] = {}
    slots: ClassVar[tuple[str, ...]] = ()  # what it remembers for each weight, zero at first

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Optimizer.known[cls.__name__.lower()] = cls

    def __init__(self, learning_rate: float | Callable[[Value], Any] = 0.01, weight_decay: float | None = None):
        self.schedule = learning_rate if callable(learning_rate) else None
        first = 0.0 if self.schedule else number(learning_rate, "learning_rate", 0)
        self.weight_decay = number(weight_decay or 0.0, "weight_decay", 0)
        self.learning_rate = Variable(np.float32(first), name="optimizer/learning_rate", trainable=False)
        self.iterations = Variable(np.int64(0), name="optimizer/iterations", trainable=False)
        self.memory: dict[Variable, dict[str, Variable]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """`optimizer.learning_rate = 0.01` gives the variable that every compiled step reads a new value."""
        if name == "learning_rate" and "learning_rate" in vars(self) and not isinstance(value, Variable):
            if self.schedule is not None:
                raise ArgumentError("the learning rate is a function of the step: it cannot be set.")
            self.learning_rate.assign(np.float32(number(value, "learning_rate", 0)))
        else:
            super().__setattr__(name, value)

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of variables that have none yet."""
        for variable in variables:
            if variable not in self.memory:
                self.memory[variable] = {
                    slot: Variable(np.zeros(variable.shape, variable.dtype), f"optimizer/{variable.name}/{slot}", False)
                    for slot in self.slots
                }

    @property
    def variables(self) -> list[Variable]:
        slots = [slot for slots in self.memory.values() for slot in slots.values()]
        return [self.learning_rate, self.iterations, *slots]

    def updates(self, variables: Sequence[Variable], gradients: Sequence[Value]) -> Updates:
        """New values of the variables, of the optimizer's memory and of the step count."""
        self.build(variables)
        with layer_scope("optimizer"):
            step = mr.cast(self.iterations, "float32")
            rate = self.learning_rate.value if self.schedule is None else mr.as_value(self.schedule(step), "float32")
            new: Updates = {self.iterations: mr.add(self.iterations, np.int64(1))}
            if self.schedule is not None:
                new[self.learning_rate] = rate
            for variable, gradient in zip(variables, gradients, strict=True):
                new |= self.update(variable, gradient, rate, step + 1.0, self.memory[variable])
        return new

    def update(self, w: Variable, g: Value, rate: Value, step: Value, slots: dict[str, Variable]) -> Updates:
        """New values of one weight and of its slots; `step` counts from 1."""
        raise ArgumentError(f"optimizer {type(self).__name__} does not define update")

    def get_config(self) -> dict[str, Any]:
        kept = {k: v for k, v in vars(self).items() if isinstance(v, (bool, int, float, str))}
        rate = float(self.learning_rate.numpy())
        return {"class_name": type(self).__name__.lower(), "config": {**kept, "learning_rate": rate}}


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's look ahead, and weight decay.

    v <- momentum v - rate (g + weight_decay w), w <- w + v: the rule of the AlexNet paper, to the letter.
    Decay is part of the gradient, as in PyTorch; Keras's SGD takes rate * weight_decay * w off apart,
    which is the same without momentum.
    Source: Krizhevsky et al. 2012, section 5; Keras SGD; Sutskever et al. 2013 (Nesterov).
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
    ):
        super().__init__(learning_rate, weight_decay)
        self.momentum, self.nesterov = number(momentum, "momentum", 0, 1), bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ArgumentError("nesterov=True needs a momentum above 0.")
        if self.momentum:
            self.slots = ("velocity",)  # type: ignore[misc]

    def update(self, w: Variable, g: Value, rate: Value, step: Value, slots: dict[str, Variable]) -> Updates:
        if self.weight_decay:
            g = g + self.weight_decay * w
        if not self.momentum:
            return {w: w - rate * g}
        velocity = slots["velocity"]
        v = self.momentum * velocity - rate * g
        return {velocity: v, w: w + self.momentum * v - rate * g if self.nesterov else w + v}


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    w <- w - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon). Decay is part of the gradient.
    Source: Kingma and Ba 2015, algorithm 1.
    """

    slots = ("momentum", "velocity")
    decoupled: ClassVar[bool] = False

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        weight_decay: float | None = None,
    ):  # fmt: skip
        super().__init__(learning_rate, weight_decay)
        self.beta_1 = number(beta_1, "beta_1", 0, 1, open_high=True)
        self.beta_2 = number(beta_2, "beta_2", 0, 1, open_high=True)
        self.epsilon = number(epsilon, "epsilon", 0)

    def update(self, w: Variable, g: Value, rate: Value, step: Value, slots: dict[str, Variable]) -> Updates:
        if self.weight_decay and not self.decoupled:
            g = g + self.weight_decay * w
        m = self.beta_1 * slots["momentum"] + (1 - self.beta_1) * g
        v = self.beta_2 * slots["velocity"] + (1 - self.beta_2) * mr.square(g)
        m_hat = m / (1.0 - mr.power(mr.constant(self.beta_1), step))
        v_hat = v / (1.0 - mr.power(mr.constant(self.beta_2), step))
        kept = w * (1.0 - rate * self.weight_decay) if self.weight_decay and self.decoupled else w
        new = kept - rate * m_hat / (mr.sqrt(v_hat) + self.epsilon)
        return {slots["momentum"]: m, slots["velocity"]: v, w: new}


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w <- w (1 - rate * weight_decay) first.

    Source: Loshchilov and Hutter 2019, algorithm 2; Keras AdamW.
    """

    decoupled = True

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ):  # fmt: skip
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)


def optimizer(identifier: Any) -> Optimizer:
    """An optimizer from its name, its saved form, or one as it is.  Raises ArgumentError for an unknown name."""
    name = identifier.lower() if isinstance(identifier, str) else identifier
    return identified("optimizer", name, Optimizer, Optimizer.known)


__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "optimizer"]
