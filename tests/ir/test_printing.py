"""A value printed as the mathematics that a person would write."""

import numpy as np
import pytest

import millrace as mr
from millrace.ir.printing import formula


def square_input(name):
    return mr.Input((2,), name=name, batch_size=2)


x, y = square_input("x"), square_input("y")
w = mr.Variable(np.ones((2, 2), np.float32), name="w")
b = mr.Variable(np.ones(2, np.float32), name="b")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (x + y + x, "x + y + x"),
        (x + (y - x), "x + y - x"),
        (x - (y + x), "x - (y + x)"),
        (x - (y - x), "x - (y - x)"),
        (x * y + x, "x * y + x"),
        (x * (y + x), "x * (y + x)"),
        ((x + y) * (x - y), "(x + y) * (x - y)"),
        (x / y / x, "x / y / x"),
        (x / (y / x), "x / (y / x)"),
        (x / (y * x), "x / (y * x)"),
        ((x * y) / x, "x * y / x"),
        (x**2, "x^2"),
        (x**-1, "x^(-1)"),
        (x**0.5, "sqrt(x)"),
        (x**1.5, "x^1.5"),
        (x**y, "x^y"),
        (x ** (y + 1.0), "x^(y + 1)"),
        ((x**2) ** 3, "(x^2)^3"),
        (x ** (y**x), "x^(y^x)"),
        (-x, "-x"),
        (-(x**2), "-x^2"),
        ((-x) ** 2, "(-x)^2"),
        (-(x + y), "-(x + y)"),
        (x * (-y), "x * (-y)"),
        (x - (-y), "x - (-y)"),
        (x + (-y), "x - y"),
        (1 - x, "1 - x"),
        (2 * x + 1, "2 * x + 1"),
        (x * -2.0, "x * (-2)"),
        (x + 0.1, "x + 0.1"),
        (mr.exp(-x), "exp(-x)"),
        (mr.relu(x @ w + b), "relu(x @ w + b)"),
        ((x @ w) @ w, "(x @ w) @ w"),
        (x @ w.value.T, "x @ w.T"),
        ((x + y) @ w, "(x + y) @ w"),
        ((x * y) @ w, "(x * y) @ w"),
        (x * (y @ w), "x * (y @ w)"),
        (x / (y @ w), "x / (y @ w)"),
        (x > y, "x > y"),
        ((x > 0) & (y <= 1), "(x > 0) & (y <= 1)"),
        (mr.logical_not(x > y), "not (x > y)"),
        (mr.where(x > y, x, -y), "where(x > y, x, -y)"),
        (mr.where(x + 1 > y * 2, x, 0.0), "where(x + 1 > y * 2, x, 0)"),
        (mr.maximum(x, 0.0), "maximum(x, 0)"),
        (mr.sum(x, axis=1), "sum(x, axis=1)"),
        (mr.softmax(x), "softmax(x)"),
        ((x + y).T, "(x + y).T"),
        (mr.abs(x - y), "abs(x - y)"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_expressions_read_as_a_person_writes_them(value, shown):
    assert formula(value) == shown


def test_broadcasting_is_left_out():
    assert formula(x * 2.0 + b) == "x * 2 + b"


def test_a_shared_part_is_named_once():
    shared = x + y
    assert formula(shared * shared) == "a * a\n  where a = x + y"


def test_shared_parts_are_listed_in_the_order_of_their_making():
    first = mr.exp(x)
    second = mr.tanh(first + y)
    value = second * second + first
    assert formula(value) == "b * b + a\n  where a = exp(x)\n        b = tanh(a + y)"


def test_the_name_of_a_shared_part_is_never_a_name_of_the_user():
    a = square_input("a")
    shared = mr.exp(a)
    assert formula(shared * shared) == "b * b\n  where b = exp(a)"


def test_a_name_can_be_given_to_the_whole():
    assert formula(x + y, "total") == "total = x + y"


def test_equal_parts_written_twice_count_as_shared():
    assert formula(mr.exp(x + y) * mr.exp(x + y)) == "a * a\n  where a = exp(x + y)"


def test_a_loop_with_several_results_is_named_once():
    last, ys = mr.scan(lambda s, t: (s + t, s * t), mr.zeros((2,)), x)
    assert formula(last + mr.sum(ys, axis=0)).count("scan[2 steps]") == 1


def test_a_chain_of_loops_stays_short():
    value = x
    for _ in range(14):
        last, ys = mr.scan(lambda s, t: (s + t, s * t), mr.zeros((2,)), value)
        value = ys + last
    assert len(formula(value)) < 5000


def test_the_gradient_of_the_readme_mentions_tanh_once():
    weights = mr.Variable(np.array([1.0, 2.0], np.float32), name="w")
    data = mr.Input((2,), name="x")
    loss = mr.mean(mr.square(mr.tanh(data * weights)))
    (dw,) = mr.gradients(loss, [weights])
    shown = formula(dw, "dw")
    assert shown.startswith("dw = sum(") and shown.endswith("\n  where a = tanh(x * w)")
    assert shown.count("tanh") == 1 and "1 - a^2" in shown and "batch" in shown


def test_printing_a_value_prints_its_mathematics():
    assert str(mr.tanh(x * 2.0)) == "tanh(x * 2)"


def test_an_expression_without_open_inputs_shows_its_value_at_the_prompt():
    assert "6" in repr(mr.constant(2.0) * mr.constant(3.0))


def test_a_variable_prints_as_its_name_and_shows_its_value():
    assert str(w) == "w"
    assert "float32[2, 2]" in repr(w) and "1." in repr(w)


def test_a_sizes_factor_is_in_parentheses_where_it_must_be():
    open_batch = mr.Input((2,), name="x")
    count = mr.cast(mr.size(open_batch.shape[0] + 1), "float32")
    assert formula(mr.sum(open_batch) / count) == "sum(x, axis=(0, 1)) / (batch+1)"


def test_printing_changes_nothing():
    value = mr.exp(x) + mr.exp(x)
    before = [node.op for node in mr.Graph([x], [value]).nodes]
    formula(value)
    assert [node.op for node in mr.Graph([x], [value]).nodes] == before
