"""The loop over epochs and batches: steps one after another, and what happens between them."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from millrace.data.feed import Feed
from millrace.data.source import Source
from millrace.engines.processes import processes
from millrace.ir.errors import DataError, MillraceError
from millrace.training.callbacks import Callback, History, Logs
from millrace.training.inputs import Input
from millrace.training.program import Program
from millrace.training.step import Steps

ON_BROKEN = ("skip", "stop")  # what may be done about a broken record
POLL = 16  # steps between two looks at the device: often enough to show, seldom enough not to wait


@contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Ctrl-C inside sets a flag, so that a step is never cut in half; a second one stops at once."""
    asked = [False]

    def note(signum: int, frame: Any) -> None:
        if asked[0]:
            raise KeyboardInterrupt
        asked[0] = True

    if threading.current_thread() is not threading.main_thread() or not processes().first:
        yield asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C between two steps: `step` steps of `epoch` are done, and the model holds what they taught."""

    def __init__(self, epoch: int, step: int):
        super().__init__(
            f"stopped after {step} steps of epoch {epoch + 1}. The model holds what it has learned: model.save(path) "
            f"keeps it, and model.fit(..., initial_epoch={epoch}, initial_step={step}) goes on."
        )
        self.epoch, self.step = epoch, step


class Loop:
    """One call of `fit`."""

    def __init__(
        self, program: Program, epochs: int, callbacks: Sequence[Callback], history: History, model: Any,
        on_broken: str,
    ):  # fmt: skip
        self.program, self.steps, self.epochs = program, program.steps, epochs
        self.callbacks, self.history, self.model, self.on_broken = callbacks, history, model, on_broken
        self.after_steps = [c for c in callbacks if type(c).on_step_end is not Callback.on_step_end]
        self.waiting: deque[Any] = deque()  # losses that are still on the device
        self.recent: deque[int] = deque(maxlen=POLL + 1)  # steps since the last look, to find a bad one

    def run(self, initial_epoch: int, initial_step: int) -> None:
        given = self.program.training
        plan = {
            "epochs": self.epochs, "steps": given.batches.count, "batch_size": given.batch_size,
            "initial_epoch": initial_epoch, "initial_step": initial_step, "examples": given.source.count,
            "program": self.program,
        }  # fmt: skip
        logs: Logs = {}
        feed: Feed | None = None
        try:
            with interruptible() as asked:
                self.steps.healthy.assign(np.bool_(True))
                self.completed = int(self.steps.completed.numpy())
                if self.steps.gauges is not None:
                    self.steps.gauges.begin()
                for callback in self.callbacks:
                    callback.on_plan(plan)
                for callback in self.callbacks:
                    callback.on_train_begin(plan)
                feed = given.start(initial_epoch, initial_step, self.epochs)
                self.history.input_levels = feed.levels
                for epoch in range(initial_epoch, self.epochs):
                    if self.model.stop_training:
                        break
                    logs = self.epoch(feed, epoch, initial_step if epoch == initial_epoch else 0, asked)
                if asked[0] and not self.model.stop_training:  # after the last step, during validation or a callback
                    raise Interrupted(self.epochs, 0)
                if not any(type(callback).on_broken is not Callback.on_broken for callback in self.callbacks):
                    warn_of(self.history.broken, given.source.count)
                for callback in self.callbacks:
                    callback.on_train_end(logs)
        finally:
            with ExitStack() as ends:  # each is told, also where another one fails
                for callback in reversed(self.callbacks):
                    ends.callback(callback.on_finish)
                if feed is not None:
                    ends.callback(feed.cancel)

    def epoch(self, feed: Feed, epoch: int, first: int, asked: list[bool]) -> Logs:
        if not first:
            self.steps.reset()
            for callback in self.callbacks:
                callback.on_epoch_begin(epoch, {})
        started, used = time.perf_counter(), bool(first)
        for step in range(first + 1, feed.batches.count + 1):
            batch = feed.take()
            if batch.broken:
                self.without(batch.broken)
            if batch.weights.any() or self.program.training.is_shared:  # then all make the step, or none
                used = True
                self.recent.append(step)
                self.waiting.append(self.steps.train(*batch.arrays, batch.weights))
            if asked[0]:
                self.look(epoch)
                for callback in self.callbacks:
                    callback.on_interrupt(epoch, step)
                raise Interrupted(epoch, step)
            for callback in self.after_steps:
                callback.on_step_end(epoch, step)
            if step % POLL == 0:
                logs = self.look(epoch)
                for callback in self.callbacks:
                    callback.on_progress(epoch, step, logs)
        if not used:
            raise nothing_left(self.program.training.source, self.history.broken)
        logs = self.look(epoch)
        self.history.seconds += time.perf_counter() - started
        if self.program.validation is not None:
            held, broken = evaluate(self.steps, self.program.validation)
            if broken:
                self.without({f"{record} (validation)": why for record, why in broken.items()})
            logs |= {f"val_{name}": value for name, value in held.items()}
        if self.steps.gauges is not None:
            vitals = self.steps.gauges.read(epoch + 1)
            for callback in self.callbacks:
                callback.on_vitals(epoch, vitals)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        return logs

    def without(self, broken: Mapping[str, str]) -> None:
        """Go on without broken records, each told of once; or stop, where that was chosen."""
        new = {record: why for record, why in broken.items() if record not in self.history.broken}
        if self.on_broken == "stop" and broken:
            record, why = next(iter(broken.items()))
            raise DataError(f"{record} cannot be used: {why}\n  on_broken='skip' goes on without such records.")
        self.history.broken |= new
        for callback in self.callbacks if new else ():
            callback.on_broken(new)

    def look(self, epoch: int) -> Logs:
        """Wait for the steps so far: their losses, the means, and whether all is finite."""
        self.history.batch_losses += [float(loss) for loss in self.waiting]
        if not bool(self.steps.healthy.numpy()):
            raise self.failure(epoch)
        self.completed = int(self.steps.completed.numpy())
        self.waiting.clear()
        self.recent.clear()
        return self.steps.logs(self.steps.means)

    def failure(self, epoch: int) -> MillraceError:
        """Which of the recent steps failed, and why: it is run again on its batch and the state before it."""
        step = self.recent[int(self.steps.completed.numpy()) - self.completed]
        batch = self.program.training.whole_batch(epoch, step - 1)
        error = self.steps.explain_failure((*batch.arrays, batch.weights))
        return type(error)(
            f"training stopped at step {step} of epoch {epoch + 1}: {error}\n"
            "  The weights are those before that step. A smaller learning rate or scaled inputs often help."
        )


def evaluate(steps: Steps, given: Input) -> tuple[Logs, dict[str, str]]:
    """The means of the loss and of the metrics over data, without training; and the records that are broken."""
    steps.test_means.reset()
    feed = given.start()
    broken: dict[str, str] = {}
    used = False
    try:
        for _ in range(feed.batches.count):
            batch = feed.take()
            broken |= batch.broken
            if batch.weights.any() or given.is_shared:
                used = True
                steps.test(*batch.arrays, batch.weights)
    finally:
        feed.cancel()
    if not used:
        raise nothing_left(given.source, broken)
    return steps.logs(steps.test_means), broken


def nothing_left(source: Source, broken: Mapping[str, str]) -> DataError:
    """An error for data of which no record can be used."""
    record, why = next(iter(broken.items()))
    return DataError(f"none of the {source.count:,} records of {source.name} can be used, the first is {record}: {why}")


def warn_of(broken: Mapping[str, str], count: int) -> None:
    """Tell of records that were left out, once."""
    if broken:
        record, why = next(iter(broken.items()))
        text = f"{len(broken):,} of {count:,} records cannot be used and were left out, the first is {record}: {why}"
        warnings.warn(text, stacklevel=4)
