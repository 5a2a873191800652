"""Small networks on 1,797 digits, trained alike from several seeds: what the experiments about training are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset, digits
from millrace.experiments.arms import LAST, Arm, Curve, Trainee, train
from millrace.experiments.watch import Watch
from millrace.layers import Dense, Input
from millrace.training.callbacks import Logs
from millrace.training.model import Model, Sequential
from millrace.training.optimizers import SGD
from millrace.words import Table, words

Say = Callable[[str], None]  # told how far an experiment is, a line at a time

SEEDS = (0, 1, 2)
HELD = 600  # digits that no network is trained on
REST = 1_197  # the others
WRONG = 0.2  # of the labels that `mislabelled` makes wrong
MOMENTUM = 0.9


@lru_cache
def all_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits in the order of a seed: x [1797, 8, 8, 1] from 0 to 1, y [1797]."""
    whole = digits()
    return np.concatenate([whole.x_validation, whole.x_train]), np.concatenate([whole.y_validation, whole.y_train])


def digits_split(training: int = REST, held: int = HELD, flat: bool = True) -> Dataset:
    """So many digits to train on and so many held out, the same ones in every experiment.

    x [examples, 64], or [examples, 8, 8, 1] if not flat, from 0 to 1; y [examples].
    """
    x, y = all_digits()
    x = x.reshape(len(x), -1) if flat else x
    end = held + training
    return Dataset("digits", x[held:end], y[held:end], x[:held], y[:held], tuple("0123456789"), "scikit-learn")


def mislabelled(data: Dataset, share: float = WRONG, seed: int = 0) -> Dataset:
    """The same with a share of the training labels replaced by wrong ones; those held out stay right."""
    draw = np.random.default_rng(seed)
    y = data.y_train.copy()
    wrong = draw.permutation(len(y))[: round(len(y) * share)]
    y[wrong] = (y[wrong] + draw.integers(1, 10, len(wrong))) % 10
    return replace(data, y_train=y)


def dense_network(hidden: Sequence[int] = (64,), activation: str = "relu", initializer: Any = "he_normal") -> Model:
    """Dense layers from 64 pixels [batch, 64] to the probabilities of ten digits [batch, 10]."""
    layers = [Dense(units, activation, kernel_initializer=initializer) for units in hidden]
    return Sequential([Input((64,)), *layers, Dense(10, "softmax")])


def momentum_sgd(weight_decay: float | None = None) -> SGD:
    """Gradient descent with momentum 0.9; an arm sets its rate."""
    return SGD(0.01, momentum=MOMENTUM, weight_decay=weight_decay)


class Trials:
    """Trainings that are told of in a language: each arm's network is compiled once, and begins anew from every seed.

    batch_size: examples a step in all of them.
    """

    def __init__(self, say: Say, language: str, batch_size: int = 32):
        self.say, self.batch_size = say, batch_size
        self.told = words("trials", language)["progress"]
        self.trainees: dict[str, Trainee] = {}

    def train(
        self, arm: Arm, data: Dataset, epochs: int, seed: int = 0, enough: Callable[[Logs], bool] | None = None,
        rate: float | None = None, called: str | None = None,
    ) -> Curve:  # fmt: skip
        """One training of an arm, with the loss and the error over all training examples after each epoch.

        enough, rate: as `millrace.experiments.arms.train` has them. called: what the line that tells of it calls it,
        the arm's name unless given.
        """
        trainee = self.trainees.setdefault(arm.name, Trainee(arm))
        quiet = Watch(lambda line: None, epochs)
        made = train(trainee, data, seed, epochs, self.batch_size, quiet, enough, over_all=True, rate=rate)
        ends = {} if made.diverged else {"error": made["train_error"][-1], "held": made["val_error"][-1]}
        told = self.told["diverged" if made.diverged else "trained"]
        self.say(told.format(arm=called or arm.name, seed=seed, epochs=made.epochs, **ends))
        return made

    def each(
        self, arms: Sequence[Arm], data: Dataset, epochs: int, seeds: Sequence[int] = SEEDS
    ) -> dict[str, list[Curve]]:
        """Every arm from every seed on the same data: the curves by the arm's name, one a seed."""
        return {arm.name: [self.train(arm, data, epochs, seed) for seed in seeds] for arm in arms}

    def model(self, arm: Arm) -> Model:
        """The network of an arm as its last training left it."""
        model = self.trainees[arm.name].model
        assert model is not None
        return model


def labels(language: str) -> Table:
    """What axes, columns and curves of these experiments are called."""
    return words("trials", language)["labels"]


def listed(values: Sequence[str], language: str) -> str:
    """Values one after another, a seed each, with the mark that a language has between them."""
    return words("trials", language)["told"]["list"].join(values)


def finals(curves: Sequence[Curve], column: str) -> list[float]:
    """Where a column ends, for each seed: the mean of its last epochs."""
    return [curve.final(column) for curve in curves]


def gaps(curves: Sequence[Curve], column: str = "loss") -> list[float]:
    """How much higher a column ("loss" or "error") ends on the digits held out than on those trained on."""
    return [curve.final(f"val_{column}") - curve.final(f"train_{column}") for curve in curves]


def average(values: Sequence[float]) -> float:
    """The mean over seeds, as a plain float."""
    return float(np.mean(values))


def reached(curve: Curve, target: float, column: str = "train_error") -> int | None:
    """The first epoch, from 1, after which a column is at or below a target; None where it never is."""
    return next((epoch for epoch, value in enumerate(curve[column], 1) if value <= target), None)


__all__ = [
    "HELD", "LAST", "REST", "SEEDS", "WRONG", "Arm", "Curve", "Say", "Trials", "all_digits", "average",
    "dense_network", "digits_split", "finals", "gaps", "labels", "listed", "mislabelled", "momentum_sgd", "reached",
]  # fmt: skip
