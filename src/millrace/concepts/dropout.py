"""`dropout`: what it does to the units of a real digit, and what it does to a network that learns wrong labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from millrace import functional as mr
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
)  # fmt: skip
from millrace.engines.function import function
from millrace.experiments.arms import dropping
from millrace.experiments.spread import percent_text
from millrace.explain.pages import Listing, Math, Picture, Pictures
from millrace.layers import Dense, Dropout, Input
from millrace.training.model import Model, Sequential
from millrace.words import words

DIGITS, UNITS, EPOCHS, RATE = 400, 256, 40, 0.03
KEEP = 0.8  # meant to be kept, and by mistake given as the rate
RATES = {"none": 0.0, "kept": round(1 - KEEP, 2), "half": 0.5, "mistaken": KEEP}
MASKS = 10_000
SHOWN = (16, 16)  # how the units of a layer are laid out in a picture


def network(rate: float) -> Model:
    """Two hidden layers of 256 units, dropout behind each: [batch, 64] to probabilities [batch, 10]."""
    hidden = [(Dense(UNITS, "relu", kernel_initializer="he_normal"), Dropout(rate)) for _ in range(2)]
    return Sequential([Input((64,)), *(layer for pair in hidden for layer in pair), Dense(10, "softmax")])


@dataclass(frozen=True)
class Masked:
    """A layer's outputs for one digit, and dropout's masks over them.

    units [units]; after [units]: one mask's, at rate 0.5; mean [units]: over many masks; kept: the share that each
    rate, as `RATES` names them, leaves in training.
    """

    units: np.ndarray
    after: np.ndarray
    mean: np.ndarray
    kept: Mapping[str, float]


def masked(units: np.ndarray, masks: int = MASKS, seed: int = 0) -> Masked:
    """Dropout of a layer's outputs [units], as the framework draws it."""
    many = np.repeat(units[None].astype(np.float32), masks, axis=0)
    state = np.array([0, seed], np.uint32)

    def dropped(x: np.ndarray, rate: float) -> np.ndarray:
        return np.asarray(function([], mr.dropout(x, rate, state, f"rate {rate:g}"))())

    half = dropped(many, 0.5)
    ones = np.ones((masks, 10), np.float32)
    kept = {name: float(np.mean(dropped(ones, rate) > 0)) if rate else 1.0 for name, rate in RATES.items()}
    return Masked(units, half[0], half.mean(axis=0), kept)


def measure(
    say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS
) -> tuple[Masked, dict[str, list[Curve]]]:
    """Masks over what a trained network makes of a digit held out, and the trainings at each rate."""
    table = words("concepts", language)["dropout"]
    data, trials = mislabelled(digits_split(DIGITS)), Trials(say, language)
    arms = {
        key: Arm(table[key], partial(network, rate), dropping(RATE, epochs), momentum_sgd)
        for key, rate in RATES.items()
    }
    curves = {key: trials.each([arm], data, epochs, seeds)[arm.name] for key, arm in arms.items()}
    model = trials.model(arms["none"])
    units = function(model.inputs, model.layers[0].output)(data.x_validation[:1])[0]
    return masked(np.asarray(units)), curves


def finding(masks: Masked, curves: Mapping[str, Sequence[Curve]], language: str) -> Finding:
    """The pictures, the table, the figure and the verdict of what was measured."""
    table, names = words("concepts", language)["dropout"], labels(language)
    training = {key: finals(arm, "train_error") for key, arm in curves.items()}
    held = {key: finals(arm, "val_error") for key, arm in curves.items()}
    rows = [
        [
            table[key],
            f"{rate:g}",
            f"{1 - rate:g}",
            f"{masks.kept[key]:.1%}",
            percent_text(training[key]),
            percent_text(held[key]),
        ]
        for key, rate in RATES.items()
    ]
    active = masks.units > 0
    numbers = {
        "mean_before": float(masks.units.mean()),
        "mean_after": float(masks.after.mean()),
        "mean_many": float(masks.mean.mean()),
        "off": float(np.mean(masks.after[active] == 0)),
        "masks": float(MASKS),
    }
    for key in RATES:
        numbers |= {f"{key}_training": average(training[key]), f"{key}_held": average(held[key])}
    kept_mean = abs(numbers["mean_many"] / numbers["mean_before"] - 1) < 0.02
    helps = all(a < b for a, b in zip(held["half"], held["none"], strict=True))
    differ = abs(numbers["mistaken_training"] - numbers["kept_training"]) > 0.05
    top = float(2 * masks.units.max())
    pictures = [
        Picture(table[f"picture_{key}"], values.reshape(SHOWN), table[f"about_{key}"], low=0.0, high=top)
        for key, values in (("before", masks.units), ("after", masks.after), ("mean", masks.mean))
    ]
    drawn = {table[key]: [c["val_error"] for c in arm] for key, arm in curves.items()}
    return Finding("seen" if kept_mean and helps and differ else "unseen", numbers, [
        Pictures(pictures),
        Listing([table[f"column_{n}"] for n in range(6)], rows),
        curve_figure(table["figure"], drawn, names["epoch"], names["validation_error"], language, percent=True),
    ])  # fmt: skip


def experiment(language: str, say: Say) -> Finding:
    """Train at each rate, and look at masks over a digit's units."""
    return finding(*measure(say, language), language)


DROPOUT = Concept(
    "dropout",
    experiment,
    see=("overfitting", "normalization-against-regularization", "weight-decay"),
    also=("keep_prob", "keep-prob", "dropout-rate", "drop-rate"),
    formulas=(
        Math("out = mask x / (1 - rate), mask = 1 with probability 1 - rate, else 0",
             r"y_i = \frac{m_i\,x_i}{1 - r}, \quad P(m_i = 1) = 1 - r"),
        Math("E[out] = (1 - rate) x / (1 - rate) = x", r"E[y_i] = (1 - r)\,\frac{x_i}{1 - r} = x_i"),
    ),
)  # fmt: skip
