"""How much memory there is, and what it suffices for."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor.finding import Finding, note, warning
from millrace.doctor.surroundings import GIB, Surroundings

LITTLE = GIB  # importing JAX and compiling a small network takes about 0.4 GiB
ALEXNET = 4 * GIB  # its weights, momentum and gradients take 0.75 GB, a batch of 128 two or three more


def check(here: Surroundings) -> Iterator[Finding]:
    """The machine's memory, or the part of it that a container may use."""
    usable = here.memory_limit or here.memory
    if not usable:
        return
    about = {"usable": f"{usable / GIB:.1f} GiB", "whole": f"{here.memory / GIB:.1f} GiB"}
    if usable < LITTLE:
        yield warning("memory-little", "", ("millrace train digits --engine numpy",), **about)
    elif usable < ALEXNET:
        yield note("memory-small", "", ("millrace train alexnet --batch-size 16",), **about)
    if here.memory_limit:
        yield note("memory-limited", "", (), **about)
