"""Millrace's own routines as XLA sees them: custom calls, run on XLA's threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from millrace.engines.xla import jax
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
    """The name under which XLA knows a routine, once it has been told."""
    loaded = library().loaded
    assert loaded is not None
    known = f"millrace.{name}"
    jax.ffi.register_ffi_target(known, jax.ffi.pycapsule(getattr(loaded, f"millrace_{name}")), platform="cpu")
    return known


def call(name: str, shapes: Sequence[tuple[int, ...]], arrays: Sequence[Any], how: Sequence[int]) -> list[Any]:
    """The float32 results, of these shapes, of a routine on float32 arrays.

    how: the integers that the routine takes beside them; what each means stands with it in native/source.
    """
    results = [jax.ShapeDtypeStruct(shape, np.dtype(np.float32)) for shape in shapes]
    return list(jax.ffi.ffi_call(target(name), results)(*arrays, how=np.array(how, np.int64)))
