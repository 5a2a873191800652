"""Files that one process at a time writes: a lock that ends with its process, and files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from millrace.ir.errors import FileError

FAR = 2**30  # a place in a file
PARTIAL = ".partial"  # how the name of a file ends that is being written


@contextlib.contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock on a file as long as a `with` lasts; however the process ends, the lock is free then.

    Raises FileError with `busy` where another process holds it, or where the file cannot be made. A disk that knows no
    locks is used without.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from None
    try:
        if try_lock(descriptor) is False:
            raise FileError(busy)
        yield
    finally:
        os.close(descriptor)  # with it goes the lock


def try_lock(descriptor: int, shared: bool = False) -> bool | None:
    """Take the lock on an open file, which its closing or the end of the process gives back.

    shared: others may take it shared at the same time, as who only asks does (not on Windows).

    True: it is ours now. False: another process holds it. None: this disk knows no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, FAR, os.SEEK_SET)  # what is locked there cannot be read: far behind all content
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def put(path: Path, *parts: bytes | bytearray | memoryview, partial: Path | None = None) -> None:
    """Write a file that consists of `parts` under another name, then move it to its place: it is whole or not there.

    partial: that other name; None for one that is always the same, for who holds the folder.  Raises OSError.
    """
    partial = path.with_name(path.name + PARTIAL) if partial is None else partial
    try:
        with partial.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    settle(path.parent)


def settle(folder: Path) -> None:
    """Make what was made or moved in a folder last through a power cut.

    Where that cannot be asked for (Windows, some network disks), either file that a cut leaves there is whole.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
