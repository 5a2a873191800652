"""A small convolutional network that tells clothes apart: Fashion-MNIST, 28 by 28 pixels, ten kinds.

Three blocks of convolution, batch normalization and ReLU, each followed by pooling, then two dense layers. Batch
normalization lets it learn fast, dropout keeps it from learning the training pictures by heart, and the
learning rate falls along a cosine to 0 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.data.datasets import Dataset, fashion_mnist
from millrace.data.images import read_ink, resized
from millrace.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from millrace.layers.base import Layer
from millrace.models.recipe import Recipe
from millrace.training.model import Model, Sequential
from millrace.training.optimizers import Adam
from millrace.training.schedules import CosineDecay

EPOCHS, BATCH = 10, 64


def block(filters: int, name: str) -> list[Layer]:
    """Convolution, normalization, ReLU: [batch, height, width, channels] to [batch, height, width, filters]."""
    return [
        Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"conv{name}"),
        BatchNormalization(momentum=0.9, name=f"norm{name}"),
        Activation("relu", name=f"relu{name}"),
    ]


def network(data: Dataset | None = None) -> Model:
    """The network: image [batch, 28, 28, 1] from 0 to 1, to probabilities [batch, 10]."""
    return Sequential(
        [
            Input((28, 28, 1), name="image"),
            *block(32, "1"),
            MaxPooling2D(2, name="pool1"),
            *block(64, "2"),
            MaxPooling2D(2, name="pool2"),
            Dropout(0.1, name="dropout1"),
            *block(128, "3"),
            MaxPooling2D(2, name="pool3"),
            Flatten(name="flatten"),
            Dropout(0.2, name="dropout2"),
            Dense(256, activation="relu", kernel_initializer="he_normal", name="hidden"),
            Dropout(0.4, name="dropout3"),
            Dense(10, activation="softmax", name="output"),
        ],
        name="fashion",
    )


def example(given: str | bytes, vocabulary: Sequence[str] = ()) -> Any:
    """A picture of one piece of clothing: [28, 28, 1], light on dark; light ground is turned round."""
    return resized(read_ink(given), 28, 28)[..., None]


FASHION = Recipe(
    name="fashion",
    about="a convolutional network on the 70,000 pictures of Fashion-MNIST",
    build=network,
    data=lambda seed: fashion_mnist(),
    epochs=EPOCHS,
    batch_size=BATCH,
    learning_rate=0.0015,
    optimizer=lambda rate: Adam(CosineDecay(rate, EPOCHS * (60_000 // BATCH + 1))),
    example=example,
    unit="images",
    seconds="five to ten minutes",
)
