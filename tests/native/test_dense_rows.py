"""Products of many rows, and what follows on each number, and gradients of weights over long sums, in C."""

import numpy as np
import pytest
from calling import Pool, at_the_edge, call
from test_dense_routine import assert_is_product, factors
from test_pass_routine import (
    ADD,
    BETWEEN,
    COLUMN,
    MADE,
    MULTIPLY,
    RELU,
    ROW,
    SUBTRACT,
    WHOLE,
    constant,
    evaluated,
    how,
    program,
    same_on_any_threads,
)  # fmt: skip

from millrace.native.operations import AVERAGE, MULTIPLY_ADD, NOTHING, REPEAT

GEOMETRIES = [
    (1, 1, 1), (9, 7, 17), (13, 130, 33), (64, 193, 10), (37, 400, 100), (300, 20, 3), (519, 33, 70), (1030, 5, 32),
]  # fmt: skip
OUT = MADE, 0


def products(libraries, x, w, after, more, numbers=NOTHING):
    """The product and what follows, with the matrix as it is and turned, beside NumPy's."""
    exact = x.astype(np.float64) @ w
    size = 1 + np.abs(x.astype(np.float64)) @ np.abs(w)
    if after:
        numbers = how(program(*after))
        (exact,) = evaluated(after, [x, w, *more], exact.shape, product=exact)
    edged = [at_the_edge(y) for y in more]
    for kind, library in libraries.items():
        for turned in (0, 1):
            arrays = [at_the_edge(x), at_the_edge(w.T if turned else w), *edged]
            (got,) = same_on_any_threads(library, "dense_rows", [exact.shape], arrays, [turned, *numbers])
            assert (np.abs(got - exact) <= 4e-6 * size).all(), (kind, turned)


@pytest.mark.parametrize(("rows", "depth", "columns"), GEOMETRIES)
def test_rows_by_a_matrix_and_what_follows(libraries, rows, depth, columns):
    """With an offset and a rectifier; with a number of each row and another whole array; with nothing."""
    x, w = factors(rows, depth, columns)
    rng = np.random.default_rng(0)
    row, side, other = (rng.normal(size=size).astype(np.float32) for size in (columns, rows, (rows, columns)))
    bias = (ROW, 2)
    products(libraries, x, w, [], [])
    products(libraries, x, w, [(ADD, (BETWEEN, 0), (OUT, bias)), (RELU, OUT, ((BETWEEN, 0),))], [row])
    steps = [
        (REPEAT, (BETWEEN, 0), ((COLUMN, 3),)),
        (SUBTRACT, OUT, (OUT, (BETWEEN, 0))),
        (AVERAGE, (BETWEEN, 1), (constant(0.5), OUT, constant(0.25), (WHOLE, 4))),
        (MULTIPLY, (BETWEEN, 0), ((BETWEEN, 0), bias)),
        (MULTIPLY_ADD, OUT, ((BETWEEN, 1), constant(0.5), (BETWEEN, 0))),
    ]
    products(libraries, x, w, steps, [row, side, other])


def test_what_follows_is_decided_by_an_argument(libraries):
    x, w = factors(21, 40, 35)
    doubled, kept = program((MULTIPLY, OUT, (OUT, constant(2)))), program()
    for truth, factor in ((1, 2), (0, 1)):
        for library in libraries.values():
            numbers = [0, *how(doubled, kept, decided=2)]
            (got,) = call(library, "dense_rows", [(21, 35)], [x, w, np.float32(truth)], numbers, Pool(2))
            assert_is_product(got / factor, x, w)


def test_a_sum_over_nothing_is_zero_before_what_follows(libraries):
    x, w = factors(5, 0, 40)
    for library in libraries.values():
        numbers = [0, *how(program((ADD, OUT, (OUT, constant(3)))))]
        assert (call(library, "dense_rows", [(5, 40)], [x, w], numbers, Pool(2))[0] == 3).all()


def test_a_rectified_nan_is_nan_and_stays_in_its_row(libraries):
    x, w = factors(50, 20, 35)
    x[49, 19] = np.nan
    for library in libraries.values():
        numbers = [0, *how(program((RELU, OUT, (OUT,))))]
        (got,) = call(library, "dense_rows", [(50, 35)], [x, w], numbers)
        assert np.isnan(got[49]).all() and np.isfinite(got[:49]).all()


@pytest.mark.parametrize("depth", [384, 385, 577, 1001])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (1, 1),
        (3, 17),
        (6, 32),
        (7, 33),
        (8, 64),
        (9, 100),
        (13, 65),
        (17, 129),
        (63, 31),
        (511, 10),
        (512, 5),
        (513, 35),
    ],
)
def test_the_gradient_of_weights_over_long_sums(libraries, depth, rows, columns):
    """Rows that fill no tile, columns that fill no vector, and nothing to be read behind the last of them."""
    x, g = factors(depth, rows, columns)[0], factors(depth, columns, rows)[0]
    x, g = at_the_edge(x), at_the_edge(g)
    for library in libraries.values():
        (got,) = same_on_any_threads(library, "dense_gradient", [(rows, columns)], [x, g], ())
        assert_is_product(got, x.T, g)
