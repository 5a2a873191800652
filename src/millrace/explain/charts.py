"""Charts as SVG that a browser draws without help: curves, groups of dots, and what a confusion matrix counts.

On a page that has `style.css` they look as it says; `standalone` makes one a file that brings its own style.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape

import numpy as np

WIDTH, HEIGHT = 460, 260  # on a page, two beside each other
LARGE = (680, 400)  # alone
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 36
EDGE, ROW = 12, 18  # of a title and a legend below it: where they start, and from row to row of the legend
LETTER = 6.4  # pixels, about, that a letter of a label takes
GAP = 8  # pixels at least between labels
# On a page that is as narrow as a telephone a chart shrinks, and `style.css` makes its letters larger: room for those.
PAGE_RIGHT, PAGE_BOTTOM, PAGE_ROW, PAGE_LETTER = 22, 46, 23, 10.4

STYLE = """
svg { background: #ffffff; } .paper { fill: #ffffff; }
text { font: 12px system-ui, "Helvetica Neue", Arial, sans-serif; fill: #5b6675; }
text.title { font-size: 14px; font-weight: 600; fill: #1d2430; } text.value { fill: #1d2430; }
.grid { stroke: #ececea; } .level { stroke: #9aa3ad; stroke-dasharray: 2 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .faint { stroke-width: 1; opacity: 0.4; }
.line0 { stroke: #1f6fb2; } .dot0 { fill: #1f6fb2; }
.line1 { stroke: #c2571a; stroke-dasharray: 6 3; } .dot1 { fill: #c2571a; }
.line2 { stroke: #3c8d4f; stroke-dasharray: 2 3; } .dot2 { fill: #3c8d4f; }
.line3 { stroke: #7d5ba6; stroke-dasharray: 9 3 2 3; } .dot3 { fill: #7d5ba6; }
.line4 { stroke: #6b6b6b; } .dot4 { fill: #6b6b6b; }
.line5 { stroke: #b0336f; stroke-dasharray: 12 4; } .dot5 { fill: #b0336f; }
.line.mean { stroke-dasharray: none; stroke-width: 3; } .faint.dot { opacity: 0.55; }
"""
STYLES = 6


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high."""
    span = max(high - low, 1e-9)
    step = 10 ** np.floor(np.log10(span / count))
    step *= min((m for m in (1, 2, 5, 10) if span / (step * m) <= count), default=10)
    first = np.ceil(low / step) * step
    return [float(round(v, 10)) for v in np.arange(first, high + step * 1e-6, step)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from 10^low to 10^high, as their logarithms: powers of ten, and where these are few 2 and 5."""
    between = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    found = [float(np.log10(m)) + e for e in decades for m in between if low <= np.log10(m) + e <= high]
    return found[:: max(-(-len(found) // 8), 1)]


@dataclass(frozen=True)
class Line:
    """A curve: its points, and which of the styles it has.

    faint: one of several that belong together, such as a seed; it has no place in the legend. dots: whether each point
    is marked, and tells its value when pointed at.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    faint: bool = False
    dots: bool = True


@dataclass(frozen=True)
class Frame:
    """Where numbers are drawn: the chart's size, the numbers at the ends of its axes, and what they are called.

    log: which axes, "x", "y" or "xy", hold the logarithms (base 10) of what they are labelled with.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str
    percent: bool
    size: tuple[int, int] = (WIDTH, HEIGHT)
    title: str = ""  # drawn on top, if not empty
    names: Mapping[str, int] = field(default_factory=dict)  # what the legend says each style is
    log: str = ""

    @property
    def narrow(self) -> bool:
        """Whether the x axis has no room for two whole numbers, so that parts of one are written."""
        return self.x[1] - self.x[0] < 1

    @property
    def left(self) -> int:
        if self.title:
            return LEFT + (16 if self.y_label else 0)
        widest = max((self.wide(self.label(v)) for v in self.up), default=0.0)
        return max(LEFT, int(widest) + 6 + (30 if self.y_label else GAP))

    @property
    def right(self) -> int:
        return RIGHT if self.title else PAGE_RIGHT

    @property
    def bottom(self) -> int:
        return BOTTOM if self.title else PAGE_BOTTOM

    @property
    def row(self) -> int:
        return ROW if self.title else PAGE_ROW

    @property
    def top(self) -> int:
        return TOP + (24 if self.title else 0) + self.row * (len(self.rows) - 1)

    @property
    def height(self) -> int:
        """On a page more rows of the legend make the chart higher, since they may be many there."""
        return self.size[1] + (0 if self.title else self.row * (len(self.rows) - 1))

    @property
    def up(self) -> list[float]:
        """The numbers along the y axis."""
        return log_ticks(*self.y) if "y" in self.log else ticks(*self.y)

    @property
    def along(self) -> list[float]:
        """The numbers along the x axis, as many as there is room for."""
        found = log_ticks(*self.x) if "x" in self.log else [v for v in ticks(*self.x, 8) if v == int(v) or self.narrow]
        needed = sum(self.wide(self.x_text(v)) + GAP for v in found)
        return found[:: max(math.ceil(needed / (self.size[0] - self.left - self.right)), 1)]

    def wide(self, text: str) -> float:
        """How many pixels a text takes, about; Chinese letters take two places."""
        places = sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
        return places * (LETTER if self.title else PAGE_LETTER)

    @property
    def rows(self) -> list[list[tuple[int, str, int]]]:
        """The legend's rows: where each entry starts, its name and its style."""
        rows: list[list[tuple[int, str, int]]] = [[]]
        start = EDGE
        for name, style in self.names.items():
            shown = self.fitting(name)
            width = int(28 + self.wide(shown))
            if rows[-1] and start + width > self.size[0]:
                rows.append([])
                start = EDGE
            rows[-1].append((start, shown, style))
            start += max(110, width + 22)
        return rows

    def fitting(self, name: str) -> str:
        """A name of the legend, shortened where it is longer than a row."""
        room = self.size[0] - EDGE - 28
        if self.wide(name) <= room:
            return name
        while name and self.wide(f"{name}...") > room:
            name = name[:-1]
        return f"{name}..."

    def px(self, v: float) -> float:
        low, high = self.x
        return self.left + (v - low) / (high - low or 1.0) * (self.size[0] - self.left - self.right)

    def py(self, v: float) -> float:
        low, high = self.y
        return self.height - self.bottom - (v - low) / (high - low or 1.0) * (self.height - self.top - self.bottom)

    def label(self, v: float) -> str:
        v = float(f"{10**v:.3g}") if "y" in self.log else v
        return f"{v * 100:g}%" if self.percent else f"{v:g}"

    def x_text(self, v: float) -> str:
        return f"{10**v:.3g}" if "x" in self.log else f"{v:g}"

    def opening(self, told: str) -> str:
        """The beginning of the SVG; told: the chart in words, for who cannot see it."""
        width, height = self.size[0], self.height
        return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}">'

    def axes(self, x_ticks: bool = True) -> Iterator[str]:
        """Grid, numbers and labels."""
        width, height = self.size[0], self.height
        if self.title:
            yield f'<text class="title" x="{EDGE}" y="20">{escape(self.title)}</text>'
        for v in self.up:
            y = self.py(v)
            yield f'<line class="grid" x1="{self.left}" x2="{width - self.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{self.label(v)}</text>'
        for v in self.along if x_ticks else ():
            under = f'y="{height - self.bottom + (16 if self.title else 20)}" text-anchor="middle"'
            yield f'<text x="{self.px(v):.1f}" {under}>{self.x_text(v)}</text>'
        middle, foot = f"{(self.left + width) / 2:.0f}", height - (4 if self.title else 5)
        yield f'<text x="{middle}" y="{foot}" text-anchor="middle">{escape(self.x_label)}</text>'
        if self.y_label:
            y = (self.top + height - self.bottom) / 2
            x = 14 if self.title else 19
            turned = f'transform="rotate(-90 {x} {y:.0f})"'
            yield f'<text x="{x}" y="{y:.0f}" text-anchor="middle" {turned}>{escape(self.y_label)}</text>'

    def level(self, name: str, v: float) -> Iterator[str]:
        """A value that curves are held to, as a line across."""
        y = self.py(v)
        yield f'<line class="level" x1="{self.left}" x2="{self.size[0] - self.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{self.size[0] - self.right - 4}" y="{y - 5:.1f}" text-anchor="end">{escape(name)}</text>'

    def legend(self) -> Iterator[str]:
        """What each style is, above the chart."""
        for n, row in enumerate(self.rows):
            y = self.top - 22 - self.row * (len(self.rows) - 1 - n)
            for start, name, style in row:
                yield f'<line class="line line{style}" x1="{start}" x2="{start + 22}" y1="{y}" y2="{y}"/>'
                yield f'<text x="{start + 28}" y="{y + 4}">{escape(name)}</text>'

    def curve(self, line: Line) -> Iterator[str]:
        points = " ".join(f"{self.px(a):.1f},{self.py(b):.1f}" for a, b in zip(line.x, line.y, strict=True))
        faint = " faint" if line.faint else ""
        yield f'<polyline class="line line{line.style}{faint}" points="{points}"/>'
        for a, b in zip(line.x, line.y, strict=True) if line.dots and not line.faint else ():
            tip = f"{line.name}, {self.x_label} {self.x_text(a)}: {self.label(round(b, 4))}"
            yield self.dot(self.px(a), b, line.style, tip)

    def dot(self, x: float, v: float, style: int, tip: str, kind: str = "", radius: float = 2.5) -> str:
        """A point that tells what it is when pointed at."""
        start = f'<circle class="dot dot{style}{kind}" cx="{x:.1f}" cy="{self.py(v):.1f}" r="{radius:g}">'
        return f"{start}<title>{escape(tip)}</title></circle>"


def curves(title: str, series: Mapping[str, Sequence[float]], x: Sequence[float], percent: bool = False) -> str:
    """Lines over epochs with axes, grid and legend; each point tells its value when pointed at."""
    return chart(title, [Line(name, x, y, style) for style, (name, y) in enumerate(series.items())], percent=percent)


def chart(
    title: str, lines: Sequence[Line], x_label: str = "epoch", y_label: str = "", percent: bool = False,
    levels: Mapping[str, float] | None = None, size: tuple[int, int] = (WIDTH, HEIGHT), titled: bool = False,
    log: str = "", told: str = "",
) -> str:  # fmt: skip
    """Lines over anything, with axes, grid and legend.

    levels: values to hold the lines to, by what they are called. titled: whether the title is drawn, too. log: which
    axes are logarithmic, "x", "y" or "xy"; all their numbers are above 0 then. told: the chart in words, for who
    cannot see it; where each line ends unless given.
    """
    lines = [logarithmic(line, log) for line in lines]
    levels = {name: float(np.log10(v)) if "y" in log else v for name, v in (levels or {}).items()}
    values = [v for line in lines for v in line.y] + list(levels.values())
    low, high = min(values), max(values)
    low = min(low, 0.0) if not percent and "y" not in log else max(low - (high - low) * 0.05, min(low, 0.0))
    high = high + (high - low) * 0.05 or 1.0
    left, right = min(min(line.x) for line in lines), max(max(line.x) for line in lines)
    shown = [line for line in lines if not line.faint]
    frame = Frame(
        (left, right if right > left else left + 1), (low, high), x_label, y_label, percent, size,
        title if titled else "", {line.name: line.style for line in shown}, log,
    )  # fmt: skip
    last = ", ".join(f"{line.name} ends at {frame.label(round(line.y[-1], 4))}" for line in shown)
    parts = [frame.opening(f"{title}: {told or last}"), *frame.axes()]
    for name, v in levels.items():
        parts += frame.level(name, v)
    for line in sorted(lines, key=lambda line: not line.faint):  # the faint ones below
        parts += frame.curve(line)
    parts += frame.legend()
    return "".join(parts) + "</svg>"


def logarithmic(line: Line, log: str) -> Line:
    """A curve with logarithms (base 10) along the axes that are logarithmic."""
    x, y = (np.log10(v).tolist() if axis in log else v for axis, v in (("x", line.x), ("y", line.y)))
    return replace(line, x=x, y=y)


def dots(
    title: str, groups: Mapping[str, Sequence[float]], y_label: str = "", percent: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT), titled: bool = False, zero: bool = False,
) -> str:  # fmt: skip
    """A column of dots for each group, one a value, such as a seed's, with a bar and a number at their mean.

    zero: whether the axis begins at 0.
    """
    values = [v for group in groups.values() for v in group]
    low, high = min(values), max(values)
    room = (high - low) * 0.15 or abs(high) * 0.1 or 1.0
    low = 0.0 if zero else low - room
    frame = Frame((0, len(groups)), (low, high + room), "", y_label, percent, size, title if titled else "")
    means = {name: float(np.mean(group)) for name, group in groups.items()}
    told = ", ".join(f"{name} {frame.label(round(mean, 4))}" for name, mean in means.items())
    parts = [frame.opening(f"{title}: {told}"), *frame.axes(x_ticks=False)]
    for n, (name, group) in enumerate(groups.items()):
        middle, style = frame.px(n + 0.5), n % STYLES
        width = min(26.0, 0.19 * (frame.px(1) - frame.px(0)))  # the number beside the bar needs room, too
        for k, v in enumerate(group):
            x = middle + (k - (len(group) - 1) / 2) * min(14, 2 * width / max(len(group), 1))
            parts.append(frame.dot(x, v, style, f"{name}: {frame.label(round(v, 4))}", " faint", 4.5))
        y = frame.py(means[name])
        start, end = middle - width, middle + width
        parts.append(f'<line class="line line{style} mean" x1="{start:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        told = frame.label(float(f"{means[name]:.3g}"))
        parts.append(f'<text class="value" x="{end + 4:.1f}" y="{y + 4:.1f}">{told}</text>')
        under = frame.height - frame.bottom + 16
        parts.append(f'<text x="{middle:.1f}" y="{under}" text-anchor="middle">{escape(name)}</text>')
    return "".join(parts) + "</svg>"


def standalone(svg: str) -> str:
    """A chart as a file of its own: dark on white wherever it is shown."""
    size = svg.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    width, height = (int(float(v)) for v in size)
    start, rest = svg.split(">", 1)
    start = start.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" ', 1)
    return f'{start}><style>{STYLE}</style><rect class="paper" width="{width}" height="{height}"/>{rest}\n'


def confusion(truth: np.ndarray, guess: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """How often class i (row) was taken for class j (column): [classes, classes]."""
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, guess), 1)
    return counts
