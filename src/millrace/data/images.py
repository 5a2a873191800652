"""Pictures from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace.ir.errors import FileError


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


def _read(path: Path, mode: str) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise FileError(f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected a picture file.")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if "A" in picture.getbands() or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                paper = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(paper, picture)
            return np.asarray(picture.convert(mode), np.float32) / 255
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as a picture ({error}). Use PNG, JPEG, WebP or GIF.") from None
