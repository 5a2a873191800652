"""Part of a picture in another size, by a bilinear filter that is widened where the picture shrinks."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

ROOM = 1.07  # how many pixels of a reduced JPEG picture the filter must have for each that is wanted


@dataclass(frozen=True)
class Frame:
    """The part of a stored picture that is wanted, from (top, left) on, and the size that it is to get."""

    top: float
    left: float
    height: float
    width: float
    rows: int
    columns: int

    def least(self, height: int, width: int) -> tuple[int, int]:
        """How small a JPEG file of height x width may be decoded: so that no wanted pixel has less than one there.

        Its cosine transform gives 1/8 to 4/8 of the size for less than the whole (5/8 to 7/8 would cost more:
        libjpeg-turbo has no SIMD for them). Those pixels are a little sharper than the filter's, the more so the less
        is left to the filter: ROOM keeps the difference from Pillow's whole decode and Image.resize(BILINEAR) below 2
        of 255 at any size. Mean absolute difference with Pillow's own filter behind it, at 224 and 256 pixels, over 113
        originals of ImageNet, most of 500 x 375: 0.13 and 0.01; over 200 pictures of imagenette, of 224 x 224
        themselves: 0.00.
        """
        down, across = min(1.0, ROOM * self.rows / self.height), min(1.0, ROOM * self.columns / self.width)
        return math.ceil(height * down), math.ceil(width * across)

    def scaled(self, by: float) -> Frame:
        """The same part of a picture that has shrunk."""
        return replace(self, top=self.top * by, left=self.left * by, height=self.height * by, width=self.width * by)


def frame(height: int, width: int, rows: int, columns: int, fit: str) -> Frame:
    """Which part of a picture of height x width fills rows x columns."""
    if fit == "stretch":
        return Frame(0, 0, height, width, rows, columns)
    if fit == "pad":
        scale = max(height / rows, width / columns)
        made = (max(1, round(height / scale)), max(1, round(width / scale)))
        return Frame(0, 0, height, width, min(rows, made[0]), min(columns, made[1]))
    scale = min(height / rows, width / columns)
    tall, wide = min(height, rows * scale), min(width, columns * scale)
    top, left = (height - tall) / 2, (width - wide) / 2
    if scale == 1:
        top, left = int(top), int(left)  # half a pixel aside would blur what needs no scaling
    return Frame(top, left, tall, wide, rows, columns)


def scaled(pixels: np.ndarray, part: Frame) -> np.ndarray:
    """A part of a picture, uint8 [height, width] or [height, width, 3], in the frame's size: [rows, columns(, 3)]."""
    top, left = int(part.top), int(part.left)
    if (part.top, part.left, part.height, part.width) == (top, left, part.rows, part.columns):
        return pixels[top : top + part.rows, left : left + part.columns]
    return _by_vectors(pixels, part) if _tools() is not None else _by_pillow(pixels, part)


_own = threading.local()  # a resizer keeps its buffers, so that each thread has one


def _tools() -> Any:
    """cykooz_resizer, or None where there is no wheel of it; then Pillow does the same, slower."""
    if not hasattr(_own, "tools"):
        try:
            import cykooz_resizer

            _own.tools, _own.resizer = cykooz_resizer, cykooz_resizer.Resizer()
            bilinear = cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.bilinear)
            _own.options = {"resize_alg": bilinear, "use_alpha": False}
        except ImportError:
            _own.tools = None
    return _own.tools


def _by_vectors(pixels: np.ndarray, part: Frame) -> np.ndarray:
    """With the processor's vector instructions.

    Read, decoded and resized to 256 pixels, an original of ImageNet takes 1.16 ms for 1.92 with Pillow's own filter, a
    picture of imagenette 0.38 for 0.88 (medians of 5 passes over 113 and 200 files, one thread, Zen 4). From Pillow's
    the pixels of a picture differ by at most 0.25 of 255 on average.
    """
    tools, (height, width) = _own.tools, pixels.shape[:2]
    kind = tools.PixelType.U8 if pixels.ndim == 2 else tools.PixelType.U8x3
    source = tools.ImageData(width, height, kind, pixels.tobytes())
    made = tools.ImageData(part.columns, part.rows, kind)
    box = tools.CropBox(
        part.left, part.top, min(part.width, width - part.left), min(part.height, height - part.top)
    )  # fmt: skip
    _own.resizer.resize(source, made, tools.ResizeOptions(crop_box=box, **_own.options))
    return np.frombuffer(made.get_buffer(), np.uint8).reshape(part.rows, part.columns, *pixels.shape[2:])


def _by_pillow(pixels: np.ndarray, part: Frame) -> np.ndarray:
    from PIL.Image import Resampling

    picture, shift = _strip(pixels, part)
    box = (
        part.left - shift,
        part.top,
        min(part.left - shift + part.width, picture.width),
        min(part.top + part.height, picture.height),
    )
    return np.asarray(picture.resize((part.columns, part.rows), Resampling.BILINEAR, box))


def _strip(pixels: np.ndarray, part: Frame) -> tuple[Image, int]:
    """Pixels as a picture of Pillow's, without columns that nothing is made of, and how many are left out before it."""
    from PIL import Image

    height, width = pixels.shape[:2]
    if pixels.ndim == 2:
        flat = np.ascontiguousarray(pixels)
        return Image.frombuffer("L", (width, height), flat, "raw", "L", 0, 1), 0
    margin = math.ceil(max(1.0, part.width / part.columns)) + 1  # the filter reaches so far beyond the edge
    first, last = max(0, int(part.left) - margin), min(width, math.ceil(part.left + part.width) + margin)
    flat = np.ascontiguousarray(pixels).reshape(-1)[3 * first :]
    return Image.frombuffer("RGB", (last - first, height), flat, "raw", "RGB", 3 * width, 1), first
