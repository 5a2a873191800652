"""Archives unpacked so that nothing of them lands where it does not belong."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from millrace.ir.errors import FileError


def unpack(archive: Path, into: Path, inside: str, wanted: Sequence[str]) -> None:
    """Of an archive (tar, compressed or not, or zip) what is wanted, into a folder.

    inside: the folder of the archive that `wanted` is in. wanted: files of it, or whole folders, which end in "/".

    Raises FileError for a damaged archive, one that lacks what is wanted, or one with a link or a path that leads
    out of it. Then and otherwise nothing is written but below `into`.
    """
    below = PurePosixPath(inside).parts
    try:
        for name, content in _entries(archive):
            parts = _safe(name, archive)
            if content is None or parts[: len(below)] != below:
                continue
            inner = "/".join(parts[len(below) :])
            if any(inner.startswith(one) if one.endswith("/") else inner == one for one in wanted):
                target = into / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FileError(f"{archive.name} is a damaged archive ({error}).") from None
    except OSError as error:
        raise FileError(f"{archive.name} cannot be unpacked into {into}: {error.strerror or error}.") from None
    lacking = [one for one in wanted if not (into / one).exists()]
    if lacking:
        raise FileError(f"{archive.name} does not hold {', '.join(lacking)}.")


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Name and content of each entry, None for the content of a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise _suspicious(archive, info.filename, "is a link")
                if info.is_dir():
                    yield info.filename, None
                else:
                    with packed.open(info) as file:
                        yield info.filename, file
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if not member.isreg() and not member.isdir():
                raise _suspicious(archive, member.name, "is a link or a device")
            yield member.name, tar.extractfile(member) if member.isreg() else None


def _safe(name: str, archive: Path) -> tuple[str, ...]:
    """The parts of an entry's path, none of which leads out of the folder that it is unpacked into."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or any(":" in part for part in parts):
        raise _suspicious(archive, name, "leads out of it")
    return parts


def _suspicious(archive: Path, name: str, why: str) -> FileError:
    return FileError(f"{archive.name} is not unpacked: its entry {name!r} {why}.")
