"""Numbers as colours, and in numbers: values by hand."""

import math

import numpy as np
import pytest

from millrace.explain.pages import Picture
from millrace.explain.pixels import ABOVE, BELOW, colours, grid
from millrace.explain.run_findings import drawn
from millrace.explain.seen import measured
from millrace.explain.subject_page import subject_page
from millrace.explain.subjects import found, subjects


def test_signed_numbers_go_from_blue_over_white_to_orange():
    made, there = colours(Picture("", np.array([[-2.0, 0.0, 2.0, np.nan]]), "", signed=True))
    assert made[0, :3].tolist() == [BELOW.tolist(), [255, 255, 255], ABOVE.tolist()]
    assert there.tolist() == [[True, True, True, False]]


def test_other_numbers_go_from_black_to_white():
    made, _ = colours(Picture("", np.array([[1.0, 2.0, 3.0]]), ""))
    assert made[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_numbers_of_an_array_are_told():
    one = measured(np.array([0.0, 0.0, 3.0, -1.0], np.float32))
    assert (one.count, one.mean, one.least, one.greatest, one.zeros) == (4, 0.5, -1.0, 3.0, 0.5)
    assert one.deviation == pytest.approx(math.sqrt((0.25 + 0.25 + 6.25 + 2.25) / 4))


def test_pictures_in_a_grid_stand_apart():
    made = grid([np.full((2, 2), float(n)) for n in range(3)], 2)
    assert made.shape == (5, 5) and np.isnan(made[2]).all() and made[0, 3] == 1.0 and made[4, 0] == 2.0
    assert np.isnan(made[3:, 3:]).all()  # no fourth one


def test_a_size_of_0_has_no_place_on_a_logarithmic_chart():
    (chart,) = drawn("sizes", {"a": [(1, 0.0), (2, 0.1), (3, 0.01)]}, "epoch", "size")
    assert "nan" not in chart.svg and "inf" not in chart.svg


def test_relu_leaves_what_is_above_0():
    """Of the numbers that it is shown on, made to mean 0, not all change."""
    (relu,) = [one for one in found("relu", subjects(), "function") if one.name == "relu"]
    text = str(list(subject_page(relu).sections)[3])
    assert "4,096 of 4,096 numbers changed" not in text and "of 4,096 numbers changed" in text
