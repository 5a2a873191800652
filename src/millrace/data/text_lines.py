"""Text files as a source of records: sentences or whole files, as rows of token numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.data.memory import ArraySource
from millrace.data.text import Vocabulary, pad_sequences
from millrace.data.text_files import read_text
from millrace.ir.errors import ArgumentError, DataError, FileError


@dataclass(frozen=True)
class _Text:
    """One record: its text, what messages call it, its class (-1 for none), and why it cannot be used."""

    text: str
    name: str
    label: int
    broken: str = ""


class TextSource(ArraySource):
    """Texts as rows of token numbers, and the class of each: records (int32[maxlen], int32[]).

    paths: a folder with a folder of text files for each class, where each file is a record; a list of files, one a
    class, where each line is a record; or one file of lines without classes (records (int32[maxlen],)). Blank lines
    are left out. vocabulary: None makes one of these texts; keep it, as `source.vocabulary`, for texts that come
    later. maxlen: None is the longest text's length. classes: what the classes are called, in the order of their
    numbers; None for the names of the folders, sorted, or those of the files, in the order given. Of a folder with
    more classes only these are read. padding and truncating: as in pad_sequences. split: into "words" or
    "characters", where the vocabulary is made here.

    An empty file, or one that is no text, is a broken record. All rows are kept in memory: 4 * maxlen bytes each.

    Raises ArgumentError for arguments that do not fit, FileError for files that are missing or no text, DataError
    where no text is found.
    """

    def __init__(
        self, paths: str | Path | Sequence[str | Path], vocabulary: Vocabulary | None = None,
        maxlen: int | None = None, *, classes: Sequence[str] | None = None, padding: str = "pre",
        truncating: str = "pre", split: str = "words", name: str | None = None,
    ):  # fmt: skip
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            raise ArgumentError(
                f"vocabulary must be a Vocabulary or None, got {type(vocabulary).__name__}. Vocabulary.from_texts "
                "makes one."
            )
        found, named, called = _read(paths, classes)
        good = [text.text for text in found if not text.broken]
        if not good:
            raise DataError(f"no text is found in {called}{f': {found[0].broken}' if found else ''}.")
        self.vocabulary = Vocabulary.from_texts(good, split=split) if vocabulary is None else vocabulary
        rows = [self.vocabulary.encode(text.text) for text in found]
        if maxlen is None and not any(map(len, rows)):
            raise DataError(f"the texts in {called} hold no token.")
        x = pad_sequences(rows, maxlen, padding=padding, truncating=truncating)
        y = None if named is None else np.array([text.label for text in found], np.int32)
        self._names = tuple(text.name for text in found)
        broken = {n: text.broken for n, text in enumerate(found) if text.broken}
        super().__init__(x, y, name or called, named or (), broken)

    def record(self, number: int) -> str:
        """The file of a record, and its line where each line is one."""
        return self._names[number]


def _read(
    paths: str | Path | Sequence[str | Path], classes: Sequence[str] | None
) -> tuple[list[_Text], tuple[str, ...] | None, str]:
    """The texts, what their classes are called (None where they have none), and a name for them all."""
    if not isinstance(paths, (str, os.PathLike)):
        files = [Path(one) for one in paths]
        named = _named_files(files, classes)
        short = len({file.name for file in files}) == len(files)
        texts = (text for n, file in enumerate(files) for text in _lines(file, file.name if short else str(file), n))
        return list(texts), named, ", ".join(file.name for file in files)
    path = Path(paths)
    if path.is_dir():
        named = _class_folders(path, classes)
        return list(_files(path, named)), named, path.name
    if classes is not None:
        raise ArgumentError(f"{path} is one file, so its lines have no classes: give a list of files.")
    return list(_lines(path, path.name, -1)), None, path.name


def _lines(file: Path, called: str, label: int) -> Iterator[_Text]:
    for n, line in enumerate(read_text(file).split("\n"), 1):  # splitlines would cut at U+0085 too
        if text := line.strip():
            yield _Text(text, f"{called} line {n}", label)


def _files(folder: Path, classes: Sequence[str]) -> Iterator[_Text]:
    for label, name in enumerate(classes):
        for file in _listed(folder / name):
            if file.is_file():
                called = f"{name}/{file.name}"
                try:
                    text = read_text(file).strip()
                    yield _Text(text, called, label, "" if text else "it is empty")
                except FileError as error:
                    yield _Text("", called, label, str(error))


def _class_folders(folder: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of a folder: those that are asked for, or all."""
    found = [inner.name for inner in _listed(folder) if inner.is_dir()]
    if not found:
        raise FileError(
            f"{folder} holds no folders, one for each class. Where each file is a class and each line a record, give "
            "the files as a list."
        )
    lacking = [name for name in classes or () if name not in found]
    if lacking:
        raise FileError(f"{folder} holds no folder {', '.join(lacking)}, but {', '.join(found)}.")
    return tuple(found if classes is None else classes)


def _named_files(files: Sequence[Path], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of a list of files: rt-polarity.neg and rt-polarity.pos are neg and pos, a.txt and b.txt a and b."""
    if not files:
        raise ArgumentError("the list of files is empty: give one for each class.")
    if classes is None:
        suffixes = tuple(file.suffix.removeprefix(".") for file in files)
        stems = tuple(file.stem for file in files)
        classes = suffixes if len(set(stems)) < len(stems) and all(suffixes) else stems
    if len(classes) != len(files) or len(set(classes)) < len(classes):
        raise ArgumentError(f"{len(files)} files need as many different classes, got {', '.join(map(repr, classes))}.")
    return tuple(classes)


def _listed(folder: Path) -> list[Path]:
    """What a folder holds, by name, but for hidden files."""
    try:
        return sorted(inner for inner in folder.iterdir() if not inner.name.startswith("."))
    except OSError as error:
        raise FileError(f"{folder} cannot be read: {error.strerror or error}.") from None
