"""What a callback is, the curves it may keep, and what callbacks remember from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from millrace.data.queue import Levels
from millrace.diagnosis.record import Vitals
from millrace.ir.errors import one_of
from millrace.ir.stream import Stage
from millrace.ops.stages import Every

Logs = dict[str, float]


class Callback:
    """Called by `fit` at its turning points; a callback of one's own overrides what it needs.

    `self.model.stop_training = True` ends training after the epoch.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = [name for name in dir(Callback) if name.startswith("on_")]
        for name in vars(cls):
            if name.startswith("on_") and name not in known:
                raise one_of(f"turning point of {cls.__name__}", name, known)

    rank: ClassVar[int] = 0  # at the end of an epoch, what records it comes after what changes it, and savers last
    everywhere: ClassVar[bool] = True  # whether it is called in each of several processes, or in the first alone
    early: ClassVar[bool] = False  # whether it changes the run or its logs, and remembers something

    model: Any  # the Model that is trained
    beside: Sequence[Callback] = ()  # all callbacks of the run

    def on_plan(self, plan: dict[str, Any]) -> None:
        """Before anything is written: raises what speaks against the run. plan: as for on_train_begin."""

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        """Before the first step. plan: epochs, steps, batch_size, initial_epoch, initial_step, examples, program."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Before the first step of an epoch; not where a run goes on in the middle of one."""

    def on_step_end(self, epoch: int, step: int) -> None:
        """After each step: `step` steps of `epoch` are done. Their loss may still be under way on the device."""

    def on_broken(self, records: dict[str, str]) -> None:
        """Records that cannot be used and are left out, for the first time: why, by the name of each."""

    def on_progress(self, epoch: int, step: int, logs: Logs) -> None:
        """Now and then within an epoch, with the means so far."""

    def on_vitals(self, epoch: int, vitals: Vitals) -> None:
        """Before on_epoch_end: what the epoch's steps have measured of the network itself."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_interrupt(self, epoch: int, step: int) -> None:
        """After Ctrl-C, between two steps: `step` steps of `epoch` are done."""

    def on_train_end(self, logs: Logs) -> None:
        """After the last epoch."""

    def on_finish(self) -> None:
        """At the very end, also after an error."""

    def stages(self) -> list[tuple[Every, Stage]]:
        """What it does as nodes of the run's graph: when, and what."""
        return []

    def state(self) -> dict[str, Any]:
        """What a run that goes on later needs of this callback: numbers, texts and arrays by name."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave in the run that is gone on with."""


class History(Callback):
    """The curves: `history["loss"]` and so on, one number an epoch; `batch_losses`, one a step.

    broken: records that could not be used, and why. input_levels: how full the input's queue was. vitals: how flat
    activations were, and how large gradients and updates, an entry an epoch.
    """

    rank = 1

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self.batch_losses: list[float] = []
        self.broken: dict[str, str] = {}  # records that were left out, and why
        self.vitals: list[Vitals] = []
        self.input_levels = Levels()
        self.seconds = 0.0  # in training steps, without evaluation

    def state(self) -> dict[str, Any]:
        return {"broken": dict(self.broken)} if self.broken else {}

    def restore(self, state: dict[str, Any]) -> None:
        self.broken = dict(state.get("broken") or {})

    def on_vitals(self, epoch: int, vitals: Vitals) -> None:
        self.vitals.append(vitals)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


def in_order(callbacks: Sequence[Callback]) -> list[Callback]:
    """The callbacks in their order, but for those that record or save: they come after all that change the run."""
    last = max((n + 1 for n, callback in enumerate(callbacks) if callback.early), default=0)
    return [*sorted(callbacks[:last], key=lambda callback: callback.rank), *callbacks[last:]]


def named(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Each callback by its class, numbered from the second of a class on."""
    found: dict[str, Callback] = {}
    for callback in callbacks:
        base = name = type(callback).__name__
        again = 1
        while name in found:
            name, again = f"{base}_{again}", again + 1
        found[name] = callback
    return found


def states(callbacks: Sequence[Callback]) -> dict[str, Any]:
    """What all callbacks of a run remember, as part of its progress."""
    made = {name: state for name, callback in named(callbacks).items() if (state := callback.state())}
    return {"callbacks": made} if made else {}


def restore(callbacks: Sequence[Callback], progress: Mapping[str, Any], epoch: int, step: int) -> None:
    """Give each callback what it remembered, where the run goes on at the place that the file was saved at."""
    here = (epoch, step) != (0, 0) and (progress.get("epoch"), progress.get("step")) == (epoch, step)
    for name, callback in named(callbacks).items() if here else ():
        state = progress.get("callbacks", {}).get(name)
        if isinstance(state, dict):
            callback.restore(state)


def take_arrays(progress: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays among the callbacks' states, taken out of a progress that is to become JSON."""
    arrays: dict[str, np.ndarray] = {}
    if "callbacks" in progress:
        plain: dict[str, dict[str, Any]] = {}
        for name, state in progress["callbacks"].items():
            plain[name] = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
            arrays |= {f"callbacks/{name}/{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        progress["callbacks"] = plain
    return arrays


def put_arrays(progress: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Put the arrays of a file back among the callbacks' states."""
    for full, array in arrays.items():
        if full.startswith("callbacks/"):
            _, name, key = full.split("/", 2)
            progress.setdefault("callbacks", {}).setdefault(name, {})[key] = array
