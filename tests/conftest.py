"""What all tests share."""

import os

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory):
    """A compile cache of this test run alone, so that no earlier run can hide a fault."""
    os.environ["MILLRACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
