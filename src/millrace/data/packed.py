"""A packed folder: many picture files in a few large ones, which are read by number, checked record by record.

The format, version 1. All numbers are little-endian; CRC-32 is that of zlib and PNG (polynomial 0x04C11DB7).

A folder holds pack.json, index.bin, and the shards records-00000.bin, records-00001.bin, ... Without pack.json, which
is written last, the pack is unfinished.

A shard is records one after another, nothing before, between or behind them. It has at most 256,000,000 bytes, unless
its only record has more. A record, R bytes in all, is

    bytes            what
    0 to 3           uint32, CRC-32 of bytes 4 to 23 + N: the rest of these numbers, and the name
    4 to 7           uint32, CRC-32 of the content
    8 to 11          int32, the label: a class number, from 0 on, or -1 in a pack without classes
    12 to 15         uint32, N: bytes of the name, at most 65,536
    16 to 23         uint64, C: bytes of the content
    24 to 23 + N     the name: the path that the picture had in the folder that was packed, with "/"; UTF-8, but for
                     names that were none, which keep their bytes
    24 + N to R - 1  the content: a picture file, R = 24 + N + C

So a shard can be read without an index, and a writer that was killed finds the end of the last whole record.

index.bin has 16 bytes a record, in the order of the records' numbers, which is that of the shards and in them:
uint64, the byte of the shard where the record begins; uint32, the number of the shard; int32, the label.

pack.json is UTF-8 JSON, an object of

    format       1
    name         what the source is called
    count        how many records there are
    elements     what a record consists of: ["uint8[bytes]", "int32[]"], or ["uint8[bytes]"] without classes
    classes      what the class numbers are called, [] without classes
    resize       to how many pixels the shorter side was scaled; null where the contents are the original files
    quality      the JPEG quality of scaled pictures; null where resize is
    tools        what decoded and encoded; null where resize is
    fingerprint  SHA-256 of the list of files packed, as packing.py makes it
    broken       an object: files that were left out, by name, and why
    index        CRC-32 of index.bin, eight hexadecimal digits
    shards       a list of objects: file (its name), records, bytes, crc32 (eight hexadecimal digits)
    check        CRC-32 of the others, eight hexadecimal digits: of what Python's json.dumps gives for them, in this
                 order, with its default separators and with ASCII alone
"""

from __future__ import annotations

import json
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.shard import ENTRY, parsed, scan, whole
from millrace.data.source import ENCODED, Source, Taken
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.types import TensorType

FORMAT = 1
PACK, UNFINISHED, INDEX = "pack.json", "packing.json", "index.bin"
COLUMNS = np.dtype([("start", "<u8"), ("shard", "<u4"), ("label", "<i4")])  # of the index
LABEL = TensorType("int32", ())
CHANGED = "its bytes are not those that were packed"


