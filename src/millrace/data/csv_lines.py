"""The lines of a CSV file as fields, and how such a file is written: encoding, separator, header."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from millrace.ir.errors import ArgumentError, DataError, FileError

# Of those that would fit as well, the first: where numbers have decimal commas, every line is full of commas too.
SEPARATORS = (";", "\t", "|", ",")
SAMPLE = 100  # lines that decide what the separator is, and whether there is a header
MISSING = frozenset(("", "na", "n/a", "nan", "null", "?"))
POINT, COMMA = (re.compile(rf"[+-]?(\d+{mark}?\d*|{mark}\d+)([eE][+-]?\d+)?") for mark in (r"\.", ","))


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written. header: the columns' names, () where it has none. fields: how many a line has."""

    path: Path
    encoding: str
    separator: str
    header: tuple[str, ...]
    fields: int

    def lines(self) -> Iterator[tuple[int, list[str] | str]]:
        """The lines after the header: number and fields, or what is wrong with it. Blank lines are left out."""
        found = _lines(self.path, self.encoding, self.separator)
        if self.header:
            next(found)
        for line, fields in found:
            if not isinstance(fields, str) and len(fields) != self.fields:
                yield line, f"it has {len(fields)} fields, expected {self.fields}"
            else:
                yield line, fields

    def column(self, asked: int | str) -> int:
        """The number of a column that is asked for by name, or by number (-1 is the last).

        Raises ArgumentError for one that the file has not got.
        """
        if isinstance(asked, str):
            if self.header.count(asked) > 1:
                raise ArgumentError(f"{self.path} has {self.header.count(asked)} columns {asked!r}: give its number.")
            if asked in self.header:
                return self.header.index(asked)
            known = f"but {', '.join(map(repr, self.header))}" if self.header else "and no header: give its number"
            raise ArgumentError(f"{self.path} has no column {asked!r}, {known}.")
        if isinstance(asked, bool) or not isinstance(asked, int) or not -self.fields <= asked < self.fields:
            raise ArgumentError(f"{self.path} has the columns 0 to {self.fields - 1}, not {asked!r}.")
        return asked % self.fields

    def name(self, column: int) -> str:
        return (self.header[column] if self.header else "") or str(column)


def read_layout(path: Path, separator: str | None = None, header: bool | None = None) -> Layout:
    """How a file is written, as its first lines show; separator and header as given, where they are.

    The first line is a header where at least one of its fields is no number and all below it are.
    Raises FileError for a file that is no text, DataError for one without lines or whose lines do not agree.
    """
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n'):
        raise ArgumentError(f"separator must be one character, such as ',' or ';', or None, got {separator!r}.")
    encoding = _encoding(path)
    separator = separator or _separator(path, encoding)
    sample = [fields for _, fields in islice(_lines(path, encoding, separator), SAMPLE) if isinstance(fields, list)]
    if not sample:
        raise DataError(f"{path} is empty: there are no records in it.")
    if header is None:
        header = _has_header(sample)
    below = Counter(len(fields) for fields in sample[header:])
    if not below:
        raise DataError(f"{path} holds nothing but a header: there are no records in it.")
    usual, times = below.most_common(1)[0]
    if header and len(sample[0]) != usual:
        if 2 * times > sum(below.values()):
            raise DataError(
                f"the header of {path} names {len(sample[0])} columns, but most lines have {usual} fields, separated "
                f"by {separator!r}. Mend the header, or say separator=."
            )
        usual = len(sample[0])
    return Layout(path, encoding, separator, tuple(name.strip() for name in sample[0]) if header else (), usual)


def is_missing(field: str) -> bool:
    return field.strip().lower() in MISSING


def _encoding(path: Path) -> str:
    """UTF-8 where all of the file is, or UTF-16 where it says so, or else Windows-1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            first = file.read(2**20)
            if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-16"
            if b"\0" in first:
                raise FileError(f"{path} is no text: is it still packed, or in another format?")
            try:
                decoder.decode(first)
                while part := file.read(2**20):
                    decoder.decode(part)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                return "cp1252"
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise FileError(f"{path} cannot be read: {reason}.") from None
    return "utf-8-sig"


def _lines(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Every line: its number, and its fields or what is wrong with it."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=True)
            while True:
                line = reader.line_num + 1
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if "unexpected end" in str(error) or "field limit" in str(error):
                        raise FileError(
                            f"{path}, line {line}: a quotation mark opens a field there, and none closes it. What "
                            "follows cannot be told apart: mend that line."
                        ) from None
                    yield line, f"its quotation marks are not in order ({error})"
                    continue
                if len(fields) > 1 or any(fields):
                    yield line, fields
    except UnicodeDecodeError:
        raise FileError(f"{path} is no text in UTF-8 or Windows-1252: is it still packed?") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from None


def _separator(path: Path, encoding: str) -> str:
    """The character that cuts most lines into the same number of fields, at least two; a comma where none does."""
    shares = dict.fromkeys(SEPARATORS, 0.0)
    for separator in SEPARATORS:
        try:
            sample = [fields for _, fields in islice(_lines(path, encoding, separator), SAMPLE)]
        except FileError:
            continue  # a quotation mark that this separator alone puts at the start of a field
        counts = Counter(len(fields) for fields in sample if isinstance(fields, list))
        usual, times = counts.most_common(1)[0] if counts else (0, 0)
        if usual > 1:
            shares[separator] = times / len(sample)
    best = max(shares.values())
    return next(separator for separator, share in shares.items() if share >= best - 0.1) if best else ","


def _has_header(sample: list[list[str]]) -> bool:
    first, *below = sample
    for n, field in enumerate(first):
        others = [fields[n] for fields in below if n < len(fields) and not is_missing(fields[n])]
        if not is_missing(field) and not _is_number(field) and others and all(map(_is_number, others)):
            return True
    return False


def _is_number(field: str) -> bool:
    return any(form.fullmatch(field.strip()) for form in (POINT, COMMA))
