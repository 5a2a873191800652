"""The four-layer network of AlexNet's figure 1: three convolutions and one dense layer, for CIFAR-10.

With it the paper shows that rectified units learn several times faster than tanh ones. Kernels of 5 by 5,
pooling windows of 3 by 3 that overlap, moved by 2; the last window of each row hangs over the edge by a pixel.

Source: Krizhevsky et al. 2012, figure 1 and section 3.1, which give no sizes; these are of the authors' own
small network for CIFAR-10 (cuda-convnet, layers-80sec).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.data.datasets import Dataset, cifar10
from millrace.data.images import read_colour, resized
from millrace.layers import Activation, AveragePooling2D, Conv2D, Dense, Flatten, Input, MaxPooling2D
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential

OVERHANG = ((0, 1), (0, 1))  # the last window may reach one pixel over the edge: 32 -> 16 -> 8 -> 4


def network(data: Dataset | None = None, activation: str = "relu") -> Model:
    """The network: photograph [batch, 32, 32, 3] from 0 to 1, to probabilities [batch, 10]."""
    return Sequential(
        [
            Input((32, 32, 3), name="image"),
            Conv2D(32, 5, padding="same", kernel_initializer="he_normal", name="conv1"),
            MaxPooling2D(3, 2, padding=OVERHANG, name="pool1"),
            Activation(activation, name="act1"),
            Conv2D(32, 5, padding="same", kernel_initializer="he_normal", activation=activation, name="conv2"),
            AveragePooling2D(3, 2, padding=OVERHANG, name="pool2"),
            Conv2D(64, 5, padding="same", kernel_initializer="he_normal", activation=activation, name="conv3"),
            AveragePooling2D(3, 2, padding=OVERHANG, name="pool3"),
            Flatten(name="flatten"),
            Dense(10, activation="softmax", name="output"),
        ],
        name="cifar_quick",
    )


def example(given: str | bytes, vocabulary: Sequence[str] = ()) -> Any:
    """A photograph as the network knows them: [32, 32, 3], its centre square made small."""
    pixels = read_colour(given)
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return resized(pixels[top : top + side, left : left + side], 32, 32)


CIFAR_QUICK = Recipe(
    name="cifar_quick",
    about="the four-layer network of AlexNet's figure 1 on CIFAR-10",
    build=network,
    data=lambda seed: cifar10(),
    epochs=10,
    batch_size=128,
    learning_rate=0.001,
    example=example,
    unit="images",
    seconds="about ten minutes",
)
