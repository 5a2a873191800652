"""A run directory: what a training run leaves behind, and what it goes on from.

config.json           what was asked for, and the versions that did it
words.json            what the classes are called, and the words of texts
weights.safetensors   weights, optimizer and position: the latest checkpoint
graph.txt             the model's graph; training.txt: the whole training step's
metrics.jsonl         a line an epoch
tensorboard/          the same as event files
report.html           to look at
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from millrace.ir.errors import FileError
from millrace.ir.text import text
from millrace.training.callbacks import Callback, Checkpoint, JsonLines, TensorBoard, read_lines
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model


@dataclass(frozen=True)
class Run:
    """A directory and its files."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

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
        for needed in (path / "config.json", run.weights):
            if not needed.is_file():
                raise FileError(
                    f"{path} is no complete run: {needed.name} is missing. Give a directory that `millrace train` "
                    "made and that reached its first checkpoint."
                )
        run.config()
        return run

    def write_config(self, config: dict[str, Any]) -> None:
        versions = {"python": platform.python_version(), "numpy": np.__version__}
        for package in ("jax", "jaxlib", "millrace"):
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                continue
        self._write("config.json", json.dumps({**config, "versions": versions}, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        """What the run was asked for.  Raises FileError if it cannot be read."""
        file = self.path / "config.json"
        try:
            config = json.loads(file.read_text())
            needed = {"model": str, "engine": str, "seed": int, "epochs": int, "batch_size": int}
            if not all(isinstance(config[key], kind) for key, kind in needed.items()):
                raise ValueError("a setting has the wrong type")
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"{file} is missing or damaged ({error!r}): restore it, or train again.") from None
        return classes, vocabulary

    def write_graphs(self, model: Model) -> None:
        self._write("graph.txt", text(model.graph))
        self._write("training.txt", text(model.training_steps.train.graph))

    def _write(self, name: str, content: str) -> None:
        write_whole(self.path / name, content.encode())

    def metrics(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "metrics.jsonl")

    def callbacks(self) -> list[Callback]:
        """What records a run as it goes: metrics first, so that a checkpoint is never ahead of them."""
        return [
            JsonLines(self.path / "metrics.jsonl"),
            TensorBoard(self.path / "tensorboard"),
            Checkpoint(self.weights),
        ]
