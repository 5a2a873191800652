"""Gradients where a function has no slope, sizes known only with the data, and numbers that do not fit."""

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, DimensionError, DTypeError, MillraceError, ShapeError

inf, nan = np.inf, np.nan
ENGINES = ("numpy", "xla")


def run(build, *arrays, engine="numpy"):
    """What a function of values gives, its inputs open along the first axis."""
    inputs = [mr.Input(np.shape(x)[1:], name=f"x{n}", dtype=np.asarray(x).dtype.name) for n, x in enumerate(arrays)]
    return mr.function(inputs, build(*inputs), engine=engine)(*arrays)


def slope(f, x, engine="numpy"):
    x = np.asarray(x, np.float32)
    return np.asarray(run(lambda v: mr.gradients(mr.sum(f(v)), [v])[0], x, engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_deviation_of_equal_numbers_has_gradient_0(engine):
    """As PyTorch 2.13's std(unbiased=False) has; beside them it is (x - mean) / (n std)."""
    rows = np.float32([[1, 1, 1], [1, 1, 4], [0.1, 0.1, 0.1], [nan, 1, 2]])
    got = slope(lambda v: mr.std(v, 1), rows, engine)
    expected = (rows[1] - 2) / (3 * np.sqrt(np.float32(2)))
    np.testing.assert_allclose(got[:2], [[0, 0, 0], expected], rtol=1e-6)
    assert np.isfinite(got[2]).all() and np.abs(got[2]).max() < 1  # rounding may leave a deviation of 1e-9
    assert np.isnan(got[3]).all()
    np.testing.assert_array_equal(run(lambda v: mr.std(v, 1), rows, engine=engine)[np.array([0, 3])], [0, nan])


@pytest.mark.parametrize("engine", ENGINES)
def test_logsumexp_of_nothing_has_gradient_0(engine):
    """Where PyTorch 2.13 gives NaN. Elsewhere the gradient is softmax."""
    rows = np.float32([[-inf, -inf], [-inf, 2], [0, np.log(3)], [nan, 0]])
    got = slope(lambda v: mr.logsumexp(v, 1), rows, engine)
    np.testing.assert_allclose(got, [[0, 0], [0, 1], [0.25, 0.75], [nan, nan]], rtol=1e-6)
    values = run(lambda v: mr.logsumexp(v, 1), rows, engine=engine)
    np.testing.assert_allclose(values, [-inf, 2, np.log(4), nan], rtol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_sizes_may_come_with_the_data(engine):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)

    def build(v):
        n = v.shape[0]
        return [
            mr.arange(n), mr.arange(2, n + 2), mr.arange(n, 0, -1), mr.arange(0, 2 * n, 2, dtype="float32"),
            mr.tile(v, 2), mr.tile(v, (n, 1, 1)), mr.argmax(v, axis=None), mr.cumsum(v, axis=None),
            mr.size(v.type.size), mr.average(v, axis=0, weights=mr.arange(n)),
        ]  # fmt: skip

    expected = [
        np.arange(3), np.arange(2, 5), np.arange(3, 0, -1), np.arange(0, 6, 2), np.tile(x, 2), np.tile(x, (3, 1, 1)), 5,
        np.cumsum(x), 6, np.average(x, axis=0, weights=np.arange(3)),
    ]  # fmt: skip
    for got, wanted in zip(run(build, x, engine=engine), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
        assert np.shape(got) == np.shape(wanted)


def test_arange_refuses_what_it_cannot_count():
    n = mr.Input((2,)).shape[0]
    for bound in (mr.size(n), mr.Variable(3.0), None, "3", True):
        with pytest.raises(ArgumentError, match=r"known now, or dimensions such as x\.shape\[0\]"):
            mr.arange(0, bound) if bound is not None else mr.arange(None)
    with pytest.raises(ShapeError, match="whether batch is at least 3 is not known"):
        mr.arange(3, n)
    with pytest.raises(DimensionError, match="cannot decide whether 2 divides batch"):
        mr.arange(0, n, 2)
    with pytest.raises(ArgumentError, match="a whole number as step"):
        mr.arange(0, n, 0.5)


def test_gradients_of_a_mean_by_weights_and_of_a_tile():
    np.testing.assert_allclose(slope(lambda v: mr.average(v, 1, [1, 3]), np.ones((2, 2))), [[0.25, 0.75]] * 2)
    np.testing.assert_array_equal(slope(lambda v: mr.tile(v, (2, 1, 3)), np.ones((2, 2))), np.full((2, 2), 6))
    np.testing.assert_array_equal(slope(lambda v: mr.tile(v, 0), np.ones((2, 2))), np.zeros((2, 2)))


def test_a_mean_of_halves_does_not_overflow():
    x = np.full((300, 1), 300, np.float16)  # whose sum, 90,000, is beyond 65,504
    got = run(lambda v: mr.average(v, weights=mr.ones_like(v)), x)
    assert got == 300 and got.dtype == np.float16


def test_weights_say_what_shape_they_may_have():
    x = mr.Input((3,))
    with pytest.raises(ShapeError, match=r"\[batch, 3\] by weights float32\[3\]: the shapes differ, so name the axis"):
        mr.average(x, weights=mr.ones(3))
    with pytest.raises(ShapeError, match=r"over axis 1 takes weights \[3\] or \[batch, 3\], got float32\[4\]"):
        mr.average(x, 1, mr.ones(4))
    with pytest.raises(ShapeError, match=r"takes weights \[3, batch\] or \[batch, 3\], got float32\[3\]"):
        mr.average(x, (1, 0), mr.ones(3))


def test_a_bound_of_random_whole_numbers_is_at_least_1():
    state = mr.random_state(0)
    for bound in (0, -1, 2**32 + 1, 2.5, True, np.int64(0), np.array([3, 0]), [], "6"):
        with pytest.raises(ArgumentError, match="whole number from 1 to 2"):
            mr.random_integers(state, (2,), "n", bound)
    for bound, dtype in ((2**32, "int32"), (257, "uint8"), (np.array([2, 129]), "int8")):
        with pytest.raises(ArgumentError, match=f"do not fit {dtype}"):
            mr.random_integers(state, (2,), "n", bound, dtype)
    for bound, dtype in (
        (1, "int32"),
        (2**31, "int32"),
        (2**32, "uint32"),
        (256, "uint8"),
        (np.array([1, 128]), "int8"),
    ):
        drawn = mr.evaluate(mr.random_integers(state, (2,), "n", bound, dtype))
        assert (drawn >= 0).all() and (drawn < bound).all()


def test_numbers_that_do_not_fit_say_what_to_do():
    byte = np.array([1, 200], np.uint8)
    with pytest.raises(
        DTypeError, match=r"1000 does not fit uint8, which holds 0 to 255\..*as in mr\.cast\(x, 'int32'\)"
    ):
        mr.add(byte, 1000)
    with pytest.raises(DTypeError, match="'int64'"):
        mr.add(np.array([1], np.int32), 2**40)
    np.testing.assert_array_equal(mr.evaluate(mr.add(mr.cast(byte, "int32"), 1000)), [1001, 1200])
    for make in (lambda: mr.constant(2**40), lambda: mr.constant([1, -(2**40)]), lambda: mr.Variable(0.0) + 10**400):
        with pytest.raises(DTypeError, match="does not fit"):
            make()
    assert mr.evaluate(mr.constant(2**40, "int64")) == 2**40


@pytest.mark.parametrize("compare", [mr.less, mr.greater_equal, mr.equal])
def test_a_comparison_reaches_beyond_the_dtype(compare):
    byte = np.array([1, 255], np.uint8)
    for number in (256, -1, 2**40):
        for got, wanted in ((compare(byte, number), getattr(np, compare.__name__)(byte, number)),
                            (compare(number, byte), getattr(np, compare.__name__)(number, byte))):  # fmt: skip
            np.testing.assert_array_equal(mr.evaluate(got), wanted)
    with pytest.raises(MillraceError, match="uint64"):
        mr.less(np.array([1], np.uint64), -1)


def test_what_takes_a_list_does_not_take_a_value_apart():
    x = mr.Input((3,))
    for join in (mr.concatenate, mr.stack):
        with pytest.raises(ArgumentError, match=r"takes values in a list, got a single one of shape \[batch, 3\]"):
            join(x)
    with pytest.raises(ArgumentError, match=r"size\(x\.type\.size\)"):
        mr.size(x)
    with pytest.raises(ArgumentError, match="axis before the weights: name them"):
        mr.average(x, x)
