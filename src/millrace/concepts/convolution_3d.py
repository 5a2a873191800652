"""`convolution-3d`: a kernel that reaches over time sees a movement that no kernel on single pictures can see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.worked import grid, product_sum
from millrace.explain.pages import Code, Listing, Math
from millrace.layers import Conv2D, Conv3D, Input
from millrace.words import words

FRAMES, SIDE = 3, 4
KERNEL = np.array([[[-1, 1], [-1, 1]], [[1, -1], [1, -1]]], np.float32)  # [time, height, width]: from right to left
FLAT = np.array([[1, 1], [1, 1]], np.float32)  # a kernel on one picture


def clip(columns: tuple[int, ...]) -> np.ndarray:
    """A bright bar of two pixels on dark ground, in one column in each frame: [frames, height, width]."""
    made = np.zeros((len(columns), SIDE, SIDE), np.float32)
    for frame, column in enumerate(columns):
        made[frame, 1:3, column] = 1
    return made


CLIPS = {"still": clip((2, 2, 2)), "left": clip((2, 1, 0)), "right": clip((0, 1, 2))}


def over_time(x: np.ndarray) -> np.ndarray:
    """The kernel of two frames over a clip: [frames - 1, height - 1, width - 1]."""
    return np.asarray(mr.conv(x[None, ..., None], KERNEL[..., None, None]))[0, ..., 0]


def by_picture(x: np.ndarray) -> np.ndarray:
    """The kernel of one frame on each frame of a clip by itself."""
    return np.asarray(mr.conv(x[..., None], FLAT[..., None, None]))[..., 0]


def parameters() -> tuple[int, int]:
    """Of 64 kernels of 3 by 3, and of 3 by 3 by 3, on three channels."""
    flat, deep = Conv2D(64, 3), Conv3D(64, 3)
    flat(Input((32, 32, 3)))
    deep(Input((16, 32, 32, 3)))
    return flat.count_params(), deep.count_params()


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Both kernels on a bar that stands, and one that moves either way."""
    table = words("concepts", language)["convolution-3d"]
    deep = {key: float(over_time(x).max()) for key, x in CLIPS.items()}
    flat = {key: float(by_picture(x).max()) for key, x in CLIPS.items()}
    left, names = CLIPS["left"], [table["frame"].format(number=n + 1) for n in range(FRAMES)]
    made = over_time(left)
    where = tuple(int(n) for n in np.unravel_index(int(made[0].argmax()), made[0].shape))
    window = left[:2, where[0] : where[0] + 2, where[1] : where[1] + 2]
    first, second = parameters()
    blind = len(set(flat.values())) == 1
    code = (
        f"{grid(dict(zip(names, left, strict=True)))}\n\n"
        f"{grid({table['kernel_1']: KERNEL[0], table['kernel_2']: KERNEL[1]})}\n\n"
        f"{table['place'].format(row=where[0] + 1, column=where[1] + 1)}:\n{product_sum(window, KERNEL)}\n\n"
        f"{grid({table['map_1']: made[0], table['map_2']: made[1]})}"
    )
    rows = [[table[key], f"{flat[key]:g}", f"{deep[key]:g}"] for key in CLIPS]
    return Finding(
        "seen" if blind and deep["left"] > max(deep["still"], deep["right"]) else "unseen",
        {**deep, "flat": flat["still"], "two": first, "three": second},
        [Code(code), Listing([table[f"column_{n}"] for n in range(3)], rows)],
    )


CONVOLUTION_3D = Concept(
    "convolution-3d",
    experiment,
    see=("convolution", "pooling", "Conv3D"),
    also=("3d-convolution", "3-d-convolution"),
    formulas=(
        Math(
            "out[t, i, j, f] = b[f] + sum_{s, p, q, c} x[t + s, i + p, j + q, c] * w[s, p, q, c, f]",
            r"\mathrm{out}_{t,i,j,f} = b_f + \sum_{s,p,q,c} x_{t+s,\,i+p,\,j+q,\,c} \, w_{s,p,q,c,f}",
        ),
    ),
)
