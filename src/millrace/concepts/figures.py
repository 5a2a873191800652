"""Figures of concepts: charts with what they show in a line of words, in the language of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from millrace.explain.charts import STYLES, Line, chart
from millrace.explain.pages import Figure
from millrace.words import words

MARKED = 30  # points of a curve that are marked one by one
SIZE = (620, 340)


def curve_figure(
    caption: str, curves: Mapping[str, Sequence[Sequence[float]]], x_label: str, y_label: str, language: str,
    along: Callable[[int], float] | Sequence[float] = lambda n: n + 1.0, percent: bool = False, log: str = "",
    levels: Mapping[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Curves by name, a faint one for each seed and their mean.

    along: where on the x axis the n-th point stands, from 0; or these places. log: axes that are logarithmic.
    """
    lines: list[Line] = []
    for style, (name, seeds) in enumerate(curves.items()):
        if len(seeds) > 1:
            lines += [Line(name, places(along, len(seed)), seed, style % STYLES, faint=True) for seed in seeds]
        mean = [sum(values) / len(values) for values in zip(*seeds, strict=False)]
        lines.append(Line(name, places(along, len(mean)), mean, style % STYLES, dots=len(mean) <= MARKED))
    return line_figure(caption, lines, x_label, y_label, language, percent, log, levels)


def line_figure(
    caption: str, lines: Sequence[Line], x_label: str, y_label: str, language: str, percent: bool = False,
    log: str = "", levels: Mapping[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Lines as they are given, with where each that is not faint begins and ends in words."""
    about = words("trials", language)["told"]
    told = about["between"].join(
        about["line"].format(name=line.name, first=number(line.y[0], percent), last=number(line.y[-1], percent))
        for line in lines
        if not line.faint
    )
    svg = chart(caption, lines, x_label, y_label, percent, levels, SIZE, log=log, told=told)
    return Figure(caption, svg, told)


def places(along: Callable[[int], float] | Sequence[float], count: int) -> list[float]:
    """The first `count` places on the x axis."""
    return [along(n) for n in range(count)] if callable(along) else list(along[:count])


def number(value: float, percent: bool = False) -> str:
    """A number as a line of words has it."""
    return f"{value:.1%}" if percent else f"{value:.3g}"
