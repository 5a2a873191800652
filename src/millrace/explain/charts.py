"""Charts as SVG that a browser draws without help: curves over epochs, and a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 36


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high."""
    span = max(high - low, 1e-9)
    step = 10 ** np.floor(np.log10(span / count))
    step *= min((m for m in (1, 2, 5, 10) if span / (step * m) <= count), default=10)
    first = np.ceil(low / step) * step
    return [float(round(v, 10)) for v in np.arange(first, high + step * 1e-6, step)]


def curves(title: str, series: Mapping[str, Sequence[float]], x: Sequence[float], percent: bool = False) -> str:
    """Lines over epochs with axes, grid and legend; each point tells its value when pointed at."""
    values = [v for line in series.values() for v in line]
    low, high = min(values), max(values)
    low = min(low, 0.0) if not percent else low
    high = high + (high - low) * 0.05 or 1.0
    x_low, x_high = min(x), max(max(x), min(x) + 1)

    def px(v: float) -> float:
        return LEFT + (v - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(v: float) -> float:
        return HEIGHT - BOTTOM - (v - low) / (high - low or 1.0) * (HEIGHT - TOP - BOTTOM)

    def label(v: float) -> str:
        return f"{v * 100:g}%" if percent else f"{v:g}"

    last = ", ".join(f"{name} ends at {label(round(line[-1], 4))}" for name, line in series.items())
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}: {escape(last)}">'
    ]
    for v in ticks(low, high):
        y = py(v)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label(v)}</text>')
    for v in ticks(x_low, x_high, 8):
        if v == int(v):
            parts.append(f'<text x="{px(v):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{v:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>')
    for number, (name, line) in enumerate(series.items()):
        points = " ".join(f"{px(a):.1f},{py(b):.1f}" for a, b in zip(x, line, strict=True))
        parts.append(f'<polyline class="line line{number}" points="{points}"/>')
        for a, b in zip(x, line, strict=True):
            tip = f"{name}, epoch {a:g}: {label(round(b, 4))}"
            dot = f'<circle class="dot dot{number}" cx="{px(a):.1f}" cy="{py(b):.1f}" r="2.5">'
            parts.append(f"{dot}<title>{escape(tip)}</title></circle>")
        start = LEFT + 110 * number
        parts.append(f'<line class="line line{number}" x1="{start}" x2="{start + 22}" y1="12" y2="12"/>')
        parts.append(f'<text x="{start + 28}" y="16">{escape(name)}</text>')
    return "".join(parts) + "</svg>"


def confusion(truth: np.ndarray, guess: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """How often class i (row) was taken for class j (column): [classes, classes]."""
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, guess), 1)
    return counts
