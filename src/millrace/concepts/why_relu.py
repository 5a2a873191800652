"""`why-relu`: how soon the same network learns with ReLU, tanh and sigmoid units, each at the rate that suits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import (
    SEEDS,
    Arm,
    Curve,
    Say,
    Trials,
    average,
    dense_network,
    digits_split,
    labels,
    listed,
    momentum_sgd,
    reached,
)  # fmt: skip
from millrace.data.datasets import Dataset
from millrace.engines.function import function
from millrace.experiments.spread import percent_text
from millrace.explain.pages import Listing, Math
from millrace.training.model import Model
from millrace.words import words

HIDDEN, EPOCHS, TARGET = (64, 64, 64), 60, 0.02
RATES = (0.01, 0.03, 0.1)
TOO_HIGH = 0.5  # a rate at which ReLU units die
UNITS = {"relu": "he_normal", "tanh": "glorot_uniform", "sigmoid": "glorot_uniform"}
SOONER = 2.0  # times: what is called sooner


@dataclass(frozen=True)
class Measured:
    """One kind of unit: its best rate, its trainings at that rate, one a seed, and the share of dead ones.

    dead: of its ReLU units after each training, and, in `dead_high`, after one epoch at a rate that is too high.
    """

    rate: float
    curves: Sequence[Curve]
    dead: Sequence[float] = ()
    dead_high: Sequence[float] = ()


def dead_share(model: Model, data: Dataset) -> float:
    """The share of hidden units that are 0 for every digit of the training set: no gradient reaches them any more."""
    outputs = function(model.inputs, [layer.output for layer in model.layers[:-1]])(data.x_train)
    silent = [np.all(np.asarray(out) <= 0, axis=0) for out in outputs]
    return float(np.mean(np.concatenate(silent)))


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS, rates: Sequence[float] = RATES
) -> dict[str, Measured]:
    """Try the rates on the first seed, and train with the best from all."""
    table = words("concepts", language)["why-relu"]
    data, trials = digits_split(), Trials(say, language)
    found = {}
    for unit, initializer in UNITS.items():
        arm = Arm(table[unit], partial(dense_network, HIDDEN, unit, initializer), optimizer=momentum_sgd)

        def train(rate: float, seed: int, epochs: int = epochs, arm: Arm = arm) -> Curve:
            called = table["at"].format(unit=arm.name, rate=rate)
            return trials.train(arm, data, epochs, seed, lambda logs: logs["train_error"] <= TARGET, rate, called)

        tried = {rate: train(rate, seeds[0]) for rate in rates}
        best = min(tried, key=lambda rate: soon(tried[rate], epochs))
        curves, dead, high = [], [], []
        for seed in seeds:
            curves.append(train(best, seed))
            if unit == "relu":
                dead.append(dead_share(trials.model(arm), data))
                train(TOO_HIGH, seed, 1)
                high.append(dead_share(trials.model(arm), data))
        found[unit] = Measured(best, curves, dead, high)
    return found


def soon(curve: Curve, epochs: int) -> tuple[float, float]:
    """What is less for a training that got there sooner, or came further where it did not."""
    if curve.diverged or not curve.epochs:
        return (epochs + 2.0, 1.0)
    return (reached(curve, TARGET) or epochs + 1.0, curve["train_error"][-1])


def finding(measured: Mapping[str, Measured], language: str, epochs: int = EPOCHS) -> Finding:
    """The table, the figure and the verdict of what was measured."""
    table, names = words("concepts", language)["why-relu"], labels(language)
    rows: list[list[str]] = []
    numbers: dict[str, float] = {}
    for unit, one in measured.items():
        needed = [reached(curve, TARGET) for curve in one.curves]
        told = listed([f"> {epochs}" if n is None else str(n) for n in needed], language)
        dead = percent_text(one.dead) if one.dead else "-"
        rows.append([table[unit], f"{one.rate:g}", told, dead])
        numbers |= {unit: average([n or epochs for n in needed]), f"{unit}_rate": one.rate}
    numbers["dead"] = average(measured["relu"].dead)
    numbers["dead_high"] = average(measured["relu"].dead_high)
    numbers["times"] = numbers["sigmoid"] / numbers["relu"]
    numbers["tanh_times"] = numbers["tanh"] / numbers["relu"]
    if numbers["times"] < SOONER or any(reached(c, TARGET) is None for c in measured["relu"].curves):
        said = "unseen"
    else:
        said = "seen" if numbers["tanh_times"] < SOONER else "seen_tanh"
    errors = {table[unit]: [c["train_error"] for c in one.curves] for unit, one in measured.items()}
    columns = [table[f"column_{n}"] for n in range(4)]
    figure = curve_figure(
        table["figure"], errors, names["epoch"], names["training_error"], language, percent=True,
        levels={f"{TARGET:.0%}": TARGET},
    )  # fmt: skip
    return Finding(said, numbers, [Listing(columns, rows), figure])


def experiment(language: str, say: Say) -> Finding:
    """Find each unit's rate, then see how soon it gets there."""
    return finding(measure(say, language), language)


WHY_RELU = Concept(
    "why-relu",
    experiment,
    see=("saturation", "learning-rate"),
    also=("relu", "activations", "activation-function", "activation-functions", "dying-relu", "dead-relu"),
    formulas=(Math("relu(x) = max(0, x), relu'(x) = 1 for x > 0, else 0", r"\mathrm{relu}(x) = \max(0, x)"),),
)
