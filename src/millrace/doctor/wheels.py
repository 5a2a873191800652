"""Whether ready-made packages exist for this system and processor family."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, warning
from millrace.doctor.needed import GLIBC, MACOS
from millrace.doctor.surroundings import Surroundings


def check(here: Surroundings) -> Iterator[Finding]:
    """System, C library and processor family."""
    if here.system == "Linux":
        yield from linux(here)
    elif here.system == "Darwin":
        yield from macos(here)
    elif here.windows:
        if here.architecture == "arm64":
            yield warning("windows-arm", mend=mending.another_python(here))
    else:
        yield error("no-wheels", system=here.system, processor=here.architecture)


def linux(here: Surroundings) -> Iterator[Finding]:
    if here.architecture not in ("x86_64", "arm64") and here.bits == 64:
        yield error("no-wheels", system=here.system, processor=here.architecture)
    name, version = here.libc
    inside = f"docker run -it --rm -v .:/work -w /work python:{mending.PYTHON}-slim bash"
    if name == "musl":
        yield error("musl", mend=(inside,))
    elif name == "glibc" and version[:2] < GLIBC:
        have, least = (".".join(map(str, one)) for one in (version, GLIBC))
        yield error("glibc-old", mend=(inside,), have=have, least=least)


def macos(here: Surroundings) -> Iterator[Finding]:
    if here.macos and here.macos[:1] < MACOS:
        have, least = (".".join(map(str, one)) for one in (here.macos, MACOS))
        yield error("macos-old", mend=("softwareupdate --install --all",), have=have, least=least)
    if here.architecture == "x86_64" and not here.translated:
        yield warning("macos-intel", mend=mending.interpreter(here))
