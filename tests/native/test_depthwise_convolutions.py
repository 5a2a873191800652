"""Convolutions in many groups of few channels, and their gradients, beside the definition in float64."""

import numpy as np
import pytest
from test_convolution_routines import by, compare_all_three, three

CASES = [  # x, kernel, strides, padding, dilation, groups
    ((2, 9, 21, 20), (3, 3, 1, 20), (1, 1), ((1, 1), (1, 1)), (1, 1), 20),
    ((1, 6, 40, 48), (5, 5, 1, 48), (1, 1), ((2, 2), (2, 2)), (1, 1), 48),
    ((3, 7, 7, 33), (7, 7, 1, 33), (1, 1), ((3, 3), (3, 3)), (1, 1), 33),
    ((2, 5, 30, 32), (2, 4, 1, 32), (1, 1), ((1, 0), (0, 3)), (1, 1), 32),
    ((2, 11, 30, 17), (3, 2, 1, 17), (2, 3), ((2, 0), (0, 3)), (2, 4), 17),
    ((2, 8, 25, 16), (3, 3, 1, 16), (1, 2), ((1, 1), (0, 1)), (1, 1), 16),
    ((2, 9, 20, 16), (1, 1, 1, 16), (3, 4), ((0, 0), (0, 0)), (1, 1), 16),  # most pixels meet nothing
    ((2, 2, 3, 16), (3, 3, 1, 16), (1, 1), ((4, 5), (6, 3)), (1, 1), 16),  # many windows see nothing
    ((2, 9, 12, 9), (3, 3, 1, 18), (1, 1), ((1, 1), (1, 1)), (1, 1), 9),  # two filters for each channel
    ((2, 9, 12, 11), (3, 3, 1, 33), (2, 2), ((0, 1), (0, 1)), (1, 1), 11),
    ((2, 9, 12, 36), (3, 3, 4, 36), (1, 1), ((1, 1), (1, 1)), (1, 1), 9),
    ((2, 9, 12, 15), (3, 3, 3, 20), (2, 1), ((1, 1), (1, 1)), (1, 2), 5),
    ((2, 9, 12, 28), (2, 2, 4, 7), (1, 1), ((1, 0), (1, 0)), (1, 1), 7),
    ((2, 9, 12, 80), (3, 3, 5, 96), (1, 1), ((1, 1), (1, 1)), (1, 1), 16),  # a product for each group
    ((3, 70, 24), (4, 1, 24), (1,), ((3, 0),), (1,), 24),
    ((1, 1200, 8), (11, 1, 8), (1,), ((10, 10),), (2,), 8),
    ((2, 300, 40), (31, 2, 40), (2,), ((15, 15),), (1,), 20),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_both_gradients(libraries, case):
    compare_all_three(libraries, case, 6)


def test_an_infinite_number_reaches_only_what_sees_it(libraries):
    """Nothing is multiplied by the zeros around an image, nor computed for positions beyond a line's end."""
    how = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 16}
    for name, op, _, arrays in three((1, 6, 13, 16), (3, 3, 1, 16), np.random.default_rng(7), **how):
        arrays[0][0, 2, 3, 5] = np.inf
        with np.errstate(invalid="ignore"):
            expected = np.isfinite(op.evaluate(*arrays))
        for kind, library in libraries.items():
            np.testing.assert_array_equal(np.isfinite(by(library, op, arrays)), expected, f"{name} for {kind}")
