"""An explanation in the terminal, at most 80 columns wide; pictures in colour where the terminal has colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.explain.pages import Code, Figure, Listing, Math, Page, Part, Picture, Pictures, Text
from millrace.explain.pixels import colours, greys, scaled
from millrace.words import words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH = 80
MARK = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*")
RAMP = " .:-=+*#%@"  # from dark to light
ACROSS = 3  # pictures beside each other
HIGH, LOW, LEAST = 40, 12, 14  # half lines of a picture at most and at least; columns at least, for its caption


def show(page: Page, console: Console) -> None:
    """Print a page."""
    from rich.text import Text as Styled

    width = min(WIDTH, console.width)
    marks = words("page", page.language)["marks"]
    title = Styled(marks["title"].format(title=page.title, kind=page.kind)) if page.kind else Styled(page.title)
    title.stylize("bold", 0, len(page.title))
    console.print(title, width=width)
    console.print()
    console.print(wrapped(styled(page.lead), width), width=width)
    for section in page.sections:
        console.print()
        console.print(Styled(section.heading, "bold underline" if console.is_terminal else "bold"), width=width)
        for part in section.parts:
            for made in rendered(part, console, width, page.language):
                console.print(made, width=width)
    if page.see:
        names = words("page", page.language)["cli"]["see"].format(names=marks["comma"].join(page.see))
        console.print()
        console.print(wrapped(styled(names), width), width=width)


CLOSING, OPENING = "，。、；：？！）》”’,.;:?!)", "（《“‘("  # what no line begins with, and what none ends with


def wrapped(text: Any, width: int) -> Any:
    """Text in lines that fit. Between Chinese characters a line may end anywhere, but not before a full stop."""
    from rich.cells import cell_len
    from rich.text import Text as Styled

    plain = text.plain
    ends: list[int] = []
    start, used, possible = 0, 0, 0
    for at, letter in enumerate(plain):
        if letter == "\n":
            start, used, possible = at + 1, 0, at + 1
            continue
        before = plain[at - 1] if at else ""
        wide = cell_len(letter) == 2 or (before and cell_len(before) == 2)
        if before == " " or (wide and letter not in CLOSING and before not in OPENING and letter != " "):
            possible = at
        used += cell_len(letter)
        if used > width and letter != " ":
            cut = possible if possible > start else at
            ends.append(cut)
            start, possible = cut, cut
            used = cell_len(plain[cut : at + 1])
    made = list(text.divide(ends))
    for line in made:
        line.rstrip()
    return Styled("\n").join(made)


def styled(text: str) -> Any:
    """Text with code and strong words marked."""
    from rich.text import Text as Styled

    made, end = Styled(), 0
    for found in MARK.finditer(text):
        made.append(text[end : found.start()])
        made.append(found[1] or found[2].replace("`", ""), "cyan" if found[1] else "bold")
        end = found.end()
    return made.append(text[end:])


def rendered(part: Part, console: Console, width: int, language: str) -> list[RenderableType]:
    """One part as what rich prints."""
    from rich.text import Text as Styled

    match part:
        case Text(text):
            return [wrapped(styled(text), width)]
        case Math(text, _) | Code(text):
            lines = [f"  {line}".rstrip() for one in text.splitlines() for line in folded(one, width - 2)]
            return [Styled("\n".join(lines), no_wrap=True)]
        case Listing():
            return [table(part), ""]
        case Figure(caption, _, told):
            text = words("page", language)["marks"]["told"].format(title=caption, text=told)
            return [wrapped(styled(text), width)]
        case Pictures(pictures):
            across = next((n for n in range(ACROSS, 1, -1) if height(pictures[:n], width) >= LOW), 1)
            rows = [pictures[n : n + across] for n in range(0, len(pictures), across)]
            return [beside(row, console, width, language) for row in rows]
    raise AssertionError(part)


def folded(line: str, width: int) -> list[str]:
    """A line of code or mathematics in pieces that fit, broken at spaces where it can be; they stand further in."""
    from rich.cells import cell_len

    made: list[str] = []
    start = len(line) - len(line.lstrip())
    rest, indent = line, ""
    while cell_len(indent + rest) > width:
        room = width - len(indent)
        cut = room
        while cell_len(rest[:cut]) > room:
            cut -= 1
        at = rest.rfind(" ", start + 8 if not made else 8, cut + 1)
        cut = at if at > 0 else cut
        made.append(indent + rest[:cut])
        rest, indent = rest[cut:].lstrip(), " " * (min(start, width // 3) + 4)
    return [*made, indent + rest]


def table(part: Listing) -> Any:
    """Rows of cells under their columns; numbers on the right."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 0, 0, 2))
    for n, column in enumerate(part.columns):
        numeric = bool(part.rows) and all(re.fullmatch(r"[-+\d.,e%]+|nan|-?inf|", row[n]) for row in part.rows)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in part.rows:
        made.add_row(*row)
    return made


