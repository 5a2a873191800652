"""Sums of columns and rows, the greatest of each row, and whether all is finite, in C against NumPy's in float64."""

import numpy as np
import pytest
from calling import Pool, at_the_edge, call
from test_pass_routine import same_on_any_threads

GEOMETRIES = [
    (1, 1), (1, 17), (37, 1), (5, 3), (700, 5), (41, 100), (3, 513), (2, 33_001), (1, 66_001), (70_003, 1), (4099, 33),
]  # fmt: skip
NAMES = {"column_sums": (0, np.sum), "row_sums": (1, np.sum), "row_maxima": (1, np.max)}


def drawn(shape, mean=0.0):
    return (np.random.default_rng(0).normal(size=shape) + mean).astype(np.float32)


@pytest.mark.parametrize("shape", GEOMETRIES)
@pytest.mark.parametrize("name", NAMES)
def test_of_each_row_or_column(libraries, name, shape):
    """Within the rounding of sums in float32, from the magnitudes of what is summed; maxima are exact."""
    axis, function = NAMES[name]
    for mean in (0, 3):
        x = at_the_edge(drawn(shape, mean))
        exact, size = function(x, axis, dtype=np.float64) if axis == 0 or function is np.sum else x.max(1), np.abs(x)
        near = 0 if function is np.max else 2e-6 * size.sum(axis, dtype=np.float64)
        for library in libraries.values():
            (got,) = same_on_any_threads(library, name, [exact.shape], [x], ())
            assert (np.abs(got - exact) <= near).all()


@pytest.mark.parametrize("columns", [1, 3, 16, 63, 64, 65, 200])
def test_of_rows_that_are_not_finite(libraries, columns):
    """NaN anywhere in a row makes its sum and its maximum NaN, and no other row's."""
    x = np.abs(drawn((3 * columns, columns)))
    x[np.arange(columns), np.arange(columns)] = np.nan
    x[columns + np.arange(columns), np.arange(columns)] = -np.inf
    x[-1] = -np.inf
    for library in libraries.values():
        for name in ("row_sums", "row_maxima"):
            (got,) = call(library, name, [(len(x),)], [x], (), Pool(3))
            with np.errstate(invalid="ignore"):
                expected = NAMES[name][1](x.astype(np.float64), 1)
            np.testing.assert_allclose(got, expected, rtol=1e-6)
        x[columns:, 0] = np.inf
        (got,) = call(library, "row_maxima", [(len(x),)], [x])
        np.testing.assert_array_equal(got, x.max(1))


def test_of_columns_that_are_not_finite(libraries):
    x = drawn((67, 37))
    x[66, 36], x[3, 0], x[65, 5], x[1, 7], x[64, 7] = np.nan, np.inf, -np.inf, np.inf, -np.inf
    for library in libraries.values():
        with np.errstate(invalid="ignore"):
            expected = x.sum(0, dtype=np.float64)
        (got,) = call(library, "column_sums", [(37,)], [x], (), Pool(3))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_of_nothing(libraries):
    """A sum over no numbers is 0, and none is greater than -infinity."""
    for library in libraries.values():
        for name, shape, expected in (
            ("column_sums", (0, 5), 0),
            ("row_sums", (5, 0), 0),
            ("row_maxima", (5, 0), -np.inf),
        ):
            (got,) = call(library, name, [(5,)], [np.ones(shape)], (), Pool(3))
            np.testing.assert_array_equal(got, expected)
        assert call(library, "finite", [()], [np.ones((0, 3))])[0] == 1


@pytest.mark.parametrize("size", [1, 15, 16, 17, 63, 64, 65, 1000, 16_385, 100_003])
def test_whether_all_numbers_are_finite(libraries, size):
    """One that is not, wherever it is, is found; the greatest and the smallest numbers are finite."""
    x = at_the_edge(drawn(size))
    x[size // 2], x[0] = np.finfo(np.float32).max, 1e-45
    places = {0, size // 3, size // 2, size - size % 16 - 1, size - 1}
    for library in libraries.values():
        assert same_on_any_threads(library, "finite", [()], [x], ())[0] == 1
        for place in places:
            for strange in (np.nan, np.inf, -np.inf):
                kept, x[place] = x[place], strange
                assert call(library, "finite", [()], [x], (), Pool(2))[0] == 0, (place, strange)
                x[place] = kept
