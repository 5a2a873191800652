"""ResNet-18: blocks with a shortcut around them, so that a network of eighteen layers still learns.

Each block adds what it found to what it was given; where its shape changes, the shortcut is a convolution of
1x1. As in He, Zhang, Ren and Sun 2016 (table 1) and torchvision's `resnet18`, whose weights fit: 11,689,512
parameters for 1,000 classes, and 9,600 running statistics.

**On CIFAR-10**, `millrace train resnet18`. Photographs of 32x32 would be 8x8 behind a first convolution of 7x7 with
stride 2 and a pooling, so the network for them begins with 3x3, stride 1, and no pooling: 11,173,962 parameters. Each
use of a photograph sees another window of it with a rim of 4 pixels, mirrored or not, and a square of 8x8 covered. SGD
with Nesterov's momentum 0.9, weight decay 0.0005, batches of 128, 35 epochs.

The learning rate rises in a line to 0.1 for three sevenths of the epochs, falls to a twentieth of that until six
sevenths, and to 0 at the end: with these settings, and without cutout, D. Page 2018 trains a residual network of 18
layers to 94%. Given 200 epochs and larger squares, DeVries and Taylor 2017 (table 1) have ResNet-18 at 95.3% without
cutout and at 96.0% with it.

Source: He et al. 2016; D. Page, How to Train Your ResNet 1 (Myrtle, 2018) and its code, cifar10-fast; DeVries and
Taylor 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset, cifar10
from millrace.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Cutout,
    Dense,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Normalization,
    RandomCrop,
    RandomFlip,
    Residual,
    ZeroPadding2D,
)
from millrace.layers.arguments import number
from millrace.layers.base import Layer
from millrace.models.cifar_quick import example
from millrace.models.recipe import Recipe
from millrace.training.callbacks import Callback, LearningRateScheduler
from millrace.training.model import Model, Sequential
from millrace.training.optimizers import SGD

FILTERS = 64  # of the first stage; each further stage has twice as many
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the colours of CIFAR-10's training set
RIM, SQUARE = 4, 8  # pixels around a photograph, and of a side of what is covered
KNOTS, SHARES = (0, 3 / 7, 6 / 7, 1), (0, 1, 0.05, 0)  # of all epochs, and of the highest learning rate there


def convolution(filters: int, size: int, strides: int = 1) -> Conv2D:
    return Conv2D(filters, size, strides, padding=size // 2, use_bias=False, kernel_initializer="he_normal")


def normalization() -> BatchNormalization:
    return BatchNormalization(momentum=0.9, epsilon=1e-5)


def block(filters: int, strides: int, changes: bool, name: str) -> Residual:
    """Two convolutions of 3x3 with a shortcut: [batch, H, W, C] to [batch, H / strides, W / strides, filters]."""
    inner: list[Layer] = [
        convolution(filters, 3, strides),
        normalization(),
        Activation("relu"),
        convolution(filters, 3),
        normalization(),
    ]
    around: list[Layer] = [convolution(filters, 1, strides), normalization()] if changes else []
    return Residual(inner, around, activation="relu", name=name)


def stages(filters: int) -> list[Layer]:
    """Four stages of two blocks: [batch, H, W, filters] to [batch, H / 8, W / 8, 8 filters]."""
    layers: list[Layer] = []
    channels = filters
    for stage in range(4):
        width = filters * 2**stage
        for n in (1, 2):
            strides = 2 if n == 1 and stage else 1
            layers.append(block(width, strides, strides > 1 or channels != width, f"block{stage + 1}_{n}"))
            channels = width
    return layers


def head(classes: int) -> list[Layer]:
    return [GlobalAveragePooling2D(name="mean"), Dense(classes, activation="softmax", name="output")]


def network(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Model:
    """The network for ImageNet: photograph [batch, height, width, 3] to probabilities [batch, classes]."""
    start: list[Layer] = [
        convolution(FILTERS, 7, 2),
        normalization(),
        Activation("relu"),
        MaxPooling2D(3, 2, padding=1, name="pool"),
    ]
    layers = [*start, *stages(FILTERS), *head(classes)]
    return Sequential([Input(input_shape, name="image"), *layers], name="resnet18")


def small_network(data: Dataset | None = None, width: float = 1.0) -> Model:
    """The network for CIFAR-10: photograph [batch, 32, 32, 3] from 0 to 1, to probabilities [batch, 10].

    width: times the filters of every layer. In training it sees photographs changed at random; in use, as they are.
    """
    filters = max(1, round(FILTERS * width))
    changed: list[Layer] = [  # the rim and the square have the mean colour, which is 0
        Normalization(mean=MEAN, variance=tuple(d * d for d in DEVIATION), name="centred"),
        ZeroPadding2D(RIM, name="rim"),
        RandomCrop(32, 32, name="crop"),
        RandomFlip("horizontal", name="reflection"),
        Cutout(SQUARE, name="cutout"),
    ]
    start: list[Layer] = [convolution(filters, 3), normalization(), Activation("relu")]
    layers = [*changed, *start, *stages(filters), *head(10)]
    return Sequential([Input((32, 32, 3), name="image"), *layers], name="resnet18")


class RiseAndFall(LearningRateScheduler):
    """The learning rate up in a line and down in two, over however many epochs the run has.

    The optimizer's own rate is the highest. Each epoch has the rate of its middle.
    """

    def __init__(self) -> None:
        super().__init__(lambda epoch: self.highest * share((epoch + 0.5) / self.epochs))
        self.highest, self.epochs = 0.0, 1

    def on_train_begin(self, plan: dict[str, Any]) -> None:
        super().on_train_begin(plan)
        self.epochs = plan["epochs"]
        if not plan["initial_epoch"] and not plan["initial_step"]:
            self.highest = float(self.model.optimizer.learning_rate.numpy())

    def state(self) -> dict[str, Any]:
        return {"highest": self.highest}

    def restore(self, state: dict[str, Any]) -> None:
        self.highest = float(state["highest"])


def share(done: float) -> float:
    """The learning rate when so much of the run is done, as a share of the highest."""
    return float(np.interp(done, KNOTS, SHARES))


def callbacks() -> list[Callback]:
    return [RiseAndFall()]


def optimizer(rate: float) -> SGD:
    return SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.0005)


def decided(settings: Mapping[str, Any]) -> Recipe:
    """The recipe for a width of the network.  Raises ArgumentError for one that is not above 0."""
    width = number(settings.get("width", 1.0), "--width", 0, open_low=True)
    return replace(RESNET18, build=partial(small_network, width=width))


RESNET18 = Recipe(
    name="resnet18",
    about="ResNet-18 on CIFAR-10",
    build=small_network,
    data=lambda seed: cifar10(),
    epochs=35,
    batch_size=128,
    learning_rate=0.1,
    optimizer=optimizer,
    example=example,
    callbacks=callbacks,
    unit="images",
    seconds="some ten hours, by an estimate from single steps: it is meant for a GPU",
    options={"width": 1.0},
    decide=decided,
)
