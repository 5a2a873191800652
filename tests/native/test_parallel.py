"""Work on XLA's threads: whatever they do, a routine ends, with the same result."""

import numpy as np
import pytest
from calling import Pool, call, version_of
from test_convolution_routines import by

from millrace.ops.convolution import Convolution

ROUTINES = ("convolution", "convolution_input_gradient", "convolution_kernel_gradient")


@pytest.mark.parametrize("when", ["soon", "here", "late", "never"])
def test_a_routine_waits_for_no_thread_that_has_not_begun(libraries, when):
    """Tasks may run at once, or when all is done, or be refused: no part is lost, and none is done twice."""
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((16, 9, 9, 5), (3, 3, 5, 20)))
    op = Convolution((1, 1), ((1, 1), (1, 1)), (1, 1))
    for library in libraries.values():
        expected = by(library, op, (x, kernel), Pool(1))
        for _ in range(5):
            assert (by(library, op, (x, kernel), Pool(8, when)) == expected).all()


def test_empty_arrays_give_empty_results(libraries):
    how = (1, 1, 0, 0, 1, 1, 1)
    for library in libraries.values():
        x, kernel = np.ones((0, 4, 4, 3), np.float32), np.ones((2, 2, 3, 5), np.float32)
        out = call(library, "convolution", [(0, 3, 3, 5)], [x, kernel], how, Pool(4))[0]
        assert out.shape == (0, 3, 3, 5)
        (summed,) = call(library, "convolution_kernel_gradient", [kernel.shape], [x, out], how, Pool(4))
        assert (summed == 0).all()
        call(library, "convolution_input_gradient", [x.shape], [out, kernel], how, Pool(4))


def test_routines_say_for_which_interface_they_are(libraries):
    for library in libraries.values():
        assert {version_of(library, name) for name in ROUTINES} == {(0, 3)}
