"""Arms of an experiment: networks that differ in one thing, trained alike, each from several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset
from millrace.experiments.experiment import Setting
from millrace.experiments.watch import Watch
from millrace.ir.errors import NonFiniteError
from millrace.layers.base import set_seed
from millrace.training.callbacks import Callback, Logs
from millrace.training.model import Model
from millrace.training.optimizer import Optimizer
from millrace.training.optimizers import SGD

LAST = 3  # epochs whose mean is taken for where a training ends: one alone is a matter of luck
EVALUATED = 250  # examples a step without training
LOSS = "sparse_categorical_crossentropy"


def paper_sgd() -> Optimizer:
    """The paper's rule with its momentum and its decay (section 5); the rate is set when a training begins."""
    return SGD(0.01, momentum=0.9, weight_decay=0.0005)


@dataclass(frozen=True)
class Arm:
    """A network that is compared with others: what it is called, and how it is built and trained.

    rate: the learning rate, as a number or by the epoch, 0 at first.
    """

    name: str
    build: Callable[[], Model]
    rate: float | Callable[[int], float] = 0.01
    optimizer: Callable[[], Optimizer] = paper_sgd

    def rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, 0 at first."""
        return self.rate(epoch) if callable(self.rate) else self.rate


def dropping(rate: float, epochs: int, share: float = 0.75) -> Callable[[int], float]:
    """A rate that is divided by 10 for the last part of the epochs: where a training then ends varies less."""
    return lambda epoch: rate if epoch < round(epochs * share) else rate / 10


@dataclass(frozen=True)
class Curve:
    """One training: what was measured after each epoch, by its column.

    error and val_error: the share that was answered wrongly, of the training examples as they were trained on, and of
    the others; train_error, where it was asked for: of the training examples, by the network as it is in use after
    the epoch. diverged: whether it ended because a number was not finite.
    """

    arm: str
    seed: int
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    diverged: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs were made."""
        return max((len(values) for values in self.columns.values()), default=0)

    def __getitem__(self, column: str) -> Sequence[float]:
        return self.columns[column]

    def final(self, column: str) -> float:
        """Where it ends: the mean of the last epochs (`LAST`)."""
        last = self.columns[column][-LAST:]
        return sum(last) / len(last)


class Trainee:
    """An arm's network, compiled once, that can begin anew from every seed."""

    def __init__(self, arm: Arm):
        self.arm = arm
        self.model: Model | None = None
        self.first: dict[Any, np.ndarray] = {}  # what the optimizer remembers before the first step

    def begin(self, seed: int) -> Model:
        """The network as it is built from a seed, before the first step."""
        set_seed(seed)
        fresh = self.arm.build()
        if self.model is None:
            self.model = fresh
            fresh.compile(self.arm.optimizer(), LOSS, ["accuracy"])
            self.first = {variable: variable.numpy() for variable in fresh.optimizer.variables}
            return fresh
        for variable, new in zip(self.model.weights, fresh.weights, strict=True):
            variable.assign(new.numpy())
        for variable, value in self.first.items():
            variable.assign(value)
        self.model.progress = {}
        return self.model


def train(
    trainee: Trainee, data: Dataset, seed: int, epochs: int, batch_size: int, watch: Watch,
    enough: Callable[[Logs], bool] | None = None, over_all: bool = False, rate: float | None = None,
    expected: int | None = None,
) -> Curve:  # fmt: skip
    """One training from one seed, told to `watch`.

    enough: called after each epoch with what was measured; true ends the training. over_all: whether the training
    examples are gone over once more after each epoch (train_error). rate: in place of the arm's. expected: epochs
    that `watch` counts on, all of them unless given. Data of which nothing is held out give no val_error. A training
    that breaks down ends as it is, and says so.
    """
    arm = trainee.arm if rate is None else replace(trainee.arm, rate=rate)
    model = trainee.begin(seed)
    recorder = Recorder(arm, seed, epochs, watch, enough, (data.x_train, data.y_train) if over_all else None)
    diverged = False
    try:
        model.fit(
            data.x_train, data.y_train, batch_size=batch_size, epochs=epochs,
            validation_data=data.validation if data.held else None, seed=seed, callbacks=[recorder], verbose=0,
        )  # fmt: skip
    except NonFiniteError:
        diverged = True
    made = Curve(arm.name, seed, {name: tuple(values) for name, values in recorder.columns.items()}, diverged)
    watch.over(f"{arm.name}, seed {seed}: {ended(made)}", (expected or epochs) - made.epochs)
    return made


