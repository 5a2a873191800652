"""The graph of a run in a file, `program.txt`: text that can be read without the data and without the model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from millrace.ir.errors import FileError, GraphError
from millrace.ir.graph import Graph
from millrace.ir.text import literals, parse, text
from millrace.ops.stages import Queue
from millrace.training.callback import Callback, History, Logs
from millrace.training.checkpoint import load_arrays, save_arrays, write_whole
from millrace.training.program import Program

WAITS = 0.1  # from this share of the time on, waiting for input is what a run takes its time for


def constants(path: Path) -> Path:
    """Where the long constants of a program's text are kept."""
    return path.with_suffix(".safetensors")


def save_program(path: Path, program: Program) -> None:
    """Write the graphs of a run as text.  Raises FileError where that cannot be done."""
    kept: dict[str, np.ndarray] = {}
    for graph in program.graphs.values():
        kept |= literals(graph)
    written = "".join(text(graph, name) for name, graph in program.graphs.items())
    if kept:
        save_arrays(constants(path), kept, {"kind": "constants"})
    write_whole(path, written.encode())


def load_program(path: Path) -> dict[str, Graph]:
    """The graphs of a run by name.  Raises FileError where the file is missing or no program."""
    if not path.is_file():
        raise FileError(f"{path} does not exist: only a run that `millrace train` started has its graph there.")
    known: Mapping[str, Any] = load_arrays(constants(path))[0] if constants(path).is_file() else {}
    try:
        pieces = re.split(r"^(?=graph )", path.read_text(), flags=re.MULTILINE)
        found = {}
        for piece in pieces:
            if piece.strip():
                name = re.match(r"graph (\w+)", piece)
                found[name[1] if name else ""] = parse(piece, literals=known)
    except (GraphError, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is damaged, or of another version of Millrace: {error}") from None
    if not found:
        raise FileError(f"{path} holds no graph.")
    return found


class ProgramFile(Callback):
    """Writes the run's graph down when it begins, and at the end how full its input's queue was."""

    everywhere = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        self.queue = plan["program"].training.op
        save_program(self.path, plan["program"])

    def on_train_end(self, logs: Logs) -> None:
        history = next(callback for callback in self.beside if isinstance(callback, History))
        if history.seconds:  # else nothing was trained in this sitting
            write_whole(levels_file(self.path), (json.dumps(measured(history, self.queue)) + "\n").encode())


def measured(history: History, queue: Queue) -> dict[str, float]:
    """What a run's taker saw of its input's queue, for how long."""
    levels = asdict(history.input_levels)
    return {**levels, "capacity": queue.capacity, "workers": queue.workers, "seconds": history.seconds}


def levels_file(path: Path) -> Path:
    """Where the levels of a program's queue are kept."""
    return path.with_name("queue.json")


def levels_in_words(path: Path) -> str:
    """What the levels of a run's queue say about its bottleneck; "" where they were not measured."""
    try:
        return in_words(json.loads(levels_file(path).read_text()))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return ""


def in_words(found: Mapping[str, float]) -> str:
    """What a queue's levels say about what a run takes its time for."""
    taken, ready, empty, waited, capacity, workers, seconds = (
        found[name] for name in ("taken", "ready", "empty", "waited", "capacity", "workers", "seconds")
    )
    share = waited / seconds
    verdict = f"The bottleneck was the {'input' if share > WAITS else 'step'}."
    took = f"{waited:.2f} s of {seconds:.1f} s ({share:.1%})"
    if not workers:
        return f"Batches were made by the step's own thread, in {took}. {verdict}"
    lacking = f"none in {empty:,} of {taken:,} cases" if empty else "never none"
    return (
        f"When the step asked for a batch, {ready / max(taken, 1):.1f} of {capacity} lay ready on average, {lacking}; "
        f"it waited for input in {took}. {verdict}"
    )
