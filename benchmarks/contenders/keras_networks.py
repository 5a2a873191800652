"""The networks in Keras's words, for either backend.

Where a window hangs over the edge, `same` stands for what other frameworks write as numbers: it may put the border's
zeros on the other side, and computes as much.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class ResponseNormalization(layers.Layer):
    """Krizhevsky et al. 2012, section 3.3, which Keras has no layer for: TensorFlow's own, or a sum of five slices."""

    def call(self, x: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
        channels = x.shape[-1]
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (2, 2)))
        total = sum(squares[..., n : n + channels] for n in range(5))
        return x * ops.power(2.0 + 1e-4 * total, -0.75)


def alexnet(classes: int) -> list[Any]:
    return [
        layers.Conv2D(96, 11, 4, activation="relu"),
        ResponseNormalization(),
        layers.MaxPooling2D(3, 2),
        layers.Conv2D(256, 5, padding="same", groups=2, activation="relu"),
        ResponseNormalization(),
        layers.MaxPooling2D(3, 2),
        layers.Conv2D(384, 3, padding="same", activation="relu"),
        layers.Conv2D(384, 3, padding="same", groups=2, activation="relu"),
        layers.Conv2D(256, 3, padding="same", groups=2, activation="relu"),
        layers.MaxPooling2D(3, 2),
        layers.Flatten(),
        layers.Dense(4096, "relu"),
        layers.Dropout(0.5),
        layers.Dense(4096, "relu"),
        layers.Dropout(0.5),
        layers.Dense(classes, "softmax"),
    ]


def lenet() -> list[Any]:
    return [
        layers.Conv2D(6, 5, padding="same", activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Conv2D(16, 5, activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.Dense(120, "tanh"),
        layers.Dense(84, "tanh"),
        layers.Dense(10, "softmax"),
    ]


def cifar_quick() -> list[Any]:
    return [
        layers.Conv2D(32, 5, padding="same"),
        layers.MaxPooling2D(3, 2, padding="same"),
        layers.Activation("relu"),
        layers.Conv2D(32, 5, padding="same", activation="relu"),
        layers.AveragePooling2D(3, 2, padding="same"),
        layers.Conv2D(64, 5, padding="same", activation="relu"),
        layers.AveragePooling2D(3, 2, padding="same"),
        layers.Flatten(),
        layers.Dense(10, "softmax"),
    ]


def digits() -> list[Any]:
    return [
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(128, "relu"),
        layers.Dropout(0.5),
        layers.Dense(10, "softmax"),
    ]


def mlp() -> list[Any]:
    return [layers.Dense(512, "relu"), layers.Dense(512, "relu"), layers.Dense(10, "softmax")]


def resnet18(shape: tuple[int, ...], classes: int) -> Any:
    def convolved(x: Any, filters: int, size: int, stride: int) -> Any:
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    given = layers.Input(shape)
    x = layers.ReLU()(convolved(given, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, filters in enumerate((64, 128, 256, 512)):
        for n in range(2):
            stride = 2 if stage and not n else 1
            inner = convolved(layers.ReLU()(convolved(x, filters, 3, stride)), filters, 3, 1)
            around = convolved(x, filters, 1, stride) if stride > 1 else x
            x = layers.ReLU()(layers.Add()([inner, around]))
    return keras.Model(given, layers.Dense(classes, "softmax")(layers.GlobalAveragePooling2D()(x)))


def network(chosen: Any) -> Any:
    """The network of a workload: examples to probabilities [batch, classes]."""
    units = 256 if chosen.name.endswith("_long") else 128
    match chosen.name.removesuffix("_long"):
        case "resnet18":
            return resnet18(chosen.shape, chosen.classes)
        case "alexnet":
            made = alexnet(chosen.classes)
        case "lstm":
            made = [layers.LSTM(units), layers.Dense(chosen.classes, "softmax")]
        case "gru":
            made = [layers.GRU(units), layers.Dense(chosen.classes, "softmax")]
        case name:
            made = {"lenet": lenet, "cifar_quick": cifar_quick, "digits": digits, "mlp": mlp}[name]()
    return keras.Sequential([layers.Input(chosen.shape), *made])
