"""Images [batch, height, width, channels] changed at random, each in its own way, as part of the training step.

Every draw is a function of a state (seed, count) and a stream's name; where things lie is decided by whole numbers, so
that crops, flips and boxes are the same on every engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from millrace.functional.arithmetic import (
    add,
    clip,
    greater_equal,
    less,
    logical_and,
    multiply,
    remainder,
    right_shift,
    subtract,
    where,
)
from millrace.functional.convert import Like, as_value, broadcast_to, cast, constant
from millrace.functional.randomness import (
    random_bernoulli,
    random_bits,
    random_integers,
    random_normal,
    random_uniform,
)  # fmt: skip
from millrace.functional.reductions import mean
from millrace.functional.reductions import sum as total
from millrace.functional.shaping import flip, iota, reshape, slice_axis, stack, take
from millrace.ir.bounds import check_elements
from millrace.ir.core import Value
from millrace.ir.dims import Dim, Size
from millrace.ir.errors import ArgumentError, DTypeError, ShapeError
from millrace.ops.crops import Crop
from millrace.ops.once import Once

FINE = 2**24  # shares of a side are drawn in steps of 1 / FINE


# ---- crops and flips


def random_crop(x: Like, height: int, width: int, state: Like, stream: str = "crop") -> Value:
    """A window of each image, anywhere inside with equal probability: [batch, height, width, channels].

    Raises ShapeError for a window that is larger than the image.  Source: Krizhevsky et al. 2012, section 4.1.
    """
    x = images(x, "random_crop")
    rows, columns = _room(x, height, width)
    batch = x.shape[0]
    top = random_integers(state, (batch,), f"{stream}/top", rows + 1)
    left = random_integers(state, (batch,), f"{stream}/left", columns + 1)
    return Crop(height, width)(x, top, left)


def center_crop(x: Like, height: int, width: int) -> Value:
    """The middle of each image: [batch, height, width, channels]; of an odd rim the larger part is cut off after.

    Raises ShapeError for a window that is larger than the image.  Source: Keras CenterCrop.
    """
    x = images(x, "center_crop")
    rows, columns = _room(x, height, width)
    x = slice_axis(x, 1, rows // 2, rows // 2 + height)
    return slice_axis(x, 2, columns // 2, columns // 2 + width)


def crop_of_ten(x: Like, number: Like, height: int, width: int) -> Value:
    """One of the ten windows of each image that a network is tested on: [batch, height, width, channels].

    number: int32[], 0 to 3 for the corners, row by row, 4 for the middle, 5 to 9 for the same mirrored left to right.

    Raises ShapeError for a window that is larger than the image.  Source: Krizhevsky et al. 2012, section 4.1.
    """
    x = images(x, "crop_of_ten")
    rows, columns = _room(x, height, width)
    places = [(0, 0), (0, columns), (rows, 0), (rows, columns), (rows // 2, columns // 2)]
    chosen = take(constant(np.array(places, np.int32)), remainder(number, len(places)))
    top, left = (broadcast_to(chosen[n], x.shape[:1]) for n in range(2))
    window = Crop(height, width)(x, top, left)
    return where(greater_equal(number, len(places)), flip(window, 2), window)


def ten_crops(x: Like, height: int, width: int) -> Value:
    """The ten windows of each image that a network is tested on: [batch, 10, height, width, channels].

    Four corners, row by row, and the middle; then the same mirrored left to right.

    Raises ShapeError for a window that is larger than the image.  Source: Krizhevsky et al. 2012, section 4.1.
    """
    return stack([crop_of_ten(x, number, height, width) for number in range(10)], axis=1)


def _room(x: Value, height: int, width: int) -> tuple[int, int]:
    """How many rows and columns a window leaves over."""
    h, w = known_size(x)
    if height > h or width > w:
        raise ShapeError(
            f"a crop of height {height} and width {width} does not fit into images of height {h} and width {w} "
            f"({x.type}): make it smaller, or the images larger."
        )
    return h - height, w - width


def flip_left_right(x: Like) -> Value:
    """Every image mirrored, left to right: [batch, height, width, channels].  Source: Krizhevsky et al. 2012."""
    return flip(images(x, "flip_left_right"), 2)


def flip_up_down(x: Like) -> Value:
    """Every image upside down: [batch, height, width, channels].  Source: Keras RandomFlip."""
    return flip(images(x, "flip_up_down"), 1)


def random_flip(x: Like, state: Like, stream: str = "flip", axis: int = 2) -> Value:
    """Half of the images, chosen by chance, mirrored along an axis: 2 left to right, 1 upside down.

    Source: Krizhevsky et al. 2012, section 4.1.
    """
    x = images(x, "random_flip")
    if axis not in (1, 2):
        raise ArgumentError(f"random_flip mirrors along axis 1 (height) or 2 (width), got {axis!r}.")
    return where(each(random_bernoulli(state, 0.5, x.shape[:1], stream)), flip(x, axis), x)


# ---- colours


def subtract_mean(x: Like, mean: Like) -> Value:
    """x less a mean for each pixel [height, width, channels], or for each channel [channels]; float32 from uint8.

    Source: Krizhevsky et al. 2012, section 2.
    """
    return _narrow(x, subtract(_wide(images(x, "subtract_mean")), mean))


def random_brightness(
    x: Like, lower: float, upper: float, state: Like, stream: str = "brightness",
    value_range: tuple[float, float] = (0, 255),
) -> Value:  # fmt: skip
    """Each image made lighter or darker by a share of the value range, drawn from lower to upper; float32 from uint8.

    The result stays within value_range.  Source: Keras RandomBrightness.
    """
    x = images(x, "random_brightness")
    shift = random_uniform(state, x.shape[:1], stream, lower, upper)
    moved = add(_wide(x), each(multiply(shift, value_range[1] - value_range[0])))
    return _narrow(x, clip(moved, *map(float, value_range)))


def random_contrast(
    x: Like, lower: float, upper: float, state: Like, stream: str = "contrast",
    value_range: tuple[float, float] = (0, 255),
) -> Value:  # fmt: skip
    """Each image's distance from the mean of each of its channels times a factor drawn from lower to upper.

    The result stays within value_range; float32 from uint8.  Source: Keras RandomContrast.
    """
    x = images(x, "random_contrast")
    wide = _wide(x)
    middle = mean(wide, (1, 2), keepdims=True)
    factor = random_uniform(state, x.shape[:1], stream, lower, upper)
    moved = add(multiply(subtract(wide, middle), each(factor)), middle)
    return _narrow(x, clip(moved, *map(float, value_range)))


def pca_color(
    x: Like, eigenvalues: Like, eigenvectors: Like, state: Like, stream: str = "color", stddev: float = 0.1
) -> Value:
    """Each image with one colour added to all its pixels: p1 a1 l1 + p2 a2 l2 + p3 a3 l3, float32 from uint8.

    eigenvalues l [channels] and eigenvectors p [channels, channels], one in each column, are those of the covariance of
    pixels' colours; a is normal with mean 0 and deviation `stddev`, drawn anew for each image.

    Raises ShapeError where they do not fit the channels.  Source: Krizhevsky et al. 2012, section 4.1.
    """
    x, values, vectors = images(x, "pca_color"), as_value(eigenvalues), as_value(eigenvectors)
    channels = x.shape[-1]
    if values.shape != (channels,) or vectors.shape != (channels, channels):
        raise ShapeError(
            f"pca_color of {x.type} takes eigenvalues [{channels}] and eigenvectors [{channels}, {channels}], one in "
            f"each column; got {values.type} and {vectors.type}."
        )
    wide = _wide(x)
    draws = random_normal(state, (x.shape[0], channels), stream, 0.0, stddev)
    weighted = multiply(cast(draws, wide.dtype), cast(values, wide.dtype))
    shift = total(multiply(reshape(weighted, (x.shape[0], 1, channels)), cast(vectors, wide.dtype)), 2)
    return _narrow(x, add(wide, reshape(shift, (x.shape[0], 1, 1, channels))))


# ---- boxes


def random_cutout(x: Like, size: int, state: Like, stream: str = "cutout", fill_value: float = 0) -> Value:
    """A square of `size` pixels set to fill_value in each image, its middle on any pixel with equal probability.

    Parts of it may lie outside the image.  Source: DeVries and Taylor 2017, section 3.2.
    """
    x = images(x, "random_cutout")
    batch, corner = x.shape[0], []
    for side, name in zip(known_size(x), ("row", "column"), strict=True):
        corner.append(subtract(random_integers(state, (batch,), f"{stream}/{name}", side), size // 2))
    inside = _box(x, corner[0], add(corner[0], size), corner[1], add(corner[1], size))
    return where(inside, _filling(x, fill_value), x)


def random_erasing(
    x: Like, probability: float, scale: tuple[float, float], state: Like, stream: str = "erase",
    fill_value: float | Sequence[float] | None = None, value_range: tuple[float, float] = (0, 255),
) -> Value:  # fmt: skip
    """A box in each image, with some probability, filled with fill_value or, where None, with noise in value_range.

    Height and width of a box are the roots of two shares, drawn from scale[0] to scale[1], of the image's: so its area
    is such a share too, and it lies inside with equal probability anywhere. (The paper draws an area and a ratio of
    sides until they fit.) The noise is drawn once for the batch, and turned by a number of its own for each image.
    Source: Zhong et al. 2017, Algorithm 1; Keras RandomErasing.
    """
    x = images(x, "random_erasing")
    batch, edges = x.shape[0], []
    for size, name in zip(known_size(x), ("height", "width"), strict=True):
        side = _side(size, scale, state, f"{stream}/{name}", batch)
        first = random_integers(state, (batch,), f"{stream}/{name}/first", subtract(size + 1, side))
        edges += [first, add(first, side)]
    chosen = random_bernoulli(state, probability, (batch,), f"{stream}/whether")
    inside = logical_and(_box(x, *edges), each(chosen))
    if fill_value is not None:
        return where(inside, _filling(x, fill_value), x)
    return where(inside, _noise(x, state, f"{stream}/noise", value_range), x)


def _side(size: int, scale: tuple[float, float], state: Like, stream: str, batch: Size) -> Value:
    """How long a side is: the root of a share of `size`, rounded, by comparing whole numbers; at least 1."""
    low, high = (round(share * FINE) for share in scale)
    share = add(random_integers(state, (batch,), stream, high - low + 1), low)
    check_elements((size,), "the sides of boxes")
    steps = np.arange(2, size + 1)
    reached = np.ceil(((steps - 0.5) / size) ** 2 * FINE).astype(np.int32)  # from which share on a side is so long
    longer = greater_equal(reshape(share, (batch, 1)), constant(reached))
    return add(total(cast(longer, "int32"), 1), 1)


def _box(x: Value, top: Value, bottom: Value, left: Value, right: Value) -> Value:
    """Where a pixel lies in its image's box, edges [batch]: bool [batch, height, width, 1]."""
    inside = []
    for axis, first, end in ((1, top, bottom), (2, left, right)):
        shape = [1] * 4
        shape[axis] = x.shape[axis]
        at = iota(shape, axis)
        inside.append(logical_and(greater_equal(at, each(first)), less(at, each(end))))
    return logical_and(*inside)


