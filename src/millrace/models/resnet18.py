"""ResNet-18: blocks with a shortcut around them, so that a network of eighteen layers still learns.

Each block adds what it found to what it was given; where its shape changes, the shortcut is a convolution of
1x1. As in He, Zhang, Ren and Sun 2016 (table 1) and torchvision's `resnet18`, whose weights fit: 11,689,512
parameters for 1,000 classes, and 9,600 running statistics.
"""

from __future__ import annotations

from millrace.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Residual,
)
from millrace.layers.base import Layer
from millrace.training.model import Model, Sequential


def convolution(filters: int, size: int, strides: int = 1) -> Conv2D:
    return Conv2D(
        filters, size, strides, padding=size // 2, use_bias=False, kernel_initializer="he_normal"
    )  # fmt: skip


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


def network(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Model:
    """The network: photograph [batch, height, width, 3] to probabilities [batch, classes]."""
    layers: list[Layer] = [
        convolution(64, 7, 2),
        normalization(),
        Activation("relu"),
        MaxPooling2D(3, 2, padding=1, name="pool"),
    ]
    channels = 64
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for n in (1, 2):
            strides = 2 if n == 1 and stage > 1 else 1
            layers.append(block(filters, strides, strides > 1 or channels != filters, f"block{stage}_{n}"))
            channels = filters
    head: list[Layer] = [GlobalAveragePooling2D(name="mean"), Dense(classes, activation="softmax", name="output")]
    return Sequential([Input(input_shape, name="image"), *layers, *head], name="resnet18")
