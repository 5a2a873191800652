"""AlexNet on ImageNet, as the paper trained it: `millrace train alexnet --data FOLDER`.

Photographs come as files hold them, 256 pixels wide and high. The mean of each pixel over the training set is
subtracted (section 2); each use of a photograph sees a random window of it, mirrored or not, and its colours shifted
(section 4.1). Batches of 128, steps of 0.01 divided by 10 when validation stops improving (section 5). At the end it is
tested on the middle of each photograph, and on ten crops.

**The shift of colours.** The paper adds p1 a1 l1 + p2 a2 l2 + p3 a3 l3 to the pixels, with l the eigenvalues of their
covariance. An eigenvalue is a square, so the formula depends on the unit. Of pixels from 0 to 255 the first one is
about 15,000, and shifts of 0.1 times that would leave nothing of a picture. Of pixels from 0 to 1 it is about 0.2, and
the usual shift is 0.02 of the range from black to white. That is what is done here: l of pixels from 0 to 1, and the
sum times 255, as Facebook's ResNet in Torch (2016) and all that took its numbers over have it. The first author's later
code (cuda-convnet2) multiplies by what it calls standard deviations instead: roots of l mean the same in every unit,
and shift about twice as far.

**Fewer classes, narrower layers.** The paper's first weights suit a thousand classes and its numbers of kernels. With
ten classes each is asked for a hundred times as often, and behind biases of 1 steps of 0.01 are then too long: on
Imagenette, in batches of 32, the loss went from 2.7 to 27 within three steps. With fewer than a hundred classes those
biases begin at 0.1, as Caffe's do. A unit of a narrower layer adds fewer numbers up, so that its kernels begin larger,
their deviation divided by the root of the width: at a quarter of the width and with the paper's 0.01 the loss still
stood at 2.31 after five epochs of 1,500 photographs, with 0.02 it had fallen to 2.07.

Source: Krizhevsky, Sutskever and Hinton 2012.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from millrace.data.datasets import Dataset, imagenette
from millrace.data.imagenet_folder import imagenet
from millrace.data.images import no_picture, picture_content
from millrace.data.stats import PixelStats, pixel_stats, read_stats
from millrace.ir.errors import ArgumentError, DataError, one_of
from millrace.layers import Input, MeanSubtraction, PCAColor, RandomCrop, RandomFlip
from millrace.layers.arguments import number
from millrace.layers.initializers import RandomNormal
from millrace.models.alexnets import FILE_SIZE, MEAN, VARIANTS, alexnet, optimizer
from millrace.models.crop_testing import ten_crops
from millrace.models.recipe import Recipe
from millrace.training.callbacks import Callback, ReduceLROnPlateau
from millrace.training.checkpoint import write_whole
from millrace.training.model import Model

TOP5 = "sparse_top_k_categorical_accuracy"
STATS = "stats.npz"  # in a run directory
BRIGHTEST = 255.0  # in what a pixel of 1 is
PATIENCE, PATIENT_STEPS = 5, 2_000  # epochs, and steps, that validation may stand still before steps become shorter
MANY, FEW_BIAS = 100, 0.1  # classes from which on biases begin at the paper's 1, and where they begin with fewer
BATCH = 128  # of the test


@dataclass(frozen=True)
class Photographs(Dataset):
    """Photographs with the statistics of those to learn from."""

    stats: PixelStats | None = None


def network(data: Dataset | None = None, variant: str = "paper", width: float = 1.0) -> Model:
    """AlexNet for a data set: photographs uint8 [batch, 256, 256, 3] to probabilities [batch, classes].

    Without data the network alone: images [batch, 227, 227, 3], RGB less their mean, to 1,000 classes. Without
    statistics ImageNet's mean colour is subtracted, and no colour is shifted.
    """
    if data is None:
        return alexnet(variant, width=width)
    stats, classes = data.stats if isinstance(data, Photographs) else None, len(data.classes)
    before = front(VARIANTS[variant].size, stats)
    return alexnet(variant, classes, width=width, front=before, **beginning(variant, classes, width))


def beginning(variant: str, classes: int, width: float) -> dict[str, Any]:
    """How weights begin, where the variant's own way would not learn: with few classes, or narrower than it is."""
    chosen, how = VARIANTS[variant], dict[str, Any]()
    if chosen.bias == 1 and classes < MANY:
        how["bias"] = FEW_BIAS
    if width != 1 and isinstance(chosen.kernel, RandomNormal):
        how["kernel_initializer"] = RandomNormal(stddev=chosen.kernel.stddev / math.sqrt(width))
    return how


def front(size: int, stats: PixelStats | None = None) -> list[Any]:
    """What makes the network's input of photographs uint8 [batch, 256, 256, 3]: [batch, size, size, 3], around 0.

    The mean image is subtracted before the crop, so that it is cropped, and mirrored, alike. In use the middle is
    taken, as it is.
    """
    layers = [
        Input((FILE_SIZE, FILE_SIZE, 3), dtype="uint8", name="photograph"),
        MeanSubtraction(MEAN if stats is None else stats.mean_image, name="centred"),
        RandomCrop(size, size, name="crop"),
        RandomFlip("horizontal", name="reflection"),
    ]
    if stats is not None:
        layers.append(PCAColor(stats.eigenvalues / BRIGHTEST, stats.eigenvectors, name="colour"))  # 255 * l / 255^2
    return layers


