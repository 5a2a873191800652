"""A picture's numbers as colours: grey from low to high, or blue, white and orange around 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from millrace.explain.pages import Picture

BELOW, ABOVE = np.array([33, 102, 172]), np.array([194, 87, 26])  # told apart by who cannot tell red from green
WHITE = np.array([255, 255, 255])


def colours(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Red, green and blue [height, width, 3] as bytes, and where there is a number at all, bool [height, width]."""
    x = np.asarray(picture.pixels, np.float64)
    there = is_number(x)
    x = np.nan_to_num(x)
    if x.ndim == 3:
        return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8), there
    low, high = ends(picture)
    if picture.signed:
        most = max(abs(low), abs(high)) or 1.0
        share = np.clip(x / most, -1, 1)[..., None]
        made = np.where(share < 0, WHITE + (WHITE - BELOW) * share, WHITE - (WHITE - ABOVE) * share)
    else:
        made = np.repeat(255 * np.clip((x - low) / (high - low or 1.0), 0, 1)[..., None], 3, axis=-1)
    return np.round(made).astype(np.uint8), there


def is_number(x: np.ndarray) -> np.ndarray:
    """Where a picture has a number in each of its channels."""
    finite: np.ndarray = np.isfinite(x)
    return np.asarray(finite.all(axis=-1)) if x.ndim == 3 else finite


def ends(picture: Picture) -> tuple[float, float]:
    """The numbers at the ends of the scale."""
    x = np.asarray(picture.pixels, np.float64)
    finite = x[np.isfinite(x)]
    low = picture.low if picture.low is not None else float(finite.min()) if finite.size else 0.0
    high = picture.high if picture.high is not None else float(finite.max()) if finite.size else 1.0
    return low, high


def scaled(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The nearest pixels of a picture of another size."""
    rows = (np.arange(height) + 0.5) * pixels.shape[0] / height
    columns = (np.arange(width) + 0.5) * pixels.shape[1] / width
    return pixels[rows.astype(int)][:, columns.astype(int)]


def grid(parts: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows, with a gap of one pixel that is not a number."""
    height, width = parts[0].shape[:2]
    columns = min(columns, len(parts))
    rows = -(-len(parts) // columns)
    made = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *parts[0].shape[2:]), np.nan)
    for n, part in enumerate(parts):
        y, x = (n // columns) * (height + 1), (n % columns) * (width + 1)
        made[y : y + height, x : x + width] = part
    return made


def greys(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """From 0 (dark) to 1 (light) without colours, and where there is a number at all.

    Few greys show nothing of numbers that lie close together: those are spread from the least to the greatest.
    """
    x = np.asarray(picture.pixels, np.float64)
    there = is_number(x)
    x = np.nan_to_num(x)
    if x.ndim == 3:
        return np.clip(x.mean(axis=-1), 0, 1), there
    low, high = ends(picture)
    least, greatest = (float(x[there].min()), float(x[there].max())) if there.any() else (low, high)
    if not picture.signed and 0 < greatest - least < (high - low) / 2:
        low, high = least, greatest
    return np.clip((x - low) / (high - low or 1.0), 0, 1), there
