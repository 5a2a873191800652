"""Sorting ImageNet's validation pictures, which are given out in one folder, into a folder for each class."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from millrace.data.image_folder import ENDINGS
from millrace.ir.errors import DataError, FileError

GROUND_TRUTH, META, KAGGLE = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "LOC_val_solution.csv"
PLACES = (GROUND_TRUTH, f"data/{GROUND_TRUTH}", KAGGLE)  # where a folder may have the labels
EXPECTED = (
    "the unpacked folder ILSVRC2012_devkit_t12, LOC_val_solution.csv of Kaggle, or a text with a picture's name and "
    "its class's in each line"
)
SAID = 3  # names that a message lists
Report = Callable[[int, int], None]  # how many pictures are done, of how many


@dataclass(frozen=True)
class Sorted:
    """What became of the pictures: moved now, where they belong already, and those that there is a label for alone."""

    moved: int
    already: int
    lacking: tuple[str, ...]


def validation_labels(path: str | Path) -> dict[str, str]:
    """The class of each validation picture, such as {"ILSVRC2012_val_00000001": "n01751748", ...}, without endings.

    path: the development kit of ILSVRC2012 (its folder, or ILSVRC2012_validation_ground_truth.txt with meta.mat beside
    it), LOC_val_solution.csv as Kaggle gives it out, or a text of which each line begins with a picture's name and its
    class's, with a space, a tab or a comma between.

    Raises FileError for what is missing or none of these.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = next((path / place for place in PLACES if (path / place).is_file()), None)
        if found is None:
            raise FileError(f"{path} holds no {GROUND_TRUTH} and no {KAGGLE}: expected {EXPECTED}.")
        path = found
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise FileError(f"{path} does not exist: expected {EXPECTED}.") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} cannot be read ({error}): expected {EXPECTED}.") from None
    rows = [re.split(r"[,\s]+", line.strip()) for line in lines if line.strip()]
    if rows and all(len(row) == 1 and row[0].isdecimal() for row in rows):
        names = published_classes(path.with_name(META))
        return {f"ILSVRC2012_val_{n:08}": _class(names, int(row[0]), path, n) for n, row in enumerate(rows, 1)}
    if rows and rows[0][0].lower() in ("imageid", "image", "filename", "name"):
        rows = rows[1:]
    for n, row in enumerate(rows, 1):
        if len(row) < 2 or not re.fullmatch(r"\w[\w.-]*", row[1]):
            raise FileError(
                f"{path}, record {n}, gives no picture and its class ({' '.join(row)[:60]!r}): expected {EXPECTED}."
            )
        if row[1].isdecimal():
            raise FileError(
                f"{path} gives classes as numbers ({row[0]} {row[1]}), and who wrote it decides which number is which "
                f"class: expected names such as n01440764, in {EXPECTED}."
            )
    if not rows:
        raise FileError(f"{path} is empty: expected {EXPECTED}.")
    return {_stem(row[0]): row[1] for row in rows}


def published_classes(path: Path) -> dict[int, str]:
    """The classes of ILSVRC2012 by the numbers of its development kit, from its meta.mat: {1: "n02119789", ...}.

    Raises FileError where it is missing or damaged.
    """
    if not path.is_file():
        raise FileError(
            f"{path} does not exist: {GROUND_TRUTH} has numbers of classes, and {META} of the same development kit "
            "says which they are."
        )
    try:
        from scipy.io import loadmat

        rows = loadmat(path, squeeze_me=True)["synsets"]
        return {int(row[0]): str(row[1]) for row in rows if int(row[4]) == 0}  # those without children below them
    except Exception as error:  # SciPy raises errors of many kinds for a damaged file
        raise FileError(f"{path} cannot be read ({error}): unpack the development kit of ILSVRC2012 anew.") from None


def sort_pictures(folder: str | Path, labels: Mapping[str, str], report: Report | None = None) -> Sorted:
    """Move the pictures of a folder into a folder for each class: x.JPEG to n01440764/x.JPEG.

    labels: the class of each picture, by its name without ending. Stopped at any moment, a second call finishes it.
    report: told how many pictures are done.

    Raises FileError where a picture lies in both places or cannot be moved, DataError for one without a label; then
    nothing is moved.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileError(f"{root} {'is a file' if root.exists() else 'does not exist'}: expected a folder of pictures.")
    loose = sorted(name for name in os.listdir(root) if name.lower().endswith(ENDINGS))
    unknown = [name for name in loose if _stem(name) not in labels]
    if unknown:
        raise DataError(
            f"{root} holds {len(unknown):,} pictures without a label ({', '.join(unknown[:SAID])}"
            f"{', ...' if len(unknown) > SAID else ''}): these are not the labels of this folder."
        )
    classes = sorted(set(labels.values()))
    there = {label: set(os.listdir(root / label)) if (root / label).is_dir() else set() for label in classes}
    twice = [name for name in loose if name in there[labels[_stem(name)]]]
    if twice:
        raise FileError(f"{twice[0]} lies in {root} and in {root / labels[_stem(twice[0])]}: remove one of them.")
    sorted_already = {
        _stem(name) for label, names in there.items() for name in names if labels.get(_stem(name)) == label
    }
    try:
        for label in classes:
            (root / label).mkdir(exist_ok=True)
        for n, name in enumerate(loose, 1):
            (root / name).rename(root / labels[_stem(name)] / name)
            if report is not None:
                report(n, len(loose))
    except OSError as error:
        raise FileError(
            f"{error.filename or root} cannot be moved ({error.strerror or error}). What is sorted stays so: the same "
            "command goes on."
        ) from None
    found = sorted_already | {_stem(name) for name in loose}
    return Sorted(len(loose), len(sorted_already), tuple(sorted(set(labels) - found)))


def _stem(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    return os.path.splitext(base)[0] if base.lower().endswith(ENDINGS) else base


def _class(names: Mapping[int, str], number: int, path: Path, line: int) -> str:
    if number not in names:
        raise FileError(f"{path}, line {line}, names class {number}, which {META} beside it does not have.")
    return names[number]
