"""The shards of a packed folder: records one after another in files, each record with checksums of its own."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from millrace.data.holding import settle

# CRC-32 of the rest of the header and the name; CRC-32 of the content; label; bytes of the name, of the content
HEADER = struct.Struct("<IIiIQ")
ENTRY = struct.Struct("<QIi")  # a record's line in the index: where it begins, in which shard, and its label
HEAD_SUM = 4  # where what the first checksum covers begins
NO_LABEL = -1
LONGEST_NAME = 2**16
LIMIT = 256 * 10**6  # bytes of a shard, unless one record alone has more


@dataclass(frozen=True)
class Head:
    """What stands before a record's content; `size` is the whole record's, `content` where its content begins."""

    label: int
    name: str
    content: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Found:
    """A record that was found whole in a shard: where it begins, and its bytes."""

    start: int
    head: Head
    raw: bytes


def record_bytes(label: int, name: str, content: bytes) -> bytes:
    """A record as it lies in a shard."""
    encoded = name.encode("utf-8", "surrogateescape")  # a file's name may be no text
    fields = HEADER.pack(0, zlib.crc32(content), label, len(encoded), len(content))
    return b"".join([head_sum(fields[HEAD_SUM:] + encoded), fields[HEAD_SUM:], encoded, content])


def head_sum(covered: bytes | memoryview) -> bytes:
    return zlib.crc32(covered).to_bytes(HEAD_SUM, "little")


def parsed(raw: bytes | memoryview) -> Head | None:
    """What stands at the beginning of a record; None where that is cut off or damaged."""
    if len(raw) < HEADER.size:
        return None
    _, checksum, label, name, content = HEADER.unpack_from(raw)
    begin = HEADER.size + name
    if begin > len(raw) or head_sum(raw[HEAD_SUM:begin]) != raw[:HEAD_SUM]:
        return None
    text = bytes(raw[HEADER.size : begin]).decode("utf-8", "surrogateescape")
    return Head(label, text, begin, begin + content, checksum)


def whole(head: Head, raw: bytes | memoryview) -> bool:
    """Whether a record's content is as it was written.

    Of a memory map this is what waits for the disk, and it lets other threads run meanwhile.
    """
    return len(raw) == head.size and zlib.crc32(memoryview(raw)[head.content :]) == head.checksum


def scan(path: Path) -> Iterator[Found]:
    """The records of a shard up to the end of the last whole one.  Raises OSError."""
    with path.open("rb") as file:
        size, start = os.fstat(file.fileno()).st_size, 0
        while start < size:
            head = file.read(HEADER.size)
            if len(head) < HEADER.size:
                return
            name, content = HEADER.unpack(head)[3:]
            if name > LONGEST_NAME or start + HEADER.size + name + content > size:
                return
            raw = head + file.read(name + content)
            found = parsed(raw)
            if found is None or not whole(found, raw):
                return
            yield Found(start, found, raw)
            start += found.size


def shard_name(number: int) -> str:
    return f"records-{number:05d}.bin"


@dataclass
class Shard:
    """How much is in a shard, and its CRC-32."""

    size: int = 0
    records: int = 0
    checksum: int = 0

    def add(self, raw: bytes) -> None:
        self.size += len(raw)
        self.records += 1
        self.checksum = zlib.crc32(raw, self.checksum)


class ShardWriter:
    """Writes records to the shards of a folder, and goes on where another one was killed.

    shards: what is written so far. index: an ENTRY for each record in them. All raise OSError.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.shards: list[Shard] = []
        self.index = bytearray()
        self._file: IO[bytes] | None = None

    @property
    def count(self) -> int:
        """How many records are written."""
        return len(self.index) // ENTRY.size

    def recover(self) -> Iterator[str]:
        """Take up the records that are there, and say their names; what is behind the last whole one is cut off."""
        number = 0
        while (path := self.folder / shard_name(number)).exists():
            shard = Shard()
            for found in scan(path):
                self.index += ENTRY.pack(found.start, number, found.head.label)
                shard.add(found.raw)
                yield found.head.name
            if shard.records:
                self.shards.append(shard)
                number += 1
            if shard.size < path.stat().st_size or not shard.records:
                break
        for path in sorted(self.folder.glob("records-*.bin"))[number:]:
            path.unlink()
        if self.shards:
            self._file = (self.folder / shard_name(number - 1)).open("r+b", buffering=0)
            self._file.truncate(self.shards[-1].size)
            self._file.seek(0, os.SEEK_END)

    def add(self, label: int, name: str, content: bytes) -> None:
        """Append a record, to a new shard where the last one has no room."""
        raw = record_bytes(label, name, content)
        if self._file is None or self.shards[-1].size + len(raw) > LIMIT:
            self.close()
            self._file = (self.folder / shard_name(len(self.shards))).open("xb", buffering=0)
            self.shards.append(Shard())
        left = memoryview(raw)
        while left:  # a disk that is almost full takes a part, and refuses the next one
            left = left[self._file.write(left) :]
        self.index += ENTRY.pack(self.shards[-1].size, len(self.shards) - 1, label)
        self.shards[-1].add(raw)

    def close(self) -> None:
        """What is written lasts."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            settle(self.folder)
