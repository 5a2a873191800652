"""Two things of one name: installations that hide each other, and files that take a module's place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, note, warning
from millrace.doctor.installed import Installed, installed, places
from millrace.doctor.needed import BEHIND_JAX, NEEDED
from millrace.doctor.packages import MODULES
from millrace.doctor.surroundings import Surroundings

HARMLESS = {"test", "this", "antigravity", "idlelib", "turtledemo", "lib2to3"}  # nobody imports them by accident
MILLRACE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def check(here: Surroundings) -> Iterator[Finding]:
    """Packages that are there twice, files in the way, and commands of another Python."""
    for name in (*(one.name for one in NEEDED), *BEHIND_JAX, "millrace"):
        found = installed(here, name)
        if len(found) > 1:
            yield twice(here, name, found)
    yield from masked(here)
    own = [place for place in places(here, "millrace") if os.path.isdir(place)]
    if len(own) > 1:
        yield warning(
            "two-millraces", "millrace", mend=(mending.uninstall(here, "millrace"),), first=own[0], second=own[1]
        )
    yield from commands(here)


def twice(here: Surroundings, name: str, found: list[Installed]) -> Finding:
    """A package that is installed twice: in two folders, or, by pip and conda, in one."""
    one, other = found[:2]
    about = {
        "name": name, "version": one.version, "folder": one.folder, "other": other.version, "second": other.folder,
        "by": one.installer or "?", "by_other": other.installer or "?",
    }  # fmt: skip
    same_folder = os.path.realpath(one.folder) == os.path.realpath(other.folder)
    if name == "millrace":
        return warning("twice", name, (mending.uninstall(here, name),), **about)
    anew = mending.needed(here, name)
    if same_folder:
        return error("twice-in-one", name, (*[mending.uninstall(here, name)] * 2, *anew), **about)
    from_variable = hidden_in(here, one.folder)
    if from_variable:
        return warning("twice", name, (mending.unset_variable(here, "PYTHONPATH"),), **about)
    level = note if one.version == other.version else warning
    return level("twice", name, (mending.uninstall(here, name), *anew), **about)


def hidden_in(here: Surroundings, folder: str) -> bool:
    """Whether a folder is on the module path because of PYTHONPATH."""
    entries = here.environment.get("PYTHONPATH", "").split(os.pathsep)
    return os.path.realpath(folder) in {os.path.realpath(entry) for entry in entries if entry}


def early(here: Surroundings) -> list[str]:
    """The folders that are searched before the standard library: what lies there takes its place, and everything's."""
    before: list[str] = []
    for entry in here.path:
        if here.library and os.path.realpath(entry or here.directory) == os.path.realpath(here.library):
            return before
        if not entry.endswith(".zip"):
            before.append(entry or here.directory)
    return []  # the library is not on the path: nothing can be said


def masked(here: Surroundings) -> Iterator[Finding]:
    """Files and folders named like a module: an error where they are found first, else a warning."""
    searched = [os.path.realpath(folder) for folder in early(here)]
    folders = dict.fromkeys([*searched, os.path.realpath(here.directory)] if here.directory else searched)
    library = set(getattr(sys, "stdlib_module_names", ())) - HARMLESS
    for folder in folders:
        names = listed(folder)
        packages = [name for name in names if name.partition(".")[0] in (*MODULES, "millrace")]
        packages = [name for name in packages if not belongs(here, folder, name)]
        for name in packages + [name for name in names if name.partition(".")[0] in library]:
            yield mask(here, folder, name, folder in searched, name.partition(".")[0] in library)


def listed(folder: str) -> list[str]:
    """The modules in a folder, as files and as packages: "random.py", "numpy"."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        name for name in names
        if name.endswith(".py") or os.path.isfile(os.path.join(folder, name, "__init__.py"))
    ]  # fmt: skip


def belongs(here: Surroundings, folder: str, name: str) -> bool:
    """Whether a package's folder lies where an installation put it, or is Millrace itself."""
    if os.path.realpath(os.path.join(folder, name)) == os.path.realpath(MILLRACE):
        return True
    package = next((one.name for one in NEEDED if one.module == name), name)
    return any(os.path.realpath(one.folder) == folder for one in installed(here, package))


def mask(here: Surroundings, folder: str, name: str, first: bool, of_library: bool) -> Finding:
    module = name.partition(".")[0]
    folder = here.directory if folder == os.path.realpath(here.directory) else folder
    file = os.path.join(folder, name)
    if hidden_in(here, folder):
        mend = (mending.unset_variable(here, "PYTHONPATH"),)
    else:
        renamed = mending.shown(here, os.path.join(folder, "my_" + name))
        mend = (mending.rename(here, mending.shown(here, file), renamed),)
    subject = "" if of_library else next((one.name for one in NEEDED if one.module == module), module)
    if of_library:  # harmless unless something imports it: `examination.py` knows whether an import failed
        return warning("masked-library", subject, mend, file=file, module=module, first=first)
    return (error if first else warning)("masked", subject, mend, file=file, module=module)


def commands(here: Surroundings) -> Iterator[Finding]:
    """Commands on PATH that belong to another Python."""
    for command, code, level in (("millrace", "command-elsewhere", warning), ("pip", "pip-elsewhere", note)):
        found = here.which(command)
        other = owner(found) if found else ""
        if other and not same_python(here, other):
            doctor = (f"{mending.python(here)} -m millrace doctor",)
            mend = mending.install(here, "PACKAGE") if command == "pip" else doctor
            yield level(code, "", mend, command=found, other=other, python=here.executable)


def owner(script: str) -> str:
    """The Python that a command's script starts; "" where that cannot be seen."""
    try:
        with open(script, "rb") as file:
            head = file.read(500).decode("utf-8", "replace")
    except OSError:
        return ""
    line, _, rest = head.partition("\n")
    if line.startswith("#!") and "python" in line:
        return line[2:].strip().strip('"').split(" ")[0]
    if line == "#!/bin/sh" and rest.startswith("'''exec' "):  # as pip writes it for a long path
        return rest[9:].partition('" ')[0].strip('"').partition(' "$0"')[0]
    return ""


def same_python(here: Surroundings, other: str) -> bool:
    """Whether two Pythons look for packages in one place: python and python3 in one folder do."""
    if other.endswith("/env"):
        return True  # whichever python comes first
    mine, its = os.path.dirname(here.executable), os.path.dirname(other)
    return os.path.normcase(mine) == os.path.normcase(its) or os.path.realpath(mine) == os.path.realpath(its)
