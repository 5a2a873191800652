"""Softmax, layer normalization and the sums of batch normalization in C beside their definitions in float64."""

import jax.lax as lax
import numpy as np
import pytest
from calling import Pool, call
from test_convolution_routines import Given

import millrace.api  # noqa: F401  # the definitions need the whole vocabulary
from millrace.ops import layer_normalization, normalization, softmax
from millrace.ops.layer_normalization import LayerNormalization, LayerNormalizationGradient
from millrace.ops.normalization import BatchNormalization, BatchNormalizationGradient
from millrace.ops.softmax import LogSoftmax, Softmax, SoftmaxGradient

LENGTHS = (1, 7, 16, 17, 255, 1000)
ROWS = 37  # more than one part, and no whole number of them


class Lowering(Given):
    """Also routines with several results, and the little of XLA's vocabulary that is beside them."""

    lax, bundled = lax, False

    def routines(self, name, shapes, *arrays, how=()):
        return call(self.library, name, shapes, arrays, how, self.pool)


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    """Routines are used for the smallest arrays too, for which XLA is chosen otherwise."""
    for module in (softmax, layer_normalization):
        monkeypatch.setattr(module, "SHORTEST", 1)
    for module in (softmax, layer_normalization, normalization):
        monkeypatch.setattr(module, "LEAST", 1)
    monkeypatch.setattr(normalization, "CHANNELS", 1)


def agree(libraries, op, *arrays, near=1e-6):
    """Each library gives the definition's numbers, the same bits however many threads there are."""
    with np.errstate(all="ignore"):
        expected = op.evaluate(*(np.asarray(x, np.float64) for x in arrays))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for kind, library in libraries.items():
        results = [op.lower(Lowering(library, Pool(threads)), *arrays) for threads in (1, 2, 8)]
        results = [r if isinstance(r, (tuple, list)) else (r,) for r in results]
        for n, right in enumerate(expected):
            scale = np.abs(right[np.isfinite(right)]).max(initial=0.1)
            np.testing.assert_allclose(results[0][n], right, rtol=near, atol=near * scale, err_msg=f"{op} for {kind}")
            for other in results[1:]:
                np.testing.assert_array_equal(results[0][n], other[n])


def normal(seed, *shape, scale=1.0, mean=0.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale + mean).astype(np.float32)


@pytest.mark.parametrize("length", LENGTHS)
def test_softmax_its_logarithm_and_its_gradient(libraries, length):
    x = normal(0, ROWS, length, scale=8)
    agree(libraries, Softmax(), x)
    agree(libraries, LogSoftmax(), x)
    agree(libraries, Softmax(), x - 300)
    agree(libraries, SoftmaxGradient(), Softmax().evaluate(x), normal(1, ROWS, length), near=3e-6)


@pytest.mark.parametrize("length", [3, 16, 75])
def test_softmax_of_what_is_not_finite(libraries, length):
    """NaN or infinity make a row NaN; a score of -infinity, or far below the others, gets exactly 0."""
    x = normal(2, 6, length)
    x[0, -1], x[1, 0], x[2, length // 2] = np.nan, np.inf, -np.inf
    x[3], x[4, 1:] = -np.inf, -1e30
    x[5, 0] = np.array(0x7FC12345, np.uint32).view(np.float32)  # a NaN with other bits
    agree(libraries, Softmax(), x)
    agree(libraries, LogSoftmax(), x)
    for library in libraries.values():
        got = Softmax().lower(Lowering(library, Pool(1)), x)
        assert np.isnan(got[[0, 1, 3, 5]]).all() and got[2, length // 2] == 0
        np.testing.assert_array_equal(got[4], [1.0] + [0.0] * (length - 1))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("centred", [True, False])
def test_layer_normalization_and_its_gradient(libraries, length, centred):
    x, g = normal(0, ROWS, length, scale=2, mean=1), normal(1, ROWS, length)
    scale, offset = normal(2, length), normal(3, length)
    agree(libraries, LayerNormalization(1e-3, centred), x, scale, offset, near=3e-6)
    agree(libraries, LayerNormalizationGradient(1e-3, centred), x, scale, g, near=1e-5)


def test_layer_normalization_over_several_axes_and_of_what_is_not_finite(libraries):
    x, scale, offset = normal(0, 5, 3, 4, 6), normal(1, 4, 6), normal(2, 4, 6)
    agree(libraries, LayerNormalization(1e-5), x, scale, offset, near=3e-6)
    agree(libraries, LayerNormalizationGradient(1e-5), x, scale, normal(3, *x.shape), near=1e-5)
    x[0, 0, 0, 0], x[1, 2, 3, 5] = np.nan, np.inf
    for library in libraries.values():
        got = LayerNormalization().lower(Lowering(library, Pool(1)), x, scale, offset)
        strange = np.isnan(got).reshape(15, -1)
        assert strange[[0, 5]].all() and np.isfinite(np.delete(got.reshape(15, -1), [0, 5], 0)).all()


@pytest.mark.parametrize("channels", [1, 7, 16, 17, 64, 75, 300])
def test_sums_of_batch_normalization_and_of_its_gradient(libraries, channels):
    x, g = normal(0, 6, 5, 9, channels, scale=3, mean=2), normal(1, 6, 5, 9, channels)
    scale, offset, mean, variance = (normal(n, channels) ** 2 + 0.5 for n in range(4))
    for weights in (np.ones(6), [1, 1, 0.5, 1, 0, 0], np.random.default_rng(0).integers(0, 2, (6, 5)), np.zeros(6)):
        w = np.asarray(weights, np.float32)
        agree(libraries, BatchNormalization(), x, scale, offset, mean, variance, w, near=3e-6)
    agree(libraries, BatchNormalizationGradient(), g, x, mean, variance, near=1e-5)


def test_a_variance_keeps_its_digits_far_from_zero(libraries):
    """The mean square less the squared mean would have lost them all: 1e8 has no digits for a variance of 1."""
    x, ones = normal(0, 5000, 16, mean=1e4), np.ones(16, np.float32)
    expected = x.astype(np.float64).var(axis=0)
    for library in libraries.values():
        low = Lowering(library, Pool(2))
        _, mean, variance = BatchNormalization().lower(low, x, ones, ones, ones, ones, np.ones(5000, np.float32))
        np.testing.assert_allclose(variance, expected, rtol=2e-6)
        np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-6)
