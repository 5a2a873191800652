"""A contact sheet: some records of each class side by side in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from millrace.data.decode import decode_image
from millrace.data.labels import is_encoded, record_labels, shown_classes
from millrace.data.source import Source
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.types import widened

if TYPE_CHECKING:
    from PIL.Image import Image

CELL, GAP, MARGIN = 96, 4, 12  # pixels: of a picture's sides, between two, and around all
ACROSS, UNSORTED = 8, 64  # pictures of a class; of a source without classes
ROWS = 50  # classes that are shown at most
FONT, LABEL = 13, 170  # pixels: the height of letters, and the width that a class's name may take
PAPER, INK = "white", "black"


@dataclass(frozen=True)
class Row:
    """A class on the sheet: its name, the records shown, and how many records it has."""

    name: str
    numbers: Sequence[int]
    count: int


def contact_sheet(source: Source, across: int = ACROSS) -> Image:
    """Some pictures of each class, a row of `across`, spread evenly; UNSORTED of a source without classes.

    Each is CELL pixels high and wide, files cut to a square, arrays scaled up by whole pixels. Numbers other than
    uint8 are drawn from black, the least of the sheet, to white, the greatest. Broken records leave their place grey.
    Of more than ROWS classes the first ones are shown, and the sheet says so.

    Raises ArgumentError for records that are no pictures, DataError where none can be used, FileError where the source
    is gone.
    """
    first = source.elements[0]
    if not is_encoded(source) and (first.ndim not in (2, 3) or (first.ndim == 3 and first.shape[2] not in (1, 3))):
        raise ArgumentError(
            f"{source.name} holds records of {first}, which are no pictures [height, width] or [height, width, 1 or "
            "3]: there is no sheet of them."
        )
    rows, left_out = _rows(source, across)
    numbers = [number for row in rows for number in row.numbers]
    pictures = dict(zip(numbers, _pictures(source, numbers), strict=True))
    if not any(picture is not None for picture in pictures.values()):
        raise DataError(f"{source.name}: none of the {len(numbers)} pictures for the sheet can be used.")
    return _drawn(rows, pictures, across, f"and {left_out:,} more classes" if left_out else "")


def _rows(source: Source, across: int) -> tuple[list[Row], int]:
    """What is shown, and how many classes are not."""
    labels = record_labels(source)
    names = shown_classes(source, labels)
    if not names:
        numbers = _spread(np.arange(source.count), UNSORTED)
        lines = range(0, len(numbers), across)
        return [Row("", numbers[n : n + across], 0) for n in lines], 0
    order = np.argsort(labels, kind="stable")
    places = np.searchsorted(labels[order], np.arange(min(len(names), ROWS) + 1))
    rows = []
    for label, name in enumerate(names[:ROWS]):
        own = order[places[label] : places[label + 1]]
        rows.append(Row(name, _spread(own, across), len(own)))
    return rows, max(0, len(names) - ROWS)


def _spread(numbers: np.ndarray, wanted: int) -> list[int]:
    """So many of the numbers, or all, evenly from the first to the last."""
    places = np.linspace(0, len(numbers) - 1, min(wanted, len(numbers))).round().astype(int)
    return numbers[places].tolist() if len(numbers) else []


def _pictures(source: Source, numbers: Sequence[int]) -> list[Image | None]:
    """Squares of CELL pixels; None for what is broken."""
    from PIL import Image

    taken = source.take(np.array(numbers, int))
    made: list[Image.Image | None] = []
    if is_encoded(source):
        for place, content in enumerate(taken.columns[0]):
            try:
                made.append(None if place in taken.broken else Image.fromarray(decode_image(content, CELL, CELL)))
            except DataError:
                made.append(None)
        return made
    good = [place for place in range(len(numbers)) if place not in taken.broken]
    pixels = _as_bytes(widened(taken.columns[0]), good)
    for place in range(len(numbers)):
        made.append(_fitted(Image.fromarray(pixels[place])) if place in good else None)
    return made


def _as_bytes(arrays: np.ndarray, good: Sequence[int]) -> np.ndarray:
    """Pictures [records, height, width] or with 3 channels, as uint8."""
    if arrays.ndim == 4 and arrays.shape[3] == 1:
        arrays = arrays[..., 0]
    if arrays.dtype == np.uint8 or not good:
        return arrays.astype(np.uint8)
    wide = np.nan_to_num(arrays.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = wide[good].min(), wide[good].max()
    return ((wide - low) * (255 / (high - low) if high > low else 0)).clip(0, 255).round().astype(np.uint8)


def _fitted(picture: Image) -> Image:
    """A picture in the middle of a square: small ones by whole pixels, so that they stay as they are."""
    from PIL import Image

    scale = CELL / max(picture.size)
    scale = math.floor(scale) if scale >= 1 else scale
    width, height = (max(1, round(side * scale)) for side in picture.size)
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BILINEAR
    square = Image.new("RGB", (CELL, CELL), PAPER)
    square.paste(picture.convert("RGB").resize((width, height), how), ((CELL - width) // 2, (CELL - height) // 2))
    return square


def _drawn(rows: Sequence[Row], pictures: dict[int, Image | None], across: int, last: str) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT)
    named = any(row.name for row in rows)
    start = MARGIN + (LABEL if named else 0)
    width = start + across * (CELL + GAP) - GAP + MARGIN
    height = 2 * MARGIN + len(rows) * (CELL + GAP) - GAP + (2 * FONT if last else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for n, row in enumerate(rows):
        top = MARGIN + n * (CELL + GAP)
        if named:
            lines = [*_broken_up(row.name, lambda text: pen.textlength(text, font)), f"{row.count:,} records"]
            pen.multiline_text((MARGIN, top), "\n".join(lines), INK, font)
        for k, number in enumerate(row.numbers):
            left = start + k * (CELL + GAP)
            picture = pictures[number]
            if picture is None:
                pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), "lightgrey")
                pen.text((left + GAP, top + GAP), "broken", INK, font)
            else:
                sheet.paste(picture, (left, top))
    if last:
        pen.text((MARGIN, height - MARGIN - FONT), last, INK, font)
    return sheet


def _broken_up(text: str, length: Callable[[str], float], most: int = 4) -> list[str]:
    """A name in as many lines as it needs, at most four."""
    lines = [""]
    for letter in text.encode("utf-8", "replace").decode():
        if length(lines[-1] + letter) > LABEL - MARGIN:
            lines.append("")
        lines[-1] += letter
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][:-1]}…"]
