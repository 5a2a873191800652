"""Convolutions whose windows see mostly padding, and their gradients, beside the definition in float64."""

import pytest
from test_convolution_routines import compare_all_three

CASES = [  # x, kernel, strides, padding, dilation, groups
    ((33, 2, 2, 48), (3, 3, 48, 40), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((300, 2, 1, 24), (3, 3, 24, 33), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),  # many images
    ((7, 4, 5, 40), (3, 4, 40, 70), (2, 1), ((2, 0), (1, 3)), (1, 2), 1),
    ((5, 3, 2, 66), (2, 5, 33, 50), (3, 2), ((5, 1), (2, 4)), (2, 1), 2),
    ((6, 1, 1, 32), (5, 5, 32, 32), (1, 1), ((2, 2), (2, 2)), (1, 1), 1),  # most taps meet nothing
    ((9, 2, 3, 32), (2, 2, 32, 31), (1, 2), ((4, 5), (6, 3)), (1, 1), 1),  # many windows see nothing
    ((4, 5, 3, 25), (1, 1, 25, 24), (2, 1), ((0, 1), (3, 3)), (1, 1), 1),
    ((2, 9, 9, 32), (3, 3, 32, 48), (1, 1), ((6, 6), (6, 6)), (6, 6), 1),
    ((6, 5, 5, 40), (3, 3, 40, 40), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),  # for the input's gradient
    ((64, 2, 2, 64), (3, 3, 32, 64), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),  # where Winograd's transforms would do
    ((70, 3, 96), (3, 32, 96), (1,), ((2, 1),), (1,), 3),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_both_gradients(libraries, case):
    compare_all_three(libraries, case, 5)
