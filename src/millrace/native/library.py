"""The routines that were built for this processor, found and loaded."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache

from millrace.native.build import BUILT, fingerprint, kinds

SWITCH = "MILLRACE_NATIVE"  # "off" leaves everything to XLA


@dataclass(frozen=True)
class Library:
    """A loaded library and the kind of processor that it is for; or none, and why."""

    loaded: ctypes.CDLL | None
    kind: str
    why: str = ""


@cache
def library() -> Library:
    """The best library that runs here."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "none"):
        return Library(None, "", f"{SWITCH} is off")
    if not kinds():
        return Library(None, "", "there are none for this kind of processor")
    why = "none were built: there was no C compiler when Millrace was installed"
    for kind in kinds():
        path = BUILT / f"{kind}.so"
        if not path.exists():
            continue
        try:
            loaded = ctypes.CDLL(str(path))
        except OSError as error:
            why = f"{path} cannot be loaded: {error}"
            continue
        loaded.millrace_fingerprint.restype = ctypes.c_char_p
        if loaded.millrace_fingerprint().decode() != fingerprint():
            why = f"{path} was built from other source; build it again with `python {BUILT.parent / 'build.py'}`"
        elif not loaded.millrace_runs_here():
            why = "this processor is older than those that they are for (AVX2 and FMA, 2013)"
        else:
            return Library(loaded, kind)
    return Library(None, "", why)
