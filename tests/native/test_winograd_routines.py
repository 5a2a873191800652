"""Convolutions of 3 x 3 and 5 x 5 by Winograd's transforms, and their gradients, beside the definition in float64."""

import numpy as np
import pytest
from calling import Pool
from test_convolution_routines import by, three

CASES = [  # batch, height, width, channels, filters of all groups, padding, groups
    (10, 7, 6, 64, 96, ((1, 1), (1, 1)), 1),
    (5, 7, 9, 192, 96, ((1, 0), (1, 2)), 3),
    (6, 8, 8, 256, 192, ((2, 2), (2, 2)), 2),  # channels in slices, one for each thread
    (33, 5, 6, 32, 48, ((2, 2), (0, 1)), 1),
    (1, 17, 19, 64, 32, ((0, 2), (1, 0)), 1),
]


@pytest.mark.parametrize(("kernel", "most"), [(3, 1.5e-6), (5, 3e-5)])
@pytest.mark.parametrize("case", CASES)
def test_forward_and_both_gradients(libraries, case, kernel, most):
    batch, height, width, channels, filters, padding, groups = case
    rng = np.random.default_rng(kernel)
    for name, op, _, arrays in three(
        (batch, height, width, channels), (kernel, kernel, channels // groups, filters), rng,
        strides=(1, 1), padding=padding, dilation=(1, 1), groups=groups,
    ):  # fmt: skip
        expected = op.evaluate(*[x.astype(np.float64) for x in arrays])
        for kind, library in libraries.items():
            got = by(library, op, arrays, Pool(1))
            assert np.abs(got - expected).max() < most * np.abs(expected).max(), f"{name} for {kind}"
            np.testing.assert_array_equal(got, by(library, op, arrays, Pool(3)), f"{name} for {kind}, three threads")
