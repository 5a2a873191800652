"""The interface to XLA, which source/ffi.h declares by hand, held to jaxlib's own header."""

import subprocess
from pathlib import Path

import jax

from millrace.native.build import FLAGS, SOURCE

HERE = Path(__file__).parent


def refused(c_compiler, *more):
    """What the compiler says against declarations.c."""
    words = [*c_compiler, *FLAGS, "-fsyntax-only", *more, "-I", str(SOURCE), "-I", jax.ffi.include_dir()]
    return subprocess.run([*words, str(HERE / "declarations.c")], capture_output=True, text=True).stderr


def test_sizes_and_places_are_those_of_jaxlibs_header(c_compiler):
    assert refused(c_compiler) == ""


def test_a_wrong_place_is_found(c_compiler, tmp_path):
    wrong = (SOURCE / "ffi.h").read_text().replace("void *others[8];", "void *others[7];")
    (tmp_path / "ffi.h").write_text(wrong)
    assert "place of Api.schedule" in refused(c_compiler, "-I", str(tmp_path))
