"""Libraries of the routines for every kind of processor that runs here, of the sources that are there."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import pytest

from millrace.native.build import BUILT, compiled, compiler, kinds
from millrace.native.library import opened

PLAIN = "plain"  # vectors of four: what is compiled where the compiler is told nothing of the processor


@pytest.fixture(scope="session")
def c_compiler():
    """The command of a C compiler; without one the test is skipped."""
    if compiler() is None:
        pytest.skip("no C compiler (apt install gcc). The routines in C are not tested")
    if not kinds():
        pytest.skip("no routines for this system. They are not tested")
    return compiler()


@pytest.fixture(scope="session")
def libraries(c_compiler, tmp_path_factory):
    """The libraries by their names, loaded."""
    loaded = {kind: found for kind in kinds() if (found := opened(BUILT / f"{kind}.so", kind).loaded)}
    wanted = {name: flags for name, flags in {**kinds(), PLAIN: []}.items() if name not in loaded}
    folder = tmp_path_factory.mktemp("libraries")
    paths = [folder / f"{name}.so" for name in wanted]
    with ThreadPoolExecutor() as pool:
        errors = list(pool.map(compiled, [c_compiler] * len(paths), wanted.values(), paths))
    assert not any(errors), errors
    loaded |= {name: ctypes.CDLL(str(path)) for name, path in zip(wanted, paths, strict=True)}
    return {name: library for name, library in loaded.items() if library.millrace_runs_here()}
