"""Arrays as a source of records: in memory, or mapped from a file on disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.source import Source, Taken
from millrace.ir.errors import ArgumentError, DataError, FileError
from millrace.ir.types import DTYPES, TensorType, is_float_array, native

CHUNK = 2**22  # elements that are looked at in one go
UNREADABLE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


class ArraySource(Source):
    """Records out of arrays of equal length: record n is element n of each.

    x: an array [records, ...], or a list of arrays for a network with several inputs. y: an array [records, ...], or
    None. A memory map (`np.load(path, mmap_mode="r")`, `np.memmap`) stays on disk: each `take` reads the rows that it
    is asked for. Elements keep their dtype, in this machine's byte order.
    classes: what the class numbers in y are called. broken: by number, why a record cannot be used; kept as `damaged`.

    Raises DataError for arrays that are empty, no numbers, of unequal length, not finite, or with a label that is no
    class. Rows of a memory map that are not finite are found when they are read, and told of as broken.
    """

    def __init__(
        self, x: Any, y: Any = None, name: str = "arrays", classes: Sequence[str] = (),
        broken: Mapping[int, str] | None = None,
    ):  # fmt: skip
        several = isinstance(x, (list, tuple)) and bool(x) and all(hasattr(one, "shape") for one in x)
        given = {f"x[{n}]": one for n, one in enumerate(x)} if several else {"x": x}
        if y is not None:
            given["y"] = y
        columns = [_Column(array, what) for what, array in given.items()]
        first, *others = columns
        for other in others:
            if other.count != first.count:
                raise DataError(
                    f"{first.what} has {first.count:,} records, but {other.what} has {other.count:,}: give one for "
                    "each."
                )
        self.name, self.classes, self.count = name, tuple(classes), first.count
        self.elements = tuple(column.element for column in columns)
        self.damaged = dict(broken or {})
        self._columns = columns
        if self.classes and y is not None:
            self._check_labels(columns[-1])

    def take(self, numbers: np.ndarray) -> Taken:
        """The records with these numbers [records]: one gather from each array.

        Raises ArgumentError for numbers that are none of its records, FileError where the file of a memory map is
        gone or has shrunk.
        """
        numbers = self._checked(numbers)
        columns: list[np.ndarray] = []
        broken: dict[int, str] = {}
        for column in self._columns:
            rows, bad = column.take(numbers)
            columns.append(rows)
            broken |= dict.fromkeys(bad.tolist(), f"{column.what} is NaN or infinite")
        if self.damaged:
            broken |= {place: self.damaged[n] for place, n in enumerate(numbers.tolist()) if n in self.damaged}
        return Taken(tuple(columns), broken)

    def _checked(self, numbers: Any) -> np.ndarray:
        made = np.asarray(numbers)
        if made.ndim != 1 or (made.size and made.dtype.kind not in "iu"):
            raise ArgumentError(
                f"{self.name}: take wants whole numbers [records], got {made.dtype} of shape {list(made.shape)}."
            )
        made = made.astype(np.int64, copy=False)
        # seen as unsigned, a negative number is too large: one look finds both
        if made.size and made.view(np.uint64).max() >= self.count:
            bad = made[(made < 0) | (made >= self.count)][0]
            raise ArgumentError(f"{self.name} has the records 0 to {self.count - 1}, not {bad}.")
        return made

    def _check_labels(self, column: _Column) -> None:
        array = column.array
        if array.dtype.kind not in "iu":
            raise DataError(f"{self.name} has classes, so y holds class numbers, but it is {array.dtype}.")
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(
                f"y holds the label {low if low < 0 else high}, but there are {len(self.classes)} classes: labels go "
                f"from 0 to {len(self.classes) - 1}."
            )


class _Column:
    """One array, how its rows are gathered, and what one row is."""

    def __init__(self, array: Any, what: str):
        self.what = what
        try:
            made = np.asarray(array)
        except ValueError:
            raise DataError(f"{what}: the records have different shapes; give each the same shape.") from None
        if made.dtype.name not in DTYPES:
            raise DataError(f"{what} holds {made.dtype}, not numbers: convert each record to numbers first.")
        if made.ndim == 0 or not len(made):
            raise DataError(f"{what} is empty: there are no records in it.")
        self.map = _mapped(made)
        self.array = made if self.map is not None else native(made)
        self.count = len(made)
        self.element = TensorType(made.dtype.name, made.shape[1:])
        if self.map is not None:
            self.file = Path(self.map.filename) if self.map.filename else None
            self.size = self.file.stat().st_size if self.file is not None else 0
        else:
            _check_finite(self.array, what)
        # `take` copies the whole array first where that lies otherwise in memory; indexing does not
        self.plain = self.array.flags.c_contiguous and self.array.flags.aligned and self.array.dtype.isnative

    def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows [numbers, ...], and the places of those that turned out not to be finite."""
        if self.map is None:
            return self._gather(numbers), _NOWHERE
        self._check_file()
        order = np.argsort(numbers, kind="stable")  # from the front to the back of the file
        rows = np.empty((len(numbers), *self.array.shape[1:]), self.array.dtype.newbyteorder("="))
        rows[order] = self._gather(numbers[order])
        if not is_float_array(rows):
            return rows, _NOWHERE
        return rows, np.flatnonzero(~_finite(rows))

    def _gather(self, numbers: np.ndarray) -> np.ndarray:
        return self.array.take(numbers, axis=0) if self.plain else self.array[numbers]

    def _check_file(self) -> None:
        """Reading a map beyond the end of its file would kill the process."""
        if self.file is None:
            return
        try:
            size = self.file.stat().st_size
        except OSError as error:
            raise FileError(f"{self.file} cannot be read any more: {error.strerror or error}.") from None
        if size < self.size:
            raise FileError(f"{self.file} has shrunk from {self.size:,} to {size:,} bytes: copy it anew.")


