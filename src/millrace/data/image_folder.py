"""A folder of picture files as a source: a folder for each class, or all in one without classes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from millrace.data.source import ENCODED, Source, Taken
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.types import TensorType

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp")
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine's want, and no picture's fault
PARTS = {"train", "training", "val", "valid", "validation", "test"}  # no names of classes
SAID = 10  # so many names a note lists


class ImageFolder(Source):
    """The picture files of a folder; records are (uint8[bytes], int32[]), a file's content and its class.

    path: a folder with one folder for each class, as ImageNet's train/<wnid>/*.JPEG; folders within those are walked.
    A folder whose pictures lie in it directly has no classes, and its records are (uint8[bytes],).
    classes: the folders to read, which number the classes in this order; None for all, sorted by name. Give those of
    the training set to number a validation set alike, whatever it lacks.
    name: what messages call it; None for the folder's own name.

    Files count as pictures by their ending (ENDINGS, in any case); `passed_over` counts all others, and hidden ones.
    `notes` says what may not be meant so: classes without pictures, pictures outside the classes' folders. Records are
    in the order of the classes, then of their paths, compared character by character whatever the language is.

    Raises FileError for a folder that is missing or holds no picture.
    """

    def __init__(self, path: str | Path, classes: Sequence[str] | None = None, name: str | None = None):
        self.root = Path(path).expanduser()
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            raise FileError(f"{self.root} {what}: expected a folder of pictures.")
        if isinstance(classes, str) or len(set(classes or ())) != len(classes or ()):
            raise ArgumentError(f"classes must be the names of different folders, got {classes!r}.")
        self.name = name or self.root.resolve().name
        self.passed_over = 0
        loose, folders = self._listed(self.root)
        if classes is None and folders and {folder.lower() for folder in folders} <= PARTS:
            raise FileError(
                f"{self.root} holds {' and '.join(sorted(folders))}, the parts of a data set: open one of them, as "
                f"{self.root / sorted(folders)[0]}."
            )
        found = {folder: sorted(self._walked(self.root / folder, folder, ())) for folder in folders}
        if classes is None and loose and not any(found.values()):
            self.classes, self.elements = (), (ENCODED,)
            self.notes: tuple[str, ...] = _noted([(folders, "folders without pictures are passed over")])
            self.paths, self.labels = sorted(loose), np.zeros(0, np.int32)
        else:
            self.classes = tuple(sorted(folders) if classes is None else classes)
            self.elements = (ENCODED, TensorType("int32", ()))
            kept = [found.get(label, []) for label in self.classes]
            other = [folder for folder in folders if folder not in self.classes]
            self.notes = _noted(
                [
                    ([label for label in self.classes if label not in found], "classes have no folder"),
                    ([label for label in self.classes if found.get(label) == []], "classes have no pictures"),
                    (other, "folders are none of the classes asked for, and passed over"),
                    (loose, "pictures lie beside the classes' folders, and are passed over"),
                ]
            )
            self.passed_over += len(loose)
            self.paths = [file for files in kept for file in files]
            self.labels = np.repeat(np.arange(len(kept), dtype=np.int32), [len(files) for files in kept])
        self.count = len(self.paths)
        if not self.count:
            raise FileError(
                f"{self.root} holds no pictures ({self.passed_over:,} other files): expected {', '.join(ENDINGS)}, in "
                "one folder for each class, or all in one folder without classes."
                + "".join(f" {note}" for note in self.notes)
            )

    def take(self, numbers: np.ndarray) -> Taken:
        """The files with these numbers; one that cannot be read is told of in `broken`.

        Raises FileError where the folder itself has vanished, as an unmounted disk does.
        """
        numbers = np.asarray(numbers)
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < self.count):
            raise ArgumentError(f"{self.name} has records 0 to {self.count - 1}, asked for {numbers.tolist()}.")
        files: list[bytes] = []
        broken: dict[int, str] = {}
        root = str(self.root)
        for place, number in enumerate(numbers.tolist()):
            try:
                # unbuffered: 14 rather than 16 us for a file of 10 kB that the system has in memory
                with open(f"{root}/{self.paths[number]}", "rb", buffering=0) as file:
                    files.append(file.read())
            except OSError as error:
                self._still_there(error)
                broken[place] = f"the file cannot be read ({_reason(error)})"
                files.append(b"")
        return Taken((files, self.labels[numbers]) if self.classes else (files,), broken)

    def record(self, number: int) -> str:
        """The path of a picture, from the folder on."""
        return os.fsencode(self.paths[number]).decode("utf-8", "replace")

    def _still_there(self, error: OSError) -> None:
        """Raises FileError where a file could not be read for a reason that is not the file's own."""
        if error.errno in OURS:
            raise FileError(f"{self.root}: no file can be read ({_reason(error)}). Use fewer workers.") from None
        try:
            with os.scandir(self.root) as entries:
                if any(entries):
                    return
            why = "is empty"
        except OSError as gone:
            why = _reason(gone)
        raise FileError(f"the folder {self.root} has vanished ({why}): put it back and resume.") from None

    def _listed(self, folder: Path | str) -> tuple[list[str], list[str]]:
        """The names of the pictures and of the folders that lie in a folder; whatever else is counted."""
        pictures, folders = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        self.passed_over += 1
                    elif entry.is_dir():
                        folders.append(entry.name)
                    elif entry.name.lower().endswith(ENDINGS) and (entry.is_file() or entry.is_symlink()):
                        pictures.append(entry.name)  # also a link to nothing: its reader is told of it
                    else:
                        self.passed_over += 1
        except OSError as error:
            raise FileError(f"the folder {folder} cannot be listed: {_reason(error)}.") from None
        return pictures, folders

    def _walked(self, folder: Path | str, name: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """The pictures in a folder and below, as paths from the root on; a link back to a folder above is left out."""
        known = os.stat(folder)
        if (known.st_dev, known.st_ino) in above:
            return
        pictures, folders = self._listed(folder)
        for picture in pictures:
            yield f"{name}/{picture}"
        for inner in folders:
            yield from self._walked(f"{folder}/{inner}", f"{name}/{inner}", (*above, (known.st_dev, known.st_ino)))


def _noted(found: list[tuple[Sequence[str], str]]) -> tuple[str, ...]:
    """Sentences about what was found, each with some of the names."""
    return tuple(
        f"{len(names):,} {what}: {', '.join(sorted(names)[:SAID])}{', ...' if len(names) > SAID else ''}."
        for names, what in found
        if names
    )


def _reason(error: OSError) -> str:
    return "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
