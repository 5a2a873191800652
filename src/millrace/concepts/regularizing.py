"""`normalization-against-regularization`: which of the two makes training fast, and which keeps from overfitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import curve_figure
from millrace.concepts.trials import (
    SEEDS,
    Arm,
    Curve,
    Say,
    Trials,
    average,
    digits_split,
    finals,
    labels,
    mislabelled,
    momentum_sgd,
    reached,
)  # fmt: skip
from millrace.experiments.arms import dropping
from millrace.experiments.spread import percent_text
from millrace.explain.pages import Listing, Math
from millrace.layers import Activation, BatchNormalization, Dense, Dropout, Input
from millrace.training.model import Model, Sequential
from millrace.words import words

NAME = "normalization-against-regularization"
DIGITS, HIDDEN, EPOCHS, RATE, DROP = 400, (128, 128, 128), 40, 0.03, 0.5
TARGET = 0.25  # training error: every fifth label is wrong, so little less can be learned without learning by heart
WAYS = {"neither": (False, False), "normalized": (True, False), "regularized": (False, True), "both": (True, True)}


def network(normalized: bool, regularized: bool) -> Model:
    """Three hidden layers, with batch normalization before each ReLU and with dropout behind it, as asked for."""
    layers: list[Any] = [Input((64,))]
    for units in HIDDEN:
        layers.append(Dense(units, kernel_initializer="he_normal"))
        if normalized:
            layers.append(BatchNormalization(momentum=0.9))
        layers.append(Activation("relu"))
        if regularized:
            layers.append(Dropout(DROP))
    return Sequential([*layers, Dense(10, "softmax")])


def measure(say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS) -> dict[str, list[Curve]]:
    """The trainings of the four networks, one a seed."""
    table = words("concepts", language)[NAME]
    data, trials = mislabelled(digits_split(DIGITS)), Trials(say, language)
    arms = {
        key: Arm(table[key], partial(network, *way), dropping(RATE, epochs), momentum_sgd) for key, way in WAYS.items()
    }
    return {key: trials.each([arm], data, epochs, seeds)[arm.name] for key, arm in arms.items()}


def finding(curves: Mapping[str, Sequence[Curve]], language: str) -> Finding:
    """The two-by-two table, the figures and the verdict of what was measured."""
    table, names = words("concepts", language)[NAME], labels(language)
    epochs = max(curve.epochs for arm in curves.values() for curve in arm)
    speed = {key: [reached(curve, TARGET) or epochs for curve in arm] for key, arm in curves.items()}
    training = {key: finals(arm, "train_error") for key, arm in curves.items()}
    held = {key: finals(arm, "val_error") for key, arm in curves.items()}
    rows = [
        [table[key], f"{average(speed[key]):.1f}", percent_text(training[key]), percent_text(held[key])] for key in WAYS
    ]
    numbers: dict[str, float] = {}
    for key in WAYS:
        numbers |= {f"{key}_epochs": average(speed[key]), f"{key}_held": average(held[key])}
        numbers[f"{key}_training"] = average(training[key])
    faster = all(
        numbers[f"{a}_epochs"] < numbers[f"{b}_epochs"] for a, b in (("normalized", "neither"), ("both", "regularized"))
    )
    better = all(
        numbers[f"{a}_held"] < numbers[f"{b}_held"] for a, b in (("regularized", "neither"), ("both", "normalized"))
    )
    alone = numbers["normalized_held"] > numbers["regularized_held"]
    return Finding("seen" if faster and better and alone else "unseen", numbers, [
        Listing([table[f"column_{n}"] for n in range(4)], rows),
        *(
            curve_figure(
                table[f"figure_{column}"], {table[key]: [c[column] for c in arm] for key, arm in curves.items()},
                names["epoch"], names[label], language, percent=True,
            )
            for column, label in (("train_error", "training_error"), ("val_error", "validation_error"))
        ),
    ])  # fmt: skip


def experiment(language: str, say: Say) -> Finding:
    """Train the four networks and compare them two by two."""
    return finding(measure(say, language), language)


REGULARIZATION = Concept(
    NAME,
    experiment,
    see=("overfitting", "dropout", "weight-decay"),
    also=("regularization", "regularisation", "regularizer", "normalization"),
    formulas=(
        Math("out = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over the batch",
             r"y = \gamma\,\frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta"),
        Math("J(w) = L(w) + lambda/2 |w|^2", r"J(w) = L(w) + \frac{\lambda}{2}\,\lVert w \rVert^2"),
    ),
)  # fmt: skip
