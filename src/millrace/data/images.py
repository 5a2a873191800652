"""Single pictures from files, in their own size, as networks are asked about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace.data.folder import read
from millrace.data.picture_file import whole_picture
from millrace.ir.errors import DataError, FileError


def read_grey(path: Path) -> np.ndarray:
    """A picture file as greys from 0 (black) to 1 (white): [height, width] float32.

    Transparent parts count as white paper; the orientation that a camera noted is applied.
    Raises FileError for a missing file, or one that holds no picture.
    """
    return _read(path, "L")


def read_colour(path: Path) -> np.ndarray:
    """A picture file as red, green and blue from 0 to 1: [height, width, 3] float32.

    Transparent parts count as white paper; the orientation that a camera noted is applied.
    Raises FileError for a missing file, or one that holds no picture.
    """
    return _read(path, "RGB")


def read_ink(path: Path) -> np.ndarray:
    """A picture file as ink from 0 to 1 on a ground of 0: [height, width] float32; a light ground is turned round.

    Raises FileError as read_grey.
    """
    grey = read_grey(path)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 1 - grey if np.median(rim) > 0.5 else grey


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture in another size, each pixel the mean of those that it covers.

    picture: [height, width] or [height, width, 3], from 0 to 1.
    """
    from PIL import Image

    pixels = Image.fromarray((picture * 255).astype(np.uint8))
    return np.asarray(pixels.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def _read(path: Path, mode: str) -> np.ndarray:
    if not path.is_file():
        raise FileError(f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected a picture file.")
    try:
        pixels = whole_picture(read(path), grey=mode == "L")
    except DataError as error:
        raise FileError(f"{path} cannot be read as a picture: {error}. Use JPEG, PNG, WebP, GIF or BMP.") from None
    return pixels.astype(np.float32) / 255
