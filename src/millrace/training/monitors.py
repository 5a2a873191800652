"""Callbacks that watch a metric: they stop a run, or lower its learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from millrace.ir.errors import ArgumentError, one_of
from millrace.layers.arguments import number, whole
from millrace.training.callback import Callback, Logs


class Monitor(Callback):
    """Base of callbacks that compare a metric with the best so far.

    monitor: its name in the logs. mode: "min" where less is better, "max" where more is, "auto" to know it from
    the metric. min_delta: by how much at least it must be better.
    """

    early = True
    kept: tuple[str, ...] = ("best",)  # what a run that goes on needs

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"mode must be 'auto', 'min' or 'max', got {mode!r}.")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None

    def reset(self) -> None:
        """As at the start of a run."""
        self.best = None

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        if not plan["initial_epoch"] and not plan["initial_step"]:
            self.reset()

    def current(self, logs: Logs) -> float:
        """The metric now.  Raises ArgumentError where the logs do not have it, with what they have."""
        if self.monitor not in logs:
            error = one_of(f"monitor of {type(self).__name__}", self.monitor, list(logs))
            if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
                error.args = (f"{error.args[0]} What starts with val_ needs validation_data or validation_split.",)
            raise error
        return logs[self.monitor]

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is an improvement."""
        if than is None:
            return True
        up = self.mode == "max"
        if self.mode == "auto":
            direction = self.model.compiled.direction(self.monitor)
            if direction is None:
                raise ArgumentError(
                    f"{type(self).__name__}: nobody knows whether more or less of {self.monitor!r} is better: give "
                    "mode='max' or mode='min'."
                )
            up = direction == "up"
        return value - self.min_delta > than if up else value + self.min_delta < than

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.kept:
            setattr(self, name, state.get(name, getattr(self, name)))


class EarlyStopping(Monitor):
    """Stop when a metric has not improved for `patience` epochs.

    baseline: waiting begins anew only once it is better than this, too. restore_best_weights: end with the weights
    of the best epoch. start_from_epoch: how many epochs not to look at.  Source: Keras EarlyStopping.
    """

    kept = ("best", "wait", "best_epoch", "stopped_epoch")

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, verbose: int = 0,
        mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = whole(patience, "patience", 0), verbose, baseline
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = whole(start_from_epoch, "start_from_epoch", 0)
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self.best_weights: dict[str, np.ndarray] = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        current = self.current(logs)
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.better(current, self.best):
            self.best = current
            self._remember(epoch)
            if self.baseline is None or self.better(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def _remember(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = {v.name: v.numpy() for v in self.model.weights}

    def on_train_end(self, logs: Logs) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: stopped early.")
        if self.best_weights:
            for variable in self.model.weights:
                variable.assign(self.best_weights[variable.name])
            if self.verbose:
                print(f"The weights are those of the best epoch, {self.best_epoch + 1}.")

    def state(self) -> dict[str, Any]:
        return {**super().state(), **{f"best/{name}": array for name, array in self.best_weights.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.best_weights = {k.removeprefix("best/"): v for k, v in state.items() if k.startswith("best/")}


def refuse_schedule(callback: Callback, optimizer: Any) -> None:
    """Raise ArgumentError before the first step where the learning rate is a function of the step already."""
    if optimizer.schedule is not None:
        raise ArgumentError(
            f"{type(callback).__name__} sets the learning rate, but this optimizer's is a schedule: give the optimizer "
            "a number, or leave the callback out."
        )


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a metric has not improved for `patience` epochs: rate <- max(rate * factor, min_lr).

    cooldown: epochs after a reduction in which nothing is counted. times: how many reductions at most; stop: end
    training at the plateau after the last of them. The AlexNet paper's rule is factor=0.1, times=3, stop=True.

    Raises ArgumentError for a factor that is not below 1.
    Source: Keras ReduceLROnPlateau; Krizhevsky et al. 2012, section 5.
    """

    kept = ("best", "wait", "cooldown_counter", "reductions")

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
        min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0, times: int | None = None, stop: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.factor = number(factor, "factor", 0, 1, open_high=True)
        self.patience, self.verbose = whole(patience, "patience", 0), verbose
        self.cooldown, self.min_lr = whole(cooldown, "cooldown", 0), number(min_lr, "min_lr", 0)
        self.times = None if times is None else whole(times, "times", 0)
        self.stop = bool(stop)
        if self.stop and self.times is None:
            raise ArgumentError("stop=True ends training after the last reduction: give times, how many there are.")
        self.reset()

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        super().on_train_begin(plan)
        refuse_schedule(self, self.model.optimizer)

    def reset(self) -> None:
        super().reset()
        self.wait = self.cooldown_counter = self.reductions = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        rate = float(optimizer.learning_rate.numpy())
        logs["learning_rate"] = rate
        current = self.current(logs)
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(current, self.best):
            self.best, self.wait = current, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience:
                self._plateau(epoch, optimizer, rate)

    def _plateau(self, epoch: int, optimizer: Any, rate: float) -> None:
        if self.times is not None and self.reductions >= self.times:
            self.model.stop_training = self.model.stop_training or self.stop
        elif rate > np.float32(self.min_lr):
            optimizer.learning_rate = max(rate * self.factor, self.min_lr)
            self.reductions += 1
            self.cooldown_counter, self.wait = self.cooldown, 0
            if self.verbose:
                print(f"Epoch {epoch + 1}: the learning rate is now {float(optimizer.learning_rate.numpy()):g}.")


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch to schedule(epoch, rate), or schedule(epoch); epochs count from 0.

    Raises ArgumentError where the schedule gives no number from 0.  Source: Keras LearningRateScheduler.
    """

    early = True

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        try:
            inspect.signature(schedule).bind(0, 0.1)
            self.takes_rate = True
        except TypeError:
            self.takes_rate = False

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        refuse_schedule(self, self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        now = float(optimizer.learning_rate.numpy())
        rate = self.schedule(epoch, now) if self.takes_rate else self.schedule(epoch)
        rate = float(rate) if isinstance(rate, (np.generic, np.ndarray)) else rate
        optimizer.learning_rate = number(rate, "the learning rate from the schedule", 0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {rate:g}.")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())


class LambdaCallback(Callback):
    """A callback made of functions: LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch)).

    Raises ArgumentError for a turning point that there is not.  Source: Keras LambdaCallback.
    """

    def __init__(self, **functions: Callable[..., Any] | None) -> None:
        known = [name for name in dir(Callback) if name.startswith("on_")]
        for name, function in functions.items():
            if name not in known:
                raise one_of("turning point", name, known)
            if function is not None:
                setattr(self, name, function)