def _filling(x: Value, fill_value: float | Sequence[float]) -> Value:
    """What fills a box, one number or one for each channel, in x's dtype."""
    made = np.asarray(fill_value)
    if made.shape not in ((), x.shape[3:]) or made.dtype.kind not in "iuf":
        raise ArgumentError(f"fill_value must be one number, or one for each channel of {x.type}; got {fill_value!r}.")
    if not x.type.is_float:
        limits = np.iinfo(x.dtype)
        if (made != np.round(made)).any() or made.min() < limits.min or made.max() > limits.max:
            raise ArgumentError(f"fill_value={fill_value!r} is no {x.dtype}, which these images hold: {x.type}.")
    return constant(made.astype(x.dtype))


def _noise(x: Value, state: Like, stream: str, value_range: tuple[float, float]) -> Value:
    """Noise for every pixel in x's dtype, of whole numbers from one end of the range to the other, or of any."""
    field = Once()(random_bits(state, x.shape[1:], f"{stream}/field"))
    words = add(field, each(random_bits(state, x.shape[:1], f"{stream}/turn")))  # modulo 2^32: as random as one of them
    low, high = value_range
    if not x.type.is_float:
        limits = np.iinfo(x.dtype)
        low, high = max(math.ceil(low), limits.min), min(math.floor(high), limits.max)
        if not 0 < high - low < 2**16:
            raise ArgumentError(f"value_range={value_range} is not one that noise in {x.dtype} can have.")
        sixteen = right_shift(words, np.uint32(16))
        number = right_shift(multiply(sixteen, np.uint32(high - low + 1)), np.uint32(16))
        return cast(add(cast(number, "int32"), low), x.dtype)
    unit = multiply(cast(right_shift(words, np.uint32(8)), "float32"), 2.0**-24)
    return cast(add(multiply(unit, high - low), low), x.dtype)


