"""Checkpoints of a state that lies in parts with several processes: each writes its own, into one directory.

The arrays are Orbax's; beside them lies `about.safetensors`, written last, which says what they are. A directory
without it is no checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.holding import PARTIAL
from millrace.engines.processes import first_then_others, processes
from millrace.ir.errors import FileError, MillraceError
from millrace.training.checkpoint import DamagedError, load_arrays, packed, write_whole

SUFFIX = ".sharded"
ABOUT, ARRAYS = "about.safetensors", "arrays"
FILES = "files"  # under which the description keeps their checksums


def save_sharded(
    path: Path, arrays: Mapping[str, Any], about: Mapping[str, Any], also: Path | None = None
) -> Callable[[], None]:
    """Write arrays by name, and what they are about, as a directory; every process has to call it between two steps.

    It returns when the arrays may change again. What it returns is to be called then, on any thread, and before the
    next is begun: it waits until all is written. Arrays that each process has in NumPy are written by the first. What
    was at `path` is replaced. also: where a copy is put, before.
    Raises FileError where it cannot be written; an earlier one then stays, unless its replacing had begun.
    """
    orbax = _orbax()
    spread = {name: array for name, array in arrays.items() if not isinstance(array, np.ndarray)}
    whole = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    temporary = path.with_name(path.name + PARTIAL)
    with _told(path):
        first_then_others(lambda: _cleared(temporary))
        writer = orbax.StandardCheckpointer()
        writer.save(temporary.resolve() / ARRAYS, spread)

    def finish() -> None:
        with _told(path), writer:
            writer.wait_until_finished()
            first_then_others(lambda: _finished(temporary, path, whole, about, also), "save")

    return finish


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the disk, of Orbax and of TensorStore as what a user is told."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None)
        if reason is not None:
            raise FileError(f"cannot write {path}: {reason}. Free some space or choose another place.") from None
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path} was not written: {said}") from None


def load_sharded(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_sharded` wrote, each array whole, in any number of processes.

    Raises DamagedError where something is missing or is not what was written.
    """
    whole, about = load_arrays(path / ABOUT) if (path / ABOUT).is_file() else ({}, {})
    if not about:
        raise DamagedError(f"{path} is no whole checkpoint: {ABOUT} is missing. Take an earlier one, or train again.")
    try:
        found = sums(path / ARRAYS)
    except OSError as error:
        if not path.exists():
            raise FileError(f"{path} has been removed while it was read.") from None
        raise DamagedError(f"{path} cannot be read ({error}). Take an earlier one, or train again.") from None
    if found != about.get(FILES):
        raise DamagedError(f"{path} is damaged: its files have changed. Take an earlier one, or train again.")
    orbax = _orbax()
    try:
        reader = orbax.PyTreeCheckpointer()
        names = list(reader.metadata((path / ARRAYS).resolve()).item_metadata.tree)
        arguments = {name: orbax.RestoreArgs(restore_type=np.ndarray) for name in names}
        arrays = reader.restore((path / ARRAYS).resolve(), restore_args=arguments)
    except Exception as error:  # what a damaged file raises is Orbax's and TensorStore's own
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DamagedError(f"{path} is damaged ({said}). Take an earlier checkpoint, or train again.") from None
    return {**{name: np.asarray(array) for name, array in arrays.items()}, **whole}, about


def loaded(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What a checkpoint holds, be it one file or a directory of parts.  Raises as `load_arrays` does."""
    return load_sharded(Path(path)) if Path(path).suffix == SUFFIX and Path(path).is_dir() else load_arrays(path)


def sums(directory: Path) -> dict[str, str]:
    """The CRC-32 of each file in a directory: neither Orbax nor TensorStore notices a flipped bit in an array."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): f"{zlib.crc32(path.read_bytes()):08x}" for path in files}


def remove_sharded(path: Path) -> None:
    """Remove a checkpoint that is a directory, if there is one; `about` first, so that what a kill leaves is none."""
    with contextlib.suppress(OSError):
        (path / ABOUT).unlink()
    shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(directory: Path) -> None:
    """Remove what a kill left half written. Call it where nobody else writes."""
    for left in directory.glob(f"*{SUFFIX}{PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def _cleared(temporary: Path) -> None:
    if processes().first:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)


def _finished(
    temporary: Path, path: Path, whole: Mapping[str, np.ndarray], about: Mapping[str, Any], also: Path | None
) -> None:
    if not processes().first:
        return
    write_whole(temporary / ABOUT, *packed(whole, {**about, FILES: sums(temporary / ARRAYS)}))
    if also is not None:
        copy = also.with_name(also.name + PARTIAL)
        shutil.rmtree(copy, ignore_errors=True)  # what a kill has left
        _put(Path(shutil.copytree(temporary, copy)), also)
    _put(temporary, path)


def _put(directory: Path, path: Path) -> None:
    if path.exists():
        remove_sharded(path)
    os.replace(directory, path)


def _orbax() -> Any:
    try:
        import orbax.checkpoint
    except ImportError:
        raise MillraceError(
            "weights that are split over several processes are kept by Orbax, which is not installed: "
            "`pip install orbax-checkpoint`, or lay the mesh so that each process has all of them (data=N)."
        ) from None
    return orbax.checkpoint
