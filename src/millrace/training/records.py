"""Records of a run on disk: lines of JSON, a table, TensorBoard's events."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

from millrace.ir.errors import FileError
from millrace.training.callback import Callback, Logs


class JsonLines(Callback):
    """One line of JSON an epoch, in a file that a resumed run goes on with; lines of later epochs are cut off."""

    rank = 1

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        lines = read_lines(self.path)
        kept = [line for line in lines if line["epoch"] <= plan["initial_epoch"]]
        self._write("w", kept)
        self.started = time.time()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._write("a", [{"epoch": epoch + 1, **logs, "seconds": round(time.time() - self.started, 3)}])

    def _write(self, mode: str, lines: list[dict[str, Any]]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode) as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}. Free some space.") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line that a kill cut short is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return [line for line in lines if isinstance(line, dict) and isinstance(line.get("epoch"), int)]


class TensorBoard(Callback):
    """Every metric as an event file for TensorBoard, the epoch as the step."""

    rank = 1

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.writer: Any = None

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(self.directory))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for name, value in logs.items():
            split, metric = ("validation", name[4:]) if name.startswith("val_") else ("training", name)
            self.writer.add_scalar(f"{metric}/{split}", value, epoch + 1)

    def on_finish(self) -> None:
        if self.writer is not None:
            self.writer.close()


class CSVLogger(Callback):
    """One row an epoch in a table: `epoch` from 0 on, then every metric by name.

    append: go on with a file that is there; a run that is gone on with does so in any case, and rows of later
    epochs are cut off.  Raises FileError where it cannot be written.  Source: Keras CSVLogger.
    """

    rank = 1

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.path, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        first = plan["initial_epoch"]
        self.columns: list[str] = []
        kept: list[list[str]] = []
        if (self.append or first or plan["initial_step"]) and self.path.is_file():
            rows = list(csv.reader(self.path.read_text().splitlines(), delimiter=self.separator))
            self.columns = rows[0] if rows else []
            going_on = bool(first or plan["initial_step"])
            kept = [row for row in rows[1:] if not going_on or (row and row[0].isdigit() and int(row[0]) < first)]
        self._write("w", [self.columns, *kept] if self.columns else [])

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        rows: list[list[Any]] = []
        if not self.columns:
            self.columns = ["epoch", *sorted(logs)]
            rows.append(self.columns)
        rows.append([epoch, *(logs.get(name, "NA") for name in self.columns[1:])])
        self._write("a", rows)

    def _write(self, mode: str, rows: list[list[Any]]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, newline="") as file:
                csv.writer(file, delimiter=self.separator, lineterminator="\n").writerows(rows)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}. Free some space.") from None