def ended(curve: Curve) -> str:
    """How a training ended, for the line that tells of it."""
    if curve.diverged:
        return f"broke down after {curve.epochs} epochs"
    last = {name: values[-1] for name, values in curve.columns.items()}
    return f"{errors(last)} after {curve.epochs} epochs"


def errors(measured: Mapping[str, float]) -> str:
    """The errors after an epoch in words."""
    training = measured.get("train_error", measured["error"])
    held = f", validation {measured['val_error']:.1%}" if "val_error" in measured else ""
    return f"training error {training:.1%}{held}"


def compare(
    arms: Sequence[Arm], data: Dataset, seeds: Sequence[int], epochs: int, batch_size: int, watch: Watch,
    enough: Callable[[Logs], bool] | None = None, over_all: bool = False,
) -> dict[str, list[Curve]]:  # fmt: skip
    """Every arm from every seed: the curves by the arm's name, one a seed, in the order of the seeds.

    Raises NonFiniteError where a training breaks down: then there is nothing to compare.
    """
    trainees = [Trainee(arm) for arm in arms]
    found: dict[str, list[Curve]] = {arm.name: [] for arm in arms}
    for seed in seeds:
        for trainee in trainees:
            made = train(trainee, data, seed, epochs, batch_size, watch, enough, over_all)
            if made.diverged:
                raise NonFiniteError(
                    f"{made.arm}, seed {seed}: training broke down in epoch {made.epochs + 1}, at a learning rate of "
                    f"{trainee.arm.rate_at(made.epochs):g}, so that there is nothing to compare."
                )
            found[trainee.arm.name].append(made)
    return found


def compare_ways(
    setting: Setting, data: Dataset, build: Callable[..., Model], ways: Mapping[str, Mapping[str, Any]], rate: float,
    over_all: bool = False,
) -> dict[str, list[Curve]]:  # fmt: skip
    """An arm for each way, by name: the network that `build` makes of what it is told, each from every seed.

    rate: the learning rate at first. over_all: measure the training error over all training examples, too.
    """
    scale = setting.scale
    arms = [Arm(name, partial(build, **way), dropping(rate, scale.epochs)) for name, way in ways.items()]
    watch = Watch(setting.say, len(arms) * len(setting.seeds) * scale.epochs)
    return compare(arms, data, setting.seeds, scale.epochs, scale.batch_size, watch, over_all=over_all)


class Recorder(Callback):
    """Sets the learning rate, writes the curves, tells how far it is, and ends what is enough."""

    def __init__(
        self, arm: Arm, seed: int, epochs: int, watch: Watch, enough: Callable[[Logs], bool] | None,
        all_examples: tuple[np.ndarray, np.ndarray] | None,
    ):  # fmt: skip
        self.arm, self.seed, self.epochs, self.watch = arm, seed, epochs, watch
        self.enough, self.all_examples = enough, all_examples
        self.columns: dict[str, list[float]] = {}

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        self.model.optimizer.learning_rate = self.arm.rate_at(epoch)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        made = {"loss": logs["loss"], "error": 1 - logs["accuracy"]}
        if "val_accuracy" in logs:
            made |= {"val_loss": logs["val_loss"], "val_error": 1 - logs["val_accuracy"]}
        if self.all_examples is not None:
            again = self.model.evaluate(*self.all_examples, batch_size=EVALUATED)
            made |= {"train_loss": again["loss"], "train_error": 1 - again["accuracy"]}
        for name, value in made.items():
            self.columns.setdefault(name, []).append(value)
        self.watch.epoch(f"{self.arm.name}, seed {self.seed}, epoch {epoch + 1}/{self.epochs}: {errors(made)}")
        if self.enough is not None and self.enough(made):
            self.model.stop_training = True
