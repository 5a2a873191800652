"""`millrace runs`: the run directories in a place, with their state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.ir.errors import FileError
from millrace.training.callbacks import shown
from millrace.training.run import FAILED, Run

WIDTH = 80  # columns that the table fits in
TRACES = ("config.json", "run.lock", "state.json", "metrics.jsonl", "checkpoints", "weights.safetensors")
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Line:
    """A run in the list; `said` is what has no room in the table."""

    name: str
    changed: float
    state: str
    model: str = ""
    epochs: str = ""
    metrics: str = ""
    said: str = ""


def list_runs(directory: Path) -> None:
    """Print a table of the runs in a directory, or of the one that it is.  Raises FileError where there is none."""
    from rich.console import Console
    from rich.table import Table

    lines = sorted((line(path) for path in found(directory)), key=lambda one: one.changed, reverse=True)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, WIDTH)
    table = Table(pad_edge=False, box=None)
    for column in ("Run", "State", "Model", "Epochs", "Last", "Changed"):
        table.add_column(column, justify="right" if column == "Epochs" else "left", overflow="fold")
    for one in lines:
        table.add_row(one.name, one.state, one.model, one.epochs, one.metrics, ago(time.time() - one.changed))
    console.print(table)
    for one in lines:
        if one.said:
            console.print(f"\n{one.name}: {one.said}")


def found(directory: Path) -> list[Path]:
    """The directories that are runs, or were."""
    if not directory.is_dir():
        kind = "is a file" if directory.exists() else "does not exist"
        raise FileError(f"{directory} {kind}: give the directory that runs are in, as `millrace train --out` has it.")
    if is_run(directory):
        return [directory]
    runs = [path for path in directory.iterdir() if path.is_dir() and is_run(path)]
    if not runs:
        raise FileError(f"{directory} holds no runs: `millrace train --out {directory}` makes one.")
    return runs


def is_run(path: Path) -> bool:
    return any((path / name).exists() for name in TRACES)


def line(path: Path) -> Line:
    """What there is to say of a run, also where it is damaged."""
    run = Run(path)
    name = path.resolve().name
    try:
        config = Run.open(path).config()
        state, metrics = run.state, run.metrics()
    except (FileError, OSError) as error:
        return Line(name, run.changed, "damaged", said=str(error))
    done = metrics[-1]["epoch"] if metrics else 0
    return Line(
        name, run.changed, state.name, config["model"], f"{done}/{config['epochs']}",
        briefly(metrics[-1]) if metrics else "-", state.message if state.name == FAILED else "",
    )  # fmt: skip


def briefly(metrics: Mapping[str, Any]) -> str:
    """The one number of an epoch that says most."""
    order = ("val_accuracy", "val_loss", "accuracy", "loss")
    name = next((name for name in order if isinstance(metrics.get(name), float)), None)
    return "-" if name is None else shown({name: metrics[name]})


def ago(seconds: float) -> str:
    """How long since, in the largest unit."""
    for size, unit in UNITS:
        count = int(seconds // size)
        if count >= 1:
            return f"{count} {unit} ago"
    return "now"
