"""Arrays as people see them: pictures, curves or numbers, and what changed between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.explain.pages import Picture
from millrace.explain.pixels import grid

FEW = 16  # numbers that are written out
TILES = 4  # pictures of a batch, maps or frames that are shown side by side
AS_DIGITS = ("pixels", "disturbed", "ten_digits", "two_vectors")  # vectors of 64 numbers that are 8 by 8 pictures


@dataclass(frozen=True)
class Drawn:
    """An array as a picture: pixels [height, width] or [height, width, 3], and of how many parts it consists.

    parts: what stands side by side, a key of the texts' table "tiles", and how many of how many are shown.
    """

    pixels: np.ndarray
    parts: str = ""
    shown: int = 1
    total: int = 1


def as_numbers(array: np.ndarray) -> np.ndarray:
    """Any dtype as float64: bytes from 0 to 1, truths as 0 and 1, what is not finite as not a number."""
    x = np.asarray(array)
    if x.dtype == np.uint8:
        return x / 255
    x = x.astype(np.float64)
    return np.where(np.isfinite(x), x, np.nan)


def drawn(array: np.ndarray, what: str = "") -> Drawn | None:
    """An array as a picture; None for what is better seen as a curve or as numbers."""
    x = as_numbers(array)
    if what in AS_DIGITS and x.ndim == 2 and x.shape[1] == 64:
        return several([row.reshape(8, 8) for row in x], "examples")
    if x.ndim == 5:
        if x.shape[-1] in (1, 3):
            return several([flat(frame) for frame in x[0]], "frames")
        return drawn(x[:, x.shape[1] // 2], what)
    if x.ndim == 4:
        if x.shape[-1] not in (1, 3):
            if x.shape[0] == 1 and x.shape[1] <= FEW and x.shape[2] == x.shape[3]:  # heads of attention
                return several(list(x[0]), "maps")
            return several([x[0, :, :, c] for c in range(x.shape[-1])], "maps")
        return several([flat(one) for one in x], "examples")
    if x.ndim == 3 and x.shape[0] == 1:
        return drawn_matrix(x[0])
    if x.ndim == 3 and x.shape[-1] == 3:
        return Drawn(x)
    if x.ndim == 3:
        return several(list(x), "examples")
    return drawn_matrix(x) if x.ndim == 2 else None


def drawn_matrix(x: np.ndarray) -> Drawn | None:
    """[rows, columns] as a picture where both count; a long row of few channels is a curve."""
    narrow = min(x.shape) <= 3 and max(x.shape) > FEW
    return None if min(x.shape) < 2 or x.size <= FEW or narrow else Drawn(x)


def flat(picture: np.ndarray) -> np.ndarray:
    """A picture with one channel without its last axis."""
    return picture[:, :, 0] if picture.shape[-1] == 1 else picture


def several(pictures: list[np.ndarray], parts: str) -> Drawn:
    """The first few of several pictures of one size."""
    if len(pictures) == 1:
        return Drawn(pictures[0])
    return Drawn(grid(pictures[:TILES], TILES), parts, min(TILES, len(pictures)), len(pictures))


def curve(array: np.ndarray) -> np.ndarray | None:
    """An array as curves [lines, steps]; None for what is not a sequence of numbers."""
    x = as_numbers(array)
    while x.ndim > 2 and x.shape[0] == 1:
        x = x[0]
    if x.ndim == 2 and x.shape[0] == 1 and x.shape[1] > FEW:
        return x
    if x.ndim == 2 and x.shape[1] <= 3 and x.shape[0] > FEW:
        return x.T
    return x[None] if x.ndim == 1 and x.size > FEW else None


def picture(caption: str, about: str, made: Drawn, like: tuple[float, float] | None = None) -> Picture:
    """A picture from black to white: 0 to 1 where its numbers reach from there to there, else from 0 to the greatest.

    Where numbers are below 0, 0 is in the middle. like: the numbers at the ends of another picture's scale.
    """
    x = made.pixels
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if x.ndim == 3:
        if low < -1e-6 or high > 1 + 1e-6:
            x = (x - low) / (high - low or 1.0)
        return Picture(caption, np.clip(x, 0, 1), about)
    if like is not None and like[0] <= low and high <= like[1]:
        return Picture(caption, x, about, low=like[0], high=like[1])
    if low < -1e-6:
        most = max(-low, high)
        return Picture(caption, x, about, signed=True, low=-most, high=most)
    if 0.5 <= high <= 1 + 1e-6:
        return Picture(caption, x, about, low=0.0, high=1.0)
    return Picture(caption, x, about, low=min(low, 0.0), high=high)


@dataclass(frozen=True)
class Measured:
    """An array in numbers: how many, their mean, standard deviation, least and greatest, and the share of zeros."""

    count: int
    mean: float
    deviation: float
    least: float
    greatest: float
    zeros: float


def measured(array: np.ndarray) -> Measured:
    """Of what is finite."""
    x = np.asarray(array)
    wide = x.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if not finite.size:
        return Measured(x.size, *(float("nan"),) * 4, 0.0)
    zeros, mean, deviation = float(np.mean(wide == 0)), float(finite.mean()), float(finite.std())
    mean = 0.0 if abs(mean) < 1e-6 * deviation else mean  # what rounding left of 0
    return Measured(x.size, mean, deviation, float(finite.min()), float(finite.max()), zeros)


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """after - before where they have one shape and are numbers of one scale; else None."""
    if before.shape != after.shape or before.dtype == bool or after.dtype == bool:
        return None
    if before.dtype.kind != after.dtype.kind and np.uint8 in (before.dtype, after.dtype):
        return None
    return after.astype(np.float64) - before.astype(np.float64)
