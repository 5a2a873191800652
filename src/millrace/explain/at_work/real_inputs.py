"""What explanations are shown on: two photographs, handwritten digits, letters; all at hand without a network.

Source: scikit-learn's sample images china.jpg and flower.jpg, and its 1,797 digits (Alpaydin and Kaynak, UCI 1998).
Their files are read without importing scikit-learn, which takes longer than an explanation.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from millrace.ir.errors import DataError

SIDE = 64  # pixels of a picture's side: enough to see what changed, and fast in plain NumPy
SCALE = 3  # photographs are made smaller first, so that a square holds a whole roof
SENTENCE = "the mill turns the wheel"
LETTERS = " abcdefghijklmnopqrstuvwxyz"
WORDS = ("", "mary", "went", "to", "the", "garden", "john", "kitchen", "where", "is")
STORY = (("mary", "went", "to", "the", "garden"), ("john", "went", "to", "the", "kitchen"))
QUESTION = ("where", "is", "mary")


def folder() -> Path:
    """Where scikit-learn keeps its data sets.  Raises DataError where it is not installed."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("explanations show their examples on scikit-learn's pictures: pip install scikit-learn.")
    return Path(spec.origin).parent / "datasets"


@lru_cache
def whole_photograph(name: str = "china") -> np.ndarray:
    """A photograph at a third of its size: float32 [142, 213, 3] from 0 to 1."""
    from PIL import Image

    with Image.open(folder() / "images" / f"{name}.jpg") as picture:
        small = picture.convert("RGB").resize((picture.width // SCALE, picture.height // SCALE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def photograph(side: int = SIDE, top: int = 6, left: int = 36, name: str = "china") -> np.ndarray:
    """A square cut out of a photograph: [1, side, side, 3], red, green and blue from 0 to 1."""
    return whole_photograph(name)[None, top : top + side, left : left + side].copy()


def bytes_of(x: np.ndarray) -> np.ndarray:
    """A picture from 0 to 1 as bytes from 0 to 255."""
    return np.round(x * 255).astype(np.uint8)


def grey(side: int = SIDE) -> np.ndarray:
    """The same square as brightness: [1, side, side, 1] from 0 to 1."""
    return photograph(side).mean(axis=-1, keepdims=True)


def spread_out(side: int = SIDE) -> np.ndarray:
    """Brightness with mean 0 and standard deviation 2, as what reaches an activation: [1, side, side, 1]."""
    x = grey(side)
    return np.float32(2) * (x - x.mean()) / x.std()


def brightness(steps: int = 96) -> np.ndarray:
    """Brightness along one line of the photograph, from left to right: [1, steps, 1] from 0 to 1."""
    return whole_photograph()[42, 20 : 20 + steps].mean(axis=-1)[None, :, None].astype(np.float32)


def edges_in_eight_directions(side: int = 48) -> np.ndarray:
    """How much brighter each pixel's neighbour is, in each of eight directions: feature maps [1, side, side, 8]."""
    x = grey(side + 2)[0, :, :, 0]
    steps = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    middle = x[1:-1, 1:-1]
    maps = [x[1 + a : 1 + a + side, 1 + b : 1 + b + side] - middle for a, b in steps]
    return np.maximum(np.stack(maps, axis=-1), 0)[None].astype(np.float32)


def volume(depth: int = 6, side: int = 32) -> np.ndarray:
    """A square that moves over the photograph, two pixels a frame: [1, depth, side, side, 1] from 0 to 1."""
    x = whole_photograph().mean(axis=-1)
    frames = [x[20 : 20 + side, 52 + 2 * n : 52 + 2 * n + side] for n in range(depth)]
    return np.stack(frames)[None, ..., None].astype(np.float32)


@lru_cache
def all_digits() -> tuple[np.ndarray, np.ndarray]:
    """The first 400 digits: ink float32 [400, 8, 8] from 0 to 1, and what they are, int32 [400]."""
    raw = np.loadtxt(folder() / "data" / "digits.csv.gz", delimiter=",", max_rows=400, dtype=np.float32)
    return raw[:, :-1].reshape(-1, 8, 8) / 16, raw[:, -1].astype(np.int32)


def digits(count: int = 4) -> np.ndarray:
    """The first digits, 0, 1, 2 ...: [count, 8, 8, 1] from 0 (paper) to 1 (ink)."""
    return all_digits()[0][:count, :, :, None].copy()


def digit(n: int = 3) -> np.ndarray:
    """One digit: [1, 8, 8, 1]; the n-th is an n for n up to 9."""
    return all_digits()[0][n : n + 1, :, :, None].copy()


def rows_of_a_digit(n: int = 3) -> np.ndarray:
    """A digit as a sequence, its rows from top to bottom: [1, 8, 8], 8 steps of 8 numbers."""
    return all_digits()[0][n : n + 1].copy()


def pixels(count: int = 1) -> np.ndarray:
    """Digits as vectors of 64 numbers: [count, 64]."""
    return all_digits()[0][3 : 3 + count].reshape(count, 64).copy()


def letters() -> np.ndarray:
    """A sentence by letters, 0 for a space, 1 for a: int32 [1, 24]."""
    return np.array([[LETTERS.index(letter) for letter in SENTENCE]], np.int32)


def numbers_of(sentences: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """Sentences by words, 0 where a sentence is shorter: int32 [sentences, words]."""
    width = max(map(len, sentences))
    rows = [[WORDS.index(word) for word in words] + [0] * (width - len(words)) for words in sentences]
    return np.array(rows, np.int32)


def scores() -> np.ndarray:
    """How like digit 3 each of the first ten digits is, as products of their pixels: [1, 10].

    A stand-in for the scores of a last layer, on real pictures: the 3 itself is the greatest.
    """
    x = all_digits()[0][:10].reshape(10, 64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (6 * (x[3:4] @ x.T)).astype(np.float32)


def colour_line(steps: int = 96) -> np.ndarray:
    """Red, green and blue along one line of the photograph: [1, steps, 3] from 0 to 1."""
    return whole_photograph()[42, 20 : 20 + steps][None].copy()


def channels_of_a_volume() -> np.ndarray:
    """The moving square in red, green and blue: [1, 4, 24, 24, 3] from 0 to 1."""
    x = whole_photograph()
    return np.stack([x[24:48, 52 + 2 * n : 76 + 2 * n] for n in range(4)])[None].copy()
