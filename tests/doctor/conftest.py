"""Scratch environments to make faults in, and machines that are made up."""

import os
import venv

import pytest
from scratch_environment import SOURCE, Scratch

from millrace.doctor.surroundings import GIB, Surroundings


@pytest.fixture
def scratch(tmp_path):
    """An environment in which nothing is installed but Millrace."""
    made = Scratch(tmp_path)
    made.here.mkdir()
    venv.create(tmp_path / "env", symlinks=os.name != "nt", with_pip=False)
    (made.site / "millrace.pth").write_text(str(SOURCE))
    return made


@pytest.fixture
def full(scratch):
    """An environment in which everything is installed."""
    return scratch.fill()


@pytest.fixture
def light(scratch):
    """An environment in which everything is installed, as packages that do nothing."""
    return scratch.pretend()


@pytest.fixture
def machine(tmp_path):
    """A made-up machine on which nothing is wrong but that nothing is installed."""
    library = tmp_path / "lib"
    library.mkdir()
    return Surroundings(
        python=(3, 12, 4),
        executable=str(tmp_path / "env/bin/python"),
        prefix=str(tmp_path / "env"),
        base_prefix="/usr",
        path=(str(library), str(tmp_path / "site")),
        library=str(library),
        directory=str(tmp_path),
        home=str(tmp_path),
        libc=("glibc", (2, 39)),
        features=frozenset({"sse4_2", "avx", "avx2"}),
        cores=4,
        memory=16 * GIB,
        free=lambda folder: 100 * GIB,
    )


@pytest.fixture
def codes():
    """The findings of a check by their codes."""
    return lambda check, machine: {one.code: one for one in check.check(machine)}
