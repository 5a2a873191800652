"""`softmax-and-cross-entropy`: from scores to a loss, by numbers; and why the squared error does not do instead."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure, line_figure
from millrace.concepts.trials import SEEDS, Say, average, digits_split, labels
from millrace.engines.function import Function, function
from millrace.experiments.spread import percent_text
from millrace.explain.charts import Line
from millrace.explain.pages import Listing, Math, Text
from millrace.ir.core import Value
from millrace.ir.state import Variable
from millrace.words import Table, words

CROSS_ENTROPY, SQUARED = "cross_entropy", "squared"
SCORES, TRUE = (2.0, 1.0, -1.0), 0  # the example that is worked
LARGE = (1000.0, 0.0, -1000.0)  # scores whose exponential no float holds
GAPS = np.arange(-8.0, 8.5, 0.5)  # scores of the true class, less that of the other one
WRONG_STEPS, STEPS = 1000, 300  # on all digits at once: to learn them wrongly, and then to unlearn it
RATES = (0.5, 2.0, 8.0, 32.0)
FINE = 0.1  # training error that counts as learned anew


@dataclass(frozen=True)
class Worked:
    """One example: scores, their exponentials, probabilities, the loss, and its gradient for the scores."""

    scores: np.ndarray
    exponentials: np.ndarray
    probabilities: np.ndarray
    loss: float
    gradient: np.ndarray


def worked(scores: Sequence[float] = SCORES, true: int = TRUE) -> Worked:
    """The example by the framework's own operations."""
    x = mr.Input((len(scores),), dtype="float64", name="scores")
    truth = mr.Input((), dtype="int32", name="truth")
    loss = mr.sum(mr.softmax_cross_entropy(x, truth))
    (slope,) = mr.gradients(loss, [x])
    values = function([x, truth], [mr.exp(x), mr.softmax(x), loss, slope], engine="numpy")
    powers, shares, cost, gradient = values(np.array([scores]), np.array([true], np.int32))
    return Worked(np.array(scores), powers[0], shares[0], float(cost), gradient[0])


def overflowing(scores: Sequence[float] = LARGE, true: int = 2) -> tuple[float, float]:
    """The loss of large scores in float32 as it is written down, -log(exp(x) / sum exp(x)), and by one operation."""
    x = np.array([scores], np.float32)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        powers = np.exp(x)
        naive = -np.log(powers / powers.sum())[0, true]
    exact = mr.softmax_cross_entropy(mr.constant(x), mr.constant(np.array([true], np.int32)))
    return float(naive), float(function([], exact, engine="numpy")()[0])


def slopes(gaps: np.ndarray = GAPS) -> dict[str, list[float]]:
    """The size of each loss's gradient for the true class's score, of two classes, by how far that score is ahead."""
    scores = np.stack([gaps, np.zeros_like(gaps)], axis=1)
    x, truth = mr.Input((2,), dtype="float64", name="scores"), np.array([[1.0, 0.0]])
    found = {}
    for name in (CROSS_ENTROPY, SQUARED):
        (slope,) = mr.gradients(loss_of(name, x, mr.constant(truth)), [x])
        found[name] = np.abs(function([x], slope, engine="numpy")(scores)[:, 0]).tolist()
    return found


def loss_of(name: str, scores: Value, truth: Value) -> Value:
    """The sum over examples of a loss of scores [batch, classes] against one-hot truth [batch, classes]."""
    if name == SQUARED:
        return mr.sum(mr.square(mr.softmax(scores) - truth))
    return -mr.sum(truth * mr.log_softmax(scores))


class Layer:
    """One layer from 64 pixels to ten scores that is trained on all examples at once, by either loss."""

    def __init__(self) -> None:
        self.kernel = Variable(np.zeros((64, 10), np.float32), name="kernel")
        self.bias = Variable(np.zeros(10, np.float32), name="bias")
        self.rate = Variable(np.array(0.0, np.float32), name="rate")
        self.steps = {name: self.step(name) for name in (CROSS_ENTROPY, SQUARED)}

    def step(self, name: str) -> Function:
        """One step of gradient descent: digits and one-hot classes in, the training error before it out."""
        x, truth = mr.Input((64,), name="x"), mr.Input((10,), name="truth")
        scores = x @ self.kernel + self.bias
        loss = loss_of(name, scores, truth) / mr.size(x.shape[0], "float32")
        updates = {w: w - self.rate * g for w, g in zip(self.weights, mr.gradients(loss, self.weights), strict=True)}
        error = mr.mean(mr.cast(mr.not_equal(mr.argmax(scores, -1), mr.argmax(truth, -1)), "float32"))
        return function([x, truth], error, updates)

    @property
    def weights(self) -> list[Variable]:
        return [self.kernel, self.bias]

    def train(self, name: str, x: np.ndarray, truth: np.ndarray, rate: float, steps: int) -> list[float]:
        """So many steps: the training error before each."""
        self.rate.assign(np.float32(rate))
        return [float(self.steps[name](x, truth)) for _ in range(steps)]


@dataclass(frozen=True)
class Unlearned:
    """How one loss unlearned wrong answers: its best rate, and the training error before each step, one list a seed."""

    rate: float
    errors: Sequence[Sequence[float]]


