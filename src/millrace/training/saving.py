"""Callbacks that save the model as it is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace.ir.errors import one_of
from millrace.training.callback import Callback, Logs, states
from millrace.training.monitors import Monitor


class Checkpoint(Callback):
    """Save the whole state after each epoch, and between two steps when Ctrl-C stops the run.

    With what the other callbacks remember, so that the run that goes on does as this one would have.
    """

    rank = 3

    def __init__(self, path: str | Path, about: Callable[[], dict[str, Any]] = dict) -> None:
        self.path, self.about = Path(path), about

    def save(self, epoch: int, step: int) -> None:
        progress = {"epoch": epoch, "step": step, **states(self.beside), **self.about()}
        self.model.save(self.path, progress=progress)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.save(epoch + 1, 0)

    def on_interrupt(self, epoch: int, step: int) -> None:
        self.save(epoch, step)


class ModelCheckpoint(Monitor):
    """Save the model after each epoch, or after those that are better than all before.

    filepath: where, with {epoch} (from 1 on) and any metric in braces: "m-{epoch:02d}-{val_loss:.2f}.safetensors".
    save_best_only: only where `monitor` improves (on initial_value_threshold, if that is given);
    save_weights_only: without layers and optimizer, for `load_weights`.

    Raises ArgumentError for a name in filepath or monitor that the logs do not have.
    Source: Keras ModelCheckpoint.
    """

    rank = 2

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", initial_value_threshold: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode)
        self.filepath, self.verbose = str(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.initial_value_threshold = initial_value_threshold
        self.reset()

    def reset(self) -> None:
        self.best = self.initial_value_threshold

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            current = self.current(logs)
            if not self.better(current, self.best):
                return
            self.best = current
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, **logs))
        except KeyError as error:
            raise one_of("name in filepath", error.args[0], ["epoch", *logs]) from None
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path, progress={"epoch": epoch + 1, "step": 0, **states(self.beside)})
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}.")
