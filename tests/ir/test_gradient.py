"""Symbolic gradients: of what, through what, and why not."""

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, GradientError
from millrace.ir.graph import Graph


def variable(*numbers, name="w", dtype="float64"):
    array = np.array(numbers if len(numbers) != 1 else numbers[0], dtype)
    return mr.Variable(array, name=name)


def refused(make):
    with pytest.raises(GradientError) as caught:
        make()
    return str(caught.value)


def test_with_respect_to_a_variable():
    w = variable(1.0, 2.0)
    (dw,) = mr.gradients(mr.sum(w * w * w), [w])
    np.testing.assert_allclose(mr.evaluate(dw), [3, 12])


def test_with_respect_to_an_input():
    x = mr.Input((2,), name="x", dtype="float64")
    (dx,) = mr.gradients(mr.sum(mr.exp(x)), [x])
    assert dx.type == x.type
    array = np.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(mr.function([x], dx, engine="numpy")(array), np.exp(array))


def test_with_respect_to_an_intermediate_value_and_what_lies_below_it():
    w = variable(2.0)
    h = w * 3.0
    loss = h * h + w
    dh, dw = mr.gradients(loss, [h, w])
    assert mr.evaluate(dh) == 12
    assert mr.evaluate(dw) == 12 * 3 + 1


def test_with_respect_to_the_loss_itself():
    loss = mr.sum(variable(2.0) * 3.0)
    assert mr.evaluate(mr.gradients(loss, [loss])[0]) == 1


def test_with_respect_to_the_same_value_twice():
    w = variable(3.0)
    first, second = mr.gradients(w * w, [w, w])
    assert mr.evaluate(first) == mr.evaluate(second) == 6


def test_the_third_derivative_of_a_polynomial():
    x = variable(1.5)
    y = 2.0 * x**5 - 3.0 * x**3 + x * x - 7.0
    (first,) = mr.gradients(y, [x])
    (second,) = mr.gradients(first, [x])
    (third,) = mr.gradients(second, [x])
    assert mr.evaluate(first) == pytest.approx(10 * 1.5**4 - 9 * 1.5**2 + 2 * 1.5)
    assert mr.evaluate(second) == pytest.approx(40 * 1.5**3 - 18 * 1.5 + 2)
    assert mr.evaluate(third) == pytest.approx(120 * 1.5**2 - 18)


def test_the_gradient_of_a_gradient_times_a_vector_is_the_hessians_product():
    w = variable(0.3, -0.7)
    (g,) = mr.gradients(mr.sum(mr.exp(w) * mr.sum(w * w)), [w])
    (hv,) = mr.gradients(mr.sum(g * mr.constant(np.array([1.0, 2.0]))), [w])
    p = np.array([0.3, -0.7])
    e, s, t = np.exp(p), (p * p).sum(), np.exp(p).sum()
    hessian = np.diag(e * s + 2 * t) + 2 * np.outer(e, p) + 2 * np.outer(p, e)
    np.testing.assert_allclose(mr.evaluate(hv), hessian @ [1, 2], rtol=1e-12)


def test_stop_gradient_is_a_constant():
    w = variable(3.0)
    (dw,) = mr.gradients(w * mr.stop_gradient(w), [w])
    assert mr.evaluate(dw) == 3


def test_only_a_stopped_path_is_an_error_that_says_who_asked():
    w = variable(3.0)
    message = refused(lambda: mr.gradients(mr.stop_gradient(w), [w]))
    assert "variable 'w'" in message and "stop_gradient" in message and "as you asked" in message
    assert "test_gradient.py" in message


def test_an_unused_variable_is_said_to_be_unused():
    w, unused = variable(3.0), variable(1.0, name="unused")
    message = refused(lambda: mr.gradients(w * w, [w, unused]))
    assert "variable 'unused'" in message and "does not use it" in message and "unconnected='zero'" in message


def test_a_path_through_argmax_says_why_and_where():
    w = variable(1.0, 2.0)
    message = refused(lambda: mr.gradients(mr.sum(mr.cast(mr.argmax(w), "float32")), [w]))
    assert "does not change smoothly" in message and "test_gradient.py" in message
    assert "does not use it" not in message


def test_a_path_through_a_comparison_says_why_and_where():
    w = variable(1.0, 2.0)
    message = refused(lambda: mr.gradients(mr.sum(mr.cast(w.value > 1.5, "float32")), [w]))
    assert "does not change smoothly" in message and "test_gradient.py" in message
    assert "does not use it" not in message


def test_a_path_through_the_condition_of_where_is_not_called_unused():
    w = variable(1.0, 2.0)
    message = refused(lambda: mr.gradients(mr.sum(mr.where(w.value > 1.5, 1.0, 2.0)), [w]))
    assert "does not use it" not in message
    assert "smoothly" in message and "test_gradient.py" in message