# ---- what they share


def images(x: Like, name: str) -> Value:
    """Images of numbers.  Raises ShapeError for another number of axes, DTypeError for truth values."""
    x = as_value(x)
    if x.ndim != 4:
        raise ShapeError(f"{name} takes images [batch, height, width, channels], got {x.type}.")
    if x.dtype == "bool":
        raise DTypeError(f"{name} takes images of numbers, got {x.type}: convert with mr.cast(x, 'uint8').")
    return x


def known_size(x: Value) -> tuple[int, int]:
    """Height and width of images.  Raises ShapeError where they, or the channels, are known only with the data."""
    h, w, channels = x.shape[1:]
    if isinstance(h, Dim) or isinstance(w, Dim) or isinstance(channels, Dim):
        raise ShapeError(f"images must have a known height, width and number of channels here, got {x.type}.")
    return h, w


def each(x: Value) -> Value:
    """One number for each image, [batch], to meet [batch, height, width, channels]."""
    return reshape(x, (x.shape[0], 1, 1, 1))


def _wide(x: Value) -> Value:
    """Pixels in a precision in which they can be computed with: float32, or float64 as they come."""
    return x if x.dtype == "float64" else cast(x, "float32")


def _narrow(x: Like, result: Value) -> Value:
    """A result in the dtype of the floating-point images that it was made from."""
    x = as_value(x)
    return cast(result, x.dtype) if x.type.is_float else result


__all__ = [
    "center_crop", "crop_of_ten", "flip_left_right", "flip_up_down", "pca_color", "random_brightness",
    "random_contrast", "random_crop", "random_cutout", "random_erasing", "random_flip", "subtract_mean", "ten_crops",
]  # fmt: skip
