"""The loop over epochs and batches: steps one after another, and what happens between them."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from millrace.data.arrays import Arrays, epoch_order
from millrace.ir.errors import MillraceError
from millrace.training.callbacks import Callback, History, Logs
from millrace.training.examples import batch_size_for
from millrace.training.step import Steps

POLL = 16  # steps between two looks at the device: often enough to show, seldom enough not to wait


@contextmanager
def interruptible() -> Iterator[list[bool]]:
    """Ctrl-C inside sets a flag, so that a step is never cut in half; a second one stops at once."""
    asked = [False]

    def note(signum: int, frame: Any) -> None:
        if asked[0]:
            raise KeyboardInterrupt
        asked[0] = True

    if threading.current_thread() is not threading.main_thread():
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
        self, steps: Steps, data: Arrays, validation: Arrays | None, batch_size: int, epochs: int, seed: int,
        shuffle: bool, callbacks: Sequence[Callback], history: History, model: Any,
    ):  # fmt: skip
        self.steps, self.data, self.validation = steps, data, validation
        self.batch_size, self.epochs, self.seed, self.shuffle = batch_size, epochs, seed, shuffle
        self.callbacks, self.history, self.model = callbacks, history, model
        self.waiting: deque[Any] = deque()  # losses that are still on the device
        self.recent: deque[Any] = deque(maxlen=POLL + 1)  # batches since the last look, to find a bad one

    def run(self, initial_epoch: int, initial_step: int) -> None:
        plan = {
            "epochs": self.epochs, "steps": self.data.steps(self.batch_size), "batch_size": self.batch_size,
            "initial_epoch": initial_epoch, "initial_step": initial_step, "examples": self.data.count,
        }  # fmt: skip
        logs: Logs = {}
        try:
            with interruptible() as asked:
                self.steps.healthy.assign(np.bool_(True))
                self.completed = int(self.steps.completed.numpy())
                for callback in self.callbacks:
                    callback.on_train_begin(plan)
                for epoch in range(initial_epoch, self.epochs):
                    logs = self.epoch(epoch, initial_step if epoch == initial_epoch else 0, asked)
                    if self.model.stop_training:
                        break
                if asked[0] and not self.model.stop_training:  # after the last step, during validation or a callback
                    raise Interrupted(self.epochs, 0)
                for callback in self.callbacks:
                    callback.on_train_end(logs)
        finally:
            for callback in self.callbacks:
                callback.on_finish()

    def epoch(self, epoch: int, first: int, asked: list[bool]) -> Logs:
        if not first:
            self.steps.means.reset()
            for callback in self.callbacks:
                callback.on_epoch_begin(epoch, {})
        order = epoch_order(self.data.count, self.seed, epoch + 1) if self.shuffle else None
        step = first
        for step, batch in enumerate(self.data.batches(self.batch_size, order, first), first + 1):
            given = (*batch.arrays, batch.weights)
            self.recent.append((step, given))
            self.waiting.append(self.steps.train(*given))
            if asked[0]:
                self.look(epoch)
                for callback in self.callbacks:
                    callback.on_interrupt(epoch, step)
                raise Interrupted(epoch, step)
            if step % POLL == 0:
                logs = self.look(epoch)
                for callback in self.callbacks:
                    callback.on_progress(epoch, step, logs)
        logs = self.look(epoch)
        if self.validation is not None:
            held = evaluate(self.steps, self.validation, self.batch_size)
            logs |= {f"val_{name}": value for name, value in held.items()}
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)
        return logs

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
        step, arrays = self.recent[int(self.steps.completed.numpy()) - self.completed]
        error = self.steps.explain_failure(arrays)
        return type(error)(
            f"training stopped at step {step} of epoch {epoch + 1}: {error}\n"
            "  The weights are those before that step. A smaller learning rate or scaled inputs often help."
        )


def evaluate(steps: Steps, data: Arrays, batch_size: int) -> Logs:
    """The means of the loss and of the metrics over data, without training."""
    steps.test_means.reset()
    for batch in data.batches(batch_size_for(steps.inputs, batch_size, data.count)):
        steps.test(*batch.arrays, batch.weights)
    return steps.logs(steps.test_means)
