"""What a concept is: an idea of the field in words, and an experiment of under a minute that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from millrace.explain.pages import Math, Part


@dataclass(frozen=True)
class Finding:
    """What the experiment of a concept found.

    said: which of the concept's texts says it (a key of its table in `words/`), so that what was not seen is not
    claimed; numbers: what is put into that text, and what programs read. parts: tables, figures and pictures.
    """

    said: str
    numbers: Mapping[str, float | str]
    parts: Sequence[Part] = field(default=())


@dataclass(frozen=True)
class Concept:
    """An idea that `millrace explain NAME` explains.

    Its texts are the table `name` of the part "concepts" in `words/`: title; lead, the most important sentence; text,
    paragraphs between empty lines; tried, what the experiment does; practice, what follows for one's own network;
    source; and the texts that `Finding.said` chooses among. experiment(language, say) carries the experiment out on two
    cores within a minute, and tells `say` how far it is; None where there is nothing to measure. see: related names.
    """

    name: str
    experiment: Callable[[str, Callable[[str], None]], Finding] | None = None
    see: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # other names that it is found by
    formulas: tuple[Math, ...] = ()  # a paragraph "(1)" of the texts is the first of them
