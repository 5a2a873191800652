"""The networks in PyTorch's words."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.workloads import MOBILE


class AlexNet(nn.Module):
    """Krizhevsky et al. 2012. PyTorch divides alpha of the response normalization by its window."""

    def __init__(self, classes: int, width: float = 1.0):
        super().__init__()
        k1, k2, k3, units = (int(n * width) for n in (96, 256, 384, 4096))
        self.conv1 = nn.Conv2d(3, k1, 11, 4)
        self.conv2 = nn.Conv2d(k1, k2, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(k2, k3, 3, padding=1)
        self.conv4 = nn.Conv2d(k3, k3, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(k3, k2, 3, padding=1, groups=2)
        self.norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        self.pool = nn.MaxPool2d(3, 2)
        self.fc6, self.fc7, self.fc8 = nn.Linear(36 * k2, units), nn.Linear(units, units), nn.Linear(units, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.norm(F.relu(self.conv1(x))))
        x = self.pool(self.norm(F.relu(self.conv2(x))))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = self.pool(F.relu(self.conv5(x))).flatten(1)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
        return self.fc8(x)


class Block(nn.Module):
    """ResNet's block: what two convolutions found, added to what came in."""

    def __init__(self, channels: int, filters: int, stride: int):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, 1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, 1, 1, bias=False),
            nn.BatchNorm2d(filters),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1 or channels != filters:
            self.around = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.inner(x) + self.around(x))


def resnet18(classes: int) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    channels = 64
    for stage, filters in enumerate((64, 128, 256, 512)):
        layers += [Block(channels, filters, 2 if stage else 1), Block(filters, filters, 1)]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


class Recurrent(nn.Module):
    """A recurrent layer's last output through a dense layer."""

    def __init__(self, layer: Any, width: int, units: int, classes: int):
        super().__init__()
        self.layer = layer(width, units, batch_first=True)
        self.output = nn.Linear(units, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.layer(x)[0][:, -1])


class Letters(nn.Module):
    """A language model by letters: what comes next after each."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(67, 64), nn.Linear(256, 67)
        self.lstm = nn.LSTM(64, 256, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.lstm(self.embedding(x))[0])


class Sentiment(nn.Module):
    """A GRU that reads both ways, and the strongest of its steps; no sentence of the workload is padded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(12_000, 64), nn.Linear(96, 2)
        self.gru = nn.GRU(64, 48, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.gru(self.embedding(x))[0].amax(1))


class Encoder(nn.Module):
    """Blocks of a transformer's encoder, the mean of their steps, scores."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        block = nn.TransformerEncoderLayer(width, 4, 256, dropout=0.0, batch_first=True)
        self.blocks, self.output = nn.TransformerEncoder(block, 2), nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.blocks(x).mean(1))


def mobile() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    channels = 32
    for filters, stride in MOBILE:
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def volumes() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool3d(2), nn.Flatten(), nn.Linear(8192, 10),
    )  # fmt: skip


def fashion() -> nn.Module:
    layers: list[nn.Module] = []
    for channels, filters in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(1152, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 10)
    )


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def cifar_quick() -> nn.Module:
    """ceil_mode: the last window of each row hangs over the edge by a pixel."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Flatten(), nn.Linear(1024, 10),
    )  # fmt: skip


def digits() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def network(chosen: Any) -> nn.Module:
    """The network of a workload: examples to scores [batch, classes]; images are [batch, channels, height, width]."""
    units = 256 if chosen.name.endswith("_long") else 128
    match chosen.name.removesuffix("_long"):
        case "alexnet" | "alexnet_toy":
            return AlexNet(chosen.classes, chosen.width)
        case "resnet18":
            return resnet18(chosen.classes)
        case "transformer":
            return Encoder(chosen.shape[-1], chosen.classes)
        case "lstm":
            return Recurrent(nn.LSTM, chosen.shape[-1], units, chosen.classes)
        case "gru":
            return Recurrent(nn.GRU, chosen.shape[-1], units, chosen.classes)
        case name:
            return {
                "lenet": lenet, "cifar_quick": cifar_quick, "digits": digits, "mlp": mlp, "fashion": fashion,
                "char_rnn": Letters, "sentiment": Sentiment, "mobile": mobile, "volumes": volumes,
            }[name]()  # fmt: skip
