"""`pooling`: windows of 2 by 2 and overlapping ones of 3 by 3 on numbers, and how little they change with a shift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.worked import grid
from millrace.data.datasets import digits
from millrace.explain.pages import Code, Listing, Math
from millrace.words import words

NUMBERS = np.array([[1, 3, 2, 1, 0], [4, 8, 1, 0, 2], [2, 1, 0, 6, 1], [0, 2, 5, 7, 3], [1, 0, 2, 3, 9]], np.float32)
COUNT = 500  # digits that are moved
EDGES = np.stack([[[-1, 0, 1]] * 3, np.transpose([[-1, 0, 1]] * 3)], axis=-1).astype(np.float32)[:, :, None]
KINDS = ("none", "max_2", "max_3", "average_2")


def pooled(kind: str, x: np.ndarray) -> np.ndarray:
    """Maps x [batch, height, width, channels] after one kind of pooling."""
    made = {
        "none": lambda: mr.as_value(x),
        "max_2": lambda: mr.max_pool(x, 2, 2),
        "max_3": lambda: mr.max_pool(x, 3, 2),
        "average_2": lambda: mr.average_pool(x, 2, 2),
    }[kind]()
    return np.asarray(made)


def edges(x: np.ndarray) -> np.ndarray:
    """How strongly brightness rises and falls, across and down: four maps of each picture, none of them negative."""
    rising = np.asarray(mr.conv(x, EDGES, padding="same"))
    return np.maximum(np.concatenate([rising, -rising], axis=-1), 0)


def changes(count: int = COUNT) -> dict[str, float]:
    """How far maps move when every digit moves by one pixel: the distance against their length, after each pooling."""
    data = digits()
    framed = np.pad(data.x_train[:count], ((0, 0), (3, 4), (3, 4), (0, 0)))  # 15 by 15: all windows lie inside
    before, after = edges(framed), edges(np.roll(framed, 1, axis=2))
    return {key: float(_apart(pooled(key, before), pooled(key, after))) for key in KINDS}


def _apart(x: np.ndarray, y: np.ndarray) -> float:
    """The mean over pictures of |x - y| / |x|."""
    flat_x, flat_y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    return float((np.linalg.norm(flat_x - flat_y, axis=1) / np.linalg.norm(flat_x, axis=1)).mean())


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Pool the numbers, then the edges of digits before and after a shift by one pixel."""
    table = words("concepts", language)["pooling"]
    two = np.asarray(mr.max_pool(NUMBERS[None, :4, :4, None], 2, 2))[0, :, :, 0]
    three = np.asarray(mr.max_pool(NUMBERS[None, :, :, None], 3, 2))[0, :, :, 0]
    mean = np.asarray(mr.average_pool(NUMBERS[None, :4, :4, None], 2, 2))[0, :, :, 0]
    found = changes()
    numbers = {key: found[key] for key in KINDS} | {"count": COUNT}
    fewer = max(found["max_2"], found["max_3"]) < found["none"]
    sizes = {"none": 15 * 15, "max_2": 7 * 7, "max_3": 7 * 7, "average_2": 7 * 7}
    rows = [[table[key], str(sizes[key]), f"{found[key]:.1%}"] for key in KINDS]
    first = {table["map"]: NUMBERS, table["max_2"]: two, table["max_3"]: three, table["average_2"]: mean}
    return Finding(
        "seen" if fewer and found["max_3"] < found["max_2"] else "partly" if fewer else "unseen",
        numbers,
        [Code(grid(first)), Listing([table[f"column_{n}"] for n in range(3)], rows)],
    )


POOLING = Concept(
    "pooling",
    experiment,
    see=("convolution", "MaxPooling2D", "AveragePooling2D"),
    also=("pool", "max-pooling", "average-pooling", "overlapping-pooling", "shift-invariance"),
    formulas=(
        Math(
            "out[i, j, c] = max_{0 <= p, q < z} x[s*i + p, s*j + q, c]",
            r"\mathrm{out}_{i,j,c} = \max_{0 \le p,q < z} x_{s i + p,\, s j + q,\, c}",
        ),
    ),
)
