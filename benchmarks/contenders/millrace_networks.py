"""The networks in Millrace's words: pages of `millrace.models` where there is one."""

from __future__ import annotations

import importlib
from typing import Any

import millrace as mr
from millrace.layers import GRU, LSTM, Dense, Input


def page(name: str, *arguments: Any, **options: Any) -> Any:
    """The network of a page; only the page that is asked for is imported."""
    return importlib.import_module(f"millrace.models.{name}").network(*arguments, **options)


def network(chosen: Any) -> Any:
    """The network of a workload, ready to compile."""
    match chosen.name.removesuffix("_long"):
        case "alexnet" | "alexnet_toy":
            return importlib.import_module("millrace.models").alexnet(classes=chosen.classes, width=chosen.width)
        case "resnet18":
            return page("resnet18", chosen.shape, chosen.classes)
        case "lenet" | "cifar_quick" | "digits" | "fashion" | "char_rnn" | "sentiment" as name:
            return page(name)
        case "mlp":
            layers: list[Any] = [Dense(512, "relu"), Dense(512, "relu")]
        case "lstm":
            layers = [LSTM(256 if chosen.name.endswith("_long") else 128)]
        case "gru":
            layers = [GRU(256 if chosen.name.endswith("_long") else 128)]
        case name:
            raise ValueError(f"Millrace has no words for {name}")
    return mr.Sequential([Input(chosen.shape), *layers, Dense(chosen.classes, "softmax")])
