"""Writes what PyTorch finds for AlexNet's variants on two images: scores, loss, every gradient, and one step of SGD.

Run it where torch and millrace are installed: python tests/parity/make_alexnet_fixture.py

Weights and images are drawn by `alexnet_case.py`, as the test draws them, so that only results are kept: for each
VARIANT `alexnet_VARIANT.npz` holds `scores` [2, 1000] before the softmax, `loss`, and for each weight NAME of Millrace

- `NAME/norms`: the Euclidean norm of the gradient of each unit, [units]; of a bias the gradient itself
- `NAME/sample`: the elements of the flat gradient at `alexnet_case.places(size)`
- `NAME/stepped`: the same elements of the weight after one step from rest, momentum 0.9, decay 0.0005
"""

from pathlib import Path

import numpy as np
import torch
from alexnet_case import RATE, VARIANTS, case, places
from torch import nn
from torch.nn import functional as F


class AlexNet(nn.Module):
    """The network of the paper; towers are groups. Channels first."""

    def __init__(self, variant):
        super().__init__()
        (k1, k2, k3, k4, k5), units, towers, _ = VARIANTS[variant]
        self.conv1 = nn.Conv2d(3, k1, 11, 4)
        self.conv2 = nn.Conv2d(k1, k2, 5, padding=2, groups=towers)
        self.conv3 = nn.Conv2d(k2, k3, 3, padding=1)
        self.conv4 = nn.Conv2d(k3, k4, 3, padding=1, groups=towers)
        self.conv5 = nn.Conv2d(k4, k5, 3, padding=1, groups=towers)
        self.fc6, self.fc7, self.fc8 = nn.Linear(36 * k5, units), nn.Linear(units, units), nn.Linear(units, 1000)

    def norm(self, x):
        return F.local_response_norm(x, 5, alpha=5 * 1e-4, beta=0.75, k=2.0)  # PyTorch divides alpha by the window

    def first(self, x):
        return F.max_pool2d(self.norm(F.relu(self.conv1(x))), 3, 2)

    def forward(self, x):
        x = F.max_pool2d(self.norm(F.relu(self.conv2(self.first(x)))), 3, 2)
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = F.max_pool2d(F.relu(self.conv5(x)), 3, 2).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


class Release(AlexNet):
    """As released: alpha / n, each half's maps normalized apart, conv1's ReLU after pool1, a window that overhangs."""

    def norm(self, x):
        return torch.cat([F.local_response_norm(h, 5, alpha=1e-4, beta=0.75, k=2.0) for h in x.chunk(2, 1)], 1)

    def first(self, x):
        return F.relu(F.max_pool2d(self.norm(self.conv1(F.pad(x, (0, 3, 0, 3)))), 3, 2))


class Torchvision(nn.Module):
    """torchvision's `alexnet` (Krizhevsky 2014), in use, when dropout is gone."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(64, 192, kernel_size=5, padding=2)
        self.conv3 = nn.Conv2d(192, 384, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(384, 256, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.fc6, self.fc7, self.fc8 = nn.Linear(256 * 6 * 6, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 3, 2)
        x = F.max_pool2d(F.relu(self.conv5(F.relu(self.conv4(F.relu(self.conv3(x)))))), 3, 2)
        x = F.adaptive_avg_pool2d(x, (6, 6)).flatten(1)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x)))))


def to_torch(name, array):
    """A weight of Millrace; fc6 reads [6, 6, channels] there and [channels, 6, 6] here."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if name == "fc6/kernel":
        array = array.reshape(6, 6, -1, array.shape[1]).transpose(2, 0, 1, 3).reshape(array.shape)
    return array.T


def to_millrace(name, array):
    """The way back."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if name == "fc6/kernel":
        array = array.reshape(len(array), -1, 6, 6).transpose(0, 2, 3, 1).reshape(array.shape)
    return array.T


def found(variant):
    weights, images, labels = case(variant)
    net = {"release": lambda: Release("release"), "torchvision": Torchvision}.get(variant, lambda: AlexNet(variant))()
    theirs = {}
    for name in weights:
        layer, kind = name.split("/")
        theirs[name] = getattr(getattr(net, layer), "weight" if kind == "kernel" else "bias")
        theirs[name].data = torch.tensor(np.ascontiguousarray(to_torch(name, weights[name])))
    assert sum(p.numel() for p in net.parameters()) == sum(w.size for w in weights.values())
    rule = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=0.0005)
    scores = net(torch.tensor(images).movedim(-1, 1))
    loss = F.cross_entropy(scores, torch.tensor(labels, dtype=torch.int64))
    loss.backward()
    rule.step()
    arrays = {"scores": scores.detach().numpy(), "loss": loss.detach().numpy()}
    for name, value in theirs.items():
        gradient, stepped = (to_millrace(name, a.detach().numpy()) for a in (value.grad, value))
        assert gradient.shape == weights[name].shape
        wide = gradient.astype(np.float64).reshape(-1, gradient.shape[-1])
        arrays[f"{name}/norms"] = np.linalg.norm(wide, axis=0).astype(np.float32) if len(wide) > 1 else gradient
        arrays[f"{name}/sample"] = gradient.reshape(-1)[places(gradient.size)]
        arrays[f"{name}/stepped"] = stepped.reshape(-1)[places(stepped.size)]
    return arrays


for variant in VARIANTS:
    np.savez_compressed(Path(__file__).parent / f"alexnet_{variant}.npz", **found(variant))
