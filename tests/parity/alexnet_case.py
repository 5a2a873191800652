"""AlexNet's weights and two images for the comparison with PyTorch, drawn alike by the test and by its fixture."""

import numpy as np

SHAPES = {
    "conv1": (11, 11, 3, 96), "conv2": (5, 5, 48, 256), "conv3": (3, 3, 256, 384), "conv4": (3, 3, 192, 384),
    "conv5": (3, 3, 192, 256), "fc6": (9216, 4096), "fc7": (4096, 4096), "fc8": (4096, 1000),
}  # fmt: skip


def case():
    """Weights by name, images [2, 227, 227, 3] and labels [2]; deviations that let gradients reach every layer."""
    rng = np.random.default_rng(2012)
    weights = {}
    for name, shape in SHAPES.items():
        scale = np.float32((2 / np.prod(shape[:-1])) ** 0.5)
        weights[f"{name}/kernel"] = rng.standard_normal(shape, dtype=np.float32) * scale
        weights[f"{name}/bias"] = rng.standard_normal(shape[-1:], dtype=np.float32) * np.float32(0.1)
    return weights, rng.standard_normal((2, 227, 227, 3), dtype=np.float32), np.array([3, 999], np.int32)


def places(size):
    """Which elements of a flat gradient are compared."""
    return np.random.default_rng(size).integers(0, size, 200)