def test_a_path_through_positions_alone_is_not_called_unused():
    w = variable(1.0, 2.0)
    table = mr.constant(np.array([1.0, 5.0]))
    message = refused(lambda: mr.gradients(mr.sum(mr.take(table, mr.argmax(w))), [w]))
    assert "does not use it" not in message
    assert "smoothly" in message and "test_gradient.py" in message


def test_unconnected_zero_gives_zeros_of_the_right_type():
    w, unused = variable(3.0), mr.Variable(np.ones((2, 3), np.float32), name="unused")
    _, zero = mr.gradients(w * w, [w, unused], unconnected="zero")
    assert str(zero.type) == "float32[2, 3]"
    assert not mr.evaluate(zero).any()
    (zero,) = mr.gradients(mr.sum(mr.cast(mr.argmax(unused), "float32")), [unused], unconnected="zero")
    assert not mr.evaluate(zero).any()


def test_an_unknown_word_for_unconnected_is_refused():
    w = variable(3.0)
    with pytest.raises(ArgumentError, match="unconnected"):
        mr.gradients(w * w, [w], unconnected="none")


def test_a_loss_that_is_no_scalar_is_refused_with_its_line():
    w = variable(1.0, 2.0)
    message = refused(lambda: mr.gradients(w * w, [w]))
    assert "float64[2]" in message and "mr.mean" in message and "test_gradient.py" in message


def test_an_integer_loss_is_refused():
    count = mr.Variable(3, name="count")
    assert "int32[]" in refused(lambda: mr.gradients(count * count, [count]))


def test_an_integer_variable_has_no_gradient_and_is_named():
    count = mr.Variable(3, name="count")
    message = refused(lambda: mr.gradients(mr.cast(count.value, "float32"), [count]))
    assert "variable 'count'" in message and "int32" in message


def test_one_value_instead_of_a_list_is_refused():
    w = variable(3.0)
    with pytest.raises(ArgumentError, match="list"):
        mr.gradients(w * w, w)


def test_integer_inputs_are_passed_by():
    table = mr.Variable(np.arange(6.0).reshape(3, 2), name="table")
    labels = mr.Input((), name="labels", dtype="int32")
    (dt,) = mr.gradients(mr.sum(mr.square(mr.take(table, labels))), [table])
    got = mr.function([labels], dt, engine="numpy")([2, 0, 2])
    np.testing.assert_allclose(got, [[0, 2], [0, 0], [16, 20]])


def test_shared_subexpressions_add_up():
    w = variable(2.0)
    shared = w * w
    (dw,) = mr.gradients(shared * shared + shared, [w])
    assert mr.evaluate(dw) == 4 * 2**3 + 2 * 2


def test_a_long_chain_of_sharing_stays_small():
    w = variable(1.0)
    y = w.value
    for _ in range(40):
        y = y + y
    (dw,) = mr.gradients(y, [w])
    assert mr.evaluate(dw) == 2.0**40
    assert len(Graph([], [dw]).nodes) < 300


def test_one_value_as_several_operands():
    w = variable(3.0)
    (dw,) = mr.gradients(w / w + mr.maximum(w, w) + mr.power(w, w), [w])
    assert mr.evaluate(dw) == pytest.approx(1 + 27 * (1 + np.log(3)))


def test_a_matrix_times_itself():
    m = variable([[1.0, 2.0], [3.0, 4.0]], name="m")
    (dm,) = mr.gradients(mr.sum(m @ m), [m])
    p = mr.evaluate(m)
    np.testing.assert_allclose(mr.evaluate(dm), np.ones((2, 2)) @ p.T + p.T @ np.ones((2, 2)))


def test_infinity_in_the_branch_not_taken_does_no_harm():
    w, other = variable(1.0, 2.0), variable(np.inf, np.inf, name="other")
    loss = mr.sum(mr.where(mr.constant([True, True]), w * w, other * 2.0))
    dw, dother = mr.gradients(loss, [w, other])
    np.testing.assert_array_equal(mr.evaluate(dw), [2, 4])
    np.testing.assert_array_equal(mr.evaluate(dother), [0, 0])


def test_a_logarithm_that_is_kept_away_from_zero_by_where_has_a_finite_gradient():
    w = variable(0.0, 2.0)
    positive = w.value > 0
    loss = mr.sum(mr.where(positive, mr.log(mr.where(positive, w.value, 1.0)), 0.0))
    (dw,) = mr.gradients(loss, [w])
    np.testing.assert_array_equal(mr.evaluate(dw), [0, 0.5])


def test_relu_of_infinity_and_of_its_negative():
    w = variable(np.inf, -np.inf, 0.0)
    (dw,) = mr.gradients(mr.sum(mr.relu(w)), [w])
    np.testing.assert_array_equal(mr.evaluate(dw), [1, 0, 0])