def ratio(picture: Picture) -> float:
    """How much wider than high a picture is."""
    height, width = np.asarray(picture.pixels).shape[:2]
    return float(width / height)


def height(pictures: Sequence[Picture], width: int) -> float:
    """How many half lines high pictures are beside each other in so many columns."""
    fits = (width - 2 * len(pictures)) / sum(map(ratio, pictures))
    return min(fits, HIGH, max(24, *(len(np.asarray(picture.pixels)) for picture in pictures)))


def beside(pictures: Sequence[Picture], console: Console, width: int, language: str) -> Any:
    """Pictures next to each other in one height, captions below them."""
    from rich.table import Table

    ratios = list(map(ratio, pictures))
    high = height(pictures, width)
    wide = [max(1, int(ratio * high)) for ratio in ratios]
    room = max(LEAST, (width - sum(max(w, LEAST) for w in wide) - 2 * len(wide)) // len(wide) + LEAST)
    rooms = [max(w, min(room, LEAST + 8)) for w in wide]
    grid = Table.grid(padding=(0, 2))
    for each in rooms:
        grid.add_column(width=each)
    grid.add_row(*(drawn(p, console, w, max(1, round(w / r))) for p, w, r in zip(pictures, wide, ratios, strict=True)))
    below = [[caption(picture, console, language) for picture in pictures]]
    if console.color_system is None:  # in words, where they say more than the caption
        below.append([p.about if p.about.rstrip(".") != p.caption.rstrip(".") else "" for p in pictures])
    for texts in below:
        grid.add_row(*(wrapped(styled(text), each) for text, each in zip(texts, rooms, strict=True)))
    return grid


def caption(picture: Picture, console: Console, language: str) -> str:
    """The caption, with what the colours mean where they have a sign."""
    say = words("page", language)
    note = say["work"]["signed" if console.color_system is not None else "signed_grey"]
    return say["marks"]["note"].format(text=picture.caption, note=note) if picture.signed else picture.caption


def drawn(picture: Picture, console: Console, columns: int, rows: int) -> Any:
    """A picture in characters: half blocks in its colours, or a ramp of characters from dark to light."""
    from rich.text import Text as Styled

    if console.color_system is None:
        grey, there = greys(picture)
        small, seen = (scaled(x, max(1, round(rows / 2)), columns) for x in (grey, there))
        levels = np.minimum((small * len(RAMP)).astype(int), len(RAMP) - 1)
        lines = ["".join(RAMP[n] if is_there else " " for n, is_there in zip(*pair, strict=True))
                 for pair in zip(levels, seen, strict=True)]  # fmt: skip
        return Styled("\n".join(lines), no_wrap=True)
    rgb, there = colours(picture)
    rows += rows % 2
    small, seen = scaled(rgb, rows, columns), scaled(there, rows, columns)
    made = Styled(no_wrap=True)
    for y in range(0, rows, 2):
        if y:
            made.append("\n")
        for x in range(columns):
            top, bottom = (paint(small[y + k, x], bool(seen[y + k, x])) for k in (0, 1))
            if top and bottom:
                made.append("▀", f"{top} on {bottom}")
            else:
                made.append("▀" if top else "▄" if bottom else " ", top or bottom or "")
    return made


def paint(rgb: np.ndarray, there: bool) -> str:
    """A colour as rich writes it; "" where there is no number."""
    return "#{:02x}{:02x}{:02x}".format(*map(int, rgb)) if there else ""
