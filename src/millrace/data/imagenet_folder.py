"""ImageNet, or pictures kept like it: a folder with `train` and `val` in it, of class folders or packed."""

from __future__ import annotations

from pathlib import Path

from millrace.data.datasets import Dataset
from millrace.data.packed import PACK, UNFINISHED, Packed
from millrace.data.source import Source
from millrace.ir.errors import DataError, FileError

HELD_OUT = ("val", "validation")
INSIDE = "ILSVRC/Data/CLS-LOC"  # where Kaggle's archive has train and val
MAPPINGS = ("LOC_synset_mapping.txt", "synset_words.txt")  # what the classes are called: Kaggle's name, and Caffe's
ABOVE = 3  # folders above train and val in which a mapping is looked for
SAID = 5  # classes that a message names


def imagenet(path: str | Path) -> Dataset:
    """The pictures of a folder with `train` and `val`, each with a folder for each class, or packed.

    x_train and x_validation are sources of records (uint8[bytes], int32[]), a picture file and its class. Classes are
    numbered by their folders' names in `train`, sorted, as n01440764; where a LOC_synset_mapping.txt lies in the folder
    or above it, `classes` has what it calls them.

    Raises FileError for a part that is missing or whose pictures are in no folders of classes, DataError for validation
    pictures of classes that are not trained.  Source: Russakovsky et al. 2015; Deng et al. 2009.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileError(
            f"{root} {'is a file' if root.exists() else 'does not exist'}: expected a folder with train and val."
        )
    training = _opened(_part(root, ("train",)))
    place = _part(root, HELD_OUT)
    held = _numbered_alike(place, _opened(place), training)
    source = f"{root.resolve().name}: pictures as ImageNet keeps them (Russakovsky et al. 2015)"
    return Dataset("imagenet", training, None, held, None, _names(root, training.classes), source)


def _part(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    if (root / INSIDE / names[0]).is_dir():
        raise FileError(f"{root} holds no folder {names[0]}, but {root / INSIDE} does: give that.")
    if any((root / name).exists() for name in (PACK, UNFINISHED)):
        raise FileError(f"{root} is one packed folder: give the folder above it, with a packed train and a packed val.")
    there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())[:SAID]
    holds = f"it holds {', '.join(there)}" if there else "it holds no folders"
    raise FileError(f"{root} lacks the folder {names[0]} ({holds}): give the folder that has train and val in it.")


def _opened(place: Path) -> Source:
    """The pictures of a part, with classes."""
    if any((place / name).is_file() for name in (PACK, UNFINISHED)):
        source: Source = Packed(place)
    else:
        packed = sum(not path.with_suffix("").is_dir() for path in place.glob("*.tar"))
        if packed:
            raise FileError(
                f"{place} holds archives that are not unpacked ({packed:,}): each n*.tar belongs into a folder of its "
                'name, as by `for f in n*.tar; do mkdir "${f%.tar}" && tar xf "$f" -C "${f%.tar}" && rm "$f"; done`.'
            )
        from millrace.data.image_folder import ImageFolder  # with Pillow: only who looks at pictures waits for it

        source = ImageFolder(place)
    if not source.classes:
        raise FileError(
            f"{place} holds {source.count:,} pictures in no folders of classes. ImageNet's validation pictures are "
            f"sorted by `millrace data sort-val {place} LABELS`, where LABELS is the folder ILSVRC2012_devkit_t12, or "
            "Kaggle's LOC_val_solution.csv."
        )
    return source


def _numbered_alike(place: Path, held: Source, training: Source) -> Source:
    """The validation pictures, their classes numbered as in training."""
    if held.classes == training.classes:
        return held
    foreign = sorted(set(held.classes) - set(training.classes))
    if foreign:
        raise DataError(
            f"{place} has {len(foreign):,} classes that {training.name} lacks ({_some(foreign)}): both must have the "
            "same."
        )
    lacking = sorted(set(training.classes) - set(held.classes))
    if isinstance(held, Packed):
        raise DataError(
            f"{place} is packed without {len(lacking):,} of the classes of {training.name} ({_some(lacking)}), so that "
            "its numbers of classes are others: pack it again with a picture of each, or use the folder itself."
        )
    from millrace.data.image_folder import ImageFolder

    return ImageFolder(place, training.classes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SAID]) + (", ..." if len(names) > SAID else "")


def _names(root: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """What a mapping in the folder, or above it, calls the classes; the folders' names where there is none."""
    above = [root.resolve(), *root.resolve().parents][: ABOVE + 1]
    file = next((folder / name for folder in above for name in MAPPINGS if (folder / name).is_file()), None)
    if file is None:
        return classes
    lines = (line.partition(" ") for line in file.read_text("utf-8", "replace").splitlines())
    said = {label: words.split(",")[0].strip() for label, _, words in lines}
    first = [said.get(label) or label for label in classes]
    return tuple(
        name if first.count(name) == 1 else f"{name} ({label})" for name, label in zip(first, classes, strict=True)
    )
