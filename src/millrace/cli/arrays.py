"""Examples from NumPy's files: .npy for a model of one input, .npz with the inputs' names for one of several."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from millrace.inference.predictor import Port, Predictor
from millrace.ir.errors import DataError, FileError

ARRAYS = (".npy", ".npz")
UNNAMED = "arr_0"  # what np.savez calls an array that it is given without a name
UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError)  # what an archive can raise


def read_examples(path: Path, predictor: Predictor) -> list[np.ndarray]:
    """An array [examples, ...] for each input of a predictor; one example may come without its first axis.

    Raises FileError for a file that is missing or none of NumPy's, DataError for one that does not fit the inputs.
    """
    if not path.is_file():
        raise FileError(
            f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected an .npy or .npz file."
        )
    found = read(path)
    if isinstance(found, np.ndarray):
        if len(predictor.inputs) > 1:
            names = ", ".join(port.name for port in predictor.inputs)
            raise DataError(f"{path} is one array, the model takes {len(predictor.inputs)}: an .npz with {names}.")
        return [with_batch(found, predictor.inputs[0])]
    if list(found) == [UNNAMED] and len(predictor.inputs) == 1:
        return [with_batch(next(iter(found.values())), predictor.inputs[0])]
    missing = [port.name for port in predictor.inputs if port.name not in found]
    if missing:
        raise DataError(f"{path} has no array {missing[0]!r}: it has {', '.join(found) or 'none'}.")
    return [with_batch(found[port.name], port) for port in predictor.inputs]


def read(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """What a file holds; nothing in it is run, and an .npy must be as long as it says."""
    try:
        kept = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
        if isinstance(kept, np.ndarray):
            return kept
        with kept:
            return {name: kept[name] for name in kept.files}
    except PermissionError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    except (*UNREADABLE, OSError, ValueError, EOFError, KeyError, MemoryError) as error:
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise FileError(f"{path} cannot be read as arrays of numbers ({said}).") from None


def with_batch(array: np.ndarray, port: Port) -> np.ndarray:
    """An array of examples; one example alone becomes a batch of one."""
    return array[None] if array.ndim == port.type.ndim - 1 else array
