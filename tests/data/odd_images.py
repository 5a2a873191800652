"""Picture files made by code that are odd or damaged, and what must come of each."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 40


@dataclass(frozen=True)
class Fine:
    """A file and the pixels that it shows, [height, width, 3], each right within `within` on average."""

    content: bytes
    pixels: np.ndarray
    within: float = 0.0


@dataclass(frozen=True)
class Bad:
    """A file and a part of what must be said of it."""

    content: bytes
    says: str


def scene() -> np.ndarray:
    """A smooth picture that is the same from no two sides: uint8 [HEIGHT, WIDTH, 3]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + 4 * x, 30 + 7 * y, 200 - 3 * x - 2 * y], axis=-1).astype(np.uint8)


def grey(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601."""
    return np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def three(values: np.ndarray) -> np.ndarray:
    """A grey picture in three equal colours."""
    return np.repeat(values[..., None], 3, axis=-1)


def saved(pixels: np.ndarray | Image.Image, kind: str, mode: str | None = None, **options) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels, mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(pixels: np.ndarray | Image.Image, **options) -> bytes:
    return saved(pixels, "JPEG", **{"quality": 95, "subsampling": 0} | options)


def exif(orientation: int, big: bool = False) -> bytes:
    """An Exif block with one entry: 0x0112, a short."""
    order = ">" if big else "<"
    head = b"MM\0*" if big else b"II*\0"
    return b"Exif\0\0" + head + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(height: int, width: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG file by hand: rows as they are before compression, each begun by its filter byte."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + body + chunk(b"IEND", b"")


def filtered(rows: np.ndarray) -> bytes:
    """Rows of bytes, each with filter 0."""
    flat = rows.reshape(len(rows), -1)
    return np.concatenate([np.zeros((len(flat), 1), np.uint8), flat], axis=1).tobytes()


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What is seen, by Exif 2.3's table: what the stored picture's first row and column are."""
    top_is_first_row = {1: np.array, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
    if orientation in top_is_first_row:
        return top_is_first_row[orientation](stored)
    turned = np.swapaxes(stored, 0, 1)  # 5: the first row is the left side, the first column the top
    return {5: turned, 6: np.fliplr(turned), 7: np.rot90(turned, 2), 8: np.flipud(turned)}[orientation]


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)


def resized_header(content: bytes, height: int, width: int) -> bytes:
    """A baseline JPEG file that claims another size."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def _jpegs() -> dict[str, Fine]:
    made = scene()
    plain = jpeg(made)
    inks = 255 - np.concatenate([made, np.full((HEIGHT, WIDTH, 1), 215, np.uint8)], axis=-1)  # 255 is full ink
    seen = np.rint((255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255).astype(np.uint8)
    cmyk = jpeg(Image.fromarray(inks, "CMYK"))
    adobe = cmyk.index(b"\xff\xee")
    negative = jpeg(Image.fromarray(255 - inks, "CMYK"))
    # YCCK holds the inks' negative as if it were red, green, blue; Pillow inverts what it saves
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(inks[..., :3])).convert("YCbCr"))
    ycck = bytearray(jpeg(Image.fromarray(np.concatenate([255 - ycc, inks[..., 3:]], axis=-1), "CMYK")))
    ycck[adobe + 15] = 2  # the transform in Adobe's segment
    odd_exif = b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(range(40))
    start = plain[:2]
    return {
        "colour.jpg": Fine(plain, made, 1.5),
        "grey.jpg": Fine(jpeg(grey(made)), three(grey(made)), 1.5),
        "progressive.jpg": Fine(jpeg(made, progressive=True), made, 1.5),
        "halved colours.jpg": Fine(jpeg(made, subsampling=2), made, 3),
        "restart markers.jpg": Fine(jpeg(made, restart_marker_blocks=1), made, 1.5),
        "stored as red, green, blue.jpg": Fine(jpeg(made, keep_rgb=True), made, 1.5),
        "inks, inverted.jpg": Fine(cmyk, seen, 2),
        "inks, not inverted, without Adobe's segment.jpg": Fine(negative[:adobe] + negative[adobe + 16 :], seen, 2),
        "ycck.jpg": Fine(bytes(ycck), seen, 2),
        "garbage behind.jpg": Fine(plain + b"\0garbage" * 99, made, 1.5),
        "second picture behind.jpg": Fine(plain + jpeg(255 - made), made, 1.5),
        "fill bytes.jpg": Fine(start + b"\xff\xff\xff" + plain[2:], made, 1.5),
        "comment.jpg": Fine(start + b"\xff\xfe\x00\x09\xff\xc0 \xff\xd9\0\0" + plain[2:], made, 1.5),
        "senseless exif.jpg": Fine(jpeg(made, exif=odd_exif), made, 1.5),
        "orientation 9.jpg": Fine(jpeg(made, exif=exif(9)), made, 1.5),
        "orientation 6, big-endian.jpg": Fine(jpeg(made, exif=exif(6, big=True)), upright(made, 6), 1.5),
        "colour profile.jpg": Fine(jpeg(made, icc_profile=b"not a profile" * 9), made, 1.5),
        "one pixel.jpg": Fine(jpeg(made[:1, :1]), made[:1, :1], 3),
        "one row.jpg": Fine(jpeg(np.repeat(made[:1], 50, axis=1)), np.repeat(made[:1], 50, axis=1), 2),
        "a jpeg by another name.png": Fine(plain, made, 1.5),
    } | {f"orientation {n}.jpg": Fine(jpeg(made, exif=exif(n)), upright(made, n), 1.5) for n in range(1, 9)}


def _pngs() -> dict[str, Fine]:
    made = scene()
    alpha = np.broadcast_to((np.arange(WIDTH) * 6).astype(np.uint8), (HEIGHT, WIDTH))
    clear = np.concatenate([made, alpha[..., None]], axis=-1)
    four = np.array([[0, 0, 0], [250, 10, 20], [10, 240, 30], [255, 255, 255]], np.uint8)
    numbers = (np.mgrid[0:HEIGHT, 0:WIDTH].sum(axis=0) // 3 % 4).astype(np.uint8)
    table = chunk(b"PLTE", four.tobytes())
    packed = numbers.reshape(HEIGHT, -1, 4) @ np.array([64, 16, 4, 1], np.uint8)
    bits = numbers % 2 == 1
    deep = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 68).astype(">u2")
    deep_colours = (made.astype(np.uint16) * 256 + 77).astype(">u2")
    see_through = np.array([255, 0, 128, 255], np.uint8)
    frames = [Image.fromarray(made), Image.fromarray(255 - made)]
    return {
        "colour.png": Fine(saved(made, "PNG"), made),
        "grey.png": Fine(saved(grey(made), "PNG"), three(grey(made))),
        "transparent.png": Fine(saved(clear, "PNG"), on_white(made, alpha), 1),
        "transparent grey.png": Fine(
            saved(np.stack([grey(made), alpha], axis=-1), "PNG"), three(on_white(three(grey(made)), alpha)[..., 0]), 1
        ),
        "palette.png": Fine(png(HEIGHT, WIDTH, 8, 3, filtered(numbers), table), four[numbers]),
        "palette of two bits.png": Fine(png(HEIGHT, WIDTH, 2, 3, filtered(packed), table), four[numbers]),
        "palette with transparency.png": Fine(
            png(HEIGHT, WIDTH, 8, 3, filtered(numbers), table, chunk(b"tRNS", see_through.tobytes())),
            on_white(four[numbers], see_through[numbers]), 1,
        ),
        "one transparent colour.png": Fine(
            png(HEIGHT, WIDTH, 8, 2, filtered(four[numbers]), chunk(b"tRNS", struct.pack(">HHH", 250, 10, 20))),
            np.where(numbers[..., None] == 1, 255, four[numbers]).astype(np.uint8),
        ),
        "one transparent grey.png": Fine(
            png(HEIGHT, WIDTH, 8, 0, filtered(numbers), chunk(b"tRNS", struct.pack(">H", 2))),
            three(np.where(numbers == 2, 255, numbers).astype(np.uint8)),
        ),
        "one bit.png": Fine(saved(Image.fromarray(bits), "PNG"), three(bits * np.uint8(255))),
        "sixteen bits grey.png": Fine(
            png(HEIGHT, WIDTH, 16, 0, filtered(deep.view(np.uint8))), three((deep // 256).astype(np.uint8)), 1
        ),
        "sixteen bits colour.png": Fine(png(HEIGHT, WIDTH, 16, 2, filtered(deep_colours.view(np.uint8))), made, 1),
        "orientation 8.png": Fine(saved(made, "PNG", exif=exif(8)[6:]), upright(made, 8)),
        "animated.png": Fine(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), made),
        "garbage behind.png": Fine(saved(made, "PNG") + b"garbage", made),
        "one pixel.png": Fine(saved(made[:1, :1], "PNG"), made[:1, :1]),
        "one column.png": Fine(saved(np.tile(made[:, :1], (99, 1, 1)), "PNG"), np.tile(made[:, :1], (99, 1, 1))),
    }  # fmt: skip


def _others() -> dict[str, Fine]:
    made = scene()
    alpha = np.where(np.arange(WIDTH) % 2, 255, 0).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
    clear = np.concatenate([made, alpha[..., None]], axis=-1)
    frames = [Image.fromarray(made), Image.fromarray(255 - made)]
    few = Image.fromarray(made).quantize(16)
    holes = few.copy()
    holes.info["transparency"] = 3
    numbers = np.asarray(few)
    colours = np.asarray(few.convert("RGB"))
    options = {"save_all": True, "append_images": frames[1:]}
    return {
        "lossy.webp": Fine(saved(made, "WEBP", quality=95), made, 3),
        "lossless.webp": Fine(saved(made, "WEBP", lossless=True), made),
        "transparent.webp": Fine(saved(clear, "WEBP", lossless=True, exact=True), on_white(made, alpha)),
        "animated.webp": Fine(saved(frames[0], "WEBP", lossless=True, **options), made),
        "orientation 3.webp": Fine(saved(made, "WEBP", lossless=True, exif=exif(3)), upright(made, 3)),
        "palette.gif": Fine(saved(few, "GIF"), colours),
        "transparent.gif": Fine(
            saved(holes, "GIF", transparency=3), np.where(numbers[..., None] == 3, 255, colours).astype(np.uint8)
        ),
        "animated.gif": Fine(saved(few, "GIF", save_all=True, append_images=[frames[1]]), colours),
        "colour.bmp": Fine(saved(made, "BMP"), made),
        "palette.bmp": Fine(saved(few, "BMP"), colours),
        "one bit.bmp": Fine(
            saved(Image.fromarray(numbers % 2 == 1), "BMP"), three((numbers % 2 * 255).astype(np.uint8))
        ),
    }


def _bad() -> dict[str, Bad]:
    made = scene()
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    plain, rough, exact = jpeg(made), jpeg(noise), saved(noise, "PNG")
    middle = len(rough) // 2
    data = exact.index(b"IDAT")
    flipped = exact[: data + 50] + bytes([exact[data + 50] ^ 4]) + exact[data + 51 :]
    bmp, webp = saved(noise, "BMP"), saved(noise, "WEBP")
    gif = saved(Image.fromarray(noise).quantize(64), "GIF")
    scan = plain.index(b"\xff\xda")
    page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    tiff = saved(made, "TIFF")
    return {
        "empty.jpg": Bad(b"", "the file is empty"),
        "text.jpg": Bad(b"This is no picture.\n", "it begins with b'This is no p'"),
        "page.png": Bad(page, "no JPEG, PNG, WebP, GIF or BMP picture"),
        "zeros.jpg": Bad(bytes(5000), "no JPEG"),
        "tiff.jpg": Bad(tiff, "no JPEG"),
        "two bytes.jpg": Bad(b"\xff\xd8", "no JPEG"),
        "begin alone.jpg": Bad(plain[:20], "cut short"),
        "header alone.jpg": Bad(plain[:scan], "cut short"),
        "half.jpg": Bad(rough[:middle], "cut short"),
        "half, progressive.jpg": Bad(jpeg(noise, progressive=True)[:middle], "cut short"),
        "half, inks.jpg": Bad(jpeg(Image.fromarray(noise).convert("CMYK"))[:middle], "cut short"),
        "last byte lost.jpg": Bad(plain[:-1], "cut short"),
        "last twelve bytes lost.jpg": Bad(plain[:-12], "cut short"),
        "middle lost.jpg": Bad(rough[:middle] + rough[middle + 40 :], "damaged"),
        "middle zero.jpg": Bad(rough[:middle] + bytes(40) + rough[middle + 40 :], "damaged"),
        "claims 65,000 squared.jpg": Bad(resized_header(plain, 65_000, 65_000), "too large"),
        "claims 9,000 squared.jpg": Bad(resized_header(plain, 9_000, 9_000), "cannot hold its 9,000 x 9,000 pixels"),
        "claims to be taller.jpg": Bad(resized_header(rough, 200, 96), "damaged"),
        "no height.jpg": Bad(resized_header(plain, 0, 40), "no pixels"),
        "no tables.jpg": Bad(plain[:2] + plain[plain.index(b"\xff\xc0") :], "damaged"),
        "begin alone.png": Bad(exact[:8], "cut short"),
        "half.png": Bad(exact[: len(exact) // 2], "cut short"),
        "end lost.png": Bad(exact[:-12], "cut short"),
        "flipped bit.png": Bad(flipped, "checksum of its piece 'IDAT' is wrong"),
        "flipped header.png": Bad(exact[:18] + b"\x07" + exact[19:], "checksum of its piece 'IHDR'"),
        "no data.png": Bad(png(HEIGHT, WIDTH, 8, 2, b""), "cut short"),
        "claims 60,000 squared.png": Bad(png(60_000, 60_000, 8, 2, b"\0\1\2\3"), "too large"),
        "claims 9,400 squared.png": Bad(png(9_400, 9_400, 8, 2, b"\0\1\2\3"), "cut short"),
        "no width.png": Bad(png(1, 0, 8, 2, b"\0"), "no pixels"),
        "half.webp": Bad(webp[: len(webp) // 2], "cut short"),
        "begin alone.webp": Bad(webp[:20], "cut short"),
        "half.gif": Bad(gif[: len(gif) // 2], "cut short"),
        "begin alone.gif": Bad(gif[:10], "GIF"),
        "half.bmp": Bad(bmp[: len(bmp) // 2], "cut short"),
        "begin alone.bmp": Bad(bmp[:20], "BMP"),
    }


def fine() -> dict[str, Fine]:
    """Files that show a picture."""
    return _jpegs() | _pngs() | _others()


def bad() -> dict[str, Bad]:
    """Files that show none, or not all of it."""
    return _bad()
