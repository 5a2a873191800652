"""Callbacks that save the model as it is trained."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from millrace.engines.processes import processes
from millrace.ir.errors import MillraceError, one_of
from millrace.ir.stream import Stage
from millrace.layers.arguments import whole
from millrace.ops.stages import Every, Save
from millrace.training.callback import Logs, states
from millrace.training.checkpoint import check_ending
from millrace.training.checkpoints import Checkpoints
from millrace.training.kept import Held
from millrace.training.monitors import Monitor
from millrace.training.saver import Saver


class Checkpoint(Monitor):
    """Save the whole state after each epoch, after every `save_every` steps, and when Ctrl-C stops the run.

    With what the other callbacks remember, so that the run that goes on does as this one would have. The state is
    written on a thread while training goes on, from the buffers of the moment; a next one waits for the last.

    path: a directory, or one file that each checkpoint replaces. keep: how many of the last ones stay. best: the
    metric whose best epoch stays besides, as best.safetensors; mode: as for other monitors. about: what else to note.

    Raises FileError where a checkpoint cannot be written: the run stops, and those before it stay. ArgumentError where
    the directory holds later checkpoints than the run starts at.
    """

    rank = 3
    early = False

    def __init__(
        self, path: str | Path | Checkpoints, about: Callable[[], dict[str, Any]] = dict,
        save_every: int | None = None, keep: int = 3, best: str | None = None, mode: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(best or "", mode)
        self.checkpoints = path if isinstance(path, Checkpoints) else Checkpoints(Path(path), keep)
        self.save_every = None if save_every is None else whole(save_every, "save_every")
        self.every = Every(save_every or 0)
        self.about, self.saver = about, Saver()

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(self.every, Save(self.checkpoints.directory.name, self.checkpoints.keep))]

    def on_plan(self, plan: dict[str, Any]) -> None:
        self.checkpoints.refuse_later(plan["initial_epoch"], plan["initial_step"])
        self.steps, self.input = plan["steps"], plan["program"].training.size

    def save(self, epoch: int, step: int, best: bool = False) -> None:
        """Have the state as it is now written, once what was to be written before is.  Raises FileError for that."""
        self.saver.ready()
        progress = {
            "epoch": epoch, "step": step, "stopped": bool(self.model.stop_training), "input": self.input,
            **deepcopy(states(self.beside)), **self.about(),
        }  # fmt: skip
        held = Held(self.model, progress)
        if held.is_split:
            self._write_parts(held, epoch, step, best)
        elif processes().first:
            self.saver.submit(partial(self._write, held, epoch, step, best))
        else:
            held.release()  # the first of several processes writes for all

    def _write(self, held: Held, epoch: int, step: int, best: bool) -> None:
        with held:
            if held.is_sound:  # else the steps since the bad one have changed nothing, and the run is about to stop
                self.checkpoints.write(epoch, step, held.arrays(), held.about, best)

    def _write_parts(self, held: Held, epoch: int, step: int, best: bool) -> None:
        """The same where each of several processes writes its parts; they begin together, between two steps."""
        try:
            if not held.is_sound:
                return held.release()
            finish = self.checkpoints.write_parts(epoch, step, held.arrays(), held.about, best)
        except BaseException:
            held.release()
            raise

        def write() -> None:
            with held:
                finish()

        self.saver.submit(write)

    def on_step_end(self, epoch: int, step: int) -> None:
        self.saver.check()
        if self.every.due(step) and step < self.steps:
            self.save(epoch, step)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        best = False
        if self.monitor:
            current = self.current(logs)
            best = math.isfinite(current) and self.better(current, self.best)
            self.best = current if best else self.best
        self.save(epoch + 1, 0, best)

    def on_interrupt(self, epoch: int, step: int) -> None:
        with Held(self.model) as held:
            alone = held.is_split  # Ctrl-C reaches the first process alone, and the others have parts of the state
        if not alone:
            self.save(epoch, step)
        self.saver.close()

    def on_train_end(self, logs: Logs) -> None:
        self.saver.close()

    def on_finish(self) -> None:
        under_way = sys.exc_info()[1]
        try:
            self.saver.close()
        except MillraceError as error:
            if under_way is None or isinstance(under_way, KeyboardInterrupt):
                raise
            warnings.warn(str(error), stacklevel=2)  # the error that ends the run says more

    def state(self) -> dict[str, Any]:
        return super().state() if self.monitor else {}


class ModelCheckpoint(Monitor):
    """Save the model after each epoch, or after those that are better than all before.

    filepath: where, with {epoch} (from 1 on) and any metric in braces: "m-{epoch:02d}-{val_loss:.2f}.safetensors".
    save_best_only: only where `monitor` improves (on initial_value_threshold, if that is given);
    save_weights_only: without layers and optimizer, for `load_weights`.

    Raises ArgumentError for another format's ending, and for a name in filepath or monitor that the logs do not have.
    Source: Keras ModelCheckpoint.
    """

    everywhere = False
    rank = 2

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", initial_value_threshold: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode)
        check_ending(filepath)
        self.filepath, self.verbose = str(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.initial_value_threshold = initial_value_threshold
        self.reset()

    def reset(self) -> None:
        self.best = self.initial_value_threshold

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(Every(), Save(Path(self.filepath).name))]

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