class Packed(Source):
    """The records of a folder that `millrace data pack` made: (uint8[bytes], int32[]), a picture file and its class.

    Without classes records are (uint8[bytes],). `labels` [records] int32 are the classes, `broken` the files that were
    left out in packing and why, `resize` and `quality` how pictures were scaled (None: they are the original files),
    `bytes` the size of all records.

    A record whose bytes have changed is a broken one when it is taken; the others are not touched by that.

    Raises FileError for a folder that is missing, no pack, unfinished, damaged, or of a later format.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        said = read_description(self.path)
        self.name, self.count, self.classes = said["name"], said["count"], tuple(said["classes"])
        self.elements = (ENCODED, LABEL) if self.classes else (ENCODED,)
        self.resize, self.quality = said["resize"], said["quality"]
        self.broken: Mapping[str, str] = said["broken"]
        self._shards = [_Shard(self.path / one["file"], one["bytes"], one["crc32"]) for one in said["shards"]]
        for shard in self._shards:
            shard.check()
        self.bytes = sum(shard.size for shard in self._shards)
        index = self._index(said["index"])
        self.labels = index["label"].astype(np.int32) if self.classes else np.zeros(0, np.int32)
        self._shard = index["shard"].astype(np.int64)
        self._start = index["start"].astype(np.int64)
        sizes = np.array([shard.size for shard in self._shards], np.int64)
        ends = np.append(self._start[1:], 0)
        last = np.append(np.diff(self._shard) != 0, True)
        self._end = np.where(last, sizes[self._shard], ends)

    def take(self, numbers: np.ndarray) -> Taken:
        """The records with these numbers [records].

        Raises ArgumentError for numbers that are none of its records, FileError where a shard is gone or has shrunk.
        """
        numbers = np.asarray(numbers)
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < self.count):
            raise ArgumentError(f"{self.name} has records 0 to {self.count - 1}, asked for {numbers.tolist()}.")
        contents, broken = [b""] * len(numbers), dict[int, str]()
        for place in np.argsort(numbers, kind="stable").tolist():  # from the front to the back of the disk
            number = int(numbers[place])
            raw = self._raw(number)
            head = parsed(raw)
            if head is None or not whole(head, raw):
                broken[place] = self._changed(number)
            else:
                contents[place] = bytes(raw[head.content :])
        return Taken((contents, self.labels[numbers]) if self.classes else (contents,), broken)

    def record(self, number: int) -> str:
        """The path of the picture in the folder that was packed; where that is damaged, the record's number."""
        head = parsed(self._raw(number))
        if head is None:
            return super().record(number)
        return head.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def verify(self, report: Callable[[int, int], None] | None = None) -> Mapping[str, str]:
        """Read everything, and say what is damaged: records and shards by name, with a reason.

        report: told now and then how many of the records are done. Raises FileError where a shard is gone.
        """
        wrong: dict[str, str] = {}
        sums = [0] * len(self._shards)
        for number in range(self.count):
            raw = self._raw(number)
            sums[self._shard[number]] = zlib.crc32(raw, sums[self._shard[number]])
            head = parsed(raw)
            if head is None or not whole(head, raw):
                wrong[self.record(number)] = self._changed(number)
            if report is not None and (number % 100 == 99 or number + 1 == self.count):
                report(number + 1, self.count)
        for shard, found in zip(self._shards, sums, strict=True):
            if f"{found:08x}" != shard.checksum:
                wrong[shard.path.name] = f"its CRC-32 is {found:08x}, pack.json says {shard.checksum}"
        return wrong

    def sizes(self) -> np.ndarray:
        """Bytes that each record takes [records], its header and name among them: no record is read for that."""
        return self._end - self._start

    def _raw(self, number: int) -> memoryview:
        return self._shards[self._shard[number]].part(int(self._start[number]), int(self._end[number]))

    def _changed(self, number: int) -> str:
        shard = self._shards[self._shard[number]].path.name
        return f"{CHANGED} (record {number}, {shard} from byte {self._start[number]:,} on)"

    def _index(self, checksum: str) -> np.ndarray:
        """Where each record lies; where the index is gone or damaged, the shards are read through for it."""
        try:
            raw = (self.path / INDEX).read_bytes()
        except OSError:
            raw = b""
        if f"{zlib.crc32(raw):08x}" != checksum:
            found = ((n, one) for n, shard in enumerate(self._shards) for one in scan(shard.path))
            raw = b"".join(ENTRY.pack(one.start, n, one.head.label) for n, one in found)
        if len(raw) != ENTRY.size * self.count:
            raise FileError(
                f"{self.path / INDEX} is missing or damaged, and so is a record in the shards beside it, so that what "
                "follows it cannot be found: pack the folder again."
            )
        return np.frombuffer(raw, COLUMNS)

    def __repr__(self) -> str:
        return f"Packed({self.name}: {self.count:,} records of {', '.join(map(str, self.elements))})"


class _Shard:
    """A file of records, mapped into memory when it is first read."""

    def __init__(self, path: Path, size: int, checksum: str):
        self.path, self.size, self.checksum = path, size, checksum
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()

    def part(self, start: int, end: int) -> memoryview:
        """Some bytes of the file, where they lie.  Raises FileError as check does."""
        self.check()  # reading a map beyond the end of its file would kill the process
        with self._lock:
            if self._map is None:
                try:
                    with self.path.open("rb") as file:
                        self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
                except (OSError, ValueError) as error:
                    raise FileError(f"{self.path} cannot be mapped into memory: {error}.") from None
        return memoryview(self._map)[start:end]

    def check(self) -> None:
        """Raises FileError where the file is gone, or has not the size that it was packed with."""
        try:
            size = os.stat(self.path).st_size
        except OSError as error:
            why = "it is missing" if isinstance(error, FileNotFoundError) else error.strerror
            raise FileError(f"{self.path} cannot be read ({why}): put the whole packed folder back.") from None
        if size != self.size:
            raise FileError(
                f"{self.path} has {size:,} bytes, {PACK} says {self.size:,}: copy the packed folder anew, or pack it "
                "again."
            )


def read_description(path: Path) -> dict[str, Any]:
    """What pack.json says.  Raises FileError where it is missing, damaged, or of a later format."""
    if not path.is_dir():
        raise FileError(f"{path} {'is a file' if path.exists() else 'does not exist'}: expected a packed folder.")
    try:
        text = (path / PACK).read_text("utf-8")
    except FileNotFoundError:
        if (path / UNFINISHED).exists():
            raise FileError(
                f"{path} is not packed to its end: give the same `millrace data pack` command again, and it goes on "
                "where it stopped."
            ) from None
        raise FileError(f"{path} holds no {PACK}: `millrace data pack` makes a packed folder.") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path / PACK} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise FileError(f"{path / PACK} is damaged, or `millrace data pack` did not write it.")
    if said["format"] > FORMAT:
        raise FileError(f"{path} has format {said['format']}, this Millrace reads up to {FORMAT}: update Millrace.")
    if said.pop("check", None) != check(said):
        raise FileError(f"{path / PACK} is damaged: its checksum does not match. Pack the folder again.")
    return said


def description_bytes(said: Mapping[str, Any]) -> bytes:
    """pack.json, for a person to read too."""
    return (json.dumps({**said, "check": check(said)}, indent=1) + "\n").encode()


def check(said: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(said).encode()):08x}"
