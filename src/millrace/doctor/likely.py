"""Which finding explains an error that an import ended with in this very process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import ModuleType

from millrace.doctor import causes, packages, processor, python, shadowing, wheels, windows
from millrace.doctor.finding import ERROR, NOTE, Finding
from millrace.doctor.needed import BEHIND_JAX, NEEDED
from millrace.doctor.reading import surroundings
from millrace.doctor.surroundings import Trial

QUICK = (python, wheels, processor, windows, shadowing, packages)  # checks that start no process
BASE = ("numpy", "ml_dtypes")
JAX = ("jax", "jaxlib", *BEHIND_JAX)


def likely(error: BaseException, package: str, path: Sequence[str], alien: Mapping[str, ModuleType]) -> Finding:
    """The finding that explains an error best.

    path: where modules were looked for. alien: what was loaded in the place of modules of Python's own.
    """
    here = surroundings(path)
    found = [one for check in QUICK for one in check.check(here) if one.level != NOTE]
    known = causes.cause(here, Trial(module_of(error, package), told(error), 1))
    family = {known.subject, *BASE, *(JAX if known.subject in JAX else ())}
    masked = [one for one in found if one.code == "masked-library" and in_place(one, alien)]
    concerned = [one for one in found if one.subject in family or (not one.subject and one.level == ERROR)]
    serious = [one for one in concerned if one.level == ERROR and one.code != "missing-part"]
    if serious or masked:
        return [*serious, *masked][0]
    if known.code != "import-unknown" and not (known.code == "import-absent" and concerned):
        return known
    return concerned[0] if concerned else known


def in_place(finding: Finding, alien: Mapping[str, ModuleType]) -> bool:
    """Whether a file has really taken the place of a module in this process."""
    loaded: str | None = getattr(alien.get(finding.about["module"]), "__file__", None)
    return loaded is not None and os.path.realpath(loaded) == os.path.realpath(finding.about["file"])


def told(error: BaseException) -> str:
    """The words of an error and of those behind it."""
    lines: list[str] = []
    one: BaseException | None = error
    while one is not None and len(lines) < 5:
        lines.append(f"{type(one).__name__}: {str(one).strip()}")
        one = one.__cause__ or one.__context__
    return "\n".join(lines)


def module_of(error: BaseException, package: str) -> str:
    """The module that could not be imported: the one that the error names, or whose code raised it."""
    known = {one.module for one in NEEDED}
    named = (getattr(error, "name", None) or "").split(".")[0]
    if named in known:
        return named
    trace, found = error.__traceback__, ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        found = module if module in known else found
        trace = trace.tb_next
    return found or packages.module_of(package)
