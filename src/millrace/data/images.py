"""Single pictures, from files or from what such files hold, in their own size, as networks are asked about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace.data.folder import read
from millrace.data.picture_file import whole_picture
from millrace.ir.errors import DataError, FileError


def read_grey(given: str | Path | bytes) -> np.ndarray:
    """A picture as greys from 0 (black) to 1 (white): [height, width] float32.

    given: a picture file's path, or its content. Transparent parts count as white paper; the orientation that a camera
    noted is applied.
    Raises FileError for a missing file, or one that holds no picture.
    """
    return _read(given, "L")


def read_colour(given: str | Path | bytes) -> np.ndarray:
    """A picture as red, green and blue from 0 to 1: [height, width, 3] float32.

    given: a picture file's path, or its content. Transparent parts count as white paper; the orientation that a camera
    noted is applied.
    Raises FileError for a missing file, or one that holds no picture.
    """
    return _read(given, "RGB")


def read_ink(given: str | Path | bytes) -> np.ndarray:
    """A picture as ink from 0 to 1 on a ground of 0: [height, width] float32; a light ground is turned round.

    Raises FileError as read_grey.
    """
    grey = read_grey(given)
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 1 - grey if np.median(rim) > 0.5 else grey


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture in another size, each pixel the mean of those that it covers.

    picture: [height, width] or [height, width, 3], from 0 to 1.
    """
    from PIL import Image

    pixels = Image.fromarray((picture * 255).astype(np.uint8))
    return np.asarray(pixels.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def called(given: str | Path | bytes) -> str:
    """What messages call a picture that is given by its path or by its content."""
    return "the picture" if isinstance(given, bytes) else str(given)


def picture_content(given: str | Path | bytes) -> bytes:
    """What a picture file holds; content that is given stays as it is.  Raises FileError for a missing file."""
    if isinstance(given, bytes):
        return given
    path = Path(given)
    if not path.is_file():
        raise FileError(f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected a picture file.")
    return read(path)


def no_picture(given: str | Path | bytes, error: DataError) -> FileError:
    """What to say of content that cannot be decoded."""
    return FileError(f"{called(given)} cannot be read as a picture: {error}. Use JPEG, PNG, WebP, GIF or BMP.")


def _read(given: str | Path | bytes, mode: str) -> np.ndarray:
    try:
        pixels = whole_picture(picture_content(given), grey=mode == "L")
    except DataError as error:
        raise no_picture(given, error) from None
    return pixels.astype(np.float32) / 255
