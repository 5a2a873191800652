"""The idx files in which MNIST and its relatives are published: one array of any rank and type."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from millrace.data.folder import read
from millrace.ir.errors import FileError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx file, gzip-compressed or not, in its own dtype.

    The file: two zero bytes, one for the type, one for the rank, a big-endian uint32 for each size, then the
    elements, big-endian, the last axis fastest.
    Raises FileError that says what is wrong: another kind of file, or one that is cut short or too long.
    Source: LeCun, Cortes and Burges, The MNIST database, "File formats".
    """
    raw = read(path)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise FileError(f"{path} is a damaged gzip file ({error}): copy it anew.") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in DTYPES:
        raise FileError(
            f"{path} is no idx file: it begins with {raw[:4].hex(' ') or 'nothing'}, expected 00 00, a type "
            f"({', '.join(f'{code:02x}' for code in DTYPES)}) and the number of axes."
        )
    dtype, rank = np.dtype(DTYPES[raw[2]]), raw[3]
    header = 4 + 4 * rank
    if len(raw) < header:
        raise FileError(f"{path} is cut short: {len(raw)} bytes do not hold the sizes of its {rank} axes.")
    shape = tuple(int.from_bytes(raw[4 + 4 * n : 8 + 4 * n], "big") for n in range(rank))
    wanted = header + math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise FileError(
            f"{path} is {'cut short' if len(raw) < wanted else 'too long'}: {dtype.name} of shape {list(shape)} takes "
            f"{wanted:,} bytes, it holds {len(raw):,}. Copy it anew."
        )
    return np.frombuffer(raw, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))
