"""Versions and what is asked of them, as far as the packages that Millrace needs use them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(r"(===|==|!=|<=|>=|~=|<|>)\s*([\w.*+!-]+)")
_PYTHON = re.compile(r"""^python_(?:full_)?version\s*(==|!=|<=|>=|<|>)\s*['"]([\d.]+)['"]$""")


def numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: "0.12.0.1" is (0, 12, 0, 1), "2.0.0rc1" (2, 0, 0)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def fits(version: str, wanted: str) -> bool:
    """Whether a version is within bounds such as ">=0.10.1,!=0.10.2"."""
    return all(_fits(numbers(version), sign, bound) for sign, bound in _PART.findall(wanted))


def _fits(have: tuple[int, ...], sign: str, bound: str) -> bool:
    want = numbers(bound)
    if bound.endswith(".*"):
        return (have[: len(want)] == want) == (sign != "!=")
    if sign == "~=":
        return have >= want and have[: len(want) - 1] == want[:-1]
    length = max(len(have), len(want))
    have, want = (x + (0,) * (length - len(x)) for x in (have, want))
    return {
        "==": have == want, "===": have == want, "!=": have != want, "<=": have <= want, ">=": have >= want,
        "<": have < want, ">": have > want,
    }[sign]  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a package asks of another: "numpy>=2.0"."""

    name: str
    bounds: str

    def __str__(self) -> str:
        return self.name + self.bounds


def wanted(requirement: str, python: tuple[int, ...]) -> Wanted | None:
    """A requirement as metadata write it; None where it does not hold for this Python, or only for an extra."""
    text, _, marker = requirement.partition(";")
    for condition in filter(None, (part.strip(" ()") for part in marker.split(" and "))):
        found = _PYTHON.match(condition)
        if not found or not _fits(python, *found.groups()):
            return None
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?([^)]*)\)?\s*$", text)
    if not found:
        return None
    bounds = sorted(sign + bound for sign, bound in _PART.findall(found.group(2)))
    return Wanted(normal(found.group(1)), ",".join(reversed(bounds)))


def normal(name: str) -> str:
    """A package's name as registries compare it: "ml_dtypes" is "ml-dtypes"."""
    return re.sub(r"[-_.]+", "-", name).lower()
