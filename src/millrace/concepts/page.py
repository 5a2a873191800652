"""The page of a concept: its texts, and what its experiment finds when it is carried out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from millrace.concepts.concept import Concept, Finding
from millrace.explain.pages import Code, Page, Part, Section, Text
from millrace.words import Table, words

Say = Callable[[str], None]

TOLD = 0.1  # seconds: an experiment that took less was there at once
NUMBERED = re.compile(r"\((\d+)\)")  # a paragraph that stands for a formula


def concept_page(concept: Concept, lang: str, say: Say, whole: bool = True) -> Page:
    """The page, whole: the experiment is carried out now. say: told how far it is, a line at a time.

    whole=False leaves the experiment for when its section is asked for, so that the text can be read meanwhile.

    Raises ArgumentError for an unknown language.
    """
    table = words("concepts", lang)[concept.name]
    kind = words("page", lang)["kind"]["concept"]
    sections = concept_sections(concept, lang, say)
    return Page(table["title"], kind, table["lead"], list(sections) if whole else sections, lang, concept.see)


def concept_sections(concept: Concept, lang: str, say: Say) -> Iterator[Section]:
    """The sections one by one, so that the first can be read while the experiment runs.

    The experiment is carried out when the section after "The experiment" is asked for.
    """
    table, headings = words("concepts", lang)[concept.name], words("trials", lang)["headings"]
    yield Section(headings["text"], paragraphs(table["text"], concept))
    if concept.experiment is not None:
        yield Section(headings["tried"], paragraphs(table["tried"], concept))
        started = time.perf_counter()
        finding = concept.experiment(lang, say)
        seconds = time.perf_counter() - started
        took = [Text(headings["took"].format(seconds=seconds))] if seconds >= TOLD else []
        yield Section(headings["found"], [Text(said(finding, table)), *finding.parts, *took])
    yield Section(headings["practice"], paragraphs(table["practice"], concept))
    yield Section(headings["source"], paragraphs(table["source"], concept))


def said(finding: Finding, table: Table) -> str:
    """What was found, in the words of a language, with its numbers in them."""
    return table[finding.said].format(**finding.numbers)


def paragraphs(text: str, concept: Concept) -> list[Part]:
    """The parts that stand between empty lines: text, code (indented by four spaces), and formulas, called by number.

    "(2)" alone is the second of the concept's formulas.
    """
    return [part(block, concept) for block in re.split(r"\n\s*\n", text.strip("\n"))]


def part(block: str, concept: Concept) -> Part:
    """One paragraph as what it is."""
    if all(line.startswith("    ") for line in block.splitlines()):
        return Code("\n".join(line[4:] for line in block.splitlines()))
    numbered = NUMBERED.fullmatch(block.strip())
    if numbered:
        return concept.formulas[int(numbered[1]) - 1]
    return Text(block.strip())
