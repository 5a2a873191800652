"""First values of weights: Keras's distributions, repeatable, with arguments that are checked."""

import math

import numpy as np
import pytest

import millrace as mr
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.layers import initializers as rules
from millrace.layers.initializers import Initializer, initializer

SHAPE = (3, 3, 20, 50)
IN, OUT = 9 * 20, 9 * 50


@pytest.fixture(autouse=True)
def seeded():
    before = rules.current_seed()
    mr.set_seed(0)
    yield
    mr.set_seed(before)


def drawn(rule, shape=SHAPE, dtype="float32"):
    made = initializer(rule)(shape, "w", dtype)
    assert made.shape == shape and made.dtype.name == dtype
    return made.astype(np.float64)


@pytest.mark.parametrize(
    ("rule", "variance", "shape"),
    [
        ("glorot_uniform", 2 / (IN + OUT), "uniform"),
        ("glorot_normal", 2 / (IN + OUT), "truncated"),
        ("he_normal", 2 / IN, "truncated"),
        ("he_uniform", 2 / IN, "uniform"),
        ("lecun_normal", 1 / IN, "truncated"),
        ("lecun_uniform", 1 / IN, "uniform"),
        ("normal", 0.05**2, "normal"),
        ("uniform", 0.05**2 / 3, "uniform"),
        ("variance_scaling", 1 / IN, "truncated"),
        (rules.VarianceScaling(3.0, "fan_out", "uniform"), 3 / OUT, "uniform"),
        (rules.VarianceScaling(0.5, "fan_avg", "untruncated_normal"), 1 / (IN + OUT), "normal"),
        (rules.TruncatedNormal(stddev=0.1), (0.1 * 0.87962566103423978) ** 2, "truncated"),
    ],
    ids=str,
)
def test_random_rules_have_the_distribution_of_keras(rule, variance, shape):
    made = drawn(rule) / math.sqrt(variance)
    assert made.var() == pytest.approx(1, rel=0.02)
    assert abs(made.mean()) < 4 / math.sqrt(made.size)
    furthest = np.abs(made).max()
    if shape == "uniform":
        assert 1.73 < furthest <= math.sqrt(3) * (1 + 1e-6)
    elif shape == "truncated":  # two standard deviations of the normal before it was cut
        assert 2.25 < furthest <= 2 / 0.87962566103423978 * (1 + 1e-6)
    else:
        assert 3.3 < furthest < 6


def test_a_truncated_normal_has_the_shares_of_a_normal_that_is_cut_at_two():
    made = (drawn(rules.TruncatedNormal(mean=3.0, stddev=2.0), (1000, 100)) - 3) / 2
    for bound in (0.25, 0.5, 1.0, 1.5, 1.9):
        share = math.erf(bound / math.sqrt(2)) / math.erf(math.sqrt(2))
        assert (np.abs(made) < bound).mean() == pytest.approx(share, abs=0.006)
    assert np.abs(made).max() <= 2 + 1e-6


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (3, 3, 2, 8), (2, 2, 4, 40)])
def test_orthogonal_matrices_have_rows_or_columns_at_right_angles(shape):
    q = drawn(rules.Orthogonal(gain=2.0), shape, "float64").reshape(-1, shape[-1]) / 2
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)
    assert (q < 0).any() and (q > 0).any()


def test_orthogonal_matrices_are_uniform_not_of_one_sign():
    """Each element of a uniform orthogonal matrix has mean 0 and variance 1 / n: so has the first, sign fixed."""
    first = [initializer("orthogonal")((4, 4), f"w{n}")[0, 0] for n in range(400)]
    assert abs(np.mean(first)) < 0.1
    assert np.var(first) == pytest.approx(0.25, rel=0.25)


def test_identity():
    np.testing.assert_array_equal(drawn("identity", (2, 3)), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(drawn(rules.Identity(0.5), (2, 2)), [[0.5, 0], [0, 0.5]])


RANDOM = sorted(set(Initializer.known) - {"constant", "zeros", "ones", "identity"})


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_of_its_own_wins_over_the_global_one(name):
    kind, shape = Initializer.known[name], (4, 6)
    under_0, own_5 = kind()(shape, "w"), kind(seed=5)(shape, "w")
    mr.set_seed(5)
    np.testing.assert_array_equal(kind()(shape, "w"), own_5)
    np.testing.assert_array_equal(kind(seed=5)(shape, "w"), own_5)
    np.testing.assert_array_equal(kind(seed=0)(shape, "w"), under_0)
    assert (own_5 != under_0).any() and (kind(seed=5)(shape, "v") != own_5).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", sorted(Initializer.known))
def test_every_rule_makes_every_float(name, dtype):
    made = drawn(name, (30, 40), dtype)
    assert np.isfinite(made).all()
    if name in RANDOM:
        assert made.std() == pytest.approx(drawn(name, (30, 40)).std(), rel=0.1)


@pytest.mark.parametrize("name", sorted(Initializer.known))
def test_every_rule_is_read_back_from_what_is_saved(name):
    rule = Initializer.known[name]()
    assert rule.get_config()["class_name"] == name
    assert initializer(rule.get_config()) == rule == initializer(name)
    np.testing.assert_array_equal(initializer(rule.get_config())((4, 4), "w"), rule((4, 4), "w"))


def test_arguments_are_read_back_from_what_is_saved():
    for rule in (
        rules.VarianceScaling(2.0, "fan_out", "uniform", seed=3),
        rules.Orthogonal(0.5, seed=1),
        rules.TruncatedNormal(1.0, 2.0),
    ):
        assert initializer(rule.get_config()) == rule


def test_a_configuration_without_a_seed_as_older_files_have_it():
    assert initializer({"class_name": "he_normal", "config": {}}) == rules.HeNormal()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rules.RandomNormal(stddev=-1), ["RandomNormal", "stddev", "at least 0", "-1"]),
        (lambda: rules.TruncatedNormal(stddev=-0.5), ["TruncatedNormal", "stddev", "-0.5"]),
        (lambda: rules.RandomNormal(mean=float("nan")), ["mean", "finite", "nan"]),
        (lambda: rules.RandomNormal(mean="big"), ["mean", "'big'"]),
        (lambda: rules.RandomUniform(1.0, -1.0), ["minval", "1.0", "-1.0"]),
        (lambda: rules.VarianceScaling(scale=0), ["scale", "above 0"]),
        (lambda: rules.VarianceScaling(mode="fan_inn"), ["mode", "'fan_in'"]),
        (lambda: rules.VarianceScaling(distribution="normall"), ["distribution", "untruncated_normal"]),
        (lambda: rules.HeNormal(seed=-1), ["seed", "-1"]),
        (lambda: rules.Orthogonal(gain=float("inf")), ["gain", "inf"]),
        (lambda: rules.Orthogonal()((3,), "w"), ["Orthogonal", "two axes", "[3]"]),
        (lambda: rules.Identity()((3, 3, 3), "w"), ["Identity", "matrices", "[3, 3, 3]"]),
        (lambda: rules.Constant(value=None), ["Constant", "value", "None"]),
        (lambda: initializer("orthogonl"), ["'orthogonal'"]),
    ],
)
def test_bad_arguments_are_named(make, words):
    with pytest.raises(MillraceError) as caught:
        make()
    assert isinstance(caught.value, (ArgumentError, ValueError))
    for word in words:
        assert word in str(caught.value)
