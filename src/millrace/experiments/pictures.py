"""The photographs that experiments train on: as many of CIFAR-10 as a scale says, of each class alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from millrace.data.arrays import epoch_order
from millrace.data.datasets import Dataset, cifar10
from millrace.experiments.experiment import Scale
from millrace.ir.errors import DataError

DRAWN = 0  # the seed of which photographs are taken: the same for all seeds of an experiment, so that they compare


def photographs(scale: Scale) -> Dataset:
    """CIFAR-10 cut to a scale: x [examples, 32, 32, 3] float32 from 0 to 1, y [examples] int32.

    Raises FileError where the data are not there (it says what to put where).
    """
    return balanced(cifar10(), scale.images, scale.validation)


def centred(data: Dataset) -> Dataset:
    """Photographs less the mean image of those to train on (section 2), all divided by their `contrast`.

    So a first layer gets inputs of about 1, whatever its activation is.
    """
    mean, scale = mean_image(data), np.float32(1 / contrast(data))
    return replace(data, x_train=(data.x_train - mean) * scale, x_validation=(data.x_validation - mean) * scale)


def mean_image(data: Dataset) -> np.ndarray:
    """The mean of the photographs to train on: float32 [height, width, 3]."""
    mean: np.ndarray = data.x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def contrast(data: Dataset) -> float:
    """The standard deviation of the photographs to train on around their mean image, over everything."""
    return float((data.x_train - mean_image(data)).std(dtype=np.float64))


def balanced(data: Dataset, images: int, validation: int) -> Dataset:
    """A part of the data of arrays in which each class comes equally often, but for one example.

    The same numbers give the same examples. All of them, in their order, where as many are asked for as there are.
    Raises DataError where there are fewer.
    """
    train = chosen(data.y_train, images, len(data.classes), f"{data.name}: images to train on")
    held = chosen(data.y_validation, validation, len(data.classes), f"{data.name}: images to judge by")
    return replace(
        data, x_train=data.x_train[train], y_train=data.y_train[train],
        x_validation=data.x_validation[held], y_validation=data.y_validation[held],
    )  # fmt: skip


def chosen(y: np.ndarray, count: int, classes: int, what: str) -> np.ndarray:
    """The places of `count` examples, each class equally often, but for one."""
    if count > len(y):
        raise DataError(f"{what}: {count:,} are asked for, there are {len(y):,}.")
    if count == len(y):
        return np.arange(count)
    order = epoch_order(len(y), DRAWN, 0)
    places = []
    for number in range(classes):
        own = order[y[order] == number]
        share = (count + classes - 1 - number) // classes
        if share > len(own):
            raise DataError(f"{what}: {share:,} of class {number} are needed, there are {len(own):,}.")
        places.append(own[:share])
    return np.sort(np.concatenate(places))
