"""What all tests share."""

import os

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")  # so that a mesh has something to lie over
os.environ.setdefault("MILLRACE_OFFLINE", "1")  # no test downloads a data set
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as Millrace sets it, also where a test imports JAX first


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory):
    """A compile cache of this test run alone, so that no earlier run can hide a fault."""
    os.environ["MILLRACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


_lacking = set()


@pytest.fixture(scope="session")
def real_data():
    """`real_data(name)` gives the folder of a published data set, or skips the test where it is not there."""
    from millrace.data.folder import files
    from millrace.ir.errors import FileError

    def folder(name):
        try:
            return files(name)[0].parent
        except FileError as error:
            _lacking.add(name)
            pytest.skip(f"needs the real {name}: set MILLRACE_DATA. {error}")

    return folder


def pytest_terminal_summary(terminalreporter):
    if _lacking:
        names = ", ".join(sorted(_lacking))
        terminalreporter.write_line(
            f"SKIPPED what needs real data ({names}): set MILLRACE_DATA to the folder that holds them.", yellow=True
        )


@pytest.fixture(autouse=True)
def known_layers():
    """Layers that a test makes are unknown to the next one."""
    from millrace.layers.base import LAYERS

    before = dict(LAYERS)
    yield
    LAYERS.clear()
    LAYERS.update(before)
