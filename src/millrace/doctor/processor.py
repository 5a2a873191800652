"""Whether the processor has the instructions that the packages were built with."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, warning
from millrace.doctor.surroundings import Surroundings


def check(here: Surroundings) -> Iterator[Finding]:
    """AVX for jaxlib, SSE4.2 for NumPy, and whether an emulator stands between."""
    if here.translated:
        yield warning("rosetta", mend=mending.another_python(here))
    elif here.architecture == "x86_64" and here.features is not None:
        if "sse4_2" not in here.features:
            yield error("no-sse42", mend=mending.install(here, "numpy<2.4"))
        elif "avx" not in here.features:
            yield warning("no-avx", mend=("millrace train --engine numpy",))
