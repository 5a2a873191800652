"""A run directory: what a training run leaves behind, and what it goes on from.

config.json    what was asked for, and the versions that did it
words.json     what the classes are called, and the words of texts
checkpoints/   weights, optimizer and position: the last few, and the best
graph.txt      the model's graph; program.txt: the whole run's; queue.json: how full its input's queue was
metrics.jsonl  a line an epoch; vitals.jsonl: the same of what its steps measured
tensorboard/   the same as event files
report.html    to look at
state.json     what became of the run; run.lock: held by the process that trains
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from millrace.diagnosis.record import Record
from millrace.engines.machine import routines
from millrace.ir.errors import FileError
from millrace.ir.text import text
from millrace.training.callbacks import Callback, Checkpoint, JsonLines, Measurements, TensorBoard, read_lines
from millrace.training.checkpoint import remove_partial, write_whole
from millrace.training.checkpoints import Checkpoints, Latest, T
from millrace.training.lock import Lock, is_held
from millrace.training.model import Model
from millrace.training.program_file import ProgramFile
from millrace.training.sharded import loaded, remove_unfinished

RUNNING, FINISHED, STOPPED, FAILED, KILLED = "running", "finished", "stopped", "failed", "killed"


@dataclass(frozen=True)
class State:
    """What became of a run: running, finished, stopped by Ctrl-C, failed with a message, or killed."""

    name: str
    message: str = ""


@dataclass(frozen=True)
class Run:
    """A directory and its files."""

    path: Path

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints; the one file of a run by an early Millrace is the oldest of them."""
        return Checkpoints(self.path / "checkpoints", earlier=self.path / "weights.safetensors")

    @property
    def weights(self) -> Path:
        """The newest checkpoint that is whole.  Raises FileError where there is none."""
        return self.latest(loaded).path

    def latest(self, load: Callable[[Path], T]) -> Latest[T]:
        """What `load` makes of the newest checkpoint that is whole.  Raises FileError where there is none."""
        if not self.checkpoints.files:
            raise FileError(
                f"{self.path} has no checkpoint yet: the run has not reached its first. Wait for it, or start it again "
                f"with millrace train --resume {self.path}."
            )
        return self.checkpoints.latest_good(load)

    @property
    def program(self) -> Path:
        return self.path / "program.txt"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @staticmethod
    def new(parent: Path, name: str) -> Run:
        """A directory that is not there yet: parent/name-1, name-2, ...

        Raises FileError where it cannot be made.
        """
        for number in range(1, 1_000_000):
            path = parent / f"{name}-{number}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise FileError(f"cannot make the run directory {path}: {error.strerror}.") from None
            return Run(path)
        raise FileError(f"{parent} holds too many runs called {name}: choose another place with --out.")

    @staticmethod
    def open(path: Path) -> Run:
        """A run that exists.  Raises FileError for a path that is none, saying what is missing."""
        if not path.is_dir():
            kind = "is a file" if path.exists() else "does not exist"
            raise FileError(f"{path} {kind}: expected a run directory that `millrace train` made.")
        run = Run(path)
        if not (path / "config.json").is_file():
            raise FileError(
                f"{path} is no complete run: config.json is missing. Give a directory that `millrace train` made."
            )
        run.config()
        return run

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: nobody else may train in it meanwhile. What a kill left half written is removed.

        Raises FileError where another process holds it.
        """
        with Lock(self.path / "run.lock"):
            for directory in (self.path, self.checkpoints.directory):
                remove_partial(directory)
                remove_unfinished(directory)
            yield

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note how what happens inside ends."""
        self._note(RUNNING)
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(FileError):  # a full disk perhaps: that error is on its way already
                self._note(STOPPED if isinstance(error, KeyboardInterrupt) else FAILED, str(error))
            raise
        self._note(FINISHED)

    def _note(self, state: str, message: str = "") -> None:
        self._write("state.json", json.dumps({"state": state, "message": message, "time": time.time()}) + "\n")

    @property
    def state(self) -> State:
        """What became of the run.  Raises FileError where that cannot be read."""
        if is_held(self.path / "run.lock"):
            return State(RUNNING)
        file = self.path / "state.json"
        if not file.is_file():  # by an early Millrace
            whole = len(self.metrics()) >= self.config()["epochs"]
            return State(FINISHED if whole else STOPPED)
        try:
            kept = json.loads(file.read_text())
            state = State(kept["state"], kept["message"])
            if state.name not in (RUNNING, FINISHED, STOPPED, FAILED) or not isinstance(state.message, str):
                raise ValueError(f"no state is called {state.name!r}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(f"{file} is damaged ({error!r}): remove it.") from None
        return State(KILLED) if state.name == RUNNING else state

    @property
    def changed(self) -> float:
        """When it last came on, in seconds since 1970."""
        names = ("state.json", "metrics.jsonl", "config.json")
        return max((file.stat().st_mtime for name in names if (file := self.path / name).is_file()), default=0.0)

    def write_config(self, config: dict[str, Any]) -> None:
        versions = {"python": platform.python_version(), "numpy": np.__version__}
        for package in ("jax", "jaxlib", "millrace"):
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                continue
        versions["routines"] = routines()
        self._write("config.json", json.dumps({**config, "versions": versions}, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        """What the run was asked for.  Raises FileError if it cannot be read."""
        file = self.path / "config.json"
        try:
            config = json.loads(file.read_text())
            needed = {"model": str, "engine": str, "seed": int, "epochs": int, "batch_size": int}
            if not all(isinstance(config[key], kind) for key, kind in needed.items()):
                raise ValueError("a setting has the wrong type")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(f"{file} is damaged ({error!r}): restore it, or train again.") from None
        return config

    def write_words(self, classes: Sequence[str], vocabulary: Sequence[str]) -> None:
        """Keep what the answers are called, and the words behind the numbers of a text."""
        self._write("words.json", json.dumps({"classes": list(classes), "vocabulary": list(vocabulary)}) + "\n")

    def words(self) -> tuple[list[str], list[str]]:
        """What the answers are called, and the words of texts.  Raises FileError if they cannot be read."""
        file = self.path / "words.json"
        try:
            words = json.loads(file.read_text())
            classes, vocabulary = words["classes"], words["vocabulary"]
            if not all(isinstance(word, str) for word in [*classes, *vocabulary]):
                raise ValueError("a word is no text")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(f"{file} is missing or damaged ({error!r}): restore it, or train again.") from None
        return classes, vocabulary

    def write_graph(self, model: Model) -> None:
        self._write("graph.txt", text(model.graph))

    def _write(self, name: str, content: str) -> None:
        write_whole(self.path / name, content.encode())

    def metrics(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "metrics.jsonl")

    @property
    def record(self) -> Record:
        """The numbers that the run is judged by; of a run by an early Millrace, its curves alone."""
        return Record.of(self.metrics(), read_lines(self.path / "vitals.jsonl"))

    def callbacks(
        self, save_every: int | None = None, keep: int = 3, best: str | None = "val_loss"
    ) -> list[Callback]:  # fmt: skip
        """What records a run as it goes: metrics first, so that a checkpoint is never ahead of them.

        best: the metric whose best epoch stays besides the last `keep` checkpoints; None where nothing is held out.
        """
        checkpoints = replace(self.checkpoints, keep=keep)
        return [
            ProgramFile(self.program),
            Measurements(self.path / "vitals.jsonl"),
            JsonLines(self.path / "metrics.jsonl"),
            TensorBoard(self.path / "tensorboard"),
            Checkpoint(checkpoints, save_every=save_every, best=best),
        ]


class Guest(Run):
    """The run of the first of several processes, to another one: it reads what the first writes, and writes nothing."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        yield

    @contextmanager
    def noted(self) -> Iterator[None]:
        yield

    def _write(self, name: str, content: str) -> None:
        pass
