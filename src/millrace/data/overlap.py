"""Which held-out examples are among those to learn from as well: the same bytes, or almost the same picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.source import ENCODED, Source

BYTES = 2**26  # that are read of each of the two, at most; where there are more, some, spread evenly
DIGEST = 16  # bytes of a content's hash
ROWS = 1024  # records that are read in one go, at most
PIECE = 2**24  # bytes that they hold together, about
COMPARED = 256  # held-out pictures that are laid beside all others
SIDE = 8  # pixels along a side of the small pictures that are laid beside each other first
ALIKE = 0.995  # correlation of two pictures that are almost the same


@dataclass(frozen=True)
class Overlap:
    """What two sources have in common.

    same: of the `held` examples that were read of the second, how many have the content of one of the `read` that were
    read of the first. near: of the `compared` pictures among the rest, how many are almost one of those.
    """

    same: int = 0
    held: int = 0
    read: int = 0
    near: int = 0
    compared: int = 0


def overlap(training: Source, held: Source, inputs: int = 1) -> Overlap:
    """Compare two sources by the first `inputs` elements of their records; a record that is broken is like no other.

    Arrays of pictures are also laid beside each other: whether the correlation of their pixels is above ALIKE, first of
    small pictures, then of the whole ones.  Raises FileError where a source is gone.
    """
    ours, theirs = few_enough(training, inputs), few_enough(held, inputs)
    known = set(digests(training, ours, inputs))
    same = np.array([digest in known and digest != b"" for digest in digests(held, theirs, inputs)], bool)
    some = theirs[~same]
    if inputs > 1 or not len(some) or not (is_picture(training) and is_picture(held)):
        return Overlap(int(same.sum()), len(theirs), len(ours))
    some = some[:: -(-len(some) // COMPARED)]
    return Overlap(int(same.sum()), len(theirs), len(ours), almost_the_same(training, ours, held, some), len(some))


def few_enough(source: Source, inputs: int) -> np.ndarray:
    """The numbers of the records to read."""
    return np.arange(0, source.count, max(int(-(-source.count * size_of(source, inputs) // BYTES)), 1))


def size_of(source: Source, inputs: int) -> float:
    """Bytes of a record, about: the mean of the first few."""
    first = columns(source, np.arange(min(source.count, 16)), inputs)
    return sum(len(bytes_of(column[row])) for column in first for row in range(len(column))) / len(first[0])


def pieces(source: Source, numbers: np.ndarray, inputs: int) -> Iterator[np.ndarray]:
    """Numbers of records in pieces that fit into memory."""
    rows = max(1, min(ROWS, int(PIECE / max(size_of(source, inputs), 1))))
    for start in range(0, len(numbers), rows):
        yield numbers[start : start + rows]


def columns(source: Source, numbers: np.ndarray, inputs: int) -> tuple[Any, ...]:
    return source.take(numbers).columns[:inputs]


def bytes_of(content: Any) -> bytes:
    return content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()


def digests(source: Source, numbers: np.ndarray, inputs: int) -> Iterator[bytes]:
    """A hash of each record's content; b"" for a broken one."""
    for some in pieces(source, numbers, inputs):
        taken = source.take(some)
        for row in range(len(taken.columns[0])):
            if row in taken.broken:
                yield b""
                continue
            digest = hashlib.blake2b(digest_size=DIGEST)
            for column in taken.columns[:inputs]:
                digest.update(bytes_of(column[row]))
            yield digest.digest()


def is_picture(source: Source) -> bool:
    """Whether records begin with an array [height, width, channels]."""
    first = source.elements[0]
    return first != ENCODED and first.ndim == 3 and first.shape[-1] in (1, 3)


def almost_the_same(training: Source, ours: np.ndarray, held: Source, theirs: np.ndarray) -> int:
    """How many of these held-out pictures correlate with one to learn from."""
    pictures = columns(held, theirs, 1)[0]
    small = standard(shrunk(pictures))
    best, who = np.full(len(theirs), -1.0, np.float32), np.zeros(len(theirs), np.int64)
    for numbers in pieces(training, ours, 1):
        likeness = small @ standard(shrunk(columns(training, numbers, 1)[0])).T
        top = likeness.argmax(axis=1)
        value = likeness[np.arange(len(theirs)), top]
        better = value > best
        best[better], who[better] = value[better], numbers[top[better]]
    found = np.flatnonzero(best > ALIKE)
    if not len(found):
        return 0
    a, b = standard(pictures[found]), standard(columns(training, who[found], 1)[0])
    return int((np.sum(a * b, axis=1) > ALIKE).sum()) if a.shape == b.shape else 0


def shrunk(pictures: np.ndarray) -> np.ndarray:
    """[n, height, width, channels] as means over at most SIDE by SIDE areas."""
    height, width = pictures.shape[1:3]
    high, wide = max(height // SIDE, 1), max(width // SIDE, 1)
    cut = pictures[:, : height // high * high, : width // wide * wide]
    return cut.reshape(len(cut), height // high, high, width // wide, wide, -1).mean(axis=(2, 4), dtype=np.float32)


def standard(pictures: np.ndarray) -> np.ndarray:
    """Each as a vector of mean 0 and length 1 [n, numbers]; an even one is 0 throughout."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.sqrt(np.sum(flat * flat, axis=1, keepdims=True))
    return flat / np.where(length > 1e-6, length, np.inf)
