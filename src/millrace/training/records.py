"""Records of a run on disk: lines of JSON, a table, TensorBoard's events."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from millrace.diagnosis.record import Vitals
from millrace.ir.errors import FileError
from millrace.ir.stream import Stage
from millrace.ops.stages import Every, WriteLog
from millrace.training.callback import Callback, Logs
from millrace.training.checkpoint import write_whole


class JsonLines(Callback):
    """One line of JSON an epoch, in a file that a resumed run goes on with; lines of later epochs are cut off."""

    everywhere = False
    rank = 1

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(Every(), WriteLog("lines", self.path.name))]

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        lines = read_lines(self.path)
        kept = [line for line in lines if line["epoch"] <= plan["initial_epoch"]]
        write_whole(self.path, as_lines(kept))  # a kill meanwhile loses none
        self.started = time.time()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        line = {"epoch": epoch + 1, **logs, "seconds": round(time.time() - self.started, 3)}
        append(self.path, as_lines([line]))


class Measurements(JsonLines):
    """A line of JSON an epoch of what its steps have measured; the first, for epoch 0, says what the data are."""

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(Every(), WriteLog("vitals", self.path.name))]

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        super().on_train_begin(plan)
        if not self.path.stat().st_size and plan["program"].steps.gauges is not None:
            append(self.path, as_lines([{"epoch": 0, **plan["program"].facts.line()}]))

    def on_vitals(self, epoch: int, vitals: Vitals) -> None:
        append(self.path, as_lines([vitals.line()]))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        pass


def as_lines(values: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def append(path: Path, content: bytes) -> None:
    """Put content at the end of a file, and on the disk.  Raises FileError where it cannot be written."""
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}. Free some space.") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; what cannot be read, such as a last line that a kill cut short, is left out."""
    lines = []
    for text in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict) and isinstance(line.get("epoch"), int)]


class TensorBoard(Callback):
    """Every metric as an event file for TensorBoard, the epoch as the step.

    A run that is gone on with writes a further file, which says from where on the earlier ones no longer count.
    """

    everywhere = False
    rank = 1

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.writer: Any = None

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(Every(), WriteLog("events", self.directory.name))]

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            before = len(list(self.directory.glob("events.out.tfevents.*")))
            # the writer's own names tell seconds apart: a second file of one second would replace the first
            self.writer = EventsWriter(str(self.directory / "events"), f".{before:04}" if before else "")
        except OSError as error:
            raise FileError(f"cannot write in {self.directory}: {error.strerror}.") from None
        if before:
            self._write(plan["initial_epoch"] + 1, [{"session_log": SessionLog(status=SessionLog.START)}])

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        from tensorboardX.summary import scalar

        def tag(name: str) -> str:
            return f"{name[4:]}/validation" if name.startswith("val_") else f"{name}/training"

        self._write(epoch + 1, [{"summary": scalar(tag(name), value)} for name, value in logs.items()])

    def _write(self, step: int, contents: Iterable[dict[str, Any]]) -> None:
        """Events, on the disk when this returns: the library's `SummaryWriter` keeps them for up to two minutes."""
        from tensorboardX.proto.event_pb2 import Event

        try:
            for content in contents:
                self.writer.write_event(Event(wall_time=time.time(), step=step, **content))
            self.writer.flush()
        except OSError as error:
            raise FileError(f"cannot write in {self.directory}: {error.strerror}. Free some space.") from None

    def on_finish(self) -> None:
        if self.writer is not None:
            with contextlib.suppress(OSError):  # a full disk, which was said
                self.writer.close()
            self.writer = None


class CSVLogger(Callback):
    """One row an epoch in a table: `epoch` from 0 on, then every metric by name.

    append: go on with a file that is there; a run that is gone on with does so in any case, and rows of later
    epochs are cut off.  Raises FileError where it cannot be written.  Source: Keras CSVLogger.
    """

    everywhere = False
    rank = 1

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.path, self.separator, self.append = Path(filename), separator, append

    def stages(self) -> list[tuple[Every, Stage]]:
        return [(Every(), WriteLog("table", self.path.name))]

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        first = plan["initial_epoch"]
        self.columns: list[str] = []
        kept: list[list[str]] = []
        if (self.append or first or plan["initial_step"]) and self.path.is_file():
            rows = list(csv.reader(self.path.read_text().splitlines(), delimiter=self.separator))
            self.columns = rows[0] if rows else []
            going_on = bool(first or plan["initial_step"])
            kept = [row for row in rows[1:] if not going_on or (row and row[0].isdigit() and int(row[0]) < first)]
        write_whole(self.path, self._rows([self.columns, *kept] if self.columns else []))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        rows: list[list[Any]] = []
        if not self.columns:
            self.columns = ["epoch", *sorted(logs)]
            rows.append(self.columns)
        rows.append([epoch, *(logs.get(name, "NA") for name in self.columns[1:])])
        append(self.path, self._rows(rows))

    def _rows(self, rows: Iterable[Sequence[Any]]) -> bytes:
        table = io.StringIO()
        csv.writer(table, delimiter=self.separator, lineterminator="\n").writerows(rows)
        return table.getvalue().encode()
