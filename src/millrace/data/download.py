"""Published files fetched into a folder: resumed where they stopped, checked, and put in place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from millrace.data.holding import try_lock
from millrace.data.unpacking import unpack
from millrace.ir.errors import FileError

CHUNK = 2**18  # bytes that are read in one go
TIMEOUT = 30.0  # seconds without a byte until a connection counts as broken
ATTEMPTS = 4  # connections in a row that bring nothing
PAUSE = 0.5  # seconds before the second of them, twice as long before each later one
PASSING = (408, 425, 429, 500, 502, 503, 504)  # what a server answers that may do better in a moment


@dataclass(frozen=True)
class Download:
    """A file as its publisher gives it out.

    size: in bytes. checksum: "md5:" or "sha256:" and the digits. gives: the files (and folders, which end in "/") of
    the data set that it is or, as an archive, holds. inside: the folder of the archive that they are in, or None
    where it is no archive.
    """

    url: str
    size: int
    checksum: str
    gives: tuple[str, ...]
    inside: str | None = None


def fetch(name: str, downloads: Sequence[Download], folder: Path, lacks: Callable[[str], bool]) -> None:
    """Fetch the files that a data set lacks into its folder.

    lacks: whether one of its files is not there; what is there is left alone. An interrupted transfer goes on where
    it stopped, now or the next time. Where two processes fetch the same, the second one waits.

    Raises FileError that says why a file could not be fetched; what arrived is kept for the next time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".download.lock", name) as alone:
            wanted = [one for one in downloads if any(map(lacks, one.gives))]
            if not wanted:
                return  # another process has brought them
            size = sum(one.size for one in wanted)
            free = shutil.disk_usage(folder).free
            if free < size:
                raise FileError(f"{folder} has {_amount(free)} left, the files take {_amount(size)}: free some space.")
            _say(f"{name}: downloading {_amount(size)} from {_common(wanted)} into {folder}")
            with _Progress(name, size) as progress:
                for one in wanted:
                    _fetch_one(name, one, folder, lacks, "" if alone else f".{os.getpid()}", progress)
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror or error}.") from None


def _fetch_one(
    name: str, one: Download, folder: Path, lacks: Callable[[str], bool], tag: str, progress: _Progress
) -> None:
    """Fetch one file and put what it gives in place. tag: sets this process's own files apart where nothing locks."""
    partial = folder / f".{one.url.rsplit('/', 1)[-1]}{tag}.partial"
    _checked(one, partial, progress)
    if one.inside is None:
        os.replace(partial, folder / one.gives[0])
        return
    _say(f"{name}: unpacking {one.url.rsplit('/', 1)[-1]}")
    unpacked = folder / f".unpacked{tag}"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a run that was killed here
    try:
        wanted = [file for file in one.gives if lacks(file)]
        unpack(partial, unpacked, one.inside, wanted)
        for file in wanted:
            target = folder / file
            if target.is_dir():
                target.rmdir()  # an empty one, or it would not lack
            os.replace(unpacked / file, target)
        partial.unlink()
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _checked(one: Download, partial: Path, progress: _Progress) -> None:
    """Fetch a file until its checksum fits; what an earlier attempt has left is given up where it does not."""
    kind, _, expected = one.checksum.partition(":")
    before = progress.done
    while True:
        resumed = _size(partial) > 0
        _transfer(one, partial, lambda size: progress.reach(before + size))
        digest = hashlib.new(kind, usedforsecurity=False)
        with partial.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
        if digest.hexdigest() == expected:
            return
        size = _size(partial)
        partial.unlink()
        if not resumed:
            raise FileError(
                f"{one.url} gave other bytes than were published: {size:,} of them with the {kind.upper()} "
                f"{digest.hexdigest()}, expected {one.size:,} with {expected}. Does a proxy or login page stand "
                "in between?"
            )


def _transfer(one: Download, partial: Path, reached: Callable[[int], None]) -> None:
    """Append to a file what it still lacks, over as many connections as it takes."""
    idle, begun = 0, False
    reached(_size(partial))
    while (before := _size(partial)) < one.size:
        try:
            total = _connection(one, partial, before, reached)
            if total is None or _size(partial) >= total:
                return
            problem = f"the connection closed after {_size(partial):,} of {total:,} bytes"
        except urllib.error.HTTPError as error:
            if error.code == 416:
                return  # nothing follows: the checksum tells whether it is whole
            problem = f"the server answers {error.code} {error.reason}"
            if error.code not in PASSING:
                raise FileError(f"{one.url}: {problem}.") from None
        except urllib.error.URLError as error:
            problem = f"it cannot be reached: {_reason(error.reason)}"
            if not begun:
                raise FileError(f"{one.url}: {problem}.") from None
        except _Broken as error:
            problem = f"the connection broke: {error}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"the server does not answer: {_reason(error)}"
        arrived = _size(partial) > before
        begun, idle = begun or arrived, 0 if arrived else idle + 1
        if idle >= ATTEMPTS:
            raise FileError(f"{one.url}: {problem}, {ATTEMPTS} times in a row. What arrived is kept: try again.")
        time.sleep(PAUSE * 2**idle)


def _connection(one: Download, partial: Path, before: int, reached: Callable[[int], None]) -> int | None:
    """One request for what follows byte `before`; how long the file is, as far as the server says so."""
    headers = {"User-Agent": "millrace"} | ({"Range": f"bytes={before}-"} if before else {})
    with urllib.request.urlopen(urllib.request.Request(one.url, headers=headers), timeout=TIMEOUT) as response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {before}-")
        start = before if goes_on else 0  # a server without Range sends the whole file anew
        length = response.headers.get("Content-Length")
        with _writing(partial), partial.open("r+b" if partial.exists() else "w+b") as file:
            file.seek(start)
            file.truncate()
            while start <= one.size and (
                chunk := _arrived(response)
            ):  # one byte too many shows that it is another file
                file.write(chunk)
                reached(start := start + len(chunk))
            file.flush()
            os.fsync(file.fileno())
    return (before if goes_on else 0) + int(length) if length and length.isdigit() else None


class _Broken(Exception):
    """A connection that broke, told apart from a disk that is full."""


def _arrived(response: IO[bytes]) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from None


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}. What arrived is kept.") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return f"it says nothing for {TIMEOUT:g} s"
    if isinstance(error, socket.gaierror):
        return f"there is no connection to the internet, or no such server ({error.strerror})"
    return str(getattr(error, "strerror", None) or error)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[bool]:
    """Hold a lock that the death of this process gives back; False where the file system knows none."""
    with path.open("a+b") as file:
        waited = False
        while (ours := try_lock(file.fileno())) is False:
            if not waited:
                _say(f"{name}: another process is downloading it; waiting")
            waited = True
            time.sleep(0.1)
        yield ours is True


class _Progress:
    """How much has arrived: a bar on a terminal, now and then a line without one."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.done = name, total, 0
        self.bar: Any = None

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, highlight=False)
        self.last = time.monotonic()
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                DownloadColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.name, total=self.total)
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def reach(self, done: int) -> None:
        self.done = done
        if self.bar is not None:
            self.bar.update(self.task, completed=done)
        elif time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            _say(f"{self.name}: {_amount(done)} of {_amount(self.total)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _amount(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _common(downloads: Sequence[Download]) -> str:
    """The address of a file, or of the folder that several are in."""
    first = downloads[0].url
    return first if len(downloads) == 1 else f"{first.rsplit('/', 1)[0]}/ ({len(downloads)} files)"
