"""Response normalization and overlapping pooling beside plain loops written from the formulas of the AlexNet paper."""

import numpy as np
import pytest

import millrace as mr
from millrace import layers

RNG = np.random.default_rng(2012)
ENGINES = ["numpy", "xla"]


def run(layer, x, engine):
    v = mr.Input(x.shape[1:])
    return np.asarray(mr.function([v], layer(v), engine=engine)(x))


def damped(a, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """Section 3.3: b^i_(x,y) = a^i_(x,y) / (k + alpha sum_(j = max(0, i - n/2))^(min(N - 1, i + n/2)) a^j^2)^beta."""
    b = np.zeros(a.shape)
    examples, height, width, channels = a.shape
    for e in range(examples):
        for y in range(height):
            for x in range(width):
                for i in range(channels):
                    total = 0.0
                    for j in range(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1):
                        total += float(a[e, y, x, j]) ** 2
                    b[e, y, x, i] = a[e, y, x, i] / (k + alpha * total) ** beta
    return b


def pooled(a, z, s):
    """Section 3.4: units s pixels apart, each the greatest of the z x z pixels at its place."""
    examples, height, width, channels = a.shape
    rows, columns = (height - z) // s + 1, (width - z) // s + 1
    b = np.zeros((examples, rows, columns, channels))
    for e in range(examples):
        for y in range(rows):
            for x in range(columns):
                for i in range(channels):
                    b[e, y, x, i] = max(a[e, s * y + p, s * x + q, i] for p in range(z) for q in range(z))
    return b


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strength", [1, 100])
def test_response_normalization_is_the_formula_of_section_3_3(engine, strength):
    a = (RNG.standard_normal((2, 3, 4, 12)) * strength).astype(np.float32)
    found = run(layers.LocalResponseNormalization(), a, engine)
    np.testing.assert_allclose(found, damped(a), rtol=2e-6)
    assert strength == 1 or np.abs(found / a).min() < 0.5 * 2**-0.75  # it damps what is strong


@pytest.mark.parametrize("engine", ENGINES)
def test_the_release_divides_alpha_by_n_and_takes_each_half_apart(engine):
    a = (RNG.standard_normal((2, 3, 2, 12)) * 100).astype(np.float32)
    found = run(layers.LocalResponseNormalization(alpha_divided_by_n=True, groups=2), a, engine)
    halves = [damped(a[..., part], alpha=1e-4 / 5) for part in (slice(0, 6), slice(6, 12))]
    np.testing.assert_allclose(found, np.concatenate(halves, axis=-1), rtol=2e-6)
    whole = damped(a, alpha=1e-4 / 5)
    assert (np.abs(found / whole - 1).max((0, 1, 2)) > 1e-3).nonzero()[0].tolist() == [4, 5, 6, 7]  # beside the middle


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("size", "z", "s", "out"), [(55, 3, 2, 27), (27, 3, 2, 13), (13, 3, 2, 6), (14, 2, 2, 7)])
def test_overlapping_pooling_is_that_of_section_3_4(engine, size, z, s, out):
    a = RNG.standard_normal((1, size, size, 2)).astype(np.float32)
    found = run(layers.MaxPooling2D(z, s), a, engine)
    assert found.shape == (1, out, out, 2)
    np.testing.assert_array_equal(found, pooled(a, z, s))
