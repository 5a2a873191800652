"""Figures of experiments: an SVG file each, that a page shows as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from millrace.explain.charts import LARGE, STYLES, Line, chart, dots, standalone
from millrace.training.checkpoint import write_whole

MARKED = 30  # points of a curve that are marked one by one


def draw_curves(
    path: Path, title: str, curves: Mapping[str, Sequence[Sequence[float]]], y_label: str, x_label: str = "epoch",
    percent: bool = True, levels: Mapping[str, float] | None = None,
    along: Callable[[int], float] = lambda n: n + 1.0,
) -> Path:  # fmt: skip
    """Curves by arm, a faint one for each seed and their mean, as far as all go; returns the path.

    curves: for each arm the seeds', whose lengths may differ. along: where on the x axis the n-th point stands, from 0.
    """

    def places(values: Sequence[float]) -> list[float]:
        return [along(n) for n in range(len(values))]

    lines = []
    for style, (name, seeds) in enumerate(curves.items()):
        if len(seeds) > 1:
            lines += [Line(name, places(seed), seed, style % STYLES, faint=True) for seed in seeds]
        mean = [sum(values) / len(values) for values in zip(*seeds, strict=False)]
        lines.append(Line(name, places(mean), mean, style % STYLES, dots=len(mean) <= MARKED))
    svg = chart(title, lines, x_label, y_label, percent, levels, LARGE, titled=True)
    return save(path, svg)


def draw_dots(
    path: Path, title: str, groups: Mapping[str, Sequence[float]], y_label: str, percent: bool = True
) -> Path:
    """A dot for each seed of each arm, and their means; returns the path."""
    return save(path, dots(title, groups, y_label, percent, LARGE, titled=True))


def save(path: Path, svg: str) -> Path:
    """Put a chart into a file of its own, all of it or none of it."""
    write_whole(path, standalone(svg).encode())
    return path
