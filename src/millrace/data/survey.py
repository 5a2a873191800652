"""What there is to know of a source before anything learns from it: how much of what, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.decode import decode_image, image_size
from millrace.data.labels import is_encoded, record_labels, shown_classes
from millrace.data.ordered import in_order
from millrace.data.source import ENCODED, Source
from millrace.ir.errors import DataError
from millrace.ir.types import TensorType, widened

FILES, ROWS = 16, 256  # records that a thread takes in one go: of picture files, of arrays
QUICK = 500  # records that a quick look reads
DIGEST = 16  # bytes of a content's hash, so many that no two of a billion are alike by chance
Report = Callable[[int, int], None]  # how many records are done, of how many


@dataclass(frozen=True)
class Shapes:
    """Heights and widths of pictures, of those with the fewest, the middlemost and the most pixels."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True)
class Values:
    """The numbers in one element of all records: the least, the greatest, the mean, and the share that is NaN.

    The first three leave NaN out, and are NaN where nothing else is there.
    """

    element: TensorType
    low: float
    high: float
    mean: float
    nan: float


@dataclass(frozen=True)
class Survey:
    """What was found in a source.

    examined: how many of `count` records were read and, as picture files, decoded. classes and balance: what classes
    are called, and how many records each has; () without classes. shapes: of picture files, else None. size: bytes of
    what was examined, but for the classes. passed_over: files that are no pictures. notes: what a folder says of
    itself. broken: by a record's name, why it cannot be used. duplicates: numbers of records with the same content,
    group by group; across: those groups in which classes differ. values: one for each element of numbers, but for the
    classes.
    """

    name: str
    count: int
    examined: int
    elements: tuple[TensorType, ...]
    classes: tuple[str, ...]
    balance: tuple[int, ...]
    shapes: Shapes | None
    size: int
    passed_over: int
    notes: tuple[str, ...]
    broken: Mapping[str, str]
    duplicates: tuple[tuple[int, ...], ...]
    across: tuple[tuple[int, ...], ...]
    values: tuple[Values, ...]


def survey(source: Source, quick: bool = False, workers: int | None = None, report: Report | None = None) -> Survey:
    """Read every record of a source on threads, decode what is a picture file, and say what was found.

    quick: QUICK records at most, spread evenly, and no search for duplicates. workers: threads, one for each processor
    unless given; what is found is the same for any number. report: told how many records are done.

    Raises FileError where the source is gone.
    """
    numbers = np.arange(0, source.count, -(-source.count // QUICK) if quick else 1)
    size = FILES if is_encoded(source) else ROWS
    labels = record_labels(source)
    names = shown_classes(source, labels)
    content = len(source.elements) - (1 if names else 0)  # elements that are no classes
    parts, done = list[_Part](), 0

    def examine(n: int) -> _Part:
        return _examined(source, numbers[n * size : (n + 1) * size], content, hashed=not quick)

    for part in in_order(examine, -(-len(numbers) // size), workers):
        parts.append(part)
        done += len(part.good)
        if report is not None:
            report(done, len(numbers))
    good = np.concatenate([part.good for part in parts])
    same = () if quick else alike(np.concatenate([part.digests for part in parts])[good], np.flatnonzero(good))
    return Survey(
        name=source.name,
        count=source.count,
        examined=len(numbers),
        elements=source.elements,
        classes=names,
        balance=tuple(np.bincount(labels[labels >= 0], minlength=len(names)).tolist()) if names else (),
        shapes=_shapes(np.concatenate([part.sizes for part in parts])[good]) if is_encoded(source) else None,
        size=sum(part.bytes for part in parts),
        passed_over=getattr(source, "passed_over", 0),
        notes=tuple(getattr(source, "notes", ())),
        broken={source.record(n): why for part in parts for n, why in part.broken.items()},
        duplicates=same,
        across=tuple(group for group in same if names and len(set(labels[list(group)].tolist())) > 1),
        values=tuple(
            _summed(type, [part.sums[n] for part in parts])
            for n, type in enumerate(source.elements[:content])
            if type != ENCODED
        ),
    )


@dataclass(frozen=True)
class _Sums:
    """Of some numbers: the least, the greatest, the sum, how many are none, and how many there are in all."""

    low: float
    high: float
    total: float
    nan: int
    count: int


@dataclass(frozen=True)
class _Part:
    """What was found in some records: [records] whether good, [records, 2] sizes and [records, 16] digests of those."""

    good: np.ndarray
    sizes: np.ndarray
    digests: np.ndarray
    broken: Mapping[int, str]
    bytes: int
    sums: Sequence[_Sums | None]


def _examined(source: Source, numbers: np.ndarray, content: int, hashed: bool) -> _Part:
    """Read and decode some records."""
    taken = source.take(numbers)
    columns = taken.columns[:content]
    good = np.array([place not in taken.broken for place in range(len(numbers))], bool)
    sizes = np.zeros((len(numbers), 2), np.int64)
    digests = np.zeros((len(numbers), DIGEST), np.uint8)
    broken = {int(numbers[place]): why for place, why in taken.broken.items()}
    for place in np.flatnonzero(good).tolist():
        if isinstance(columns[0], list):
            try:
                sizes[place] = image_size(columns[0][place])
                decode_image(columns[0][place], *sizes[place].tolist())
            except DataError as error:
                broken[int(numbers[place])] = str(error)
                good[place] = False
                continue
        if hashed:
            digests[place] = _digest([column[place] for column in columns])
    size = sum(sum(map(len, column)) if isinstance(column, list) else column.nbytes for column in columns)
    sums = [None if isinstance(column, list) else _sums(column[good]) for column in columns]
    return _Part(good, sizes, digests, broken, size, sums)


def _digest(parts: Sequence[Any]) -> np.ndarray:
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _sums(column: np.ndarray) -> _Sums:
    wide = widened(column).astype(np.float64)
    numbers = wide[~np.isnan(wide)]
    nan = wide.size - numbers.size
    if not numbers.size:
        return _Sums(np.inf, -np.inf, 0.0, nan, nan)
    with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
        return _Sums(float(numbers.min()), float(numbers.max()), float(numbers.sum()), nan, wide.size)


def _summed(element: TensorType, sums: Sequence[_Sums | None]) -> Values:
    some = [one for one in sums if one is not None]
    count, nan = sum(one.count for one in some), sum(one.nan for one in some)
    if count == nan:
        return Values(element, np.nan, np.nan, np.nan, 1.0 if nan else 0.0)
    return Values(
        element, min(one.low for one in some), max(one.high for one in some),
        sum(one.total for one in some) / (count - nan), nan / count,
    )  # fmt: skip


def _shapes(sizes: np.ndarray) -> Shapes | None:
    """Of heights and widths [pictures, 2]; None where there are none."""
    if not len(sizes):
        return None
    order = np.lexsort((sizes[:, 0], sizes.prod(axis=1)))
    small, middle, large = (tuple(sizes[order[n]].tolist()) for n in (0, (len(order) - 1) // 2, -1))
    return Shapes(small, middle, large)


def alike(digests: np.ndarray, numbers: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Groups of the numbers [records] whose digests [records, 16] are the same, in order of their first ones."""
    if not len(numbers):
        return ()
    halves = np.ascontiguousarray(digests).view(np.uint64)
    order = np.lexsort((numbers, halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    groups = np.split(numbers[order], starts[1:])
    return tuple(sorted(tuple(group.tolist()) for group in groups if len(group) > 1))
