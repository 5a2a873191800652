"""Whether what is installed can be imported, tried in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor.causes import cause
from millrace.doctor.finding import Finding
from millrace.doctor.installed import places
from millrace.doctor.surroundings import Surroundings

TRIED = ("numpy", "ml_dtypes", "jax")  # machine code that everything stands on


def check(here: Surroundings) -> Iterator[Finding]:
    """Import NumPy, ml_dtypes and JAX, and ask JAX for its devices: the first that fails, and why."""
    there = [module for module in TRIED if places(here, module)]
    if there:
        tried = here.trial(there)
        if tried.failed:
            yield cause(here, tried)
