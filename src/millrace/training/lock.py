"""One process at a time: a lock on a file that the operating system gives back, however the process ends."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from pathlib import Path

from millrace.data.holding import try_lock
from millrace.ir.errors import FileError

TRIES, PAUSE = 10, 0.02  # who only asks whether the lock is held holds it for a moment


class Lock:
    """Holds a file from the start of a `with` to its end; the file names the process.

    Raises FileError where another holds it, with that one's number, or where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Lock:
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror}.") from None
        for n in range(TRIES):
            if n:
                time.sleep(PAUSE)
            ours = try_lock(self._descriptor)
            if ours is None:
                warnings.warn(
                    f"{self.path.parent} is on a disk without locks: see to it that no other run uses it.", stacklevel=3
                )
            if ours is not False:
                break
        else:
            os.close(self._descriptor)
            raise FileError(
                f"{self.path.parent} is being trained in by process {owner(self.path)}: two runs in one directory "
                "would overwrite each other. Wait for it, stop it, or start a run of its own."
            )
        with contextlib.suppress(OSError):  # a full disk: the number only helps people
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)  # with it goes the lock; the file stays, or somebody might hold a removed one


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except PermissionError:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return False
    except OSError:
        return False
    try:
        return try_lock(descriptor, shared=True) is False
    finally:
        os.close(descriptor)


def owner(path: Path) -> str:
    """The number of the process that held a lock last."""
    try:
        return path.read_text().strip() or "?"
    except OSError:
        return "?"
