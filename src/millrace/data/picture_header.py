"""What the first bytes of a picture file say: which kind it is, how large, and how the camera was held."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from millrace.ir.errors import DataError

KINDS = ("JPEG", "PNG", "WebP", "GIF", "BMP")
MAX_PIXELS = 89_478_485  # what Pillow takes for an attack: decoded, a quarter of a GiB in three bytes a pixel
ORIENTATION = 0x0112  # the tag of Exif that says which way is up
EXIF = b"Exif\0\0"
SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers SOF0 to SOF15; three of that range are others
ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length: RST0 to RST7, SOI, TEM
SCAN, END = 0xDA, 0xD9  # SOS, EOI
EMPTY = "the file is empty"
CUT = "the picture is cut short"


@dataclass(frozen=True)
class JpegHeader:
    """height, width: as stored, before `orientation` (Exif's 1 to 8) turns it. components: 1 grey, 3 colour, 4 CMYK.

    inverted: whether 255 stands for no ink, as Adobe writes it.
    """

    height: int
    width: int
    components: int
    orientation: int = 1
    inverted: bool = False


def picture_kind(content: bytes) -> str:
    """One of KINDS, by how the file begins.  Raises DataError for anything else."""
    if content[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if content[:2] == b"BM":
        return "BMP"
    if not content:
        raise DataError(EMPTY)
    raise DataError(f"the file is no {', '.join(KINDS[:-1])} or {KINDS[-1]} picture: it begins with {content[:12]!r}")


def check_size(height: int, width: int) -> None:
    """Raises DataError for a picture without pixels, or with more than MAX_PIXELS."""
    if height < 1 or width < 1:
        raise DataError(f"the picture has no pixels: its header says {height} x {width}")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"the picture is too large: its header says {height:,} x {width:,} pixels, the limit is {MAX_PIXELS:,} in "
            "all; make it smaller"
        )


def check_declared_size(content: bytes, kind: str) -> None:
    """Raises DataError where a file of another kind than JPEG has a header that check_size refuses.

    Pillow looks too, but then prints a warning of its own beside the error.
    """
    if kind == "PNG":
        width, height = (int.from_bytes(content[n : n + 4], "big") for n in (16, 20))
    elif kind == "GIF":
        width, height = (int.from_bytes(content[n : n + 2], "little") for n in (6, 8))
    elif kind == "BMP":  # a negative height counts from the top
        width, height = (abs(int.from_bytes(content[n : n + 4], "little", signed=True)) for n in (18, 22))
    elif content[12:16] == b"VP8X":
        width, height = (int.from_bytes(content[n : n + 3], "little") + 1 for n in (24, 27))
    else:
        return
    if len(content) > 32:  # of less, Pillow says that it is cut short
        check_size(height, width)


def jpeg_header(content: bytes) -> JpegHeader:
    """The header of a JPEG file.  Raises DataError where it tells no size, or one that cannot be.

    Source: ITU-T T.81 (1992), annex B; Adobe's segment: Adobe technical note 5116, section 18.
    """
    orientation, inverted, size, scanned = 1, False, None, False
    place = 2
    while (place := content.find(b"\xff", place)) >= 0:
        while content[place + 1 : place + 2] == b"\xff":  # any number of these may fill up before a marker
            place += 1
        if place + 4 > len(content):
            break
        marker = content[place + 1]
        if marker in (SCAN, END):
            scanned = marker == SCAN
            break
        if marker == 0 or marker in ALONE:
            place += 2
            continue
        start = place + 4
        length = int.from_bytes(content[place + 2 : start], "big")
        if marker in SIZES and start + 6 <= len(content):
            rows, columns = content[start + 1 : start + 3], content[start + 3 : start + 5]
            size = int.from_bytes(rows, "big"), int.from_bytes(columns, "big"), content[start + 5]
        elif marker == 0xE1 and content[start : start + 6] == EXIF:
            orientation = exif_orientation(content[start : place + 2 + length])
        elif marker == 0xEE and content[start : start + 5] == b"Adobe":
            inverted = True
        place += 2 + max(length, 2)
    if size is None or not scanned:
        raise DataError(f"{CUT}: the JPEG file ends {'before its pixels' if size else 'before it tells its size'}")
    height, width, _ = size
    check_size(height, width)
    # Each block of 8 x 8 pixels takes one bit at the very least: one who lies about the size gets no memory for it.
    if height * width > 8 * 64 * len(content):
        raise DataError(f"{CUT}: {len(content):,} bytes cannot hold its {height:,} x {width:,} pixels")
    return JpegHeader(*size, orientation, inverted)


def exif_orientation(exif: bytes) -> int:
    """Which way is up, 1 to 8; 1, as it is stored, where that is not told or makes no sense.

    Source: Exif 2.3 (CIPA DC-008, 2012), section 4.6; TIFF 6.0 (1992), section 2.
    """
    tiff = exif[len(EXIF) :] if exif.startswith(EXIF) else exif
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 1

    def number(place: int, size: int) -> int:
        return int.from_bytes(tiff[place : place + size], "little" if tiff[:2] == b"II" else "big")

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 1000)):
        place = directory + 2 + 12 * entry
        if number(place, 2) == ORIENTATION:
            told = number(place + 8, 2)
            return told if 1 <= told <= 8 else 1
    return 1


def check_whole(content: bytes, kind: str) -> None:
    """Raises DataError for a PNG or WebP file that is cut short, or a PNG file with a piece of another checksum.

    Pillow reads a PNG file's pixels without looking at the checksums, and would give a damaged picture.
    Source: PNG (ISO/IEC 15948), section 5; RFC 9649 (WebP), section 2.
    """
    if kind == "WebP" and int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise DataError(f"{CUT}: the WebP file is to have {int.from_bytes(content[4:8], 'little') + 8:,} bytes")
    if kind != "PNG":
        return
    view, place = memoryview(content), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(view[place : place + 4], "big")
        if end + 4 > len(content):
            break
        piece = bytes(view[place + 4 : place + 8])
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DataError(f"the picture is damaged: the checksum of its piece {piece.decode('latin-1')!r} is wrong")
        if piece == b"IEND":
            return
        place = end + 4
    raise DataError(f"{CUT}: the PNG file has no end")
