"""AlexNet as narrow and as small as a scale says, with what experiments change of its input and its layers."""

from __future__ import annotations

from typing import Any

from millrace.experiments.experiment import Scale
from millrace.experiments.imagenette_pictures import Photographs
from millrace.layers import CenterCrop, Input, MeanSubtraction, PCAColor, RandomCrop, RandomFlip, Rescaling
from millrace.models.alexnets import alexnet
from millrace.models.imagenet import BRIGHTEST
from millrace.training.model import Model

KERNELS = 96  # of conv1 at full width
BIAS = 0.1  # narrow layers do not learn from a bias of 1: see models/alexnets.py
RATE = 0.01  # the learning rate that trainings begin with (section 5)

FULL = Scale(images=9_469, validation=3_925, epochs=90, width=KERNELS, batch_size=128, size=227)
FULL_COST = "for a GPU: 3.5e15 operations a training"  # 9,469 photographs, 90 epochs, 4.14e9 operations each


def network(
    photographs: Photographs, width: int, variant: str = "paper", without: str | None = None, moved: bool = True,
    recoloured: bool = False,
) -> Model:  # fmt: skip
    """AlexNet with `width` kernels in conv1 where the paper has 96, and all other layers in proportion.

    Photographs uint8 [batch, side, side, 3] -> probabilities [batch, classes]. variant, without: as `alexnet` has
    them. moved, recoloured: as `front` has them.
    """
    return alexnet(
        variant, len(photographs.data.classes), width=width / KERNELS, bias=BIAS, kernel_initializer="he_normal",
        without=without, front=front(photographs, moved, recoloured),
    )  # fmt: skip


def front(photographs: Photographs, moved: bool = True, recoloured: bool = False) -> list[Any]:
    """What makes a network's input, of numbers of about 1, of photographs.

    moved: whether they are cropped and mirrored at random in training, else the middle is taken then too; recoloured:
    whether their colours are changed at random along the principal components (both section 4.1).
    """
    stats, size, side = photographs.stats, photographs.size, photographs.side
    place = [RandomCrop(size, size, name="crop"), RandomFlip("horizontal", name="reflection")]
    colour = PCAColor(*colours(photographs), name="colour")
    return [
        Input((side, side, 3), dtype="uint8", name="photograph"),
        *(place if moved else [CenterCrop(size, size, name="crop")]),
        *([colour] if recoloured else []),
        MeanSubtraction(stats.mean, name="centred"),
        Rescaling(1 / float(stats.std.mean()), name="scaled"),
    ]


def colours(photographs: Photographs) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of the colours of the photographs to train on, as PCAColor takes them.

    Eigenvalues are those of pixels from 0 to 1, times 255, as models/imagenet.py says.
    """
    return photographs.stats.eigenvalues / BRIGHTEST, photographs.stats.eigenvectors
