"""The user's own line: the first frame outside Millrace that led to a node."""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
COMMAND = os.path.join(PACKAGE, "cli", "main.py")


@dataclass(frozen=True)
class Location:
    """A line of a file; its text is read only when somebody asks."""

    file: str
    line: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.line).strip()
        place = f"{Path(self.file).name}:{self.line}" if self.file[:1] != "<" else f"{self.file}:{self.line}"
        return f"at {place}: {text}" if text else f"at {place}"


def here() -> Location | None:
    """The location of the nearest caller that is not part of Millrace, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == COMMAND:  # what calls the command is no line of the user's
            return None
        if not file.startswith(PACKAGE) and not file.startswith("<frozen"):
            return Location(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None
