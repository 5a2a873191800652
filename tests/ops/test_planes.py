"""Convolutions and maxima over volumes, which the compiler brings to planes, beside the interpreter."""

import numpy as np
import pytest

import millrace as mr
from millrace.ops.convolution import Convolution
from millrace.ops.pooling import MaxPool

RNG = np.random.default_rng(0)


def compared(y, inputs, arrays):
    """The results of both engines, with the gradients of inputs that are looked at through random weights."""
    g = mr.Input(tuple(y.shape[1:]))
    outputs = [y, *mr.gradients(mr.sum(y * g), inputs)]
    given = [value for value in inputs if not isinstance(value, mr.Variable)]
    weights = RNG.normal(size=(arrays[0].shape[0], *y.shape[1:])).astype(np.float32)
    compiled, exact = (mr.function([*given, g], outputs, engine=e)(*arrays, weights) for e in ("xla", "numpy"))
    for got, expected in zip(compiled, exact, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("strides", "padding", "dilation", "groups"),
    [
        ((1, 1, 1), ((1, 1), (1, 1), (1, 1)), (1, 1, 1), 1),
        ((2, 1, 3), ((0, 2), (1, 0), (2, 2)), (1, 2, 1), 2),
        ((1, 2, 1), ((3, 1), (0, 0), (1, 1)), (2, 1, 1), 4),  # one channel a group
    ],
)
def test_convolutions_over_volumes(strides, padding, dilation, groups):
    x, kernel = mr.Input((6, 5, 7, 4)), mr.Variable(RNG.normal(size=(3, 2, 3, 4 // groups, 8)).astype(np.float32))
    y = Convolution(strides, padding, dilation, groups)(x, kernel.value)
    compared(y, [x, kernel], [RNG.normal(size=(2, 6, 5, 7, 4)).astype(np.float32)])


def test_maxima_over_volumes_give_everything_to_the_first_of_ties():
    x = mr.Input((5, 6, 4, 3))
    y = MaxPool((2, 3, 2), (2, 1, 2), ((1, 0), (1, 1), (0, 1)))(x)
    compared(y, [x], [RNG.integers(0, 3, (2, 5, 6, 4, 3)).astype(np.float32)])
