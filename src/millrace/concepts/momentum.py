"""`momentum`: gradient descent in the long valley of a real regression, with momentum and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import line_figure
from millrace.concepts.trials import Say, labels
from millrace.explain.charts import Line
from millrace.explain.pages import Listing, Math
from millrace.words import words

MOMENTA = (0.0, 0.5, 0.9, 0.99)
PAPER = 0.9
STEEP = 1.8  # times 1 / (the steepest curvature): without momentum descent diverges at 2
GOAL = 0.001  # of what the loss at the start lies above its minimum
NEAR = 0.01  # of the way from the first weights to the best ones
MOST = 3_000  # steps
SHOWN, PATH = 300, 40  # steps that the figures show


@dataclass(frozen=True)
class Valley:
    """A quadratic loss: 1/2 mean (x w - y)^2.

    hessian [features, features]; best [features]: the w where it is least. curvature [features], directions [features,
    features]: the Hessian's eigenvalues, from low to high, and a column for each.
    """

    hessian: np.ndarray
    best: np.ndarray
    curvature: np.ndarray
    directions: np.ndarray

    @property
    def condition(self) -> float:
        """How many times as steep the steepest direction is as the flattest one."""
        return float(self.curvature[-1] / self.curvature[0])

    def gradient(self, w: np.ndarray) -> np.ndarray:
        return self.hessian @ (w - self.best)

    def excess(self, w: np.ndarray) -> float:
        """How much the loss at w is above its minimum."""
        away = w - self.best
        return float(0.5 * away @ self.hessian @ away)


@lru_cache
def valley() -> Valley:
    """The regression of 442 patients' disease progression on ten measurements, all scaled to mean 0 and deviation 1.

    Source: Efron et al., Least Angle Regression, 2004, as it comes with scikit-learn.
    """
    from sklearn.datasets import load_diabetes  # takes most of a second

    x, y = load_diabetes(return_X_y=True)
    x, y = ((v - v.mean(axis=0)) / v.std(axis=0) for v in (x, y))
    hessian = x.T @ x / len(x)
    curvature, directions = np.linalg.eigh(hessian)
    return Valley(hessian, np.linalg.solve(hessian, x.T @ y / len(x)), curvature, directions)


def update(
    w: np.ndarray, v: np.ndarray, gradient: np.ndarray, rate: float, momentum: float = PAPER, decay: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's rule: v <- momentum v - decay rate w - rate gradient, w <- w + v; returns w and v.

    Source: Krizhevsky et al. 2012, section 5.
    """
    v = momentum * v - decay * rate * w - rate * gradient
    return w + v, v


@dataclass(frozen=True)
class Descent:
    """A descent from w = 0, where it was before the first step and after each: places [steps + 1, features].

    excess [steps + 1]: the loss above its minimum; away [steps + 1]: the distance to the best weights.
    """

    places: np.ndarray
    excess: np.ndarray
    away: np.ndarray

    @property
    def steps(self) -> int:
        """Steps until the loss stays within `GOAL`."""
        return settled(self.excess, GOAL)

    @property
    def steps_near(self) -> int:
        """Steps until the weights stay within `NEAR`."""
        return settled(self.away, NEAR)


def settled(values: np.ndarray, share: float) -> int:
    """The step after which values [steps + 1] stay at or below a share of the first; all steps where they never do."""
    above = np.nonzero(values > share * values[0])[0]
    return min(int(above[-1]) + 1, len(values) - 1)


def descend(ground: Valley, momentum: float, most: int = MOST) -> Descent:
    """So many steps of the paper's rule without decay, at the same rate for every momentum."""
    rate = STEEP / float(ground.curvature[-1])
    w = v = np.zeros_like(ground.best)
    places = [w]
    for _ in range(most):
        w, v = update(w, v, ground.gradient(w), rate, momentum)
        places.append(w)
    excess = np.array([ground.excess(place) for place in places])
    return Descent(np.array(places), excess, np.linalg.norm(np.array(places) - ground.best, axis=1))


def measure(say: Say, language: str) -> dict[float, Descent]:
    """A descent with each momentum."""
    table, ground, found = words("concepts", language)["momentum"], valley(), {}
    for momentum in MOMENTA:
        found[momentum] = descend(ground, momentum)
        say(table["progress"].format(momentum=momentum, steps=found[momentum].steps))
    return found


def finding(descents: Mapping[float, Descent], language: str) -> Finding:
    """The table, the figures and the verdict of what was measured."""
    table, names, ground = words("concepts", language)["momentum"], labels(language), valley()
    steps = {momentum: one.steps for momentum, one in descents.items()}
    near = {momentum: one.steps_near for momentum, one in descents.items()}
    rows = [[f"{m:g}", f"{1 / (1 - m):.0f}", f"{steps[m]:,}", f"{near[m]:,}"] for m in descents]
    numbers = {
        "condition": ground.condition,
        "without": float(steps[0.0]),
        "with": float(steps[PAPER]),
        "too_much": float(steps[MOMENTA[-1]]),
        "times": steps[0.0] / steps[PAPER],
        "near_without": float(near[0.0]),
        "near_with": float(near[PAPER]),
        "near_times": near[0.0] / near[PAPER],
        "rate": STEEP / float(ground.curvature[-1]),
    }
    seen = steps[PAPER] < steps[0.0] / 2
    start = float(descents[0.0].excess[0])
    falls = [
        Line(
            f"{table['momentum']} {momentum:g}", list(range(SHOWN + 1)),
            (one.excess[: SHOWN + 1] / start).tolist(), style, dots=False,
        )
        for style, (momentum, one) in enumerate(descents.items())
    ]  # fmt: skip
    paths = []
    for style, momentum in enumerate((0.0, PAPER)):
        away = (descents[momentum].places[: PATH + 1] - ground.best) @ ground.directions
        paths.append(Line(f"{table['momentum']} {momentum:g}", away[:, 0].tolist(), away[:, -1].tolist(), style))
    return Finding("seen" if seen else "unseen", numbers, [
        Listing([table[f"column_{n}"] for n in range(4)], rows),
        line_figure(table["figure"], falls, names["step"], table["excess"], language, log="y"),
        line_figure(table["figure_path"].format(steps=PATH), paths, table["flat"], table["steep"], language),
    ])  # fmt: skip


def experiment(language: str, say: Say) -> Finding:
    """Walk down the valley with each momentum, and count the steps."""
    return finding(measure(say, language), language)


MOMENTUM = Concept(
    "momentum",
    experiment,
    see=("learning-rate", "weight-decay"),
    formulas=(
        Math(
            "v <- 0.9 v - 0.0005 eps w - eps dL/dw",
            r"v \leftarrow 0.9\,v - 0.0005\,\epsilon\,w - \epsilon\,\frac{\partial L}{\partial w}",
        ),
        Math("w <- w + v", r"w \leftarrow w + v"),
        Math(
            "-eps g (1 + mu + mu^2 + ...) = -eps g / (1 - mu)",
            r"-\epsilon\,g\,(1 + \mu + \mu^2 + \dots) = -\frac{\epsilon\,g}{1 - \mu}",
        ),
    ),
)
