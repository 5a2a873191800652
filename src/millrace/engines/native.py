"""Millrace's own routines as XLA sees them: custom calls, run on XLA's threads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from millrace.engines.xla import jax
from millrace.native.build import fingerprint
from millrace.native.library import library


@cache
def offered() -> bool:
    """Whether there are routines for this processor, and XLA takes them."""
    return library().loaded is not None and not refused()


@cache
def refused() -> str:
    """What XLA says against the routines that are there, "" for nothing: another jaxlib may want another interface."""
    if library().loaded is None:
        return ""
    try:
        jax.devices("cpu")  # what XLA is told before it has started it refuses by not starting at all
        target("convolution")
    except Exception as error:
        return str(error).splitlines()[0]
    return ""


@cache
def target(name: str) -> str:
    """The name under which XLA knows a routine, once it has been told.

    With the library's fingerprint: a program that is kept on disk calls only routines that read its integers as those
    did for which it was compiled.
    """
    loaded = library().loaded
    assert loaded is not None
    known = f"millrace.{name}.{fingerprint()}"
    jax.ffi.register_ffi_target(known, jax.ffi.pycapsule(getattr(loaded, f"millrace_{name}")), platform="cpu")
    return known


@cache
def number(name: str) -> int:
    """The number of a routine among those that a bundle may call, or -1."""
    loaded = library().loaded
    assert loaded is not None
    return int(loaded.millrace_number(name.encode()))


def call(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    arrays: Sequence[Any],
    how: Sequence[int],
    over: dict[int, int] | None = None,
) -> list[Any]:
    """The float32 results, of these shapes, of a routine on float32 arrays.

    how: the integers that the routine takes beside them; what each means stands with it in native/source. over: by
    their numbers, arrays in whose memory a result may lie.
    """
    results = [jax.ShapeDtypeStruct(shape, np.dtype(np.float32)) for shape in shapes]
    f = jax.ffi.ffi_call(target(name), results, input_output_aliases=over or {})
    return list(f(*arrays, how=np.array(how, np.int64)))


@dataclass(frozen=True)
class Seen:
    """A routine of a bundle that ran: the bundle's key, which step, and its start and end in seconds of some clock."""

    key: int
    step: int
    start: float
    end: float


@contextmanager
def watched() -> Iterator[list[Seen]]:
    """Inside, bundles write down when each of their routines ran; the list has it once all is over."""
    seen: list[Seen] = []
    if not offered():
        yield seen
        return
    loaded = library().loaded
    assert loaded is not None
    loaded.millrace_seen.restype = ctypes.c_int64
    loaded.millrace_watch(1)
    try:
        yield seen
    finally:
        loaded.millrace_watch(0)
        first = ctypes.POINTER(ctypes.c_int64)()
        count = loaded.millrace_seen(ctypes.byref(first))
        rows = [first[4 * n : 4 * n + 4] for n in range(count)]
        seen += [Seen(key, step, start * 1e-9, end * 1e-9) for key, step, start, end in rows]
