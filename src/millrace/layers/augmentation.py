"""Layers that show training other images than there are: moved, mirrored, recoloured, covered or mixed at random.

They stand at the front of a model, are compiled with the step, and are gone in use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError, one_of
from millrace.ir.types import TensorType
from millrace.layers.arguments import number, whole
from millrace.layers.base import Layer
from millrace.layers.randomness import Randomized
from millrace.layers.scaling import finite

FLIPS = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (2, 1)}


class _Images(Layer):
    """Images [batch, height, width, channels] of uint8 or floating-point numbers."""

    def check(self, x: Value | TensorType) -> None:
        kind = type(self).__name__
        type_ = x.type if isinstance(x, Value) else x
        if type_.ndim != 4:
            raise ShapeError(f"{kind} takes images [batch, height, width, channels], got {type_}.")
        if type_.dtype == "bool":
            raise DTypeError(f"{kind} takes images of numbers, got {type_}: convert with mr.cast(x, 'uint8').")


class _RandomImages(_Images, Randomized):
    """What changes each image in its own way in training, and none afterwards."""

    def build(self, x: TensorType) -> None:
        self.check(x)
        self.add_random()


class CenterCrop(_Images):
    """The middle of each image: [batch, height, width, channels], uint8 or floating-point, the dtype kept.

    Raises ArgumentError for sizes below 1, ShapeError for images that are smaller (Keras enlarges those).
    Source: Keras CenterCrop.
    """

    def __init__(self, height: int, width: int, **common: Any):
        super().__init__(**common)
        self.height, self.width = whole(height, "height"), whole(width, "width")

    def call(self, x: Value) -> Value:
        self.check(x)
        return mr.center_crop(x, self.height, self.width)


class RandomCrop(_RandomImages):
    """In training a window of each image, anywhere inside; afterwards its middle, as CenterCrop.

    Images uint8 or floating-point -> [batch, height, width, channels], the dtype kept. Every place is equally probable,
    and each image has its own. seed: of the places, that of all layers where None.

    Raises ArgumentError for sizes below 1, ShapeError for images that are smaller (Keras enlarges those).
    Source: Keras RandomCrop; Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(self, height: int, width: int, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.height, self.width, self.seed = whole(height, "height"), whole(width, "width"), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        middle = mr.center_crop(x, self.height, self.width)
        return mr.training_only(middle, mr.random_crop(x, self.height, self.width, state, stream))


class RandomFlip(_RandomImages):
    """In training half of the images are mirrored; with two directions, half of them in each.

    Images uint8 or floating-point, shape and dtype kept. mode: "horizontal" (left to right), "vertical" (upside down)
    or "horizontal_and_vertical".

    Raises ArgumentError for another mode.  Source: Keras RandomFlip; Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(self, mode: str = "horizontal_and_vertical", seed: int | None = None, **common: Any):
        super().__init__(**common)
        if not isinstance(mode, str) or mode not in FLIPS:
            raise one_of("mode", mode, list(FLIPS))
        self.mode, self.seed = mode, seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        flipped = x
        for axis in FLIPS[self.mode]:
            flipped = mr.random_flip(flipped, state, f"{stream}/{axis}", axis)
        return mr.training_only(x, flipped)


class RandomBrightness(_RandomImages):
    """In training each image is made lighter or darker by a share of the value range, and kept within it.

    Images -> the same shape, uint8 as float32. factor: a number f for shares from -f to f, or the least and the
    greatest, from -1 (black) to 1 (white). value_range: of the pixels.

    Raises ArgumentError for a factor outside -1 ... 1 or a range that is none.  Source: Keras RandomBrightness.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.factor = two_numbers(factor, "factor", -1, 1, lambda f: (-abs(f), abs(f)))
        self.value_range, self.seed = range_of_values(value_range), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        return mr.training_only(as_pixels(x), mr.random_brightness(x, *self.factor, state, stream, self.value_range))


class RandomContrast(_RandomImages):
    """In training each image's distance from its channels' means is multiplied by a factor, and kept within the range.

    Images -> the same shape, uint8 as float32. factor: a number f for factors from 1 - f to 1 + f, or two numbers for
    factors from 1 - lower to 1 + upper, each from 0 to 1. value_range: of the pixels.

    Raises ArgumentError for a factor outside 0 ... 1 or a range that is none.  Source: Keras RandomContrast.
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.factor = two_numbers(factor, "factor", 0, 1, lambda f: (f, f), ordered=False)
        self.value_range, self.seed = range_of_values(value_range), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        bounds = 1 - self.factor[0], 1 + self.factor[1]
        return mr.training_only(as_pixels(x), mr.random_contrast(x, *bounds, state, stream, self.value_range))


class PCAColor(_RandomImages):
    """In training each image gets one colour added to all its pixels, along the directions in which colours vary.

    Images -> the same shape, uint8 as float32; p1 a1 l1 + p2 a2 l2 + p3 a3 l3, a normal with deviation `stddev` and
    drawn for each image. eigenvalues l [channels] and eigenvectors p [channels, channels], one in each column: of the
    covariance of the colours of all pixels, `numpy.linalg.eigh(numpy.cov(pixels, rowvar=False))` for pixels [N,
    channels]. Eigenvalues are of squares, so take them of pixels from 0 to 1, and 255 times those for images from 0 to
    255.

    Raises ArgumentError for what does not fit together, ShapeError for images with other channels.
    Source: Krizhevsky et al. 2012, section 4.1.
    """

    def __init__(
        self, eigenvalues: Any, eigenvectors: Any, stddev: float = 0.1, seed: int | None = None, **common: Any
    ):
        super().__init__(**common)
        self.eigenvalues = self._array(eigenvalues, "eigenvalues", 1)
        self.eigenvectors = self._array(eigenvectors, "eigenvectors", 2)
        count = len(self.eigenvalues)
        if self.eigenvectors.shape != (count, count):
            raise ArgumentError(
                f"eigenvectors must be [{count}, {count}], a column for each of the {count} eigenvalues; got "
                f"{list(self.eigenvectors.shape)}: {eigenvectors!r}."
            )
        self.stddev, self.seed = number(stddev, "stddev", 0), seed

    def _array(self, value: Any, name: str, ndim: int) -> np.ndarray:
        try:
            made = np.asarray(value)
            fine = made.dtype.kind in "iuf" and made.ndim == ndim and made.size > 0 and bool(np.isfinite(made).all())
        except ValueError:
            fine = False
        if not fine:
            raise ArgumentError(f"{name} must be finite numbers with {ndim} axes, got {value!r}.")
        self.arguments[name] = made.tolist()
        return made.astype(np.float32)

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        shifted = mr.pca_color(x, self.eigenvalues, self.eigenvectors, state, stream, self.stddev)
        return mr.training_only(as_pixels(x), shifted)


class Cutout(_RandomImages):
    """In training a square of each image is covered, its middle on any pixel, so that parts may lie outside.

    Images uint8 or floating-point, shape and dtype kept. size: of a side, in pixels. fill_value: what covers it; the
    paper's 0 is the mean where the layer stands after a MeanSubtraction.

    Raises ArgumentError for a size below 1.  Source: DeVries and Taylor 2017, section 3.2.
    """

    def __init__(self, size: int, fill_value: float = 0.0, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.size, self.seed = whole(size, "size"), seed
        self.fill_value = finite(fill_value, "fill_value")

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        return mr.training_only(x, mr.random_cutout(x, self.size, state, stream, self.fill_value))


class RandomErasing(_RandomImages):
    """In training a box of an image is replaced by noise, or by one value.

    Images uint8 or floating-point, shape and dtype kept. factor: the probability that an image has a box, or two
    between which it is drawn for each image (in Keras one number f means one drawn from 0 to f). scale: the least and
    the greatest share of the image's area; height and width are the roots of two such shares. fill_value: a number, or
    one for each channel; None: noise, equally probable anywhere in value_range.

    Raises ArgumentError for shares outside 0 ... 1 or a range that is none.
    Source: Keras RandomErasing; Zhong et al. 2017.
    """

    def __init__(
        self, factor: Any = 1.0, scale: Any = (0.02, 0.33), fill_value: Any = None, value_range: Any = (0, 255),
        seed: int | None = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.factor = two_numbers(factor, "factor", 0, 1, lambda f: (f, f))
        self.scale = two_numbers(scale, "scale", 0, 1)
        if fill_value is not None:
            for one in fill_value if isinstance(fill_value, (list, tuple)) and fill_value else [fill_value]:
                finite(one, "fill_value")
        self.fill_value, self.value_range, self.seed = fill_value, range_of_values(value_range), seed

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        probability = sum(self.factor) / 2  # one drawn between both comes to the same
        erased = mr.random_erasing(x, probability, self.scale, state, stream, self.fill_value, self.value_range)
        return mr.training_only(x, erased)


class MixUp(Randomized):
    """In training each example is mixed with another of its batch, and so is what it is to be answered with.

    Any shape [batch, ...], kept; whole numbers become float32. An example keeps a share s, the other has 1 - s; s is
    drawn for each example from the beta distribution with parameters alpha and alpha. The loss is s times the loss for
    its own answer plus 1 - s times that for the other's, each with the weight of its answer; metrics count the answer
    with the larger share. What fills up a short batch is mixed with nothing. Evaluation and prediction see x itself.

    A model holds one MixUp. Raises ArgumentError for alpha that is not above 0.
    Source: Keras MixUp; Zhang et al. 2017.
    """

    def __init__(self, alpha: float = 0.2, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.alpha, self.seed = number(alpha, "alpha", 0, open_low=True), seed

    def build(self, x: TensorType) -> None:
        if x.ndim < 1 or x.dtype == "bool":
            raise ShapeError(f"MixUp takes numbers [batch, ...], got {x}.")
        self.add_random()

    def call(self, x: Value) -> Value:
        state, stream = self.draw()
        share = mr.random_beta(state, self.alpha, x.shape[:1], f"{stream}/share")
        partner = mr.random_partner(mr.example_weights(x), state, f"{stream}/partner")
        return mr.mixup(as_pixels(x), share, partner)


def as_pixels(x: Value) -> Value:
    """Numbers that can be computed with: whole ones as float32."""
    return x if x.type.is_float else mr.cast(x, "float32")


def two_numbers(
    value: Any, name: str, low: float, high: float, from_one: Any = None, ordered: bool = True
) -> tuple[float, float]:
    """Two numbers within bounds; where `from_one` makes them of one, that too.  Raises ArgumentError by name."""
    if from_one is not None and not isinstance(value, (list, tuple)):
        return from_one(number(value, name, low, high))
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ArgumentError(f"{name} must be two numbers from {low} to {high}, got {value!r}.")
    first, second = (number(one, name, low, high) for one in value)
    if ordered and first > second:
        raise ArgumentError(f"{name}={value!r}: the first number must not be above the second.")
    return first, second


def range_of_values(value: Any) -> tuple[float, float]:
    """The least and the greatest value of a pixel.  Raises ArgumentError unless the first is below the second."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ArgumentError(f"value_range must be two numbers such as (0, 255), got {value!r}.")
    low, high = (finite(one, "value_range") for one in value)
    if low >= high:
        raise ArgumentError(f"value_range={value!r}: the first number must be below the second.")
    return low, high