_NOWHERE = np.empty(0, np.int64)


def _mapped(array: np.ndarray) -> np.memmap | None:
    """The memory map that an array is, or is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return base
        base = base.base
    return None


def _finite(array: np.ndarray) -> np.ndarray:
    """Which rows [records] hold nothing but finite numbers."""
    return np.isfinite(array).reshape(len(array), -1).all(axis=1)


def _check_finite(array: np.ndarray, what: str) -> None:
    if not is_float_array(array):
        return
    step = max(1, CHUNK // max(1, array[0].size))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        good = _finite(part)
        if not good.all():
            raise DataError(
                f"{what} is NaN or infinite in record {start + int(np.argmin(good))}. Remove or mend such records "
                "first."
            )


def npy_source(path: str | Path, labels_path: str | Path | None = None, classes: Sequence[str] = ()) -> ArraySource:
    """Records of a .npy file, which stays on disk: array [records, ...], and labels [records, ...] from another one.

    Raises FileError for files that are missing, damaged, or hold Python objects, DataError as ArraySource does.
    Source: the NPY format, NumPy.
    """
    arrays = [None if one is None else _opened(one) for one in (path, labels_path)]
    for one, array in zip((path, labels_path), arrays, strict=True):
        if isinstance(array, np.lib.npyio.NpzFile):
            array.close()
            raise FileError(f"{one} holds several arrays by name: npz_source reads it.")
    return ArraySource(arrays[0], arrays[1], Path(path).name, classes)


def npz_source(path: str | Path, x: str = "x", y: str | None = None, classes: Sequence[str] = ()) -> ArraySource:
    """Records of a .npz file, which is read into memory.

    x and y: what the arrays are called in the file; with y None, "y" where there is one.

    Raises FileError for a file that is missing, damaged, or lacks these arrays, DataError as ArraySource does.
    Source: the NPZ format, NumPy.
    """
    file = _opened(path)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise FileError(f"{path} holds one array, not several by name: npy_source reads it.")
    with file:
        lacking = [name for name in (x, y) if name is not None and name not in file.files]
        if lacking:
            raise FileError(
                f"{path} holds no array {' and no '.join(map(repr, lacking))}, but "
                f"{', '.join(file.files) or 'nothing'}: say with x= and y= which ones to use."
            )
        if y is None and "y" in file.files and x != "y":
            y = "y"
        try:
            arrays = [file[name] for name in (x, y) if name is not None]
        except UNREADABLE as error:
            raise _unreadable(path, error) from None
    return ArraySource(arrays[0], arrays[1] if y is not None else None, Path(path).name, classes)


def _opened(path: str | Path) -> Any:
    try:
        return np.load(os.fspath(path), mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str | Path, error: Exception) -> FileError:
    if isinstance(error, FileNotFoundError):
        return FileError(f"{path} cannot be read: it does not exist.")
    if "allow_pickle" in str(error):
        return FileError(f"{path} holds Python objects or is no NumPy file: save numbers with np.save or np.savez.")
    return FileError(f"{path} cannot be read as a NumPy file ({error}): is it whole?")
