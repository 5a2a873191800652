"""The routines that were built for this processor, found and loaded."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from millrace.native.build import BUILT, fingerprint, kinds

SWITCH = "MILLRACE_NATIVE"  # "off" leaves everything to XLA


@dataclass(frozen=True)
class Library:
    """A loaded library and the kind of processor that it is for; or none, and why.

    why: "off" (about: what the switch says), "platform" (no routines for this system), "unbuilt", "unloadable" (about:
    the error), "stale" (about: the file, which was built from other source) or "older" (the processor); "" for none.
    """

    loaded: ctypes.CDLL | None
    kind: str = ""
    why: str = ""
    about: str = ""


@cache
def library() -> Library:
    """The best library that runs here."""
    switch = os.environ.get(SWITCH, "")
    if switch.lower() in ("off", "0", "no", "none"):
        return Library(None, why="off", about=switch)
    if not kinds():
        return Library(None, why="platform")
    found = Library(None, why="unbuilt")
    for kind in kinds():
        path = BUILT / f"{kind}.so"
        if path.exists():
            found = opened(path, kind)
        if found.loaded is not None:
            break
    return found


def opened(path: Path, kind: str) -> Library:
    """The library in a file, if it was built from this source and runs on this processor."""
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.millrace_fingerprint.restype = ctypes.c_char_p
        fits = loaded.millrace_fingerprint().decode() == fingerprint()
    except (OSError, AttributeError) as error:
        return Library(None, why="unloadable", about=str(error))
    if not fits:
        return Library(None, why="stale", about=str(path))
    return Library(loaded, kind) if loaded.millrace_runs_here() else Library(None, why="older")
