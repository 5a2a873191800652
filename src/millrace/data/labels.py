"""Which class each record of a source belongs to, without reading pictures for it where the source knows."""

from __future__ import annotations

import numpy as np

from millrace.data.source import ENCODED, Source

ROWS = 1024  # records that are read in one go
MOST = 100  # different whole numbers that count as classes where a source has no names for them


def record_labels(source: Source) -> np.ndarray:
    """The class number of each record [records] int64, -1 where a record is broken; empty where they have none.

    That is the last of several elements, where it is a whole number. Raises FileError where the source is gone.
    """
    last = source.elements[-1]
    if len(source.elements) < 2 or not last.is_integer or last.ndim:
        return np.zeros(0, np.int64)
    known = getattr(source, "labels", None)
    if known is not None and len(known) == source.count:
        return np.asarray(known, np.int64)
    labels = np.full(source.count, -1, np.int64)
    for start in range(0, source.count, ROWS):
        taken = source.take(np.arange(start, min(start + ROWS, source.count)))
        labels[start : start + ROWS] = taken.columns[-1]
        labels[[start + place for place in taken.broken]] = -1
    return labels


def shown_classes(source: Source, labels: np.ndarray) -> tuple[str, ...]:
    """What the classes of `labels` are called, by number, be there names for them or not; () where they are none."""
    if not len(labels):
        return ()
    count = int(labels.max()) + 1
    if source.classes:
        return source.classes + tuple(map(str, range(len(source.classes), count)))
    return tuple(map(str, range(count))) if 0 < count <= MOST else ()


def is_encoded(source: Source) -> bool:
    """Whether records begin with a picture file's content."""
    return source.elements[0] == ENCODED
