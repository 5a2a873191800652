"""Whether Millrace runs on this Python, and whether its packages come ready-made for it."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, note, warning
from millrace.doctor.needed import NEWEST, OLDEST
from millrace.doctor.surroundings import Surroundings


def check(here: Surroundings) -> Iterator[Finding]:
    """Version, kind and width of this Python."""
    bounds = {"oldest": ".".join(map(str, OLDEST)), "newest": ".".join(map(str, NEWEST))}
    if here.python[:2] < OLDEST:
        yield error("python-old", mend=mending.another_python(here), have=here.python_text, **bounds)
    elif here.python[:2] > NEWEST:
        yield warning("python-new", mend=mending.another_python(here), have=here.python_text, **bounds)
    if here.implementation != "CPython":
        yield error("python-kind", mend=mending.another_python(here), kind=here.implementation)
    if here.bits != 64:
        yield error("python-32-bit", mend=mending.another_python(here), bits=here.bits)
    if here.free_threaded:
        yield warning("python-free-threaded", mend=mending.another_python(here))
    if here.windows and "\\windowsapps\\" in here.executable.lower():
        yield note("python-store", mend=mending.another_python(here))
