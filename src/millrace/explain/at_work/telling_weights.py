"""Weights that show what a layer does: kernels that find edges or spread a point, in the place of random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from millrace.layers.base import Layer

# Source: Sobel and Feldman, A 3x3 isotropic gradient operator for image processing, 1968.
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
SLOPE = np.array([-1, 0, 1], np.float32)
TENT = np.array([0.25, 0.5, 0.25], np.float32)


def edges(shape: Sequence[int]) -> np.ndarray:
    """Kernels [..., channels, filters] of size 3 that answer to edges.

    1 axis: the slope. 2 axes: Sobel's two kernels in turn, for upright and for level edges. 3 axes: the slope along
    the first of them, of the mean around each place. Channels are averaged.
    """
    axes, channels, filters = len(shape) - 2, shape[-2], shape[-1]
    made = np.zeros(shape, np.float32)
    for channel in range(channels):
        for f in range(filters):
            turn = (f + channel) % 2 if channels > 1 and filters == 1 else f % 2
            if axes == 1:
                kernel = SLOPE
            elif axes == 2:
                kernel = SOBEL if turn == 0 else SOBEL.T
            else:
                kernel = SLOPE[:, None, None] * TENT[None, :, None] * TENT[None, None, :]
            made[..., channel, f] = kernel
    return made


def shared(shape: Sequence[int]) -> np.ndarray:
    """Edges of the mean over the channels: each of a filter's channels has the same kernel, divided by their number."""
    one = edges((*shape[:-2], 1, shape[-1]))
    return np.broadcast_to(one / shape[-2], shape).astype(np.float32)


def tents(shape: Sequence[int]) -> np.ndarray:
    """Kernels [..., filters, channels] of size 3 that spread each number over its neighbours: 1/2, 1, 1/2 each way."""
    made = np.ones(shape[:-2], np.float32)
    for axis in range(len(shape) - 2):
        made = made * (2 * TENT).reshape([-1 if a == axis else 1 for a in range(len(shape) - 2)])
    return np.broadcast_to(made[..., None, None] / shape[-1], shape).astype(np.float32)


def evenly(shape: Sequence[int]) -> np.ndarray:
    """Weights that take the mean of what they see."""
    return np.full(shape, 1 / shape[-2], np.float32)


def with_weights(layer: Layer, *make: Callable[[Sequence[int]], np.ndarray]) -> Callable[..., Any]:
    """The layer's call, its first weights then made by `make`, one each; the others stay as they were drawn."""

    def call(*inputs: Any) -> Any:
        out = layer(*inputs)
        for variable, made in zip(layer.weights, make, strict=False):
            variable.assign(made(variable.shape))
        return out

    return call
