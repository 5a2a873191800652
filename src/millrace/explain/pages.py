"""What an explanation is made of, before it is printed or written as HTML: headings, text, mathematics, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Text:
    """A paragraph. `code` in backquotes is set as code; **strong** as strong; nothing else is marked up."""

    text: str


@dataclass(frozen=True)
class Math:
    """Mathematics: as people type it, and for a typesetter; an empty `latex` shows the text as it is."""

    text: str
    latex: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to type or to read as they are."""

    text: str


@dataclass(frozen=True)
class Listing:
    """A table: its columns, and rows of cells as text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """Numbers as a picture: [height, width] from low to high, or [height, width, 3] colours from 0 to 1.

    about: what is seen, for who cannot see it. signed: whether 0 is in the middle of the colours. low, high: the
    numbers at the ends of the scale, those of the array unless given.
    """

    caption: str
    pixels: np.ndarray
    about: str
    signed: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other: before, after, and what changed."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG (`explain/charts.py` makes such), and the same in a line of words for the terminal."""

    caption: str
    svg: str
    told: str


Part = Text | Math | Code | Listing | Pictures | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """An explanation: title, what kind of thing it is about, the most important sentence, and sections.

    sections: a sequence, or an iterator that makes them while the first are shown. language: of its texts, as in
    `millrace.words`. see: names of other explanations.
    """

    title: str
    kind: str
    lead: str
    sections: Iterable[Section]
    language: str = "en"
    see: Sequence[str] = field(default=())
