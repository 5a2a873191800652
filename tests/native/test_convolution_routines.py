"""Convolution and its gradients in C against their definition in NumPy, on every kind of processor that runs here."""

import numpy as np
import pytest
from calling import Pool, call

from millrace.ops.convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient

GEOMETRIES = 60
SIZES = {"channels": (1, 2, 3, 5, 16, 17, 33, 40), "filters": (1, 2, 6, 16, 17, 31, 32, 33, 70), "batch": (1, 2, 3, 9)}


def whole(numbers):
    return tuple(int(n) for n in numbers)


def length(rng, reach, pads):
    """A size that a kernel with this reach fits into."""
    least = max(1, reach - sum(pads))
    return int(rng.integers(least, max(30, least + 1)))


def geometry(rng):
    """A convolution with arrays, as (operation, result's shape, arrays) for itself and its two gradients."""
    rank, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 1, 2, 3]))
    channels, filters, batch = (int(rng.choice(SIZES[name])) for name in ("channels", "filters", "batch"))
    kernel, strides, dilation = (whole(rng.integers(1, most, rank)) for most in (6, 5, 4))
    padding = tuple(map(whole, rng.integers(0, 4, (rank, 2))))
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    space = tuple(length(rng, reach, pads) for reach, pads in zip(reaches, padding, strict=True))
    return three((batch, *space, channels * groups), (*kernel, channels, filters * groups), rng,
                 strides=strides, padding=padding, dilation=dilation, groups=groups)  # fmt: skip


def three(x_shape, kernel_shape, rng, **how):
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in (x_shape, kernel_shape))
    forward = Convolution(**how)
    out = forward.evaluate(x, kernel).shape
    gradient = rng.normal(size=out).astype(np.float32)
    return [
        ("convolution", forward, out, (x, kernel)),
        ("convolution_input_gradient", ConvolutionInputGradient(x_shape[1:-1], **how), x_shape, (gradient, kernel)),
        (
            "convolution_kernel_gradient",
            ConvolutionKernelGradient(kernel_shape[:-2], **how),
            kernel_shape,
            (x, gradient),
        ),
    ]


class Given:
    """What an operation's `lower` is given, with one library in the place of XLA."""

    def __init__(self, library, pool):
        self.library, self.pool = library, pool

    def note(self, choice, why):
        pass

    def has_routine(self, *arrays):
        return True

    def routine(self, name, shape, *arrays, how=()):
        return call(self.library, name, [shape], arrays, how, self.pool)[0]


def by(library, op, arrays, pool=None):
    return op.lower(Given(library, pool), *arrays)


def compare_all_three(libraries, case, seed):
    """A convolution and both gradients: what float64 gives, and the same bits on any number of threads."""
    x, kernel, *how = case
    how = dict(zip(("strides", "padding", "dilation", "groups"), how, strict=True))
    for name, op, _, arrays in three(x, kernel, np.random.default_rng(seed), **how):
        expected = op.evaluate(*[a.astype(np.float64) for a in arrays])
        for kind, library in libraries.items():
            got = by(library, op, arrays, Pool(1))
            assert np.abs(got - expected).max() < 1.5e-6 * np.abs(expected).max(), f"{name} for {kind}"
            for threads in (2, 7):
                again = by(library, op, arrays, Pool(threads))
                np.testing.assert_array_equal(got, again, f"{name} for {kind}, {threads} threads")


@pytest.fixture(scope="module")
def cases():
    """Operations with their arrays and what NumPy makes of them in float64."""
    rng = np.random.default_rng(4)
    made = []
    for _ in range(GEOMETRIES):
        for name, op, _, arrays in geometry(rng):
            made.append((name, op, arrays, op.evaluate(*[x.astype(np.float64) for x in arrays])))
    return made


def test_every_library_computes_what_the_definition_says(libraries, cases):
    assert len(libraries) >= 1
    for kind, library in libraries.items():
        for name, op, arrays, expected in cases:
            got = by(library, op, arrays, Pool(2))
            far = np.abs(got - expected).max() / (np.abs(expected).max() + 1e-3)
            assert far < 2e-6, f"{name} for {kind} is {far:.1e} off: {op}, {[x.shape for x in arrays]}"


LARGER = [
    ((4, 14, 14, 16), (3, 3, 16, 40), {"padding": ((1, 1), (1, 1))}),
    ((2, 40, 40, 3), (7, 7, 3, 64), {"strides": (2, 2), "padding": ((3, 3), (3, 3))}),
    ((33, 2, 2, 64), (3, 3, 64, 48), {"padding": ((1, 1), (1, 1))}),
    ((1, 60, 50, 8), (5, 5, 8, 33), {"dilation": (2, 1), "strides": (1, 3)}),
    ((3, 200, 12), (9, 6, 64), {"groups": 2}),
]


@pytest.mark.parametrize(("x", "kernel", "how"), LARGER)
def test_results_are_the_same_bits_however_many_threads_there_are(libraries, x, kernel, how):
    rank = len(x) - 2
    plain = {"strides": (1,) * rank, "padding": ((0, 0),) * rank, "dilation": (1,) * rank, "groups": 1}
    for name, op, _, arrays in three(x, kernel, np.random.default_rng(1), **{**plain, **how}):
        for kind, library in libraries.items():
            alone = by(library, op, arrays, Pool(1))
            for pool in (Pool(2), Pool(3), Pool(8), Pool(64, "here")):
                assert (by(library, op, arrays, pool) == alone).all(), (name, kind, pool.count)
