"""Help and messages that break where the terminal ends, and nowhere else."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Callable
from typing import Any

from cyclopts import App


def adding(app: App) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator that adds a command to an app, with its help unbroken."""

    def command(function: Callable[..., Any]) -> Callable[..., Any]:
        app.command(unbroken(function))
        return function

    return command


def unbroken(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in whose docstring each parameter's description is one line.

    The help keeps the line ends of a docstring, which has other columns than the terminal.
    """
    lines: list[str] = []
    for line in inspect.cleandoc(function.__doc__ or "").split("\n"):
        if lines and line.startswith("    ") and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    function.__doc__ = "\n".join(lines)
    return function


def folded(message: str) -> str:
    """A message at 80 columns at most, broken at spaces; a line that carets below point into stays whole."""
    width = min(80, shutil.get_terminal_size().columns)
    lines = message.split("\n")
    made: list[str] = []
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        indent = line[: len(line) - len(line.lstrip())]
        if len(line) <= width or set(below.strip()) == {"^"} or set(line.strip()) == {"^"}:
            made.append(line)
            continue
        made += textwrap.wrap(
            line, width, subsequent_indent=indent or "  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(made)
