"""AlexNet's weights and two images for the comparison with PyTorch, drawn alike by the test and by its fixture."""

import numpy as np

CLASSES = 1000
FAINT = 0.3  # of the dense kernels: strong images would make the softmax all or nothing
RATE = 0.01  # of the step of gradient descent that is compared
# Each variant's kernels of conv1 to conv5, units of fc6 and fc7, towers, and pixels of a side. The paper's and
# torchvision's are whole; the others, which differ from the paper's in a few layers, are a quarter as wide.
VARIANTS = {
    "paper": ((96, 256, 384, 384, 256), 4096, 2, 227),
    "one_gpu": ((12, 32, 48, 48, 64), 1024, 1, 227),
    "release": ((24, 64, 96, 96, 64), 1024, 2, 224),
    "torchvision": ((64, 192, 384, 256, 256), 4096, 1, 224),
}
WIDTHS = {"paper": 1.0, "one_gpu": 0.25, "release": 0.25, "torchvision": 1.0}


def shapes(variant):
    """Shapes of the kernels by layer, channels last."""
    (k1, k2, k3, k4, k5), units, towers, _ = VARIANTS[variant]
    return {
        "conv1": (11, 11, 3, k1), "conv2": (5, 5, k1 // towers, k2), "conv3": (3, 3, k2, k3),
        "conv4": (3, 3, k3 // towers, k4), "conv5": (3, 3, k4 // towers, k5), "fc6": (36 * k5, units),
        "fc7": (units, units), "fc8": (units, CLASSES),
    }  # fmt: skip


def case(variant):
    """Weights by name, images [2, side, side, 3] and labels [2]; deviations that let gradients reach every layer.

    Where there is normalization the images are as strong as photographs less their mean, so that it has what to damp.
    """
    rng = np.random.default_rng(2012)
    weights = {}
    for name, shape in shapes(variant).items():
        scale = np.float32((2 / np.prod(shape[:-1])) ** 0.5 * (FAINT if name.startswith("fc") else 1))
        weights[f"{name}/kernel"] = rng.standard_normal(shape, dtype=np.float32) * scale
        weights[f"{name}/bias"] = rng.standard_normal(shape[-1:], dtype=np.float32) * np.float32(0.1)
    side = VARIANTS[variant][3]
    images = rng.standard_normal((2, side, side, 3), dtype=np.float32) * np.float32(
        5 if variant == "torchvision" else 50
    )
    return weights, images, np.array([3, 999], np.int32)


def places(size):
    """Which elements of a flat array are compared."""
    return np.random.default_rng(size).integers(0, size, 200)
