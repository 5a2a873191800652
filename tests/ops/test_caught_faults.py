"""Behaviour that earlier tests would have let slip."""

import numpy as np
import pytest

import millrace as mr
from millrace.ops.averaging import WindowSum
from millrace.ops.pooling import MaxPool

both = pytest.mark.parametrize("engine", ["numpy", "xla"])


def run(build, *arrays, engine):
    inputs = [mr.Input(a.shape[1:], name=f"x{n}", dtype=a.dtype.name) for n, a in enumerate(arrays)]
    return np.asarray(mr.function(inputs, build(*inputs), engine=engine)(*arrays))


@both
def test_halves_round_to_the_even_number(engine):
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    assert run(mr.round, x, engine=engine).tolist() == [-2, -2, 0, 0, 2, 2]


@both
def test_sigmoid_of_large_numbers_is_0_or_1(engine):
    with np.errstate(all="raise", under="ignore"):
        assert run(mr.sigmoid, np.array([-1000.0, 1000.0]), engine=engine).tolist() == [0, 1]


@both
def test_a_whole_power_of_a_negative_number_has_its_gradient(engine):
    x = np.array([-2.0, -1.0], np.float32)
    slope = run(lambda v: mr.gradients(mr.sum(mr.power(v, 3)), [v])[0], x, engine=engine)
    assert slope.tolist() == [12, 3]


@both
def test_windows_of_many_elements_are_summed_and_searched(engine):
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3)).astype(np.float32)
    pads = ((0, 0), (1, 2), (0, 1), (0, 0))
    total = run(WindowSum((1, 7, 6, 1), (1, 2, 1, 1), pads), x, engine=engine)
    best = run(MaxPool((7, 6), (2, 1), ((1, 2), (0, 1))), x, engine=engine)
    for i in range(total.shape[1]):
        for j in range(total.shape[2]):
            window = x[:, max(2 * i - 1, 0) : 2 * i + 6, j : j + 6]
            np.testing.assert_allclose(total[:, i, j], window.sum(axis=(1, 2)), rtol=1e-4, atol=1e-4)
            np.testing.assert_array_equal(best[:, i, j], window.max(axis=(1, 2)))


@both
def test_two_permutations_in_a_row_are_both_applied(engine):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    y = run(lambda v: mr.transpose(mr.transpose(v, (0, 2, 1)), (2, 0, 1)), x, engine=engine)
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1).transpose(2, 0, 1))


@both
def test_reversing_other_axes_again_does_not_undo_it(engine):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(run(lambda v: mr.flip(mr.flip(v, 0), 1), x, engine=engine), x[::-1, ::-1])


@both
def test_a_slice_that_starts_later_is_not_everything(engine):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(run(lambda v: v[:, 1:3], x, engine=engine), x[:, 1:3])


@both
def test_a_value_joined_to_itself_stands_twice(engine):
    x = np.ones((2, 3), np.float32)
    assert run(lambda v: mr.concatenate([v, v], axis=1), x, engine=engine).shape == (2, 6)


@both
def test_zero_minus_x_is_negative_and_minus_x_plus_y_is_a_difference(engine):
    x, y = np.array([1.0, 2.0], np.float32), np.array([5.0, 9.0], np.float32)
    assert run(lambda v: 0.0 - v, x, engine=engine).tolist() == [-1, -2]
    assert run(lambda a, b: -a + b, x, y, engine=engine).tolist() == [4, 7]


