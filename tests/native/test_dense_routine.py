"""Products of few rows in C against NumPy's in float64, on every kind of processor that runs here."""

from types import SimpleNamespace

import numpy as np
import pytest
from calling import Pool, call
from test_convolution_routines import by

from millrace.ops.contract import Dot
from millrace.ops.convolution import Convolution


def factors(rows, depth, columns):
    rng = np.random.default_rng(rows + depth + columns)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((rows, depth), (depth, columns))]


def assert_is_product(got, x, w):
    """Within the rounding of sums in float32, from the magnitudes of what is summed."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    assert (np.abs(got - x @ w) <= 1e-6 * (1 + np.abs(x) @ np.abs(w))).all()


@pytest.mark.parametrize("depth", [1, 7, 130, 4096])
@pytest.mark.parametrize("columns", [1, 10, 17, 512])
def test_few_rows_by_a_matrix(libraries, depth, columns):
    x, w = factors(16, depth, columns)
    expected, size = x.astype(np.float64) @ w, np.abs(x) @ np.abs(w)
    for rows in (1, 2, 3, 8, 9, 16):
        for library in libraries.values():
            out = call(library, "dense", [(rows, columns)], [x[:rows], w])[0]
            assert (np.abs(out - expected[:rows]) <= 1e-6 * (1 + size[:rows])).all()


@pytest.mark.parametrize("shape", [(2, 1024, 1000), (3, 8, 100_003), (8, 1024, 513)])
def test_large_matrices_give_the_same_bits_on_any_number_of_threads(libraries, shape):
    """They are cut along their depth, or, where that is small, along their columns."""
    x, w = factors(*shape)
    for library in libraries.values():
        alone, together = (
            call(library, "dense", [(shape[0], shape[2])], [x, w], pool=Pool(count))[0] for count in (1, 7)
        )
        assert (alone == together).all()
        assert_is_product(alone, x, w)


def test_what_lies_behind_a_matrix_does_not_count(libraries):
    """A vector is longer than a row of ten: read whole, the last row's would hold what lies behind."""
    x, w = factors(2, 7, 10)
    w[3:] = np.inf
    for library in libraries.values():
        assert_is_product(call(library, "dense", [(2, 10)], [x[:, :3], w[:3]])[0], x[:, :3], w[:3])


def test_a_sum_over_nothing_is_zero(libraries):
    for library in libraries.values():
        x, w = factors(2, 0, 5)
        assert (call(library, "dense", [(2, 5)], [x, w])[0] == 0).all()


@pytest.mark.parametrize(
    ("space", "kernel", "how"),
    [
        ((2, 2), (3, 3, 20, 40), {"padding": ((1, 1), (1, 1))}),  # as in the last layers of a ResNet
        ((2, 2), (3, 3, 130, 520), {"padding": ((1, 1), (1, 1))}),  # cut in the middle of a tap
        ((1, 1), (3, 3, 20, 24), {"padding": ((1, 1), (1, 1))}),  # most taps see padding alone
        ((4, 4), (3, 3, 33, 17), {"padding": ((1, 1), (1, 1)), "strides": (2, 1)}),
        ((5, 6), (2, 3, 3, 35), {"padding": ((2, 1), (0, 1)), "strides": (3, 2), "dilation": (2, 1)}),
        ((7, 7), (3, 3, 16, 64), {"padding": ((1, 1), (1, 1))}),  # more positions: read in place by tiles
        ((7, 7), (3, 3, 16, 96), {"padding": ((1, 1), (1, 1)), "groups": 2}),
        ((9,), (3, 16, 32), {"padding": ((1, 1),)}),
    ],
)
def test_convolutions_with_few_positions(libraries, space, kernel, how):
    rank = len(space)
    how = {"strides": (1,) * rank, "dilation": (1,) * rank, "groups": 1, **how}
    rng = np.random.default_rng(0)
    for batch in (1, 2):
        x = rng.normal(size=(batch, *space, kernel[-2] * how["groups"])).astype(np.float32)
        k = rng.normal(size=kernel).astype(np.float32)
        expected = Convolution(**how).evaluate(x.astype(np.float64), k.astype(np.float64))
        for library in libraries.values():
            alone, together = (by(library, Convolution(**how), (x, k), Pool(count)) for count in (1, 5))
            assert (alone == together).all()
            np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-4)


class Asked:
    """Answers each `lower` with who computes."""

    platform, lax = "cpu", SimpleNamespace(dot_general=lambda *_, **__: "XLA", Precision=SimpleNamespace(HIGHEST=None))

    def __init__(self, bundled):
        self.bundled = bundled

    def has_routine(self, *arrays):
        return True

    def note(self, choice, why):
        pass

    def routine(self, name, shape, *arrays, how=()):
        made = np.empty(shape).view(Answer)
        made.name = name
        return made


class Answer(np.ndarray):
    def __array_finalize__(self, other):
        self.name = getattr(other, "name", "")


def who(rows, depth, columns, x_contract=(1,), y_contract=(0,), bundled=False):
    x, y = np.empty((rows, depth), np.float32), np.empty((depth, columns), np.float32)
    made = Dot(x_contract, y_contract).lower(Asked(bundled), x, y)
    return made if isinstance(made, str) else made.name


def test_only_few_rows_go_to_the_routine():
    """One row by a matrix that fits the caches is XLA's, and so are many rows, and matrices that lie on their side."""
    assert {who(2, 3, 4), who(8, 512, 10), who(1, 1024, 1024)} == {"dense"}
    assert {who(1, 512, 512), who(9, 512, 512), who(3, 3, 3, (1,), (1,))} == {"XLA"}
    assert who(3, 3, 3, (0,), (0,)) == "dense_gradient"


def test_among_other_routines_every_product_of_matrices_is_one():
    assert {who(2, 3, 4, bundled=True), who(1, 3, 4, bundled=True)} == {"dense"}
    assert {who(9, 512, 512, bundled=True), who(3, 3, 3, (1,), (1,), bundled=True)} == {"dense_rows"}


@pytest.mark.parametrize("depth", [1, 7, 300])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (10, 512), (65, 10), (130, 33)])
def test_the_gradient_of_weights(libraries, depth, rows, columns):
    rng = np.random.default_rng(depth)
    x, g = (rng.normal(size=(depth, size)).astype(np.float32) for size in (rows, columns))
    for library in libraries.values():
        got = by(library, Dot((0,), (0,)), (x, g), Pool(1))
        assert_is_product(got, x.T, g)
        np.testing.assert_array_equal(got, by(library, Dot((0,), (0,)), (x, g), Pool(4)))
