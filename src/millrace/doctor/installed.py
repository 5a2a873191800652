"""Which packages lie where this Python looks for modules, from their metadata: nothing is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from millrace.doctor.surroundings import Surroundings
from millrace.doctor.versions import normal

NATIVE = (".so", ".pyd", ".dylib", ".dll")


@dataclass(frozen=True)
class Installed:
    """A package as its metadata describe it: its version, the folder it lies in, who put it there, what it wants."""

    name: str
    version: str
    folder: str
    installer: str = ""
    wants: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    files: tuple[tuple[str, int], ...] = ()  # of machine code and first modules, with their sizes; -1: unknown

    @property
    def damaged(self) -> str:
        """A file that should be there and is not, or is of another size; "" if all are there."""
        for name, size in self.files:
            path = os.path.join(self.folder, name)
            if not os.path.isfile(path) or (size >= 0 and os.path.getsize(path) != size):
                return path
        return ""


def installed(here: Surroundings, name: str) -> list[Installed]:
    """Every installation of a package that this Python sees; the first is the one that is imported."""
    found: list[Installed] = []
    seen = set()
    for distribution in _all(here, name):
        one = _described(distribution)
        key = (os.path.realpath(one.folder), one.version)
        if one.version and key not in seen:
            seen.add(key)
            found.append(one)
    return found


def first(here: Surroundings, name: str) -> Installed | None:
    """The installation that is imported."""
    return next(iter(installed(here, name)), None)


def _all(here: Surroundings, name: str) -> list[Distribution]:
    path = [entry or here.directory for entry in here.path]
    spellings = dict.fromkeys((name, normal(name), normal(name).replace("-", "_")))  # older Pythons compare exactly
    return [one for spelling in spellings for one in distributions(name=spelling, path=path)]


def _described(distribution: Distribution) -> Installed:
    metadata = distribution.metadata
    tags = [line[4:].strip() for line in (distribution.read_text("WHEEL") or "").splitlines() if line[:4] == "Tag:"]
    return Installed(
        metadata["Name"] or "",
        metadata["Version"] or "",
        str(distribution.locate_file("")),
        (distribution.read_text("INSTALLER") or "").strip(),
        tuple(distribution.requires or ()),
        tuple(tags),
        tuple(_files(distribution.read_text("RECORD") or "")),
    )


def _files(record: str) -> list[tuple[str, int]]:
    """Of the files that an installation lists: machine code and the packages' first modules, with their sizes."""
    found = []
    for line in record.splitlines():
        name, _, rest = line.partition(",")
        first_module = name.count("/") == 1 and name.endswith("/__init__.py")
        if first_module or name.endswith(NATIVE):
            size = rest.rpartition(",")[2]
            found.append((name, int(size) if size.isdigit() else -1))
    return found


def places(here: Surroundings, module: str) -> list[str]:
    """Every file or folder from which `import module` could be served, the first one first."""
    found: dict[str, str] = {}
    for entry in (entry or here.directory for entry in here.path):
        for place in (os.path.join(entry, module), os.path.join(entry, module + ".py")):
            if os.path.isfile(place) or os.path.isfile(os.path.join(place, "__init__.py")):
                found.setdefault(os.path.realpath(place), place)
    return list(found.values())
