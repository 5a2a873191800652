"""Every loss at work: three answers from good to bad, and the curve between; what is true stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from millrace import functional as mr
from millrace.explain.at_work.cases import Case
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.training.loss import Loss

POINTS = 81


@dataclass(frozen=True, eq=False)
class Trial:
    """A loss against one true answer: predictions made from one number, at three places and along a line.

    axis: what that number is, a key of the texts' table "axis".
    """

    loss: Loss
    truth: Sequence[float] | int
    made: Callable[[float], Sequence[float]]
    tried: tuple[float, float, float]
    ends: tuple[float, float]
    axis: str

    @cached_property
    def case(self) -> Case:
        """The three predictions as a batch."""
        y_true, y_pred = self.arrays(self.tried)
        name = type(self.loss).__name__
        return Case(f"{name}()(y_true, y_pred)", {"y_true": y_true, "y_pred": y_pred}, self.loss, "three", named=("L",))

    def arrays(self, tried: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """The true answer and the predictions, one row for each number."""
        dtype = np.int32 if isinstance(self.truth, int) else np.float32
        y_true = np.array([self.truth] * len(tried), dtype)
        return y_true, np.array([self.made(v) for v in tried], np.float32)

    def measured(self, tried: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each prediction, and its gradient with respect to it."""
        arrays = self.arrays(tried)
        inputs = [Placeholder(n, TensorType.of(a))() for n, a in zip(("y_true", "y_pred"), arrays, strict=True)]
        loss = self.loss(*inputs)
        (slope,) = mr.gradients(mr.sum(loss), [inputs[1]])
        values, slopes = Graph(inputs, [loss, slope]).evaluate(arrays)
        return values, slopes

    @cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """The number that predictions are made from, and the loss, along a line."""
        x = np.linspace(*self.ends, POINTS)
        return x, self.measured(list(x))[0]


def alone(v: float) -> list[float]:
    return [v]


def probability(v: float) -> list[float]:
    """The true class gets v, the two others share the rest."""
    return [(1 - v) / 2, v, (1 - v) / 2]


def score(v: float) -> list[float]:
    """The true class's score is v, the others' are 0."""
    return [0.0, v, 0.0]


def direction(degrees: float) -> list[float]:
    """A vector of length 1 at an angle."""
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


MIDDLE = (0.0, 1.0, 0.0)  # the second of three classes, surely
NUMBER, CHANCE = ([1.0], alone), (MIDDLE, probability)
Choice = tuple[
    Sequence[float] | int, Callable[[float], Sequence[float]], tuple[float, float, float], tuple[float, float], str
]
SHOWN: dict[str, Choice] = {
    "MeanSquaredError": (*NUMBER, (1.0, 1.5, 3.0), (-2.0, 4.0), "number"),
    "MeanAbsoluteError": (*NUMBER, (1.0, 1.5, 3.0), (-2.0, 4.0), "number"),
    "MeanAbsolutePercentageError": (*NUMBER, (1.0, 1.5, 3.0), (-2.0, 4.0), "number"),
    "MeanSquaredLogarithmicError": (*NUMBER, (1.0, 1.5, 3.0), (0.0, 6.0), "number"),
    "Huber": (*NUMBER, (1.0, 1.5, 3.0), (-2.0, 4.0), "number"),
    "LogCosh": (*NUMBER, (1.0, 1.5, 3.0), (-2.0, 4.0), "number"),
    "Poisson": ([2.0], alone, (2.0, 3.0, 0.5), (0.1, 6.0), "count"),
    "CosineSimilarity": ([1.0, 0.0], direction, (0.0, 60.0, 180.0), (0.0, 180.0), "angle"),
    "Hinge": ([1.0], alone, (2.0, 0.5, -1.0), (-2.0, 3.0), "margin"),
    "SquaredHinge": ([1.0], alone, (2.0, 0.5, -1.0), (-2.0, 3.0), "margin"),
    "CategoricalHinge": (MIDDLE, score, (2.0, 0.5, -1.0), (-2.0, 3.0), "score"),
    "BinaryCrossentropy": ([1.0], alone, (0.9, 0.5, 0.1), (0.01, 0.99), "probability"),
    "BinaryFocalCrossentropy": ([1.0], alone, (0.9, 0.5, 0.1), (0.01, 0.99), "probability"),
    "CategoricalCrossentropy": (*CHANCE, (0.9, 0.5, 0.1), (0.01, 0.99), "probability"),
    "CategoricalFocalCrossentropy": (*CHANCE, (0.9, 0.5, 0.1), (0.01, 0.99), "probability"),
    "SparseCategoricalCrossentropy": (1, probability, (0.9, 0.5, 0.1), (0.01, 0.99), "probability"),
    "KLDivergence": ((0.25, 0.5, 0.25), probability, (0.5, 0.8, 0.1), (0.01, 0.99), "probability"),
}  # fmt: skip


def trial(loss: type[Loss]) -> Trial | None:
    """How a loss is shown; None for one that nobody has chosen predictions for."""
    shown = SHOWN.get(loss.__name__)
    return None if shown is None else Trial(loss(), *shown)
