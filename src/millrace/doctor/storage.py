"""Where Millrace writes: whether it may, whether there is room, and whether the folders it was told are there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, warning
from millrace.doctor.surroundings import GIB, Surroundings

LITTLE, FULL = GIB, GIB // 10
TEMPORARY = ("TMPDIR", "TEMP", "TMP")


def check(here: Surroundings) -> Iterator[Finding]:
    """The current folder for runs, the cache of compiled programs, the temporary folder, and the data."""
    full: list[str] = []
    for use, folder in folders(here):
        why = here.writable(folder)
        if why:
            yield unwritable(here, use, folder, why)
            continue
        free = here.free(folder)
        if free is not None and free < LITTLE and not any(told == disk(folder) for told in full):
            full.append(disk(folder))
            yield short_of_room(here, use, folder, free)
    data = here.environment.get("MILLRACE_DATA")
    if data and not os.path.isdir(data):
        mend = (f"{'mkdir' if here.windows else 'mkdir -p'} {mending.quoted(here, data)}",)
        yield warning("data-missing", "", mend, folder=data)


def folders(here: Surroundings) -> list[tuple[str, str]]:
    """What is written, and where: "runs", "cache", "temporary"."""
    found = [("runs", here.directory), ("cache", cache(here)), ("temporary", temporary(here))]
    return [(use, folder) for use, folder in found if folder]


def cache(here: Surroundings) -> str:
    """The folder of compiled programs."""
    told = here.environment.get("MILLRACE_CACHE")
    base = here.environment.get("XDG_CACHE_HOME") or os.path.join(here.home, ".cache")
    return told or os.path.join(base, "millrace")


def temporary(here: Surroundings) -> str:
    """The temporary folder that the environment names, or the system's."""
    told = next((here.environment[name] for name in TEMPORARY if here.environment.get(name)), "")
    return told or ("" if here.windows else "/tmp")


def disk(folder: str) -> str:
    """Which disk a folder is on, as far as the system tells disks apart."""
    place = os.path.abspath(folder)
    while not os.path.exists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    try:
        return str(os.stat(place).st_dev)
    except OSError:
        return place


def unwritable(here: Surroundings, use: str, folder: str, why: str) -> Finding:
    about = {"folder": folder, "why": why}
    another = os.path.join(here.home, "millrace-" + use)
    if use == "runs":
        return warning("runs-unwritable", "", (f"millrace train --out {mending.quoted(here, another)}",), **about)
    make = f"{'mkdir' if here.windows else 'mkdir -p'} {mending.quoted(here, another)}"
    if use == "cache":
        return warning("cache-unwritable", "", (make, mending.set_variable(here, "MILLRACE_CACHE", another)), **about)
    name = "TEMP" if here.windows else "TMPDIR"
    return error("temporary-unwritable", "", (make, mending.set_variable(here, name, another)), **about)


def short_of_room(here: Surroundings, use: str, folder: str, free: int) -> Finding:
    about = {"folder": folder, "free": f"{free / 2**20:,.0f} MiB", "use": use}
    clear = f"{mending.python(here)} -m pip cache purge" if mending.has_pip(here) else ""
    mend = (clear or f"{'dir' if here.windows else 'df -h'} {mending.quoted(here, folder)}",)
    return error("disk-full", "", mend, **about) if free < FULL else warning("disk-little", "", mend, **about)
