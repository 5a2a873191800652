"""What happens beside the steps: progress on the terminal, records on disk, checkpoints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace.ir.errors import FileError, one_of

Logs = dict[str, float]


class Callback:
    """Called by `fit` at its turning points; a callback of one's own overrides what it needs.

    `self.model.stop_training = True` ends training after the epoch.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = [name for name in dir(Callback) if name.startswith("on_")]
        for name in vars(cls):
            if name.startswith("on_") and name not in known:
                raise one_of(f"turning point of {cls.__name__}", name, known)

    model: Any  # the Model that is trained

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        """Before the first step. plan: epochs, steps, batch_size, initial_epoch, examples."""

    def on_progress(self, epoch: int, step: int, logs: Logs) -> None:
        """Now and then within an epoch, with the means so far."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_interrupt(self, epoch: int, step: int) -> None:
        """After Ctrl-C, between two steps: `step` steps of `epoch` are done."""

    def on_train_end(self, logs: Logs) -> None:
        """After the last epoch."""

    def on_finish(self) -> None:
        """At the very end, also after an error."""


class History(Callback):
    """The curves: `history["loss"]` and so on, one number an epoch; `batch_losses`, one a step."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self.batch_losses: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class Progress(Callback):
    """A bar for each epoch, with images/s, loss, metrics and the time left; plain lines without a terminal."""

    def __init__(self, unit: str = "images") -> None:
        self.unit = unit

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.plan, self.started = plan, time.perf_counter()
        self.last = self.started
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=False)
        self.bar: Any = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), TextColumn("{task.fields[text]}"))
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=plan["steps"], text="")

    def on_progress(self, epoch: int, step: int, logs: Logs) -> None:
        if self.bar is None:
            return
        done = epoch + step / self.plan["steps"]
        ran = done - self.plan["initial_epoch"]
        left = (time.perf_counter() - self.started) / ran * (self.plan["epochs"] - done)
        text = f"{shown(logs)}  {self.rate(ran):,.0f} {self.unit}/s  {duration(left)} left"
        self.bar.update(self.task, completed=step, description=f"{epoch + 1}/{self.plan['epochs']}", text=text)

    def rate(self, epochs: float) -> float:
        """Examples a second since the start, compiling included."""
        return epochs * self.plan["examples"] / max(time.perf_counter() - self.started, 1e-9)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        now = time.perf_counter()
        rate = self.plan["examples"] / max(now - self.last, 1e-9)
        self.last = now
        total = str(self.plan["epochs"])
        line = f"{epoch + 1:>{len(total)}}/{total}  {shown(logs)}  {rate:,.0f} {self.unit}/s"
        self.console.print(line, markup=False, soft_wrap=True)
        self.console.file.flush()  # also into a pipe: somebody may be watching

    def on_finish(self) -> None:
        if getattr(self, "bar", None) is not None:
            self.bar.stop()


SHORT = {"accuracy": "acc", "val_accuracy": "val acc", "val_loss": "val loss"}


def shown(logs: Logs) -> str:
    """The means that matter most, in a few columns."""
    first: list[str] = [name for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in logs]
    first += [name for name in logs if name not in first][: 4 - len(first)]
    return "  ".join(f"{SHORT.get(n, n.replace('val_', 'val '))} {logs[n]:.{3 if 'acc' in n else 4}f}" for n in first)


def duration(seconds: float) -> str:
    """A time in words: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


class JsonLines(Callback):
    """One line of JSON an epoch, in a file that a resumed run goes on with; lines of later epochs are cut off."""

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


class Checkpoint(Callback):
    """Save the whole state after each epoch, and between two steps when Ctrl-C stops the run."""

    def __init__(self, path: str | Path, about: Callable[[], dict[str, Any]] = dict) -> None:
        self.path, self.about = Path(path), about

    def save(self, epoch: int, step: int) -> None:
        self.model.save(self.path, progress={"epoch": epoch, "step": step, **self.about()})

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.save(epoch + 1, 0)

    def on_interrupt(self, epoch: int, step: int) -> None:
        self.save(epoch, step)
