"""Poolings in C, and convolutions with few channels or filters, beside their definitions in float64."""

import numpy as np
import pytest
from calling import Pool
from test_convolution_routines import by

import millrace.api  # noqa: F401  # an average's definition needs the whole vocabulary
from millrace.ir.types import TensorType
from millrace.ops.averaging import AveragePool, AveragePoolGradient
from millrace.ops.convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from millrace.ops.pooling import MaxPool, MaxPoolGradient

# batch, spatial, channels; window, strides, padding
CASES = {
    "halves": ((3, 8, 6, 16), (2, 2), (2, 2), ((0, 0), (0, 0))),
    "overlapping, over the edge": ((2, 8, 8, 33), (3, 3), (2, 2), ((0, 1), (0, 1))),
    "padded unevenly": ((2, 5, 7, 6), (3, 4), (1, 2), ((2, 1), (1, 3))),
    "gaps between windows": ((2, 11, 12, 3), (2, 2), (4, 5), ((0, 1), (1, 0))),
    "one pixel": ((2, 1, 1, 17), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "one pixel under a wide window": ((1, 1, 1, 1), (3, 3), (2, 2), ((2, 2), (1, 1))),
    "the whole map": ((2, 7, 7, 40), (7, 7), (1, 1), ((0, 0), (0, 0))),
    "rows": ((2, 9, 5), (3,), (2,), ((1, 1),)),
    "last lines unseen": ((1, 9, 9, 1), (2, 2), (3, 3), ((0, 0), (0, 0))),
}
NUMBERS = {
    "plain": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(0, 2, shape),
    "infinite": lambda rng, shape: rng.choice([-np.inf, 0.0, 1.0, np.inf], shape),
    "not numbers": lambda rng, shape: rng.choice([np.nan, -np.inf, 0.0, 1.0], shape),
}


def agree(libraries, op, *arrays):
    """Each library gives the definition's numbers, the same bits however many threads there are."""
    with np.errstate(invalid="ignore"):
        expected = op.evaluate(*(x.astype(np.float64) for x in arrays))
    for kind, library in libraries.items():
        got = by(library, op, arrays, Pool(3))
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=4e-6, err_msg=f"{op} for {kind}")
        np.testing.assert_array_equal(got, by(library, op, arrays, Pool(1)))


def case(name, numbers="plain"):
    shape, window, strides, padding = CASES[name]
    x = NUMBERS[numbers](np.random.default_rng(0), shape).astype(np.float32)
    out = MaxPool(window, strides, padding).infer(TensorType.of(x)).shape
    return x, np.random.default_rng(1).standard_normal(out).astype(np.float32), (window, strides, padding)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_max_pooling_and_its_gradient(libraries, name, numbers):
    x, g, geometry = case(name, numbers)
    agree(libraries, MaxPool(*geometry), x)
    agree(libraries, MaxPoolGradient(*geometry), x, g)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("counted", [False, True])
def test_average_pooling_and_its_gradient(libraries, name, counted):
    x, g, geometry = case(name)
    agree(libraries, AveragePool(*geometry, counted), x)
    agree(libraries, AveragePoolGradient(x.shape[1:-1], *geometry, counted), g)


def test_a_mean_of_what_is_not_finite_is_not_finite(libraries):
    for numbers in ("infinite", "not numbers"):
        x, _, geometry = case("halves", numbers)
        agree(libraries, AveragePool(*geometry), x)


# batch, spatial, channels; kernel, filters; strides, padding, dilation: too few channels or filters to fill a vector
FEW = {
    "one channel, six filters": ((3, 9, 8, 1), (5, 5), 6, (1, 1), ((2, 2), (2, 2)), (1, 1)),
    "six channels": ((2, 9, 8, 6), (5, 5), 16, (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "strides and padding": ((2, 11, 12, 3), (3, 4), 7, (2, 3), ((1, 2), (3, 0)), (1, 1)),
    "strides beyond the kernel": ((2, 12, 13, 2), (2, 2), 9, (3, 4), ((0, 0), (1, 1)), (1, 1)),
    "dilation down": ((1, 12, 9, 5), (3, 2), 4, (1, 2), ((1, 1), (0, 1)), (2, 1)),
    "one row": ((4, 10, 3), (4,), 33, (1,), ((1, 2),), (1,)),
    "one position, one filter": ((2, 3, 3, 1), (3, 3), 1, (1, 1), ((0, 0), (0, 0)), (1, 1)),
}


@pytest.mark.parametrize("name", FEW)
def test_convolutions_with_few_channels_or_filters(libraries, name):
    shape, kernel, filters, *geometry = FEW[name]
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, shape).astype(np.float32)
    w = rng.uniform(-1, 1, (*kernel, shape[-1], filters)).astype(np.float32)
    forward = Convolution(*geometry)
    g = rng.uniform(-1, 1, forward.infer(TensorType.of(x), TensorType.of(w)).shape).astype(np.float32)
    agree(libraries, forward, x, w)
    agree(libraries, ConvolutionInputGradient(shape[1:-1], *geometry), g, w)
    agree(libraries, ConvolutionKernelGradient(kernel, *geometry), x, g)