def unlearned(
    say: Say, language: str, seeds: Sequence[int] = SEEDS, steps: int = STEPS, before: int = WRONG_STEPS
) -> dict[str, Unlearned]:  # fmt: skip
    """A layer that is sure of wrong answers, each digit taken for the next one, learns the right ones, by each loss.

    Both losses begin at the same weights, and each takes the best of `RATES`.
    """
    table = words("concepts", language)["softmax-and-cross-entropy"]
    data = digits_split()
    right, wrong = (np.eye(10, dtype=np.float32)[(data.y_train + turn) % 10] for turn in (0, 1))
    layer = Layer()
    errors: dict[str, dict[float, list[list[float]]]] = {name: {rate: [] for rate in RATES} for name in layer.steps}
    for seed in seeds:
        layer.kernel.assign(np.random.default_rng(seed).normal(0, 0.05, (64, 10)).astype(np.float32))
        layer.bias.assign(np.zeros(10, np.float32))
        layer.train(CROSS_ENTROPY, data.x_train, wrong, RATES[0], before)
        sure = [w.numpy() for w in layer.weights]
        for name, by_rate in errors.items():
            for rate, lists in by_rate.items():
                for w, value in zip(layer.weights, sure, strict=True):
                    w.assign(value)
                lists.append(layer.train(name, data.x_train, right, rate, steps))
                say(table["progress"].format(loss=table[name], seed=seed, rate=rate, error=lists[-1][-1], steps=steps))
    best = {name: min(by_rate, key=lambda rate: np.mean(by_rate[rate])) for name, by_rate in errors.items()}
    return {name: Unlearned(rate, errors[name][rate]) for name, rate in best.items()}


def finding(measured: Mapping[str, Unlearned], language: str) -> Finding:
    """The worked example, the losses' slopes, and the verdict of what was measured."""
    table, names = words("concepts", language)["softmax-and-cross-entropy"], labels(language)
    one, (naive, exact), slope = worked(), overflowing(), slopes()
    ends = {name: average([errors[-1] for errors in found.errors]) for name, found in measured.items()}
    numbers = {
        "loss": one.loss,
        "probability": float(one.probabilities[TRUE]),
        "gradient": float(one.gradient[TRUE]),
        "naive": naive,
        "exact": exact,
        "cross_entropy_slope": slope[CROSS_ENTROPY][0],
        "squared_slope": slope[SQUARED][0],
        "times": slope[CROSS_ENTROPY][0] / slope[SQUARED][0],
        "gap": -float(GAPS[0]),
        "steps": float(len(measured[SQUARED].errors[0])),
    }
    for name in (CROSS_ENTROPY, SQUARED):
        numbers |= {f"{name}_end": ends[name], f"{name}_rate": measured[name].rate}
    seen = not np.isfinite(naive) and np.isfinite(exact) and ends[CROSS_ENTROPY] < FINE and ends[SQUARED] > 2 * FINE
    return Finding("seen" if seen else "unseen", numbers, [
        Text(table["about_worked"].format(**numbers)),
        worked_table(one, table),
        line_figure(
            table["figure_slopes"],
            [Line(table[name], GAPS.tolist(), slope[name], style, dots=False) for style, name in enumerate(measured)],
            table["ahead"], table["slope"], language,
        ),
        Listing(
            [table["loss_name"], names["rate"], table["error_before"], table["error_after"]],
            [
                [
                    table[name], f"{found.rate:g}", percent_text([errors[0] for errors in found.errors]),
                    percent_text([errors[-1] for errors in found.errors]),
                ]
                for name, found in measured.items()
            ],
        ),
        curve_figure(
            table["figure"], {table[name]: found.errors for name, found in measured.items()}, names["step"],
            names["training_error"], language, lambda n: float(n), percent=True,
        ),
    ])  # fmt: skip


def worked_table(one: Worked, table: Table) -> Listing:
    """A row a class: score, exponential, probability, what it should be, gradient."""
    rows = [
        [str(n), f"{x:g}", f"{e:.3f}", f"{p:.3f}", "1" if n == TRUE else "0", f"{g:+.3f}"]
        for n, (x, e, p, g) in enumerate(
            zip(one.scores, one.exponentials, one.probabilities, one.gradient, strict=True)
        )
    ]
    return Listing([table[f"worked_{n}"] for n in range(6)], rows)


def experiment(language: str, say: Say) -> Finding:
    """Work the example, then have both losses unlearn wrong answers."""
    return finding(unlearned(say, language), language)


SOFTMAX = Concept(
    "softmax-and-cross-entropy",
    experiment,
    see=("saturation", "learning-rate"),
    also=("cross-entropy", "softmax", "loss", "losses", "loss-function", "logits"),
    formulas=(
        Math("p_i = exp(x_i) / sum_j exp(x_j)", r"p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}"),
        Math("L = -log p_y = log(sum_j exp(x_j)) - x_y", r"L = -\log p_y = \log \sum_j e^{x_j} - x_y"),
        Math("dL/dx_i = p_i - y_i", r"\frac{\partial L}{\partial x_i} = p_i - y_i"),
        Math("log(sum_j exp(x_j)) = m + log(sum_j exp(x_j - m)), m = max_j x_j",
             r"\log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}, \quad m = \max_j x_j"),
    ),
)  # fmt: skip
