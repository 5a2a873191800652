"""Writes what PyTorch finds for AlexNet on two images: probabilities, loss, and every gradient, in samples.

Run it where torch and millrace are installed: python tests/parity/make_alexnet_fixture.py

Weights and images are drawn by `alexnet_case.py`, as the test draws them, so that only results are kept:
`alexnet.npz` holds `probabilities` [2, 1000], `loss`, and for each weight NAME of Millrace `NAME/norm` (Euclidean)
and `NAME/sample`, the elements of the flat gradient at `alexnet_case.places(size)`.
"""

from pathlib import Path

import numpy as np
import torch
from alexnet_case import case, places
from torch.nn import functional as F

weights, images, labels = case()


def flat_order(kernel):
    """fc6 reads [6, 6, 256] in Millrace and [256, 6, 6] here."""
    return kernel.reshape(6, 6, 256, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


def to_millrace(name, gradient):
    if name.startswith("conv") and gradient.ndim == 4:
        return gradient.transpose(2, 3, 1, 0)
    if gradient.ndim == 2:
        kernel = gradient.T
        return kernel.reshape(256, 6, 6, -1).transpose(1, 2, 0, 3).reshape(kernel.shape) if "fc6" in name else kernel
    return gradient


theirs = {}
for name, array in weights.items():
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        array = (flat_order(array) if "fc6" in name else array).T
    theirs[name] = torch.tensor(np.ascontiguousarray(array), requires_grad=True)


def layer(f, x, name, **how):
    return f(x, theirs[f"{name}/kernel"], theirs[f"{name}/bias"], **how)


def norm(x):
    return F.local_response_norm(x, 5, alpha=5 * 1e-4, beta=0.75, k=2.0)  # PyTorch divides alpha by the window


x = torch.tensor(images).movedim(-1, 1)
x = F.max_pool2d(norm(F.relu(layer(F.conv2d, x, "conv1", stride=4))), 3, 2)
x = F.max_pool2d(norm(F.relu(layer(F.conv2d, x, "conv2", padding=2, groups=2))), 3, 2)
x = F.relu(layer(F.conv2d, x, "conv3", padding=1))
x = F.relu(layer(F.conv2d, x, "conv4", padding=1, groups=2))
x = F.max_pool2d(F.relu(layer(F.conv2d, x, "conv5", padding=1, groups=2)), 3, 2).flatten(1)
x = F.relu(layer(F.linear, F.relu(layer(F.linear, x, "fc6")), "fc7"))
scores = layer(F.linear, x, "fc8")
loss = F.cross_entropy(scores, torch.tensor(labels, dtype=torch.int64))
loss.backward()

arrays = {"probabilities": F.softmax(scores, 1).detach().numpy(), "loss": loss.detach().numpy()}
for name, value in theirs.items():
    gradient = to_millrace(name, value.grad.numpy())
    assert gradient.shape == weights[name].shape
    arrays[f"{name}/norm"] = np.linalg.norm(gradient.astype(np.float64))
    arrays[f"{name}/sample"] = gradient.reshape(-1)[places(gradient.size)]
np.savez_compressed(Path(__file__).parent / "alexnet.npz", **arrays)
