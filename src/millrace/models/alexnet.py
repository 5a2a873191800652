"""AlexNet: five convolutions and three dense layers, the network that turned computer vision to deep learning.

A page that reads as section 3.5 of the paper does: what each layer's kernels are, and what follows which. The two
towers of the paper are `groups=2`: conv2, conv4 and conv5 see only the maps of their own half; conv3 and the dense
layers see all. 60,965,224 parameters and 659,272 neurons for 1,000 classes.

Source: Krizhevsky, Sutskever and Hinton 2012, sections 3.3 to 3.5, 4.2 and 5 (the first weights). The text says 224
pixels; 55 x 55 maps of conv1 need 227 without padding.
"""

from __future__ import annotations

from typing import Any

from millrace.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    LocalResponseNormalization,
    MaxPooling2D,
    MeanSubtraction,
    RandomCrop,
    RandomFlip,
)
from millrace.layers.base import Layer
from millrace.layers.initializers import Constant, RandomNormal
from millrace.training.model import Model, Sequential

SIZE = 227  # pixels: (227 - 11) / 4 + 1 = 55 positions of conv1's kernels
FILE_SIZE = 256  # pixels: what a photograph is scaled and cut to before training (section 2)
MEAN = (123.68, 116.78, 103.94)  # red, green and blue of ImageNet's training set, as VGG's authors give them
DEVIATION = 0.01  # of the first weights


def convolution(filters: int, size: int, name: str, bias: float, **how: Any) -> Conv2D:
    """A convolution with its ReLU; a first bias of 1 lets it learn from the start, since ReLU then passes most."""
    return Conv2D(filters, size, activation="relu", name=name, **first(bias), **how)


def dense(units: int, activation: str, name: str, bias: float) -> Dense:
    return Dense(units, activation, name=name, **first(bias))


def first(bias: float) -> dict[str, Any]:
    """How weights begin: normal numbers around 0, and one bias for all."""
    return {"kernel_initializer": RandomNormal(stddev=DEVIATION), "bias_initializer": Constant(bias)}


def network(classes: int = 1000) -> Model:
    """The network: photograph [batch, 227, 227, 3], RGB less its mean, to probabilities [batch, classes]."""
    return Sequential([Input((SIZE, SIZE, 3), name="image"), *layers(classes)], name="alexnet")


def photographs(classes: int = 1000) -> Model:
    """The same on photographs as files hold them: uint8 [batch, 256, 256, 3].

    In training each is cropped and mirrored at random (section 4.1), in use its middle is taken.
    """
    front = [
        Input((FILE_SIZE, FILE_SIZE, 3), dtype="uint8", name="photograph"),
        RandomCrop(SIZE, SIZE, name="crop"),
        RandomFlip("horizontal", name="reflection"),
        MeanSubtraction(MEAN, name="centred"),
    ]
    return Sequential([*front, *layers(classes)], name="alexnet")


def layers(classes: int) -> list[Layer]:
    """What both consist of: five convolutions, three dense layers."""
    return [
        convolution(96, 11, "conv1", bias=0.0, strides=4),
        LocalResponseNormalization(name="norm1"),
        MaxPooling2D(3, 2, name="pool1"),
        convolution(256, 5, "conv2", bias=1.0, padding="same", groups=2),
        LocalResponseNormalization(name="norm2"),
        MaxPooling2D(3, 2, name="pool2"),
        convolution(384, 3, "conv3", bias=0.0, padding="same"),
        convolution(384, 3, "conv4", bias=1.0, padding="same", groups=2),
        convolution(256, 3, "conv5", bias=1.0, padding="same", groups=2),
        MaxPooling2D(3, 2, name="pool5"),
        Flatten(name="flatten"),
        dense(4096, "relu", "fc6", bias=1.0),
        Dropout(0.5, name="drop6"),
        dense(4096, "relu", "fc7", bias=1.0),
        Dropout(0.5, name="drop7"),
        dense(classes, "softmax", "fc8", bias=0.0),
    ]
