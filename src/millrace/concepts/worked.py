"""Numbers worked by hand: arrays side by side, and sums written out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

GAP = "   "


def number(value: float, digits: int = 3) -> str:
    """A number as short as it is."""
    return "0" if abs(value) < 5e-4 else f"{value:.{digits}g}"


def grid(named: Mapping[str, np.ndarray]) -> str:
    """Arrays [rows, columns] beside each other, each below its name."""
    blocks = [_block(name, array) for name, array in named.items()]
    height = max(len(block) for block in blocks)
    widths = [max(cells(line) for line in block) for block in blocks]
    rows = []
    for row in range(height):
        parts = [block[row] if row < len(block) else "" for block in blocks]
        rows.append(
            GAP.join(part + " " * (width - cells(part)) for part, width in zip(parts, widths, strict=True)).rstrip()
        )
    return "\n".join(rows)


def _block(name: str, array: np.ndarray) -> list[str]:
    shown = [[number(float(x), 4) for x in row] for row in array]
    width = max(len(x) for row in shown for x in row)
    return [name, *(" ".join(x.rjust(width) for x in row) for row in shown)]


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: Chinese letters take two."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)


def product_sum(x: np.ndarray, kernel: np.ndarray) -> str:
    """The products of a window and a kernel, and what they add up to; a line for each row of the window."""
    x, kernel = x.reshape(-1, x.shape[-1]), kernel.reshape(-1, kernel.shape[-1])
    lines = [
        " + ".join(f"{_signed(w)}*{number(float(a))}" for a, w in zip(row, weights, strict=True))
        for row, weights in zip(x, kernel, strict=True)
    ]
    return "  " + "\n+ ".join(lines) + f"\n= {number(float((x * kernel).sum()))}"


def _signed(value: float) -> str:
    return f"({number(float(value))})" if value < 0 else number(float(value))
