"""What the doctor finds: a fault, a risk or something worth knowing, and the commands that mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One finding.

    level: "error" where something does not work or computes wrongly, "warning" where it works worse or may soon
    fail, "note" for what is worth knowing. code: which text of `english.py` and `chinese.py` says it. subject: the
    package it is about, "" for the machine. about: what stands in the braces of the text. mend: commands as they are
    typed, in their order; () where none helps.
    """

    level: str
    code: str
    subject: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    mend: tuple[str, ...] = ()


def error(code: str, subject: str = "", mend: tuple[str, ...] = (), **about: Any) -> Finding:
    """Something does not work, or computes wrongly."""
    return Finding(ERROR, code, subject, about, tuple(mend))


def warning(code: str, subject: str = "", mend: tuple[str, ...] = (), **about: Any) -> Finding:
    """It works, but worse than it could, or not for long."""
    return Finding(WARNING, code, subject, about, tuple(mend))


def note(code: str, subject: str = "", mend: tuple[str, ...] = (), **about: Any) -> Finding:
    """Worth knowing."""
    return Finding(NOTE, code, subject, about, tuple(mend))
