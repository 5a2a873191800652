"""`millrace explain NAME`: an idea, layer, function, optimizer, loss or operation; without a name, all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from millrace.cli.pages import give
from millrace.concepts import CONCEPTS, Concept
from millrace.data.image_folder import ENDINGS
from millrace.explain.page_terminal import WIDTH, styled, wrapped
from millrace.explain.pages import Page
from millrace.explain.subject_page import subject_page
from millrace.explain.subjects import CALLED, KINDS, Subject, by_kind, found, loosened, nearest, subjects
from millrace.ir.errors import ArgumentError, one_of
from millrace.models import RECIPES
from millrace.words import words


def known() -> list[Subject]:
    """Everything that has a page, ideas first."""
    ideas = [Subject("concept", c.name, c, c.also, CALLED.get(c.name, ())) for c in CONCEPTS.values()]
    return [*ideas, *subjects()]


def has_page(name: str, kind: str | None = None) -> bool:
    """Whether something of that name, and kind if one is given, has a page."""
    return bool(found(name, known(), kind))


def kind_named(name: str) -> str | None:
    """The kind that a word names, such as "layers"; None for any other word."""
    words_of = {kind: (kind, f"{kind}s") for kind in KINDS} | {"loss": ("loss", "losses", "lossfunction")}
    return next((kind for kind, spelt in words_of.items() if loosened(name) in spelt), None)


def is_picture(path: Path) -> bool:
    """Whether a file is called as pictures are."""
    return path.suffix.lower() in ENDINGS


def explain_name(name: str, kind: str | None, html: Path | None, lang: str) -> None:
    """Print the page of a name, or write it as HTML.

    Raises ArgumentError for a name or kind that is unknown, FileError for a file that cannot be written.
    """
    from rich.console import Console

    if kind is not None and kind not in KINDS:
        raise one_of("kind", kind, list(KINDS))
    console = Console(highlight=False, markup=False)
    fitting = found(name, known(), kind)
    whole_kind = kind_named(name) if kind is None and html is None else None
    if not fitting and whole_kind is not None:
        list_kind(whole_kind, lang)
        return
    if not fitting:
        raise unknown(name, kind)
    give(page_of(fitting[0], lang, teller(), whole=html is not None), html)
    told = words("page", lang)
    for other in found(name, known())[1:] if kind is None and html is None else ():
        line = told["cli"]["also"].format(kind=told["kind"][other.kind], name=other.name, key=other.kind)
        console.print(line, width=min(WIDTH, console.width))
    if whole_kind is not None and fitting[0].kind == "concept":
        console.print()
        list_kind(whole_kind, lang)


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
    if is_picture(Path(name)):
        there_is = "is a picture" if Path(name).is_file() else "does not exist"
        return ArgumentError(
            f"{name} {there_is}: `millrace explain RUN PICTURE` shows what a trained network sees in a picture."
        )
    if name in RECIPES or Path(name).is_file():
        return ArgumentError(
            f"{name} is a network: `millrace look {name}` shows it, and `millrace explain {name} --plan` what was "
            "chosen to train it fast."
        )
    if "/" in name:
        return ArgumentError(
            f"{name} does not exist: expected a run directory that `millrace train` made, or a name. `millrace runs` "
            "lists the runs."
        )
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

    console = Console(highlight=False, markup=False)
    width = min(WIDTH, console.width)
    told = words("page", lang)
    console.print(told["cli"]["list"], width=width)
    for kind, members in by_kind(known()).items():
        if members:
            console.print()
            list_kind(kind, lang)


def list_kind(kind: str, lang: str) -> None:
    """Print all names of a kind."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    width = min(WIDTH, console.width)
    members = by_kind(known())[kind]
    console.print(Text(words("page", lang)["kinds"][kind], "bold"), width=width)
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
        if sum(wide) - 2 <= width and (len(parts) < 2 or 2 * len(parts[-1]) >= rows):  # no stump of a last column
            break
    lines = (
        "".join(part[n].ljust(w) for part, w in zip(parts, wide, strict=True) if n < len(part)) for n in range(rows)
    )
    return [line.rstrip() for line in lines]
