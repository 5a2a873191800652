"""How colourful kernels are, and where the picture of them has each, against kernels made by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from millrace.experiments.kernel_sheet import APART, GAP, as_pixels, colourfulness, halves, kernel_sheet, png
from millrace.experiments.kernels import verdict
from millrace.ir.errors import ShapeError

RNG = np.random.default_rng(0)


def of_colours(pattern, *colours):
    """Kernels [height, width, 3, count]: a pattern [height, width] in each of some colours."""
    return np.stack([pattern[..., None] * np.array(colour, float) for colour in colours], axis=-1)


def test_grey_has_no_colour_and_opponent_colours_nothing_else():
    pattern = RNG.normal(size=(11, 11))
    kernels = of_colours(pattern, (1, 1, 1), (1, -1, 0), (1, 1, -2), (1, 0, 0))
    # red alone: its projection on (1, 1, 1) / sqrt(3) has a third of its square
    assert colourfulness(kernels) == pytest.approx([0, 1, 1, 2 / 3], abs=1e-12)


def test_scale_and_sign_of_a_kernel_do_not_matter():
    kernels = RNG.normal(size=(11, 11, 3, 4))
    assert colourfulness(-3 * kernels) == pytest.approx(colourfulness(kernels))


def test_random_numbers_are_two_thirds_colour():
    assert colourfulness(RNG.normal(size=(11, 11, 3, 400))).mean() == pytest.approx(2 / 3, abs=0.01)


def test_a_kernel_of_zeros_is_grey():
    assert colourfulness(np.zeros((3, 3, 3, 1))) == [0]


@pytest.mark.parametrize("shape", [(11, 11, 1, 4), (11, 11, 3), (3, 11, 11, 4)])
def test_other_arrays_are_refused(shape):
    for take in (colourfulness, kernel_sheet):
        with pytest.raises(ShapeError, match=r"\[height, width, 3, count\], got \["):
            take(np.zeros(shape))


def test_the_first_half_is_the_first_towers():
    first, second = halves(np.arange(8).reshape(1, 1, 1, 8))
    assert first.ravel().tolist() == [0, 1, 2, 3] and second.ravel().tolist() == [4, 5, 6, 7]


def test_each_kernel_is_drawn_over_its_own_range():
    kernels = np.zeros((2, 2, 3, 3))
    kernels[0, 0, :, 0] = [-1, 0, 1]  # elsewhere 0, the middle
    kernels[0, 0, :, 1] = [-1000, 0, 3000]
    kernels[..., 2] = 7
    pixels = as_pixels(kernels)
    assert pixels[0, 0, :, 0].tolist() == [0, 128, 255] and (pixels[1, ..., 0] == 128).all()
    assert pixels[0, 0, :, 1].tolist() == [0, 64, 255] and (pixels[1, ..., 1] == 64).all()
    assert (pixels[..., 2] == 128).all()


def test_where_each_kernel_lies():
    tall, wide, count, columns, zoom = 3, 4, 10, 2, 2
    kernels = RNG.normal(size=(tall, wide, 3, count))
    sheet, expected = kernel_sheet(kernels, columns, zoom), as_pixels(kernels)
    down, across = tall + GAP, wide + GAP
    half = 3 * down - GAP  # five kernels in rows of two
    assert sheet.shape == (zoom * (2 * half + 3 * APART), zoom * (2 * across - GAP + 2 * APART), 3)
    covered = np.zeros(sheet.shape[:2], bool)
    for n in range(count):
        tower, place = divmod(n, count // 2)
        top = zoom * (APART + tower * (half + APART) + place // columns * down)
        left = zoom * (APART + place % columns * across)
        here = slice(top, top + zoom * tall), slice(left, left + zoom * wide)
        assert (sheet[here][::zoom, ::zoom] == expected[..., n]).all()
        assert (sheet[here][1::zoom, 1::zoom] == expected[..., n]).all()
        covered[here] = True
    assert (sheet[~covered] == 255).all()


def test_the_papers_kernels_are_six_rows_of_sixteen():
    zoom = 5
    tall, wide = 2 * (3 * 12 - 1) + 3 * APART, 16 * 12 - 1 + 2 * APART
    assert kernel_sheet(RNG.normal(size=(11, 11, 3, 96))).shape == (zoom * tall, zoom * wide, 3)


def test_the_png_holds_the_same_pixels():
    sheet = kernel_sheet(RNG.normal(size=(3, 3, 3, 4)))
    assert (np.asarray(Image.open(io.BytesIO(png(sheet)))) == sheet).all()


def test_verdicts_of_towers():
    grey, colour = RNG.uniform(0, 0.3, 48), RNG.uniform(0.7, 1, 48)
    middle, less = RNG.uniform(0.5, 0.8, 48), RNG.uniform(0.35, 0.65, 48)
    assert "have specialised as the paper's did, the upper half in what has no colour" in verdict(grey, colour)
    assert "have specialised as the paper's did, the lower half in what has no colour" in verdict(colour, grey)
    assert "alike" in verdict(middle, middle[::-1]) and "+0.00" in verdict(middle, middle[::-1])
    told = verdict(middle, less)
    assert "the lower half has less colour" in told and "have not specialised" in told and "-0.1" in told