def prepared(data: Dataset, directory: Path, report: Callable[[int, int], None], given: Path | None = None) -> Dataset:
    """The data with their statistics: those that the directory keeps, or that are given, or else computed now."""
    kept = directory / STATS
    if kept.is_file():
        stats = usable_stats(kept)
    else:
        stats = pixel_stats(data.x_train, FILE_SIZE, report=report) if given is None else usable_stats(given)
        write_whole(kept, stats.content())
    return Photographs(**{one.name: getattr(data, one.name) for one in fields(Dataset)}, stats=stats)


def usable_stats(path: Path) -> PixelStats:
    """Statistics from a file.  Raises ArgumentError for those of pictures of another size."""
    stats = read_stats(path)
    if stats.mean_image.shape != (FILE_SIZE, FILE_SIZE, 3):
        found = " x ".join(map(str, stats.mean_image.shape))
        raise ArgumentError(
            f"{path} holds statistics of pictures {found}, alexnet takes {FILE_SIZE} x {FILE_SIZE} x 3: "
            f"`millrace data stats FOLDER --size {FILE_SIZE} --out {path.name}` makes those."
        )
    return stats


class Plateau(ReduceLROnPlateau):
    """The paper's rule: the learning rate is divided by 10 when validation stops improving, three times (section 5).

    It stands still when five epochs have not improved it, or as many more as make 2,000 steps: an epoch of few pictures
    says little. At the plateau after the third time training ends.
    """

    def __init__(self) -> None:
        super().__init__("val_accuracy", factor=0.1, patience=PATIENCE, min_delta=0.0, times=3, stop=True)

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        super().on_train_begin(plan)
        self.patience = max(PATIENCE, math.ceil(PATIENT_STEPS / plan["steps"]))


def tested(model: Model, data: Dataset) -> str:
    """How often the trained network is right on held-out photographs, by their middle and by ten crops."""
    lines = [f"{data.held:,} held-out photographs   top-1 right   top-5 right"]
    for name, one in (("the middle of each", model), ("ten crops, averaged", ten_crops(model))):
        found = one.evaluate(data.x_validation, data.y_validation, batch_size=BATCH)
        lines.append(f"{name:<{len(lines[0]) - 28}} {found['accuracy']:>13.2%} {found[TOP5]:>13.2%}")
    return "\n".join(lines)


def example(given: str | bytes, vocabulary: Sequence[str] = ()) -> Any:
    """A photograph as the network knows them: uint8 [256, 256, 3], its shorter side scaled and its middle cut out.

    given: a picture file's path, or its content.  Raises FileError for a file that is missing, or no picture.
    """
    from millrace.data.decode import decode_image

    try:
        return decode_image(picture_content(given), FILE_SIZE, FILE_SIZE)
    except DataError as error:
        raise no_picture(given, error) from None


def decided(settings: Mapping[str, Any]) -> Recipe:
    """The recipe for a folder of data, a variant and a width of the network, and a file of statistics.

    Raises ArgumentError for an unknown variant or statistics of another size, FileError for a file that is none.
    """
    variant, width = (settings.get(name, ALEXNET.options[name]) for name in ("variant", "width"))
    number(width, "--width", 0, open_low=True)
    if variant not in VARIANTS:
        raise one_of("--variant", variant, list(VARIANTS))
    path, stats = (Path(settings[name]) if name in settings else None for name in ("data", "stats"))
    if stats is not None:
        usable_stats(stats)

    def build(data: Dataset | None) -> Model:
        return network(data, variant, width)

    def prepare(data: Dataset, directory: Path, report: Callable[[int, int], None]) -> Dataset:
        return prepared(data, directory, report, stats)

    chosen = replace(ALEXNET, build=build, prepare=prepare, optimizer=partial(optimizer, variant=variant))
    if path is None:
        return chosen
    return replace(chosen, data=lambda seed: imagenet(path), about=f"AlexNet on {path.name}", seconds="")


def plateau() -> list[Callback]:
    return [Plateau()]


ALEXNET = Recipe(
    name="alexnet",
    about="AlexNet on ImageNet, or on the ten classes of Imagenette",
    build=network,
    data=lambda seed: imagenette(),
    epochs=90,
    batch_size=128,
    learning_rate=0.01,
    optimizer=optimizer,
    metrics=("accuracy", TOP5),
    example=example,
    callbacks=plateau,
    show=tested,
    unit="images",
    seconds="about five hours on Imagenette",
    options={"data": None, "variant": "paper", "width": 1.0, "stats": None},
    once=("stats",),
    decide=decided,
    prepare=prepared,
)
