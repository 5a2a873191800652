"""The four-layer network of figure 1, with what experiments change in it: its units, its pooling, normalization."""

from __future__ import annotations

from typing import Any

from millrace.experiments.experiment import Scale
from millrace.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    LocalResponseNormalization,
    MaxPooling2D,
)
from millrace.layers.base import Layer
from millrace.models.cifar_quick import OVERHANG
from millrace.training.model import Model, Sequential

RATE = 0.01  # the learning rate that it learns with (section 5)


def network(
    width: int = 32, activation: str = "relu", lrn_alpha: float | None = None, window: int = 3, hidden: int = 0,
    dropout: float = 0.0,
) -> Model:  # fmt: skip
    """`millrace.models.cifar_quick.network` at any width: photograph [batch, 32, 32, 3], centred, to probabilities.

    width: kernels of the first and second layer; the third has twice as many. lrn_alpha: with it, local response
    normalization follows the first two layers. window: of each pooling, moved by 2: windows of 3 overlap, windows of 2
    do not; the maps have the same sizes, 32 -> 16 -> 8 -> 4, since the last window of 3 hangs over the edge. hidden:
    units of each of two more dense layers before the last; dropout: the share of their outputs that training drops.
    """
    over: Any = OVERHANG if window == 3 else "valid"

    def convolution(count: int, name: str) -> Conv2D:
        return Conv2D(count, 5, padding="same", kernel_initializer="he_normal", name=name)

    def norm(name: str) -> list[Layer]:
        return [] if lrn_alpha is None else [LocalResponseNormalization(alpha=lrn_alpha, name=name)]

    def dense(name: str, drop: str) -> list[Layer]:
        made: list[Layer] = [Dense(hidden, activation, kernel_initializer="he_normal", name=name)] if hidden else []
        return [*made, Dropout(dropout, name=drop)] if hidden and dropout else made

    return Sequential(
        [
            Input((32, 32, 3), name="image"),
            convolution(width, "conv1"),
            MaxPooling2D(window, 2, padding=over, name="pool1"),
            Activation(activation, name="act1"),
            *norm("norm1"),
            convolution(width, "conv2"),
            Activation(activation, name="act2"),
            AveragePooling2D(window, 2, padding=over, name="pool2"),
            *norm("norm2"),
            convolution(2 * width, "conv3"),
            Activation(activation, name="act3"),
            AveragePooling2D(window, 2, padding=over, name="pool3"),
            Flatten(name="flatten"),
            *dense("dense1", "drop1"),
            *dense("dense2", "drop2"),
            Dense(10, activation="softmax", name="output"),
        ],
        name="four_layers",
    )


def forms() -> dict[str, Any]:
    """The quick form and the full one of experiments that ask for the error on held-out photographs."""
    return {
        "quick": "5,000 photographs of CIFAR-10, 12 epochs, 16 kernels",
        "full": "all 50,000 photographs of CIFAR-10, 60 epochs, 32 kernels",
        "quick_scale": Scale(images=5_000, validation=2_000, epochs=12, width=16, batch_size=32),
        "full_scale": Scale(images=50_000, validation=10_000, epochs=60, width=32),
        "data": ("cifar10",),
    }
