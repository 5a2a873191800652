"""Imagenette's photographs for experiments on AlexNet: as many as a scale says, decoded once, with their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from millrace.data.datasets import Dataset, imagenette
from millrace.data.decode import decode_image
from millrace.data.labels import record_labels
from millrace.data.memory import ArraySource
from millrace.data.ordered import in_order
from millrace.data.source import Source
from millrace.data.stats import PixelStats, pixel_stats
from millrace.experiments.experiment import Scale
from millrace.experiments.pictures import chosen
from millrace.ir.errors import DataError

PAPER = (256, 227)  # pixels: of a photograph that was scaled and cut, and of a crop of it (sections 2 and 4.1)
CHUNK = 16  # pictures that a thread decodes in one go


@dataclass(frozen=True)
class Selection:
    """Some pictures of a source with classes, by their numbers in it."""

    source: Source
    numbers: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The class of each picture: int32 [pictures]."""
        return record_labels(self.source)[self.numbers].astype(np.int32)

    def some(self, places: Sequence[int] | np.ndarray) -> Selection:
        """Some of these pictures, by their places among them."""
        return Selection(self.source, self.numbers[places])

    def pixels(self, side: int) -> np.ndarray:
        """The pictures, scaled and cut to squares: uint8 [pictures, side, side, 3].

        Raises DataError for one that cannot be used.
        """
        made = np.empty((len(self.numbers), side, side, 3), np.uint8)

        def decode(n: int) -> None:
            numbers = self.numbers[n * CHUNK : (n + 1) * CHUNK]
            taken = self.source.take(numbers)
            for place, content in enumerate(taken.columns[0]):
                try:
                    if place in taken.broken:
                        raise DataError(taken.broken[place])
                    decode_image(content, side, side, out=made[n * CHUNK + place])
                except DataError as error:
                    name = self.source.record(int(numbers[place]))
                    raise DataError(f"{name} of {self.source.name} cannot be used: {error}. Remove it.") from None

        for _ in in_order(decode, -(-len(self.numbers) // CHUNK)):
            pass
        return made


@dataclass(frozen=True)
class Photographs:
    """Photographs as uint8 [examples, side, side, 3] with their classes, and statistics of those to train on.

    size: pixels of a side of the crops that a network sees.
    """

    data: Dataset
    stats: PixelStats
    size: int

    @property
    def side(self) -> int:
        """Pixels of a side of a photograph."""
        return side_for(self.size)


def side_for(size: int) -> int:
    """How large a photograph is for crops of a size, in the paper's proportion: 256 for 227."""
    whole, crop = PAPER
    return round(size * whole / crop)


def imagenette_photographs(scale: Scale) -> Photographs:
    """Imagenette cut to a scale, each class alike, and decoded.

    Raises as `imagenette_parts`, and DataError for a picture that is damaged.
    """
    train, held = imagenette_parts(scale)
    side = side_for(scale.size)
    x = train.pixels(side)
    data = replace(
        imagenette(), x_train=x, y_train=train.labels, x_validation=held.pixels(side), y_validation=held.labels
    )  # fmt: skip
    return Photographs(data, pixel_stats(ArraySource(x, name=data.name)), scale.size)


def imagenette_parts(scale: Scale) -> tuple[Selection, Selection]:
    """The pictures of Imagenette to train on, and those that are held out: as many as a scale says, each class alike.

    Raises FileError where the data are not there (it says what to put where), DataError where they are fewer.
    """
    data = imagenette()
    wanted = ((data.x_train, scale.images, "to train on"), (data.x_validation, scale.validation, "to judge by"))
    train, held = (
        Selection(source, chosen(record_labels(source), count, len(data.classes), f"{source.name}: pictures {what}"))
        for source, count, what in wanted
    )
    return train, held
