"""Nearest examples against distances computed one by one, and where their picture has each."""

import numpy as np
import pytest

from millrace.experiments.neighbour_sheet import APART, CELL, GAP, LINE, MARGIN, Pictured, neighbour_sheet
from millrace.experiments.neighbours import verdict
from millrace.explain.nearest import by_chance, nearest, shared
from millrace.ir.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)


def test_nearest_by_hand():
    examples = np.array([[0.0, 0], [3, 4], [1, 0], [10, 10]])
    queries = np.array([[0.0, 0], [9, 9]])
    assert nearest(queries, examples, 3).tolist() == [[0, 2, 1], [3, 1, 2]]


def test_nearest_against_distances_one_by_one():
    queries, examples = (RNG.normal(5, 1, (count, 7)).astype(np.float32) for count in (600, 40))
    wide = examples.astype(float)
    expected = [
        np.argsort([np.sqrt(((query - one) ** 2).sum()) for one in wide])[:6] for query in queries.astype(float)
    ]
    assert (nearest(queries, examples, 6) == expected).all()


def test_of_equally_near_ones_the_first():
    assert nearest(np.zeros((1, 2)), np.array([[5.0, 0], [0, 1], [1, 0], [0, -1]]), 4).tolist() == [[1, 2, 3, 0]]


def test_pixels_do_not_overflow():
    examples = np.array([[0] * 8, [250] * 8], np.uint8)
    queries = np.array([[240] * 8, [10] * 8], np.uint8)
    assert nearest(queries, examples, 1).tolist() == [[1], [0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\[2, 3\] and \[4, 5\]"):
        nearest(np.zeros((2, 3)), np.zeros((4, 5)), 1)
    with pytest.raises(ArgumentError, match="the 5 nearest of 4"):
        nearest(np.zeros((2, 3)), np.zeros((4, 3)), 5)


def test_shares_of_the_same_class():
    labels = np.array([0, 0, 1, 2])
    near = np.array([[0, 1], [2, 1], [2, 0]])
    assert shared(near, labels, np.array([0, 0, 2])).tolist() == [1.0, 0.5, 0.0]
    assert by_chance(labels, np.array([0, 1, 1, 2])) == (0.5 + 0.25 + 0.25 + 0.25) / 4


def test_verdicts():
    much, little = RNG.integers(3, 7, 200) / 6, RNG.integers(0, 3, 200) / 6
    assert "as the paper shows" in verdict(much, little, 0.1) and "times as many as by chance" in verdict(
        much, little, 0.1
    )
    assert "not clearly more" in verdict(little, little[::-1], 0.1)
    assert "fewer are of the same class than by pixels" in verdict(little, much, 0.1)


def test_where_each_picture_lies():
    def picture(value, name):
        return Pictured(np.full((CELL, CELL, 3), value, np.uint8), name)

    rows = [
        (picture(10 * n + 1, "church"), [picture(10 * n + k + 2, "church" if k else "tench") for k in range(3)])
        for n in range(2)
    ]
    sheet = neighbour_sheet(rows, ("held out", "nearest"))
    assert sheet.shape == (
        2 * MARGIN + LINE + 2 * (CELL + LINE + GAP) - GAP,
        2 * MARGIN + 4 * CELL + APART + 2 * GAP,
        3,
    )
    for n in range(2):
        top = MARGIN + LINE + n * (CELL + LINE + GAP)
        for k in range(4):
            left = MARGIN if k == 0 else MARGIN + CELL + APART + (k - 1) * (CELL + GAP)
            assert (sheet[top : top + CELL, left : left + CELL] == 10 * n + k + 1).all()
    assert darkest_below(sheet, 2) < darkest_below(sheet, 1)  # a church near a church is named in black


def darkest_below(sheet, place):
    """The darkest pixel of the name under a neighbour of the first row, the nearest being 1."""
    top, left = MARGIN + LINE + CELL, MARGIN + CELL + APART + (place - 1) * (CELL + GAP)
    return sheet[top : top + LINE, left : left + CELL].min()
