"""How far a long piece of work has come: a bar on a terminal, now and then a line without one."""

from __future__ import annotations

import sys
import time
from typing import Any

from millrace.ir.syntax import printable as escaped
from millrace.training.progress import duration

PAUSE = 5.0  # seconds between two lines


class Bar:
    """`with Bar("pictures") as bar: work(report=bar.reach)`; what it prints goes where errors go.

    unit: what is counted. done, total: how far the work came.
    """

    def __init__(self, unit: str):
        self.unit, self.done, self.total = unit, 0, 0
        self.what = ""
        self.started = self.said = 0.0
        self.before = 0
        self.bar: Any = None

    def __enter__(self) -> Bar:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, markup=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def reach(self, what: str, done: int, total: int) -> None:
        """`done` of `total` are done; `what` says what is done to them, such as "packing"."""
        now = time.monotonic()
        if what != self.what:
            self._begin(what, done, total, now)
        self.done, self.total = done, total
        if self.bar is not None:
            self.bar.update(self.task, completed=done, text=self._text(now))
        elif now - self.said >= PAUSE:
            self.said = now
            self.console.print(f"{what}: {self._text(now)}", soft_wrap=True)

    def _begin(self, what: str, done: int, total: int, now: float) -> None:
        self.what, self.started, self.before, self.said = what, now, done, now
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn

        if self.bar is not None:
            self.bar.stop()
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), TextColumn("{task.fields[text]}"))
        self.bar = Progress(*columns, console=self.console, transient=True)
        self.bar.start()
        self.task = self.bar.add_task(what, total=total, completed=done, text="")

    def _text(self, now: float) -> str:
        rate = (self.done - self.before) / max(now - self.started, 1e-9)
        left = duration((self.total - self.done) / rate) if rate else "?"
        return f"{self.done:,} of {self.total:,} {self.unit}  {rate:,.0f}/s  {left} left"


def printable(text: str) -> str:
    """Text with what controls a terminal, or cannot be shown, escaped: a file's name may be no text at all."""
    encoding = sys.stdout.encoding or "utf-8"
    return escaped(text).encode(encoding, "backslashreplace").decode(encoding)
