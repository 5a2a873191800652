"""`augmentation`: digits moved by a pixel at each sight, for a network that is to read digits wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    digits_split,
    finals,
    gaps,
    labels,
    momentum_sgd,
)  # fmt: skip
from millrace.data.datasets import Dataset
from millrace.experiments.arms import dropping
from millrace.experiments.spread import percent_text, spread_text
from millrace.explain.pages import Listing, Picture, Pictures
from millrace.layers import CenterCrop, Conv2D, Dense, Flatten, Input, MaxPooling2D, RandomCrop
from millrace.training.model import Model, Sequential
from millrace.words import words

DIGITS, EPOCHS, RATE = 200, 100, 0.02
EDGE = 1  # pixels of empty paper around a digit, so that it can be moved so far
WAYS = {"still": False, "moved": True}


def network(moved: bool) -> Model:
    """A small convolutional network of digits with empty edges: [batch, 10, 10, 1] to probabilities [batch, 10].

    moved: whether training sees a crop at a random place instead of the middle.
    """
    crop = RandomCrop(8, 8) if moved else CenterCrop(8, 8)
    return Sequential([
        Input((8 + 2 * EDGE, 8 + 2 * EDGE, 1)), crop,
        Conv2D(16, 3, activation="relu", kernel_initializer="he_normal"), MaxPooling2D(2), Flatten(),
        Dense(64, "relu", kernel_initializer="he_normal"), Dense(10, "softmax"),
    ])  # fmt: skip


def edged(x: np.ndarray) -> np.ndarray:
    """Digits [examples, 8, 8, 1] with empty paper around: [examples, 10, 10, 1]."""
    return np.pad(x, ((0, 0), (EDGE, EDGE), (EDGE, EDGE), (0, 0)))


def displaced(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Digits [examples, 10, 10, 1], each moved by -1, 0 or 1 pixel along both axes."""
    steps = np.random.default_rng(seed).integers(-EDGE, EDGE + 1, (len(x), 2))
    return np.stack([np.roll(one, tuple(step), (0, 1)) for one, step in zip(x, steps, strict=True)])


def photographed(digits: int = DIGITS) -> Dataset:
    """The digits with empty edges."""
    data = digits_split(digits, flat=False)
    return replace(data, x_train=edged(data.x_train), x_validation=edged(data.x_validation))


@dataclass(frozen=True)
class Measured:
    """One way of training: its curves, and the error on held-out digits that were moved, one a seed."""

    curves: Sequence[Curve]
    moved_error: Sequence[float]


def measure(say: Say, language: str, epochs: int = EPOCHS, seeds: Sequence[int] = SEEDS) -> dict[str, Measured]:
    """Both trainings from each seed, judged by digits in the middle and by moved ones."""
    table = words("concepts", language)["augmentation"]
    data, trials = photographed(), Trials(say, language)
    moved = displaced(data.x_validation)
    found = {}
    for key, way in WAYS.items():
        arm = Arm(table[key], partial(network, way), dropping(RATE, epochs), momentum_sgd)
        curves, wrong = [], []
        for seed in seeds:
            curves.append(trials.train(arm, data, epochs, seed))
            wrong.append(1 - trials.model(arm).evaluate(moved, data.y_validation)["accuracy"])
        found[key] = Measured(curves, wrong)
    return found


def finding(measured: Mapping[str, Measured], language: str) -> Finding:
    """The pictures, the table, the figure and the verdict of what was measured."""
    table, names = words("concepts", language)["augmentation"], labels(language)
    held = {key: finals(one.curves, "val_error") for key, one in measured.items()}
    gap = {key: gaps(one.curves) for key, one in measured.items()}
    rows = [
        [
            table[key], percent_text(finals(one.curves, "train_error")), percent_text(held[key]),
            spread_text(gap[key], 2), percent_text(one.moved_error),
        ]
        for key, one in measured.items()
    ]  # fmt: skip
    numbers: dict[str, float] = {}
    for key, one in measured.items():
        numbers |= {f"{key}_held": average(held[key]), f"{key}_gap": average(gap[key])}
        numbers[f"{key}_moved"] = average(one.moved_error)
    still, moved = measured["still"], measured["moved"]
    robust = all(a < b for a, b in zip(moved.moved_error, still.moved_error, strict=True))
    narrower = all(a < b for a, b in zip(gap["moved"], gap["still"], strict=True))
    losses = {table[key]: [c["val_loss"] for c in one.curves] for key, one in measured.items()}
    columns = [table["way"], names["training_error"], names["validation_error"], names["gap"], table["moved_error"]]
    return Finding("seen" if robust and narrower else "unseen", numbers, [
        views(table),
        Listing(columns, rows),
        curve_figure(table["figure"], losses, names["epoch"], names["validation_loss"], language),
    ])  # fmt: skip


def views(table: Mapping[str, str]) -> Pictures:
    """A digit of the training set as it is, and as three epochs may see it."""
    one = photographed(1).x_train
    seen = [one, *(displaced(one, seed) for seed in (1, 4, 2))]
    captions = [table["picture_still"], *(table["picture_moved"].format(n=n) for n in (1, 2, 3))]
    abouts = [table["about_still"], *[table["about_moved"]] * 3]
    return Pictures([
        Picture(caption, x[0, EDGE:-EDGE, EDGE:-EDGE, 0], about, low=0.0, high=1.0)
        for caption, x, about in zip(captions, seen, abouts, strict=True)
    ])  # fmt: skip


def experiment(language: str, say: Say) -> Finding:
    """Train both ways and judge by digits in the middle and moved ones."""
    return finding(measure(say, language), language)


AUGMENTATION = Concept(
    "augmentation",
    experiment,
    see=("overfitting", "normalization-against-regularization"),
    also=("data-augmentation",),
)
