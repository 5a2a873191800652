"""Local response normalization in C beside its definition in float64."""

import numpy as np
import pytest
from calling import Pool
from test_convolution_routines import by

from millrace.ops.normalization import LocalResponseNormalization, LocalResponseNormalizationGradient


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("shape", [(3,), (2, 1), (70, 3, 33), (2, 5, 4, 96)])
def test_forward_and_gradient(libraries, shape, n):
    rng = np.random.default_rng(n)
    x, g = (rng.normal(size=shape).astype(np.float32) * 3 for _ in range(2))
    numbers = (n, 2.0, 0.3, 0.75)
    forward, backward = LocalResponseNormalization(*numbers), LocalResponseNormalizationGradient(*numbers)
    b = forward.evaluate(x)
    for op, arrays in ((forward, (x,)), (backward, (x, b, g))):
        expected = op.evaluate(*[a.astype(np.float64) for a in arrays])
        for library in libraries.values():
            got = by(library, op, arrays, Pool(1))
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)
            np.testing.assert_array_equal(got, by(library, op, arrays, Pool(5)))
