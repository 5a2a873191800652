"""Every activation of Keras: its values and gradients on a grid with its kinks, from -1e4 to 1e4."""

from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.layers.activations import KNOWN, activation, activation_name

FIXTURES = np.load(Path(__file__).parent.parent / "parity" / "activations.npz")
ARGUMENTS = {
    "celu alpha": {"alpha": 0.5},
    "elu alpha": {"alpha": 1.5},
    "gelu approximate": {"approximate": True},
    "hard_shrink threshold": {"threshold": 2.0},
    "leaky_relu slope": {"negative_slope": 0.3},
    "relu slope": {"negative_slope": 0.25},
    "relu max": {"max_value": 3.0},
    "relu threshold": {"threshold": 1.5},
    "relu all": {"negative_slope": 0.25, "max_value": 3.0, "threshold": 1.5},
    "soft_shrink threshold": {"threshold": 2.0},
    "squareplus b": {"b": 0.25},
    "threshold": {"threshold": 1.0, "default_value": -3.0},
    "softmax axis": {"axis": 0},
    "glu axis": {"axis": 0},
}
CASES = sorted({key.split("/")[0] for key in FIXTURES})

# Where JAX takes the mean of both sides, or leaky_relu's right one (we: the left one, as PyTorch does).
OUR_KINKS = {
    "leaky_relu": {0: 0.2},
    "leaky_relu slope": {0: 0.3},
    "relu slope": {0: 0.25},
    "relu max": {3: 0.0},
    "relu all": {1.5: 0.25, 3: 0.0},
    "sparse_sigmoid": {-1: 0.5, 1: 0.5},
}


def both(name, x, given, engine, dtype):
    """The value of the activation called `name` and the gradient of its elements weighted by `given`."""
    value = mr.Variable(x.astype(dtype), name="x").value
    out = activation(name.split()[0])(value, **ARGUMENTS.get(name, {}))
    (gradient,) = mr.gradients(mr.sum(out * mr.constant(given.astype(dtype))), [value])
    return [np.asarray(array) for array in mr.function([], [out, gradient], engine=engine)()]


def expected(name):
    x, out, given, grad = (FIXTURES[f"{name}/{part}"] for part in ("x", "out", "given", "grad"))
    grad = grad.copy()
    for kink, slope in OUR_KINKS.get(name, {}).items():
        assert (x == kink).sum() == 1
        grad[x == kink] = slope
    return x, given, out, grad


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_keras(name):
    x, given, *wanted = expected(name)
    for got, want in zip(both(name, x, given, "numpy", "float64"), wanted, strict=True):
        tolerance = 1e-6 if name == "tanh" else 1e-9  # Keras computes tanh in float32
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_compiled_float32_values_and_gradients_are_near_them_and_finite_for_huge_x():
    for name in CASES:
        x, given, out, grad = expected(name)
        got, slope = both(name, x, given, "xla", "float32")
        assert np.isfinite(got).all() and np.isfinite(slope).all(), name
        np.testing.assert_allclose(got, out, rtol=3e-5, atol=3e-6, err_msg=name)
        np.testing.assert_allclose(slope, grad, rtol=3e-5, atol=3e-6, err_msg=name)


def test_every_activation_of_keras_is_there_and_is_held_to_it():
    assert set(KNOWN) - {"swish", "hard_swish", "sparsemax"} == {name.split()[0] for name in CASES}
    assert activation("swish") is mr.silu and activation("hard_swish") is mr.hard_silu


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"threshold", "exponential", "glu", "sparsemax"}))
def test_sixteen_bits_are_finite_for_huge_x_and_keep_their_dtype(name, dtype):
    x = np.array([[-1e4, -300.0, -1.0, 0.0, 1.0, 300.0, 1e4]])
    for array in both(name, x, np.ones_like(x), "numpy", dtype):
        assert array.dtype.name == dtype and np.isfinite(array.astype(np.float32)).all()


def test_a_saved_activation_has_its_shortest_keras_name():
    for name in KNOWN:
        if name not in ("swish", "hard_swish"):
            assert activation_name(activation(name)) == name
            assert activation(activation_name(activation(name))) is activation(name)


def sorted_sparsemax(row):
    """Algorithm 1 of Martins and Astudillo 2016."""
    z = np.sort(row)[::-1]
    sums = np.cumsum(z)
    k = max(n for n in range(1, len(z) + 1) if 1 + n * z[n - 1] > sums[n - 1])
    return np.maximum(row - (sums[k - 1] - 1) / k, 0)


def test_sparsemax_is_the_algorithm_of_its_paper():
    rng = np.random.default_rng(3)
    ties = np.array([[1, 1, 1, 1], [5, 0, 0, 0], [0.5, 0.5, 0.1, -9], [1e4, -1e4, 1e4 - 0.5, 0], [1, 0, 0, -1]])
    x = np.concatenate([ties, rng.normal(0, 0.5, (20, 4)), rng.normal(0, 100, (5, 4))])
    wanted = np.array([sorted_sparsemax(row) for row in x])
    assert 1 < (wanted > 0).sum(1).mean() < 4
    np.testing.assert_allclose(mr.evaluate(mr.sparsemax(x)), wanted, atol=1e-11)
    np.testing.assert_allclose(mr.evaluate(mr.sparsemax(x.T, axis=0)), wanted.T, atol=1e-11)


@pytest.mark.parametrize("engine", ["numpy", "xla"])
def test_the_gradient_of_sparsemax_is_that_of_finite_differences(engine):
    rng = np.random.default_rng(4)
    x, given, step = rng.normal(0, 0.5, (6, 5)), rng.normal(0, 1, (6, 5)), 1e-6
    _, slope = both("sparsemax", x, given, engine, "float64")
    for place in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        sides = [np.array([sorted_sparsemax(row) for row in x + side * moved]) for side in (1, -1)]
        assert slope[place] == pytest.approx(((sides[0] - sides[1]) * given).sum() / (2 * step), abs=1e-7)


def test_whole_numbers_become_floats():
    assert mr.evaluate(mr.relu6(np.array([-1, 3, 9]))).tolist() == [0, 3, 6]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: mr.relu(x, negative_slope=-0.1), ["relu", "negative_slope", "-0.1"]),
        (lambda x: mr.relu(x, max_value=-1.0), ["relu", "max_value", "-1.0"]),
        (lambda x: mr.squareplus(x, b=0), ["squareplus", "b must be above 0", "0"]),
        (lambda x: mr.celu(x, alpha=0), ["celu", "alpha"]),
        (lambda x: mr.soft_shrink(x, -1.0), ["soft_shrink", "threshold", "-1.0"]),
        (lambda x: mr.glu(x), ["glu", "even", "float32[2, 3]"]),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(MillraceError) as caught:
        make(mr.constant(np.ones((2, 3), np.float32)))
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_activation_is_told_the_nearest():
    with pytest.raises(ArgumentError, match="'hard_silu'"):
        activation("hardsilu")
