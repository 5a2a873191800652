"""A contact sheet of queries, each beside the examples that are nearest to it, as figure 4 shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CELL = 96  # pixels of a picture's side
GAP, APART, MARGIN = 6, 18, 12  # pixels: between two pictures, between a query and its neighbours, around all
FONT, LINE = 11, 18  # pixels: of letters, of the line under a picture
PAPER, INK, FAINT = "white", "black", "#8a8f98"


@dataclass(frozen=True)
class Pictured:
    """A photograph, uint8 [CELL, CELL, 3], and what it shows."""

    pixels: np.ndarray
    name: str


def neighbour_sheet(rows: Sequence[tuple[Pictured, Sequence[Pictured]]], titles: tuple[str, str]) -> np.ndarray:
    """A row for each query: itself, and its neighbours, the nearest first, with names below: uint8 [height, width, 3].

    titles: what stands above the queries, and above their neighbours. A name that is the query's is in black, another
    is pale.
    """
    from PIL import Image, ImageDraw, ImageFont  # takes a while: only who draws waits for it

    font = ImageFont.load_default(FONT)
    across = max(len(near) for _, near in rows)
    width = 2 * MARGIN + CELL + APART + across * (CELL + GAP) - GAP
    height = 2 * MARGIN + LINE + len(rows) * (CELL + LINE + GAP) - GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    first = MARGIN + CELL + APART
    for left, title in zip((MARGIN, first), titles, strict=True):
        pen.text((left, MARGIN), title, INK, font)
    for n, (query, near) in enumerate(rows):
        top = MARGIN + LINE + n * (CELL + LINE + GAP)
        places = [MARGIN, *(first + k * (CELL + GAP) for k in range(len(near)))]
        for left, one in zip(places, [query, *near], strict=True):
            sheet.paste(Image.fromarray(one.pixels), (left, top))
            pen.text((left, top + CELL + 2), one.name, INK if one.name == query.name else FAINT, font)
    return np.asarray(sheet)
