"""The binary files in which CIFAR-10 and CIFAR-100 are published: labels and 32 by 32 colours, one after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace.data.folder import read
from millrace.ir.errors import FileError

SIZE, CHANNELS = 32, 3
COLOURS = CHANNELS * SIZE * SIZE
RECORD, RECORD_100 = 1 + COLOURS, 2 + COLOURS
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
COARSE_CLASSES = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip
FINE_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


def read_cifar(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [pictures, 32, 32, 3] uint8 and labels [pictures] uint8 of one file of CIFAR-10.

    A record is 3,073 bytes: the label 0 to 9, then all reds, all greens, all blues, each row by row.
    Raises FileError for a file of another length, or with a label above 9.
    Source: Krizhevsky, CIFAR-10 binary version.
    """
    x, (y,) = _read(path, "CIFAR-10", (len(CLASSES),))
    return x, y


def read_cifar100(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures [pictures, 32, 32, 3] uint8, coarse and fine labels [pictures] uint8 of one file of CIFAR-100.

    A record is 3,074 bytes: the coarse label 0 to 19, the fine label 0 to 99, then as in CIFAR-10.
    Raises FileError for a file of another length, or with a label out of range.
    Source: Krizhevsky, CIFAR-100 binary version.
    """
    x, (coarse, fine) = _read(path, "CIFAR-100", (len(COARSE_CLASSES), len(FINE_CLASSES)))
    return x, coarse, fine


def is_cifar100(path: Path) -> bool:
    """Whether a file is one of CIFAR-100 rather than CIFAR-10, by its length.  Raises FileError for neither."""
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise FileError(f"{path} cannot be read: {reason}.") from None
    fits = [bool(size) and size % record == 0 for record in (RECORD, RECORD_100)]
    if all(fits):  # the second byte of CIFAR-10's records is a colour: some are too large for a fine label
        return bool((np.fromfile(path, np.uint8).reshape(-1, RECORD_100)[:, 1] < len(FINE_CLASSES)).all())
    if not any(fits):
        raise FileError(
            f"{path} is no file of CIFAR, or is cut short: its {size:,} bytes are no multiple of {RECORD:,} (CIFAR-10) "
            f"or {RECORD_100:,} (CIFAR-100). Take the binary version, unpacked."
        )
    return fits[1]


def _read(path: Path, name: str, labels: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pictures, and for each label of a record, which is below the number given, the labels of all pictures."""
    raw, record = read(path), len(labels) + COLOURS
    if not raw or len(raw) % record:
        raise FileError(
            f"{path} is no file of {name}, or is cut short: its {len(raw):,} bytes are no multiple of {record:,} "
            f"({'a label' if len(labels) == 1 else f'{len(labels)} labels'} and 3 * 32 * 32 colours). Take the binary "
            "version, unpacked."
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, record)
    for n, limit in enumerate(labels):
        if records[:, n].max() >= limit:
            bad = int(np.argmax(records[:, n] >= limit))
            raise FileError(
                f"{path} is no file of {name}: picture {bad} has the label {records[bad, n]}, expected 0 to "
                f"{limit - 1}."
            )
    planes = records[:, len(labels) :].reshape(-1, CHANNELS, SIZE, SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), [records[:, n].copy() for n in range(len(labels))]
