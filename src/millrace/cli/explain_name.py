"""`millrace explain NAME`: an idea, layer, function, optimizer, loss or operation; without a name, all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from millrace.cli.pages import give
from millrace.concepts import CONCEPTS, Concept
from millrace.explain.page_terminal import WIDTH, styled, wrapped
from millrace.explain.pages import Page
from millrace.explain.subject_page import subject_page
from millrace.explain.subjects import KINDS, Subject, by_kind, found, nearest, subjects
from millrace.ir.errors import ArgumentError, one_of
from millrace.models import RECIPES
from millrace.words import words


def known() -> list[Subject]:
    """Everything that has a page, ideas first."""
    ideas = [Subject("concept", concept.name, concept, concept.also) for concept in CONCEPTS.values()]
    return [*ideas, *subjects()]


def explain_name(name: str, kind: str | None, html: Path | None, lang: str) -> None:
    """Print the page of a name, or write it as HTML.

    Raises ArgumentError for a name or kind that is unknown, FileError for a file that cannot be written.
    """
    from rich.console import Console

    if kind is not None and kind not in KINDS:
        raise one_of("kind", kind, list(KINDS))
    console = Console(highlight=False, markup=False)
    fitting = found(name, known(), kind)
    if not fitting:
        raise unknown(name, kind)
    give(page_of(fitting[0], lang, teller(), whole=html is not None), html)
    told = words("page", lang)
    for other in found(name, known())[1:] if kind is None and html is None else ():
        line = told["cli"]["also"].format(kind=told["kind"][other.kind], name=other.name, key=other.kind)
        console.print(line, width=min(WIDTH, console.width))


def page_of(subject: Subject, lang: str, say: Callable[[str], None], whole: bool = True) -> Page:
    """The page of an idea, whose experiment runs, or of anything else. whole: as in `concept_page`."""
    if subject.kind != "concept":
        page = subject_page(subject, lang)
        ideas = [c.name for c in CONCEPTS.values() if subject.name in c.see or set(subject.also) & set(c.see)]
        return replace(page, see=[*page.see, *ideas])
    from millrace.concepts.page import concept_page

    concept: Concept = subject.thing
    return concept_page(concept, lang, say, whole)


def teller() -> Callable[[str], None]:
    """What tells how far an experiment is: on the error stream, out of the way of the page."""
    from rich.console import Console

    errors = Console(stderr=True, highlight=False, markup=False)
    return lambda text: errors.print(text) if text else None


def unknown(name: str, kind: str | None) -> ArgumentError:
    """The error for a name without a page: what else it may be, the nearest ones, and where all are listed."""
    if name in RECIPES or Path(name).is_file():
        return ArgumentError(
            f"{name} is a network: `millrace look {name}` shows it, and `millrace explain {name} --plan` what was "
            "chosen to train it fast."
        )
    if "/" in name:
        return ArgumentError(f"{name} does not exist: expected a run directory that `millrace train` made, or a name.")
    there = [s for s in known() if kind in (None, s.kind)]
    near = nearest(name, there)
    elsewhere = found(name, known()) if kind is not None else []
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    if elsewhere:
        hint = f" There is a {elsewhere[0].kind} of that name: leave --kind {kind} out."
    what = "nothing" if kind is None else f"no {kind}"
    return ArgumentError(f"there is {what} named {name!r} to explain.{hint} `millrace explain` lists all names.")


def list_names(lang: str) -> None:
    """Print all names by kind, ideas first with their most important sentence."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    width = min(WIDTH, console.width)
    told = words("page", lang)
    console.print(told["cli"]["list"], width=width)
    for kind, members in by_kind(known()).items():
        if not members:
            continue
        console.print()
        console.print(Text(told["kinds"][kind], "bold"), width=width)
        if kind == "concept":
            console.print(ideas([s.thing for s in members], lang, width), width=width)
        else:
            for line in columns([s.name for s in members], width):
                console.print(line, width=width, no_wrap=True)


def ideas(concepts: Sequence[Concept], lang: str, width: int) -> Any:
    """Each idea with the first sentence of its lead."""
    from rich.text import Text

    texts = words("concepts", lang)
    lines: list[Text] = []
    for concept in concepts:
        lead = re.split(r"(?<=[.?!])\s|(?<=[。？！])", texts[concept.name]["lead"])[0]
        lines.append(Text(concept.name, "bold"))
        lines += [Text("  ") + line for line in wrapped(styled(lead), width - 2).split("\n")]
    return Text("\n").join(lines)


def columns(names: Sequence[str], width: int) -> list[str]:
    """Names in columns as wide as their longest, read from top to bottom, as many columns as fit."""
    for rows in range(1, len(names) + 1):
        parts = [names[n : n + rows] for n in range(0, len(names), rows)]
        wide = [max(map(len, part)) + 2 for part in parts]
        if sum(wide) - 2 <= width:
            break
    lines = (
        "".join(part[n].ljust(w) for part, w in zip(parts, wide, strict=True) if n < len(part)) for n in range(rows)
    )
    return [line.rstrip() for line in lines]
