"""Picture files to pixels of one size: fast for JPEG, and strict, so that no half picture passes for a whole one."""

from __future__ import annotations

import numpy as np

from millrace.data.picture_file import jpeg_pixels, opened, other_picture, upright
from millrace.data.picture_header import exif_orientation, jpeg_header, picture_kind
from millrace.data.resizing import frame, scaled
from millrace.ir.errors import ArgumentError, one_of

FITS = ("crop", "stretch", "pad")


def decode_image(
    content: bytes, height: int, width: int, channels: int = 3, fit: str = "crop", out: np.ndarray | None = None
) -> np.ndarray:
    """A picture file's content as pixels: uint8 [height, width, channels].

    JPEG, PNG, WebP, GIF and BMP, of animations the first frame. The orientation that a camera noted is applied,
    transparent parts count as white paper, colour profiles are ignored.

    channels: 3 for red, green, blue, or 1 for grey (ITU-R 601: 0.299 red + 0.587 green + 0.114 blue).
    fit: "crop" scales so that the shorter side fits and cuts the middle out (Krizhevsky et al. 2012, section 2);
    "stretch" scales each side by itself; "pad" scales so that the longer side fits, between black bars.
    out: where to write, uint8 [height, width, channels]; None for a new array.

    The filter is Pillow's BILINEAR: widened by the scale where the picture shrinks, so that nothing aliases.

    Raises DataError, with a reason that can follow a file's name, for a file that is empty, of another kind, cut short,
    damaged, or of more than `picture_header.MAX_PIXELS`; ArgumentError for arguments that make no sense.
    """
    _check(height, width, channels, fit)
    if out is None:
        out = np.empty((height, width, channels), np.uint8)
    elif out.shape != (height, width, channels) or out.dtype != np.uint8:
        raise ArgumentError(f"out must be uint8 {[height, width, channels]}, got {out.dtype} {list(out.shape)}.")
    made = _decoded(content, height, width, channels == 1, fit)
    if made.ndim == 2:
        made = made[..., None]  # a grey picture has three equal colours
    rows, columns = made.shape[:2]
    if (rows, columns) == (height, width):
        out[...] = made
    else:
        out[...] = 0
        top, left = (height - rows) // 2, (width - columns) // 2
        out[top : top + rows, left : left + columns] = made
    return out


def image_size(content: bytes) -> tuple[int, int]:
    """Height and width of a picture as it is seen, its orientation applied, from its header alone.

    Raises DataError as decode_image does, for what a header tells.
    """
    kind = picture_kind(content)
    if kind == "JPEG":
        header = jpeg_header(content)
        height, width, orientation = header.height, header.width, header.orientation
    else:
        picture = opened(content, kind)
        height, width, orientation = picture.height, picture.width, exif_orientation(picture.info.get("exif") or b"")
    return (width, height) if orientation > 4 else (height, width)


def _check(height: int, width: int, channels: int, fit: str) -> None:
    if height < 1 or width < 1:
        raise ArgumentError(f"height and width must be at least 1, got {height} x {width}.")
    if channels not in (1, 3):
        raise ArgumentError(f"channels must be 1 (grey) or 3 (red, green, blue), got {channels}.")
    if fit not in FITS:
        raise one_of("fit", fit, FITS)


def _decoded(content: bytes, height: int, width: int, grey: bool, fit: str) -> np.ndarray:
    """A file's pixels, scaled and upright: [height, width] where grey, else [height, width, 3]; fewer with "pad"."""
    kind = picture_kind(content)
    if kind == "JPEG":
        header = jpeg_header(content)
        orientation, (tall, wide) = header.orientation, (header.height, header.width)
    else:
        picture, orientation = other_picture(content, kind, grey)
        tall, wide = picture.height, picture.width
    rows, columns = (width, height) if orientation > 4 else (height, width)
    part = frame(tall, wide, rows, columns, fit)
    if kind == "JPEG":
        pixels = jpeg_pixels(content, header, grey, part.least(tall, wide), passing=True)
        if pixels.shape[:2] != (tall, wide):
            # Eighths are exact; the last row and column, where there is less than one, are only partly the picture's.
            part = part.scaled(8 * max(pixels.shape[:2]) // max(tall, wide) / 8)
    else:
        pixels = np.asarray(picture)
    return upright(scaled(pixels, part), orientation)
