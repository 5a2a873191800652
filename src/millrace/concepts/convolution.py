"""`convolution`: one kernel worked on numbers, moved over a photograph, and counted against a dense layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.worked import grid, product_sum
from millrace.explain.at_work.real_inputs import whole_photograph
from millrace.explain.pages import Code, Listing, Math, Picture, Pictures
from millrace.layers import Conv2D, Input
from millrace.words import words

EDGE = np.array([[0, 0, 9, 9, 9]] * 5, np.float32)  # dark on the left, bright on the right
ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)  # Sobel: how brightness changes to the right
DOWN = ACROSS.T.copy()  # and downwards
ALEXNET = ((227, 227, 3), 96, 11, 4)  # its first layer: input, kernels, their size, stride
SMALL = ((8, 8, 1), 16, 3, 1)
MOVED = 10  # pixels


def convolved(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """One kernel over one picture [height, width], where it lies wholly inside."""
    return np.asarray(mr.conv(picture[None, :, :, None], kernel[:, :, None, None]))[0, :, :, 0]


def shared_and_dense(shape: tuple[int, ...], kernels: int, size: int, stride: int) -> tuple[int, int]:
    """Parameters of a convolution, and of a dense layer from the same numbers to the same numbers, biases included."""
    x = Input(shape)
    layer = Conv2D(kernels, size, strides=stride)
    made, shared = layer(x), layer.count_params()
    outputs = int(np.prod(made.shape[1:]))
    return shared, (int(np.prod(shape)) + 1) * outputs


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Work the kernels on numbers and on the photograph, move the photograph, and count parameters."""
    table = words("concepts", language)["convolution"]
    across, down = convolved(EDGE, ACROSS), convolved(EDGE, DOWN)
    grey = whole_photograph("china").mean(axis=-1)
    right, below = convolved(grey, ACROSS), convolved(grey, DOWN)
    moved = np.roll(grey, MOVED, axis=1)
    inside = slice(MOVED + 1, None)
    apart = float(np.abs(convolved(moved, ACROSS)[:, inside] - np.roll(right, MOVED, axis=1)[:, inside]).max())
    large, small = shared_and_dense(*ALEXNET), shared_and_dense(*SMALL)
    rows = [[table[key], f"{s:,}", f"{d:,}", f"{d / s:,.0f}"] for key, (s, d) in (("small", small), ("alexnet", large))]
    pictures = [
        Picture(table["photograph"], grey, table["about_photograph"], low=0.0, high=1.0),
        Picture(table["across"], right, table["about_across"], signed=True),
        Picture(table["down"], below, table["about_down"], signed=True),
        Picture(table["strength"], np.hypot(right, below), table["about_strength"]),
    ]
    return Finding(
        "seen" if apart == 0 and not down.any() else "unseen",
        {
            "first": float(across[0, 0]),
            "flat": float(across[0, 2]),
            "down": float(np.abs(down).max()),
            "apart": apart,
            "moved": MOVED,
            "shared": large[0],
            "dense": large[1],
            "times": large[1] / large[0],
        },
        [
            Code(
                f"{grid({table['picture']: EDGE, table['kernel']: ACROSS, table['map']: across})}\n\n"
                f"{table['upper_left']}:\n{product_sum(EDGE[:3, :3], ACROSS)}\n\n"
                f"{grid({table['picture']: EDGE, table['kernel']: DOWN, table['map']: down})}"
            ),
            Pictures(pictures),
            Listing([table[f"column_{n}"] for n in range(4)], rows),
        ],
    )


CONVOLUTION = Concept(
    "convolution",
    experiment,
    see=("convolution-3d", "pooling", "Conv2D"),
    also=(
        "weight-sharing",
        "kernel",
        "filter",
        "feature-map",
        "cnn",
        "convnet",
        "convolutional-network",
        "stride",
        "padding",
    ),
    formulas=(
        Math(
            "out[i, j, f] = b[f] + sum_{p, q, c} x[i + p, j + q, c] * w[p, q, c, f]",
            r"\mathrm{out}_{i,j,f} = b_f + \sum_{p,q,c} x_{i+p,\,j+q,\,c} \, w_{p,q,c,f}",
        ),
    ),
)