def test_softmax_cross_entropy_of_huge_logits_is_finite():
    logits = variable([[1000.0, -1000.0, 0.0]], name="logits")
    loss = mr.mean(mr.softmax_cross_entropy(logits, mr.constant([1])))
    (d,) = mr.gradients(loss, [logits])
    assert mr.evaluate(loss) == 2000
    np.testing.assert_allclose(mr.evaluate(d), [[1, -1, 0]], atol=1e-12)


def test_float32_stays_float32():
    w = mr.Variable(np.ones(3, np.float32), name="w")
    (dw,) = mr.gradients(mr.mean(mr.sqrt(w) * 2.0), [w])
    assert dw.dtype == "float32"


def test_a_cast_hands_the_gradient_back_in_the_first_dtype():
    w = mr.Variable(np.array([1.0, 2.0], np.float32), name="w")
    (dw,) = mr.gradients(mr.sum(mr.square(mr.cast(w, "float64"))), [w])
    assert dw.dtype == "float32"
    np.testing.assert_array_equal(mr.evaluate(dw), [2, 4])


def test_only_one_output_of_a_scan_is_used():
    w = variable(0.5)
    xs = mr.constant(np.array([1.0, 2.0, 3.0]))
    last, ys = mr.scan(lambda s, x: (s * w + x, s), mr.constant(np.float64(1)), xs)
    for loss, expected in ((last, 3 * 0.25 + 2 * 0.5 + 2), (mr.sum(ys), 1 + (2 * 0.5 + 1))):
        (dw,) = mr.gradients(loss, [w])
        assert mr.evaluate(dw) == pytest.approx(expected)


def test_a_scan_with_an_integer_state_beside_a_float_one():
    w = variable(2.0)
    (n, total), _ = mr.scan(
        lambda s, x: ((s[0] + 1, s[1] + w * mr.cast(s[0], "float64")), None),
        (mr.constant(0), mr.constant(np.float64(0))),
        length=4,
    )
    (dw,) = mr.gradients(total, [w])
    assert mr.evaluate(dw) == 0 + 1 + 2 + 3
    assert mr.evaluate(n) == 4


@pytest.mark.parametrize("reverse", [False, True])
def test_weights_of_a_scan_that_meet_different_sequences(reverse):
    """h' = tanh(h) + x @ u + y @ v, also shown: the gradients are those of the loop written out."""
    rng = np.random.default_rng(0)
    x, y = (mr.constant(rng.standard_normal((4, 2, 3))) for _ in range(2))
    u, v = (variable(rng.standard_normal((3, 3)), name=name) for name in "uv")

    def step(h, at):
        new = mr.tanh(h) + mr.matmul(at[0], u) + mr.matmul(at[1], v)
        return new, new

    start = mr.constant(np.ones((2, 3)))
    last, seen = mr.scan(step, start, (x, y), reverse=reverse)
    h, total = start, 0.0
    for t in reversed(range(4)) if reverse else range(4):
        h, _ = step(h, (x[t], y[t]))
        total = total + mr.sum(mr.square(h)) * (t + 1.0)
    weights = mr.constant(np.arange(1.0, 5.0).reshape(4, 1, 1))
    got = mr.gradients(mr.sum(mr.square(seen) * weights) + mr.sum(last), [u, v, x, y])
    expected = mr.gradients(total + mr.sum(h), [u, v, x, y])
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(mr.evaluate(a), mr.evaluate(b), rtol=1e-9)


def test_the_second_derivative_through_a_scan():
    w = variable(0.5)
    last, _ = mr.scan(lambda s, x: (s * w, None), mr.constant(np.float64(1)), length=4)
    (first,) = mr.gradients(last, [w])
    (second,) = mr.gradients(first, [w])
    assert mr.evaluate(first) == pytest.approx(4 * 0.5**3)
    assert mr.evaluate(second) == pytest.approx(12 * 0.5**2)


def test_a_concatenation_along_a_named_axis_has_a_gradient():
    x = mr.Input((2,), name="x", dtype="float64")
    (dx,) = mr.gradients(mr.sum(mr.square(mr.concatenate([x, x * 2.0], axis=0))), [x])
    np.testing.assert_allclose(mr.function([x], dx, engine="numpy")([[1, 2], [3, 4]]), [[10, 20], [30, 40]])


def test_a_mean_over_the_named_batch_divides_by_its_size():
    x = mr.Input((2,), name="x", dtype="float64")
    (dx,) = mr.gradients(mr.mean(x), [x])
    np.testing.assert_allclose(mr.function([x], dx, engine="numpy")(np.ones((5, 2))), np.full((5, 2), 0.1))
