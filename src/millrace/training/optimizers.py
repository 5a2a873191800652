"""Optimizers by Keras's names; `schedules` beside them."""

from __future__ import annotations

from typing import Any

from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError
from millrace.ir.state import Variable
from millrace.layers.arguments import number
from millrace.layers.identify import identified
from millrace.training import schedules
from millrace.training.adaptive import Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from millrace.training.optimizer import Optimizer, Updates


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's look ahead, and weight decay.

    v <- momentum v - rate (g + weight_decay w), w <- w + v: the rule of the AlexNet paper, to the letter.
    Decay is part of the gradient, as in PyTorch; Keras's SGD takes rate * weight_decay * w off apart,
    which is the same without momentum.
    Source: Krizhevsky et al. 2012, section 5; Keras SGD; Sutskever et al. 2013 (Nesterov).
    """

    decay_in_gradient = True

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False,
        weight_decay: float | None = None, **options: Any,
    ):  # fmt: skip
        super().__init__(learning_rate, weight_decay, **options)
        self.momentum, self.nesterov = number(momentum, "momentum", 0, 1), bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ArgumentError("nesterov=True needs a momentum above 0.")
        if self.momentum:
            self.slots = ("velocity",)  # type: ignore[misc]

    def update(self, w: Variable, g: Value, rate: Value, step: Value, slots: dict[str, Variable]) -> Updates:
        if not self.momentum:
            return {w: w - rate * g}
        velocity = slots["velocity"]
        v = self.momentum * velocity - rate * g
        return {velocity: v, w: w + self.momentum * v - rate * g if self.nesterov else w + v}


def optimizer(identifier: Any) -> Optimizer:
    """An optimizer from its name, its saved form, or one as it is.  Raises ArgumentError for an unknown name."""
    name = identifier.lower() if isinstance(identifier, str) else identifier
    return identified("optimizer", name, Optimizer, Optimizer.known)


__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "number",
    "optimizer",
    "schedules",
]
