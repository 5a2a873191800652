"""The networks in Millrace's words: pages of `millrace.models` where there is one."""

from __future__ import annotations

import importlib
from typing import Any

import millrace as mr
from benchmarks.workloads import MOBILE
from millrace.layers import (
    GRU,
    LSTM,
    Add,
    BatchNormalization,
    Conv2D,
    Conv3D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    Input,
    LayerNormalization,
    MaxPooling3D,
    MultiHeadAttention,
    ReLU,
)  # fmt: skip


def page(name: str, *arguments: Any, **options: Any) -> Any:
    """The network of a page; only the page that is asked for is imported."""
    return importlib.import_module(f"millrace.models.{name}").network(*arguments, **options)


def mobile() -> list[Any]:
    layers: list[Any] = [Conv2D(32, 3, padding="same", use_bias=False), BatchNormalization(), ReLU()]
    for filters, stride in MOBILE:
        around = ((1, 1), (1, 1))  # as PyTorch pads; "same" would pad an even image at its end alone
        layers += [DepthwiseConv2D(3, stride, around, use_bias=False), BatchNormalization(), ReLU()]
        layers += [Conv2D(filters, 1, use_bias=False), BatchNormalization(), ReLU()]
    return [*layers, GlobalAveragePooling2D()]


def volumes() -> list[Any]:
    return [
        Conv3D(16, 3, padding="same", activation="relu"), MaxPooling3D(2),
        Conv3D(32, 3, padding="same", activation="relu"), MaxPooling3D(2), Flatten(),
    ]  # fmt: skip


def transformer(shape: tuple[int, ...], classes: int) -> Any:
    """Two blocks of an encoder, normalized behind each shortcut, as Vaswani et al. 2017 have it."""
    given = x = Input(shape)
    for _ in range(2):
        x = LayerNormalization()(Add()([x, MultiHeadAttention(4, 32)(x, x)]))
        x = LayerNormalization()(Add()([x, Dense(128)(Dense(256, "relu")(x))]))
    return mr.Model(given, Dense(classes, "softmax")(GlobalAveragePooling1D()(x)))


def network(chosen: Any) -> Any:
    """The network of a workload, ready to compile."""
    match chosen.name.removesuffix("_long"):
        case "alexnet" | "alexnet_toy":
            return importlib.import_module("millrace.models").alexnet(classes=chosen.classes, width=chosen.width)
        case "resnet18":
            return page("resnet18", chosen.shape, chosen.classes)
        case "lenet" | "cifar_quick" | "digits" | "fashion" | "char_rnn" | "sentiment" as name:
            return page(name)
        case "transformer":
            return transformer(chosen.shape, chosen.classes)
        case "mobile":
            layers: list[Any] = mobile()
        case "volumes":
            layers = volumes()
        case "mlp":
            layers = [Dense(512, "relu"), Dense(512, "relu")]
        case "lstm":
            layers = [LSTM(256 if chosen.name.endswith("_long") else 128)]
        case "gru":
            layers = [GRU(256 if chosen.name.endswith("_long") else 128)]
        case name:
            raise ValueError(f"Millrace has no words for {name}")
    return mr.Sequential([Input(chosen.shape), *layers, Dense(chosen.classes, "softmax")])
