"""Data sets by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.data.arrays import epoch_order
from millrace.data.cifar import CLASSES, COARSE_CLASSES, FINE_CLASSES, read_cifar, read_cifar100
from millrace.data.folder import files, published
from millrace.data.idx import read_idx
from millrace.data.source import Source
from millrace.ir.errors import FileError

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGENETTE_CLASSES = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """Examples for training and for validation, and what the classes are called.

    x: an array, a list of them for a network with several inputs, or a Source whose records hold the y too; y_train
    and y_validation are None then, and arrays otherwise. vocabulary: the words behind the numbers of x, where x is
    text.
    """

    name: str
    x_train: Any
    y_train: Any
    x_validation: Any
    y_validation: Any
    classes: tuple[str, ...]
    source: str
    vocabulary: tuple[str, ...] = ()

    @property
    def learners(self) -> int:
        """How many examples there are to learn from."""
        return self.x_train.count if isinstance(self.x_train, Source) else len(self.y_train)

    @property
    def held(self) -> int:
        """How many are held out."""
        return self.x_validation.count if isinstance(self.x_validation, Source) else len(self.y_validation)

    @property
    def validation(self) -> Any:
        """What `fit` takes as validation_data."""
        if isinstance(self.x_validation, Source):
            return self.x_validation
        return self.x_validation, self.y_validation


def digits(seed: int = 0) -> Dataset:
    """1,797 handwritten digits, 8x8 pixels from 0 to 1, every fifth (of an order by seed) held out.

    x [examples, 8, 8, 1] float32, y [examples] int32.
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as it comes with
    scikit-learn.
    """
    from sklearn.datasets import load_digits  # takes most of a second: only who trains on it pays

    raw = load_digits()
    x = (raw.images[..., None] / 16).astype(np.float32)
    y = raw.target.astype(np.int32)
    order = epoch_order(len(x), seed, 0)
    held, kept = order[: len(x) // 5], order[len(x) // 5 :]
    return Dataset(
        "digits", x[kept], y[kept], x[held], y[held], tuple("0123456789"),
        "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI 1998), from scikit-learn",
    )  # fmt: skip


def mnist() -> Dataset:
    """70,000 handwritten digits, 28x28 pixels from 0 (paper) to 1 (ink); the published 10,000 held out.

    x [examples, 28, 28, 1] float32, y [examples] int32.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for a damaged file.
    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits.
    """
    return _idx_pictures("mnist", tuple("0123456789"))


def fashion_mnist() -> Dataset:
    """70,000 pictures of clothes, 28x28 pixels from 0 (ground) to 1; the published 10,000 held out.

    x [examples, 28, 28, 1] float32, y [examples] int32.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for a damaged file.
    Source: Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017.
    """
    return _idx_pictures("fashion_mnist", FASHION_CLASSES)


def cifar10() -> Dataset:
    """60,000 photographs of ten kinds of things, 32x32 pixels, red, green and blue from 0 to 1; 10,000 held out.

    x [examples, 32, 32, 3] float32, y [examples] int32.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for a damaged file.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    parts = []
    for path in files("cifar10"):
        x, y = read_cifar(path)
        if len(x) != 10_000:
            raise FileError(f"{path} holds {len(x):,} pictures, expected 10,000: copy it anew.")
        parts.append((_unit(x), y.astype(np.int32)))
    *training, (x_test, y_test) = parts
    x_train, y_train = (np.concatenate(arrays) for arrays in zip(*training, strict=True))
    return Dataset("cifar10", x_train, y_train, x_test, y_test, CLASSES, published("cifar10").source)


def cifar100(fine: bool = True) -> Dataset:
    """60,000 photographs of a hundred kinds of things, 32x32 pixels, red, green and blue from 0 to 1; 10,000 held out.

    x [examples, 32, 32, 3] float32, y [examples] int32: the 100 classes, or the 20 that they fall into.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where), or for a damaged file.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    parts = []
    for path, count in zip(files("cifar100"), (50_000, 10_000), strict=True):
        x, coarse, small = read_cifar100(path)
        if len(x) != count:
            raise FileError(f"{path} holds {len(x):,} pictures, expected {count:,}: copy it anew.")
        parts.append((_unit(x), (small if fine else coarse).astype(np.int32)))
    (x_train, y_train), (x_test, y_test) = parts
    classes = FINE_CLASSES if fine else COARSE_CLASSES
    return Dataset("cifar100", x_train, y_train, x_test, y_test, classes, published("cifar100").source)


def imagenette() -> Dataset:
    """Photographs of ten kinds of things that are easily told apart, out of ImageNet, of many sizes, as files.

    x_train and x_validation are sources of records (uint8[bytes], int32[]), a picture file and its class: 9,469 and
    3,925 of them in the version that is downloaded.
    Raises FileError where it is neither there nor to be downloaded (it says what to put where).
    Source: J. Howard, Imagenette, 2019; Deng et al., ImageNet, CVPR 2009.
    """
    train, held = (imagenette_part(n) for n in range(2))
    return Dataset("imagenette", train, None, held, None, train.classes, published("imagenette").source)


def imagenette_part(number: int) -> Source:
    """Part 0 of Imagenette, to train on, or part 1, which is held out.  Raises FileError as imagenette does."""
    folder = files("imagenette")[number]
    from millrace.data.image_folder import ImageFolder  # with Pillow: only who looks at pictures waits for it

    source = ImageFolder(folder, tuple(IMAGENETTE_CLASSES), f"imagenette/{folder.name}")
    lacking = [name for n, name in enumerate(IMAGENETTE_CLASSES) if not (source.labels == n).any()]
    if lacking:
        raise FileError(f"{folder} holds no pictures of {', '.join(lacking)}: unpack imagenette2-320.tgz anew.")
    source.classes = tuple(IMAGENETTE_CLASSES.values())
    return source


def _unit(x: np.ndarray) -> np.ndarray:
    """Bytes as numbers from 0 to 1."""
    return x * np.float32(1 / 255)


def _idx_pictures(name: str, classes: tuple[str, ...]) -> Dataset:
    """Training and test pictures from four idx files."""
    arrays = []
    for n, path in enumerate(files(name)):
        count, sizes = (60_000, 10_000)[n // 2], ((28, 28), ())[n % 2]
        array = read_idx(path)
        if array.dtype != np.uint8 or array.shape != (count, *sizes):
            raise FileError(
                f"{path} holds {array.dtype} {list(array.shape)}, expected uint8 {[count, *sizes]}: is it the file of "
                "that name as published?"
            )
        if not sizes and array.max() >= len(classes):
            raise FileError(f"{path} holds the label {array.max()}, expected 0 to {len(classes) - 1}.")
        arrays.append(_unit(array)[..., None] if sizes else array.astype(np.int32))
    x_train, y_train, x_test, y_test = arrays
    return Dataset(name, x_train, y_train, x_test, y_test, classes, published(name).source)
