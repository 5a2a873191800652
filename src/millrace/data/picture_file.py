"""A picture file's content decoded as it is stored, in grey or colour, or a reason why it cannot be."""

from __future__ import annotations

import threading
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from millrace.data.picture_header import (
    CUT,
    JpegHeader,
    check_declared_size,
    check_size,
    check_whole,
    exif_orientation,
    jpeg_header,
    picture_kind,
)
from millrace.ir.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT = 16 << 20  # bytes that a thread keeps at most for the next picture
_own = threading.local()
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # Pillow's modes of 16-bit greys
# What libjpeg-turbo and Pillow say of a file that ends too early.
ENDS_EARLY = ("premature end of jpeg file", "truncated", "unexpected end", "not enough")


def jpeg_pixels(
    content: bytes, header: JpegHeader, grey: bool, least: tuple[int, int] | None = None, passing: bool = False
) -> np.ndarray:
    """A JPEG file's pixels as stored: uint8 [height, width] where it or what is asked for is grey, else [..., 3].

    least: height and width that suffice: where half the size or less is enough, it is decoded so; None for the whole.
    passing: whether what this gives may be overwritten when the same thread calls it again.

    simplejpeg rather than Pillow, because it refuses files in whose middle something is missing, of which Pillow gives
    what is left, and because it is faster. Reading, decoding and resizing a picture takes, on one core with it and
    with Pillow: 1.63 and 1.91 ms for ImageNet's originals to 224 pixels, 1.83 and 2.18 to 256, 0.21 and 0.30 for
    imagenette's (224 x 224) to 224, 0.88 and 0.98 to 256. Both leave the interpreter free meanwhile: two threads do
    1.9 times as much or more.
    Raises DataError.
    """
    from simplejpeg import decode_jpeg, decode_jpeg_header

    grey = grey or header.components == 1
    space, channels = ("CMYK", 4) if header.components == 4 else ("GRAY", 1) if grey else ("RGB", 3)
    limits = (*(least or (header.height, header.width)), 2 if least else 1)
    try:
        height, width, _, _ = decode_jpeg_header(content, *limits)
        place = _scratch(height * width * channels) if passing else None
        pixels = decode_jpeg(content, space, False, False, *limits, buffer=place)
    except ValueError as error:
        if "subsampling" not in str(error):  # that is not damage: one that its library does not know
            raise _refused("JPEG", error) from None
        return np.asarray(_loaded(content, "JPEG", grey))
    if space == "CMYK":
        return np.asarray(_plain(_inks(pixels, header.inverted), grey))
    return pixels[..., 0] if grey else pixels


def _scratch(size: int) -> np.ndarray | None:
    """Memory of this thread's own for so many bytes, or None for many.

    New memory for each picture costs 0 to 0.3 ms for 500 x 375 pixels, by how the process has used memory before:
    the system may hand it out page by page each time.
    """
    if size > KEPT:
        return None
    place = getattr(_own, "place", None)
    if place is None or len(place) < size:
        place = _own.place = np.empty(max(size, 1 << 20), np.uint8)
    return place


def other_picture(content: bytes, kind: str, grey: bool) -> tuple[Image, int]:
    """A file of another kind, decoded but not turned (mode L where it or what is asked for is grey), and orientation.

    Raises DataError.
    """
    check_whole(content, kind)
    picture = _loaded(content, kind, grey)
    return picture, exif_orientation(picture.info.get("exif") or b"")


def whole_picture(content: bytes, grey: bool) -> np.ndarray:
    """A file's pixels upright, in their own size: uint8 [height, width] if grey, else [height, width, 3].

    Greys are those of the colours, rounded first, as Pillow's `convert("L")` has them.
    Raises DataError.
    """
    from PIL import Image

    kind = picture_kind(content)
    if kind == "JPEG":
        header = jpeg_header(content)
        orientation = header.orientation
        picture = Image.fromarray(jpeg_pixels(content, header, grey=False))
    else:
        picture, orientation = other_picture(content, kind, grey)
    return upright(np.asarray(picture.convert("L" if grey else "RGB")), orientation)


def opened(content: bytes, kind: str) -> Image:
    """A picture whose header is read, its pixels not yet.  Raises DataError, also for a size that cannot be."""
    from PIL import Image

    check_declared_size(content, kind)
    try:
        picture = Image.open(BytesIO(content), formats=(kind,))
    except Image.DecompressionBombError as error:
        raise DataError(f"the picture is too large ({error})") from None
    except Exception as error:  # whatever a decoder raises at nonsense
        raise _refused(kind, error) from None
    check_size(picture.height, picture.width)
    return picture


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels [height, width, ...] as they are seen, by Exif's orientation 1 to 8: a view.

    Source: Exif 2.3, section 4.6.4 A, Orientation: which sides of the picture the first row and column are.
    """
    if orientation > 4:  # rows are columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _loaded(content: bytes, kind: str, grey: bool) -> Image:
    picture = opened(content, kind)
    try:
        picture.load()
        return _plain(picture, grey)
    except MemoryError:
        raise
    except Exception as error:
        raise _refused(kind, error) from None


def _plain(picture: Image, grey: bool) -> Image:
    """A picture of any mode as greys (L) or colours (RGB) on white paper; one that is grey stays so."""
    from PIL import Image

    notes = picture.info
    if picture.mode in DEEP:
        deep = np.asarray(picture)
        picture = Image.fromarray((deep >> 8).clip(0, 255).astype(np.uint8))  # as Pillow does with 16-bit colours
    elif picture.has_transparency_data:
        clear = picture.convert("RGBA")
        paper = Image.new("RGB", picture.size, "white")
        paper.paste(clear, mask=clear)
        picture = paper
    wanted = "L" if grey or picture.mode in ("1", "L") else "RGB"
    if picture.mode != wanted:
        picture = picture.convert(wanted)
    picture.info = notes
    return picture


def _inks(pixels: np.ndarray, inverted: bool) -> Image:
    """Cyan, magenta, yellow, black [height, width, 4] as a picture in which 255 is full ink."""
    from PIL import Image

    if inverted:
        pixels = 255 - pixels
    return Image.frombuffer("CMYK", pixels.shape[1::-1], pixels, "raw", "CMYK", 0, 1)


def _refused(kind: str, error: Exception) -> DataError:
    """What a decoder said, as a reason that can follow a file's name."""
    said = str(error).strip().rstrip(".") or type(error).__name__
    if any(word in said.lower() for word in ENDS_EARLY):
        return DataError(f"{CUT} ({kind}: {said})")
    if "cannot identify" in said:  # Pillow names the object in memory, which says nothing
        said = "its header makes no sense"
    return DataError(f"the picture is damaged ({kind}: {said})")
