"""What Millrace says to people in more than one language: tables of text, a folder for each language.

A part such as "layers" is all files `layers*.toml` of a language's folder together. Every language has the same parts,
tables and keys; what is put into a text has the same names in all of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from millrace.ir.errors import one_of

LANGUAGES = ("en", "zh")  # English, Simplified Chinese

Table = Mapping[str, str]


@lru_cache
def words(part: str, language: str = "en") -> Mapping[str, Table]:
    """The texts of a part by name, each a table of texts by key.

    Raises ArgumentError for an unknown language or part.
    """
    if language not in LANGUAGES:
        raise one_of("language", language, list(LANGUAGES))
    found: dict[str, Table] = {}
    for file in sorted(files("millrace.words").joinpath(language).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml") and file.name.removesuffix(".toml").split("_")[0] == part:
            found |= tomllib.loads(file.read_text("utf-8"))
    if not found:
        raise one_of("part of the texts", part, list(parts(language)))
    return found


def parts(language: str = "en") -> list[str]:
    """What there are texts about."""
    names = {file.name for file in files("millrace.words").joinpath(language).iterdir()}
    return sorted({name.removesuffix(".toml").split("_")[0] for name in names if name.endswith(".toml")})