@both
def test_a_weight_used_twice_in_a_loop_gets_both_gradients(engine):
    xs = np.random.default_rng(1).standard_normal((4, 2, 3))
    w = mr.Variable(np.random.default_rng(2).standard_normal((3, 3)), name="w")

    def loss_of(v):
        last, _ = mr.scan(lambda h, x: (mr.tanh(h @ w) + mr.tanh(x @ w), None), v[0] * 0.0, v)
        return mr.sum(last)

    v = mr.Input((2, 3), name="v", dtype="float64", batch_size=4)
    loss = loss_of(v)
    slope = mr.function([v], [loss, *mr.gradients(loss, [w])], engine=engine)
    start, direction, step = w.numpy(), np.random.default_rng(3).standard_normal((3, 3)), 1e-6
    gradient = np.asarray(slope(xs)[1])
    ends = []
    for sign in (1, -1):
        w.assign(start + sign * step * direction)
        ends.append(float(slope(xs)[0]))
    assert (gradient * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def slope_of(build, array, engine="numpy"):
    """The gradient of sum(build(x) * weights), and its finite differences along a random direction."""
    x = mr.Input(array.shape[1:], name="x", dtype="float64", batch_size=array.shape[0])
    out = build(x)
    loss = mr.sum(out * mr.constant(np.random.default_rng(5).standard_normal(out.shape)))
    both_of = mr.function([x], [loss, *mr.gradients(loss, [x])], engine=engine)
    direction, step = np.random.default_rng(6).standard_normal(array.shape), 1e-6
    ends = [float(both_of(array + sign * step * direction)[0]) for sign in (1, -1)]
    return (np.asarray(both_of(array)[1]) * direction).sum(), (ends[0] - ends[1]) / (2 * step)


def check_slope(build, *shape):
    got, expected = slope_of(build, np.random.default_rng(7).standard_normal(shape))
    assert got == pytest.approx(expected, rel=1e-6)


def test_three_axes_contracted_in_a_turned_order_have_their_gradients():
    y = mr.constant(np.random.default_rng(8).standard_normal((4, 2, 3, 5)))
    check_slope(lambda x: mr.tensordot(x, y, ([2, 0, 1], [0, 1, 2])), 2, 3, 4)
    check_slope(lambda x: mr.tensordot(x, y, ([0, 1, 2], [1, 2, 0])), 2, 3, 4)
    z = mr.constant(np.random.default_rng(9).standard_normal((2, 3, 4)))
    check_slope(lambda x: mr.tensordot(z, x, ([1, 2, 0], [1, 2, 0])), 2, 3, 4)
    check_slope(lambda x: mr.tensordot(z, x, ([2, 0, 1], [0, 1, 2])), 4, 2, 3)


def test_uneven_padding_of_a_window_sum_has_its_gradient():
    check_slope(lambda x: WindowSum((1, 3), (1, 2), ((0, 0), (2, 0)))(x), 2, 6)
    check_slope(lambda x: WindowSum((1, 4), (1, 3), ((0, 0), (0, 3)))(x), 2, 7)


def test_products_of_batches_in_a_loop_have_their_gradients():
    w = mr.constant(np.random.default_rng(10).standard_normal((2, 3, 3)))

    def build(x):
        weights = w * mr.mean(x)
        return mr.scan(lambda h, s: (mr.tanh(mr.matmul(h, weights) + s), None), x[0] * 0.0, x)[0]

    check_slope(build, 4, 2, 2, 3)


def test_a_loop_and_its_reverse_over_the_same_values_stay_two():
    def build(x):
        ahead, _ = mr.scan(lambda h, s: (mr.tanh(h * 0.5 + s), None), x[0] * 0.0, x)
        back, _ = mr.scan(lambda h, s: (mr.tanh(h * 0.5 + s), None), x[0] * 0.0, x, reverse=True)
        return ahead + 2.0 * back

    check_slope(build, 4, 3)
    x = np.random.default_rng(11).standard_normal((4, 3))
    h = np.zeros(3)
    for row in x:
        h = np.tanh(h * 0.5 + row)
    g = np.zeros(3)
    for row in x[::-1]:
        g = np.tanh(g * 0.5 + row)
    v = mr.Input((3,), name="v", dtype="float64", batch_size=4)
    out = build(v)
    made = mr.function([v], [out, *mr.gradients(mr.sum(out), [v])], engine="numpy")(x)[0]
    np.testing.assert_allclose(made, h + 2 * g, rtol=1e-12)
