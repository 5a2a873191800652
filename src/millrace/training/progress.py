"""Progress on the terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from millrace.training.callback import Callback, History, Logs


class Progress(Callback):
    """A bar for each epoch, with images/s, loss, metrics and the time left; plain lines without a terminal."""

    everywhere = False
    rank = 1

    def __init__(self, unit: str = "images") -> None:
        self.unit = unit

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.plan, self.started, self.left_out = plan, time.perf_counter(), 0
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
        ran = done - self.plan["initial_epoch"] - self.plan.get("initial_step", 0) / self.plan["steps"]
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

    def on_broken(self, records: dict[str, str]) -> None:
        for record, why in records.items():
            self.left_out += 1
            if self.left_out <= NAMED:
                self.console.print(f"left out: {record}: {why}", markup=False, soft_wrap=True)
        if self.left_out > NAMED >= self.left_out - len(records):
            self.console.print("left out: more of them; the end says how many")

    def on_train_end(self, logs: Logs) -> None:
        history = next((callback for callback in self.beside if isinstance(callback, History)), None)
        if history is not None and history.broken:
            self.console.print(f"left out: {len(history.broken):,} of {self.plan['examples']:,} records")

    def on_finish(self) -> None:
        if getattr(self, "bar", None) is not None:
            self.bar.stop()


NAMED = 3  # broken records that are named
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
