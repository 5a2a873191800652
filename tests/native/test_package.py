"""What installing makes of the routines: in a wheel, and without a compiler."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from millrace.native.build import SOURCE, kinds

ROOT = Path(__file__).parents[2]
STANDS_IN = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo a library > "$2"
"""

pytestmark = pytest.mark.skipif(not (ROOT / "hatch_build.py").is_file(), reason="needs the whole source")


def packed(folder, kind="wheel", **environment):
    """The file that is made, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)], cwd=ROOT, capture_output=True,
        text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return next(folder.iterdir()), done.stdout + done.stderr


def tag(wheel):
    info = next(name for name in wheel.namelist() if name.endswith(".dist-info/WHEEL"))
    return re.findall(r"^(?:Tag|Root-Is-Purelib): (\S+)$", wheel.read(info).decode(), re.M)


@pytest.mark.skipif(not kinds(), reason="no routines for this system")
def test_a_wheel_holds_the_libraries_and_is_for_this_platform(tmp_path):
    stand_in = tmp_path / "cc"
    stand_in.write_text(STANDS_IN)
    stand_in.chmod(0o755)
    file, _ = packed(tmp_path / "made", CC=str(stand_in))
    assert re.fullmatch(r"millrace-[\d.]+-py3-none-(linux|macosx_\d+_\d+)_\w+\.whl", file.name)
    with zipfile.ZipFile(file) as wheel:
        assert tag(wheel) == ["false", file.stem.partition("-")[2].partition("-")[2]]
        built = {Path(name).name for name in wheel.namelist() if name.startswith("millrace/native/built/")}
        assert built == {f"{kind}.so" for kind in kinds()}
        assert {f"millrace/native/source/{path.name}" for path in SOURCE.iterdir()} <= set(wheel.namelist())


def test_without_a_compiler_the_wheel_is_for_every_platform_and_a_line_says_so(tmp_path):
    file, said = packed(tmp_path, CC="/no/compiler")
    assert file.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(file) as wheel:
        assert tag(wheel) == ["true", "py3-none-any"]
        assert not [name for name in wheel.namelist() if name.endswith(".so")]
    (line,) = [line for line in said.splitlines() if "Routines in C were not built" in line]
    assert "Millrace works without" in line


def test_a_source_distribution_holds_what_builds_them(tmp_path):
    file, _ = packed(tmp_path, "sdist")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "src/millrace/native/build.py"} <= names
    assert {f"src/millrace/native/source/{path.name}" for path in SOURCE.iterdir()} <= names
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.slow
def test_what_a_wheel_installs_uses_its_routines(tmp_path, c_compiler):
    file, _ = packed(tmp_path / "made")
    with zipfile.ZipFile(file) as wheel:
        wheel.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "millrace.native"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.startswith("Routines in C: ") and not done.stderr
