"""Whether what Millrace needs is installed, whole, and in versions that fit each other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, note, warning
from millrace.doctor.installed import Installed, first, places
from millrace.doctor.needed import BEHIND_JAX, COMPILER, EVERYTHING, NEEDED, WRONG, Needed, compiler_made, named, needed
from millrace.doctor.surroundings import Surroundings
from millrace.doctor.versions import Wanted, fits, normal, numbers, wanted


def check(here: Surroundings) -> Iterator[Finding]:
    """Each needed package: there, whole, built for this Python, in a version that fits."""
    found = {one: first(here, one.name) for one in needed(here)}
    wrong: set[str] = set()
    yield from absent(here, [one for one, there in found.items() if there is None and not places(here, one.module)])
    for one, there in found.items():
        if there is None:
            if places(here, one.module):
                yield note("unregistered", one.name, mending.needed(here, one.name), name=one.name)
            continue
        faults = [*harmed(here, there), *unfit(here, one, there)]
        yield from faults
        wrong |= {normal(one.name)} if faults else set()
    behind = (first(here, name) for name in BEHIND_JAX)
    for there in filter(None, [*found.values(), *behind]):
        if normal(there.name) not in wrong:
            for fault in disagreeing(here, there):
                other = normal(fault.about["other"])
                if other not in wrong:  # one finding is enough for a package that suits nobody
                    wrong.add(other)
                    yield fault


def absent(here: Surroundings, lacking: list[Needed]) -> Iterator[Finding]:
    """One finding for all that is not installed, since one command installs it."""
    if not lacking:
        return
    names = ", ".join(one.name for one in lacking)
    mend = mending.needed(here, *(one.name for one in lacking))
    if len(lacking) > 3 and mending.checkout() and compiler_made(here):
        mend = mending.install(here, mending.millrace_itself(here))
    if any(one.stops == EVERYTHING for one in lacking):
        yield error("missing-base", lacking[0].name, mend, names=names, count=len(lacking))
    elif all(one.stops == COMPILER for one in lacking):
        yield warning("missing-compiler", "jax", mend, names=names, count=len(lacking))
    else:
        yield error("missing-part", "", mend, names=names, count=len(lacking))


def harmed(here: Surroundings, there: Installed) -> Iterator[Finding]:
    """Files that are gone or cut short, and machine code for another Python."""
    again = mending.replace(here, f"{there.name}=={there.version}")
    if there.damaged:
        gone = not os.path.isfile(there.damaged)
        code = "file-missing" if gone else "file-cut"
        yield error(code, there.name, again, name=there.name, version=there.version, file=there.damaged)
    elif not built_for(here, there):
        about = {"name": there.name, "folder": there.folder, "tag": there.tags[0], "have": here.python_text}
        yield error("other-python", there.name, again, **about)


def built_for(here: Surroundings, there: Installed) -> bool:
    """Whether an installed wheel's machine code is for this Python."""
    if not there.tags:
        return True
    this = f"cp{here.python[0]}{here.python[1]}"
    for tag in there.tags:
        language, binary, *_ = tag.split("-")
        if binary == "none" or this in language.split("."):
            return True
        stable = re.fullmatch(r"cp3(\d+)", language)
        if binary == "abi3" and stable and int(stable.group(1)) <= here.python[1]:
            return True
    return False


def unfit(here: Surroundings, one: Needed, there: Installed) -> Iterator[Finding]:
    """A version that Millrace cannot use."""
    if fits(there.version, one.bounds):
        return
    names = ("jax", "jaxlib") if one.stops == COMPILER else (one.name,)
    about = {"name": one.name, "version": there.version, "bounds": one.bounds}
    code = "wrong-results" if one.stops == COMPILER and there.version in WRONG else "version-unfit"
    yield error(code, one.name, mending.needed(here, *names), **about)


def disagreeing(here: Surroundings, there: Installed) -> Iterator[Finding]:
    """What a package asks of others, and does not get."""
    for requirement in there.wants:
        want = wanted(requirement, here.python)
        if want is None:
            continue
        other = first(here, want.name)
        if other is None:
            if want.name in BEHIND_JAX:
                about = {"name": there.name, "other": want.name}
                yield error("missing-behind", want.name, mending.install(here, str(want)), **about)
        elif not fits(other.version, want.bounds):
            yield error(
                "disagree", there.name, together(here, there, other, want), name=there.name, version=there.version,
                other=other.name, have=other.version, want=str(want),
            )  # fmt: skip


def together(here: Surroundings, there: Installed, other: Installed, want: Wanted) -> tuple[str, ...]:
    """The command that makes two packages fit each other: jax and jaxlib always in one version."""
    if {there.name, other.name} == {"jax", "jaxlib"}:
        newest = max(there.version, other.version, key=numbers)
        known = named("jax")
        if known is not None and fits(newest, known.bounds):
            return mending.install(here, f"jax=={newest}", f"jaxlib=={newest}")
        return mending.needed(here, "jax", "jaxlib")
    own = named(want.name)
    more = [bound for bound in (own.bounds.split(",") if own else ()) if bound[:2] == "!=" and bound not in want.bounds]
    return mending.install(here, want.name + ",".join(filter(None, (want.bounds, *more))))


def module_of(name: str) -> str:
    """The module that a package is imported as."""
    one = named(name)
    return one.module if one else normal(name).replace("-", "_")


MODULES = tuple(dict.fromkeys([*(one.module for one in NEEDED), *map(module_of, BEHIND_JAX)]))
