"""Named dimensions: a normal form that decides what can be decided, and says so where it cannot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.ir.dims import Dim, bind, dim, product, same, shape_text, solve
from millrace.ir.errors import DimensionError, MillraceError, ShapeError
from millrace.ir.types import TensorType

a, b, c = dim("a"), dim("b"), dim("c")

leaves = st.one_of(st.integers(-4, 4), st.sampled_from([a, b, c]))
polynomials = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] - p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
    ),
    max_leaves=6,
)
bindings = st.fixed_dictionaries({"a": st.integers(1, 9), "b": st.integers(1, 9), "c": st.integers(1, 9)})
quick = settings(max_examples=80, deadline=None, derandomize=True)


@quick
@given(polynomials, polynomials, polynomials, bindings)
def test_ring_laws_hold_in_normal_form_and_under_binding(x, y, z, sizes):
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert (x * y) * z == x * (y * z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assert x * 1 == x and x + 0 == x and x * 0 == 0
    assert bind(x + y, sizes) == bind(x, sizes) + bind(y, sizes)
    assert bind(x * y, sizes) == bind(x, sizes) * bind(y, sizes)
    assert bind(x - y, sizes) == bind(x, sizes) - bind(y, sizes)
    assert isinstance(bind(x, sizes), int)


@quick
@given(polynomials)
def test_text_reads_back(x):
    back = TensorType.parse(f"float32[{x}]").shape[0] if not isinstance(x, int) or x >= 0 else x
    assert back == x


@quick
@given(polynomials, polynomials, bindings)
def test_a_decided_equality_agrees_with_every_binding(x, y, sizes):
    try:
        decided = same(x, y)
    except DimensionError:
        return
    assert decided == (bind(x, sizes) == bind(y, sizes))


@quick
@given(polynomials, st.integers(1, 5), st.sampled_from([1, a, b, a * b]))
def test_what_was_multiplied_in_divides_out(x, number, names):
    divisor = number * names
    assert (x * divisor) // divisor == x


@quick
@given(polynomials, st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)), bindings)
def test_binding_in_two_parts_is_binding_at_once(x, first, rest):
    assert bind(bind(x, first), rest) == bind(x, {**rest, **first})


@quick
@given(st.integers(-3, 3).filter(bool), st.integers(-20, 20), st.integers(1, 50))
def test_solve_finds_the_size_that_was_bound(coefficient, constant, size):
    sizes = {}
    assert solve(coefficient * a + constant, coefficient * size + constant, sizes)
    assert sizes == {"a": size}


def test_the_constant_polynomial_is_a_plain_integer():
    assert (a + 3) - a == 3
    assert isinstance((a + 3) - a, int)
    assert isinstance(a * 0, int)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (a * 28, "28*a"),
        (b + a, "a+b"),
        (a * b - 1, "a*b-1"),
        (-a + 2, "-a+2"),
        (a * a * 2 - b, "2*a*a-b"),
        (3 - 2 * a, "-2*a+3"),
    ],
)
def test_dimensions_print_in_one_way(size, shown):
    assert str(size) == shown
    assert shape_text((size, 3)) == f"[{shown}, 3]"


def test_order_of_building_does_not_matter():
    assert hash(a + b + 1) == hash(1 + b + a)
    assert {a * b: 1}[b * a] == 1


def test_products_of_shapes():
    assert product((a, 28, 28)) == a * 784
    assert product(()) == 1


def test_division_is_exact():
    assert (a * 28) // 7 == 4 * a
    assert (a * b * 6) // (2 * a) == 3 * b
    assert (a + b) // (a + b) == 1
    assert 0 // a == 0


@pytest.mark.parametrize(
    "divide",
    [
        lambda: a // 2,
        lambda: a // b,
        lambda: (a + 1) // a,
        lambda: (a * b) // (a + b),
        lambda: 6 // a,
        lambda: a // 0,
    ],
    ids=["a/2", "a/b", "(a+1)/a", "ab/(a+b)", "6/a", "a/0"],
)
def test_a_division_that_depends_on_the_value_is_refused(divide):
    with pytest.raises(DimensionError, match="cannot"):
        divide()


def test_equalities_that_hold_or_fail_for_every_value_are_decided():
    assert same(a * 2 + a, 3 * a)
    assert not same(a, 0)
    assert not same(a + b, 1)
    assert not same(a, a + 1)
    assert not same(a * b, -1)
    assert not same(2 * a, a)


@pytest.mark.parametrize(("x", "y"), [(a, 1), (a, 3), (a, b), (a * 2, 7), (a * b, a)])
def test_an_equality_that_depends_on_the_value_says_so(x, y):
    with pytest.raises(DimensionError) as caught:
        same(x, y)
    message = str(caught.value)
    assert f"cannot decide whether {x} equals {y}" in message
    assert "depends on the value of" in message and "a" in message
    assert isinstance(caught.value, ShapeError)


def test_bind_replaces_only_known_names():
    assert bind(a * b + 1, {"a": 3}) == 3 * b + 1
    assert bind(a * b + 1, {"a": 3, "b": 2}) == 7
    assert bind(5, {"a": 3}) == 5


def test_solve_checks_what_is_already_bound():
    sizes = {"a": 4}
    assert solve(a, 4, sizes)
    assert not solve(a, 5, sizes)
    assert solve(a + b, 6, sizes) and sizes["b"] == 2


@pytest.mark.parametrize(("size", "value"), [(2 * a, 7), (a + 3, 3), (a, 0), (5, 6), (a, -1)])
def test_solve_refuses_sizes_that_cannot_be(size, value):
    sizes = {}
    assert not solve(size, value, sizes)
    assert sizes == {}


@pytest.mark.parametrize("name", ["", "2d", "a b", "a-b", "inf", "nan", "batch*2"])
def test_what_is_no_identifier_names_no_dimension(name):
    with pytest.raises(DimensionError, match="cannot name a dimension"):
        dim(name)


@pytest.mark.parametrize("name", ["lambda", "True", "None", "class", "if"])
def test_a_python_keyword_names_no_dimension_because_text_could_not_read_it(name):
    with pytest.raises(DimensionError, match="cannot name a dimension"):
        dim(name)


@pytest.mark.parametrize("text", ["batch/2", "batch//2", "2**batch", "batch%2", "batch@2", "f(batch)", "x.y", "1.5"])
def test_text_that_is_no_polynomial_is_refused(text):
    with pytest.raises(MillraceError):
        TensorType.parse(f"float32[{text}]")


def test_numpy_integers_are_as_good_as_pythons():
    assert a * np.int64(3) == 3 * a
    assert np.int64(3) * a == 3 * a
    assert a + np.int32(1) == a + 1
    assert np.int64(1) - a == 1 - a
    assert (a * 6) // np.int64(3) == 2 * a
    assert isinstance(a * np.int64(3), Dim)


def test_a_type_cannot_have_a_negative_size():
    with pytest.raises(ShapeError, match="negative"):
        TensorType("float32", (2, -1))
