"""Every optimizer at work on a real small problem, beside plain gradient descent.

Each pixel of the photograph is guessed from its left and its upper neighbour, y = a left + b upper, by least squares.
The two neighbours are alike, so the loss is a long narrow valley over (a, b): what plain descent is slow in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.explain.at_work.real_inputs import grey
from millrace.ir.core import Value
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.state import Variable, replace
from millrace.ir.types import TensorType
from millrace.training.optimizer import Optimizer
from millrace.training.optimizers import SGD

STEPS = 60
START = (-0.6, 1.0)  # beside the valley, so that both its slopes count
PLAIN = 0.3  # the rate of plain descent
# What each is shown with: rates at which it does well here, found by trying 0.01, 0.03, 0.1 ... 30.
SHOWN: dict[str, dict[str, Any]] = {
    "SGD": {"learning_rate": 0.3, "momentum": 0.8},
    "Adam": {"learning_rate": 0.3},
    "AdamW": {"learning_rate": 0.3},
    "Adamax": {"learning_rate": 0.3},
    "Nadam": {"learning_rate": 0.3},
    "RMSprop": {"learning_rate": 0.1},
    "Adagrad": {"learning_rate": 10.0},
    "Adadelta": {"learning_rate": 30.0},
    "Lion": {"learning_rate": 0.1},
}


@dataclass(frozen=True)
class Path:
    """Where an optimizer went: the two weights [steps + 1, 2] and the loss above the lowest possible [steps + 1]."""

    weights: np.ndarray
    losses: np.ndarray


@lru_cache
def problem() -> tuple[np.ndarray, np.ndarray]:
    """The pixels' neighbours [n, 2] and the pixels [n], each with mean 0, divided by the pixels' deviation."""
    x = grey()[0, :, :, 0].astype(np.float64)
    y = x[1:, 1:].ravel()
    neighbours = np.stack([x[1:, :-1].ravel(), x[:-1, 1:].ravel()], axis=1)
    return (neighbours - neighbours.mean(0)) / y.std(), (y - y.mean()) / y.std()


def loss_of(w: Any) -> Value:
    """Half the mean squared error of the guess with weights w [2]."""
    x, y = problem()
    # As moments, so that a step costs nothing: (w H w - 2 b w + c) / 2.
    h, b, c = x.T @ x / len(y), x.T @ y / len(y), float(y @ y) / len(y)
    hw = mr.matmul(mr.constant(h.astype(np.float32)), w)
    return 0.5 * (mr.sum(w * hw) - 2.0 * mr.sum(mr.constant(b.astype(np.float32)) * w) + c)


@lru_cache
def lowest() -> tuple[float, np.ndarray]:
    """The least loss, and the weights that have it, by solving the normal equations."""
    x, y = problem()
    best = np.linalg.solve(x.T @ x, x.T @ y)
    return float(0.5 * np.mean((y - x @ best) ** 2)), best


def path(optimizer: Optimizer, steps: int = STEPS) -> Path:
    """The weights and losses of so many steps."""
    w = Variable(np.array(START, np.float32), name="w")
    loss = loss_of(w)
    updates = optimizer.updates([w], mr.gradients(loss, [w]))
    graph = Graph([], [loss, *updates.values()])
    weights, losses = [w.numpy()], []
    for _ in range(steps):
        value, *new = graph.evaluate([])
        losses.append(float(value))
        replace(dict(zip(updates, new, strict=True)))
        weights.append(w.numpy())
    losses.append(float(Graph([], [loss]).evaluate([])[0]))
    return Path(np.array(weights), np.maximum(np.array(losses) - lowest()[0], 1e-9))


@lru_cache
def plain() -> Path:
    return path(SGD(PLAIN))


def shown_as(optimizer: type[Optimizer]) -> dict[str, Any]:
    """The settings an optimizer is shown with: its own where nobody has chosen any."""
    return SHOWN.get(optimizer.__name__, {})


def update_rule(optimizer: Optimizer) -> tuple[Mapping[str, Value], Mapping[str, Value]]:
    """One update as values: w, g, rate, t and the slots as they go in; the new ones, marked with a dash."""
    w = Variable(np.zeros((), np.float32), name="w")
    optimizer.build([w])
    names = {"g": TensorType("float32", ()), "rate": TensorType("float32", ()), "t": TensorType("float32", ())}
    given: dict[str, Value] = {name: Placeholder(name, type)() for name, type in names.items()}
    slots = optimizer.memory[w]
    made = optimizer.update(w, given["g"], given["rate"], given["t"], slots)
    made = {**optimizer.update_shared(given["t"]), **made}
    called = {w: "w", **{variable: slot for slot, variable in slots.items()}}
    new = {f"{called.get(variable, variable.name.rsplit('/')[-1])}'": value for variable, value in made.items()}
    return given, dict(sorted(new.items(), key=lambda pair: pair[0] != "w'"))
