"""A picture file as torchvision's transforms make it: RGB, shorter side resized, the middle cropped, by Pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scaled_sides(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height after the shorter side is made `size`; the longer is cut to a whole number.

    Source: torchvision, transforms.Resize.
    """
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def middle(width: int, height: int, size: int) -> tuple[int, int]:
    """Left and top of the middle square.  Source: torchvision, transforms.CenterCrop."""
    return round((width - size) / 2.0), round((height - size) / 2.0)


def opened(path: str) -> Image.Image:
    """A file as RGB, as torchvision's `pil_loader` does it."""
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def picture(path: str, size: int) -> np.ndarray:
    """Pixels [size, size, 3] uint8: decoded whole, resized with an antialiased bilinear filter, the middle cropped."""
    image = opened(path)
    sides = scaled_sides(*image.size, size)
    if sides != image.size:
        image = image.resize(sides, Image.Resampling.BILINEAR)
    left, top = middle(*image.size, size)
    return np.array(image.crop((left, top, left + size, top + size)))


def exact_middle(path: str, size: int) -> np.ndarray:
    """The same without rounding: the middle square of the original, of fractions of pixels, resized at once."""
    image = opened(path)
    side = min(image.size)
    left, top = ((whole - side) / 2 for whole in image.size)
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)))
