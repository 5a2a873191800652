"""Kernels of a first layer: how colourful each is, and all of them as one picture, as figure 3 shows them."""

from __future__ import annotations

import io

import numpy as np

from millrace.ir.errors import ShapeError

COLUMNS = 16  # kernels side by side, as in figure 3
GAP = 1  # pixels of a kernel's between two
APART = 4  # the same between the halves, and around all
ZOOM = 5  # pixels of the picture for each of a kernel's, along each side
PAPER = 255


def checked(kernels: np.ndarray) -> np.ndarray:
    """Kernels [height, width, 3, count] as float64.  Raises ShapeError for others."""
    if kernels.ndim != 4 or kernels.shape[2] != 3:
        raise ShapeError(
            f"kernels of red, green and blue are [height, width, 3, count], got {list(kernels.shape)}: give those of a "
            "first layer that sees photographs."
        )
    return kernels.astype(np.float64)


def colourfulness(kernels: np.ndarray) -> np.ndarray:
    """The share of each kernel's weight, in squares, that lies off the grey axis: [count], from 0 to 1.

    kernels [height, width, 3, count]. 0: red, green and blue are equal everywhere, the kernel sees light and dark
    alone; 1: they add up to 0 everywhere, it sees colours alone; 2/3 for independent random numbers. A kernel of zeros
    counts as grey.
    """
    k = checked(kernels)
    grey = k.sum(axis=2) ** 2 / 3  # squares of what lies along (1, 1, 1) / sqrt(3)
    whole = (k**2).sum(axis=(0, 1, 2))
    off = np.clip(whole - grey.sum(axis=(0, 1)), 0, None)
    return np.divide(off, whole, out=np.zeros_like(whole), where=whole > 0)


def halves(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kernels of the first tower, and those of the second: the first half of them, and the rest."""
    middle = kernels.shape[-1] // 2
    return kernels[..., :middle], kernels[..., middle:]


def as_pixels(kernels: np.ndarray) -> np.ndarray:
    """Each kernel from black, its least number, to 255, its greatest, over all three colours: uint8 as it was.

    kernels [height, width, 3, count]. One that is the same everywhere becomes a middle grey.
    """
    k = checked(kernels)
    low, high = k.min(axis=(0, 1, 2)), k.max(axis=(0, 1, 2))
    span = high - low
    share = np.divide(k - low, span, out=np.full_like(k, 0.5), where=span > 0)
    return np.round(share * 255).astype(np.uint8)


def kernel_sheet(kernels: np.ndarray, columns: int = COLUMNS, zoom: int = ZOOM) -> np.ndarray:
    """All kernels in rows, the first tower's above, the second's below: uint8 [height, width, 3].

    kernels [height, width, 3, count]; columns: of them in a row; zoom: pixels of the picture for each of a kernel's,
    along each side. Each kernel is drawn over its own range, `GAP` from the next, the halves `APART`.
    """
    pixels = as_pixels(kernels)
    tall, wide = pixels.shape[:2]
    columns = min(columns, -(-pixels.shape[-1] // 2))
    parts = []
    for half in halves(pixels):
        rows = -(-half.shape[-1] // columns)
        part = np.full((rows * (tall + GAP) - GAP, columns * (wide + GAP) - GAP, 3), PAPER, np.uint8)
        for n in range(half.shape[-1]):
            top, left = n // columns * (tall + GAP), n % columns * (wide + GAP)
            part[top : top + tall, left : left + wide] = half[..., n]
        parts.append(np.pad(part, ((APART, 0), (APART, APART), (0, 0)), constant_values=PAPER))
    sheet = np.pad(np.concatenate(parts), ((0, APART), (0, 0), (0, 0)), constant_values=PAPER)
    return sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)


def png(pixels: np.ndarray) -> bytes:
    """Pixels uint8 [height, width, 3] as a PNG file's content."""
    from PIL import Image  # takes a while: only who draws waits for it

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()
