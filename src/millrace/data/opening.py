"""One door to every source of records: by the name of a data set, or by the path of a file or folder."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from millrace.data.csv_file import CSVSource
from millrace.data.datasets import FASHION_CLASSES, digits, imagenette_part
from millrace.data.folder import files
from millrace.data.memory import ArraySource, npy_source, npz_source
from millrace.data.published_sources import cifar_source, idx_source
from millrace.data.source import Source
from millrace.data.text_lines import TextSource
from millrace.ir.errors import ArgumentError, FileError

TRAINING, HELD_OUT = ("train",), ("test", "val", "validation")
TEXTS = (".txt", ".text", ".pos", ".neg")
UNDERSTOOD = (
    "a folder with a folder of pictures for each class, a packed folder (with a pack.json), .csv and .tsv, .npy and "
    ".npz, idx files (.gz or not), CIFAR's .bin, and texts (.txt)"
)


def open_source(where: str | Path) -> Source:
    """The records of a data set by its name, or of a file or folder by its path.

    where: a name, such as "mnist" for the part to train on (or "mnist/train"), "mnist/test" or "imagenette/val" for
    the part held out; or a path to what `UNDERSTOOD` lists. A name goes before a path: a folder called mnist is
    "./mnist". Labels of an idx file lie beside it, under the name that MNIST gives them.

    Raises FileError for what is missing, damaged, or of no known kind, ArgumentError for an unknown part of a data
    set.
    """
    if isinstance(where, str):
        name, _, part = where.partition("/")
        if name in NAMED:
            return _named(name, part)
    path = Path(where).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        near = get_close_matches(str(where), NAMED, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise FileError(
            f"{where} is no file, no folder, and no data set.{hint} The data sets are {', '.join(NAMED)}; of files, "
            f"these are understood: {UNDERSTOOD}."
        )
    return _file(path)


def _named(name: str, part: str) -> Source:
    held = part in HELD_OUT
    if part and not held and part not in TRAINING:
        raise ArgumentError(f"unknown part {part!r} of {name}: it is {name}/train or {name}/test.")
    if held and name in ("tinyshakespeare", "rt_polarity"):
        raise ArgumentError(f"no part of {name} is held out as published: open {name!r} and set some aside.")
    return NAMED[name](held)


def _digits(held: bool) -> Source:
    data = digits()
    x, y = (data.x_validation, data.y_validation) if held else (data.x_train, data.y_train)
    return ArraySource(x, y, "digits", data.classes)


def _idx(name: str, classes: tuple[str, ...]) -> Callable[[bool], Source]:
    def opened(held: bool) -> Source:
        images, labels = files(name)[2 if held else 0 :][:2]
        return idx_source(images, labels, classes, name)

    return opened


def _cifar10(held: bool) -> Source:
    *training, test = files("cifar10")
    return cifar_source(test if held else training, name="cifar10")


def _cifar100(held: bool) -> Source:
    return cifar_source(files("cifar100")[held], name="cifar100")


def _reviews(held: bool) -> Source:
    positive, negative = files("rt_polarity")
    return TextSource([negative, positive], classes=("negative", "positive"), name="rt_polarity")


def _shakespeare(held: bool) -> Source:
    return TextSource(files("tinyshakespeare")[0], name="tinyshakespeare")


NAMED: dict[str, Callable[[bool], Source]] = {
    "digits": _digits,
    "mnist": _idx("mnist", tuple("0123456789")),
    "fashion_mnist": _idx("fashion_mnist", FASHION_CLASSES),
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "imagenette": lambda held: imagenette_part(int(held)),
    "tinyshakespeare": _shakespeare,
    "rt_polarity": _reviews,
}


def _folder(path: Path) -> Source:
    if any((path / name).is_file() for name in ("pack.json", "packing.json")):  # the second: unfinished, as Packed says
        from millrace.data.packed import Packed

        return Packed(path)
    from millrace.data.image_folder import ImageFolder

    return ImageFolder(path)


def _file(path: Path) -> Source:
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    packed = path.name.lower().endswith(".gz")
    if "-idx" in name or ".idx" in name:
        return idx_source(path, _labels_beside(path))
    if packed:
        raise FileError(f"{path} is packed, and no idx file by its name: unpack it first.")
    if suffix in (".csv", ".tsv"):
        return CSVSource(path, separator="\t" if suffix == ".tsv" else None)
    if suffix == ".npy":
        return npy_source(path)
    if suffix == ".npz":
        return npz_source(path)
    if suffix == ".bin":
        return cifar_source(path)
    if suffix in TEXTS:
        return TextSource(path)
    raise FileError(f"{path}: {suffix or 'a file without an ending'} is not understood. These are: {UNDERSTOOD}.")


def _labels_beside(path: Path) -> Path | None:
    """train-images-idx3-ubyte.gz has its labels in train-labels-idx1-ubyte, packed or not."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    places = (path.with_name(name + ".gz"), path.with_name(name))
    return next((place for place in places if place.is_file() and place != path), None)
