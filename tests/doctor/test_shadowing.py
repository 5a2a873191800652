"""Two things of one name, made in a scratch environment."""

import os
import sys
from dataclasses import replace

import pytest
from scratch_environment import REAL, SOURCE

from millrace.doctor import shadowing


def test_a_file_of_ones_own_named_like_a_package(light):
    (light.here / "numpy.py").write_text("print('mine')\n")
    said = light.doctor()
    assert said.code == 1 and f"{light.here}/numpy.py takes the place of numpy." in said
    assert "To mend it: mv numpy.py my_numpy.py" in said
    assert light.doctor(cwd=light.root).code == 0


def test_a_file_in_the_way_is_named_where_millrace_is_used(light):
    (light.here / "numpy.py").write_text("raise ImportError('what is this?')\n")
    told = light.run("-c", "import millrace as mr; mr.Variable").err.strip().splitlines()[-1]
    assert "numpy.py takes the place of numpy. To mend it: `mv " in told


def test_a_file_named_like_a_module_of_pythons_own(light):
    (light.here / "random.py").write_text("print('my own')\n")
    said = light.doctor()
    assert said.code == 0 and "WARNING: " in said and "random.py takes the place of Python's own module random." in said


def test_it_is_the_cause_where_an_import_fails(light):
    (light.here / "random.py").write_text("")
    light.instead("numpy", "2.4.6", "from random import randint")
    said = light.doctor()
    assert said.code == 1 and "ERROR: " in said and "random.py takes the place of Python's own module random." in said
    assert said.out.count("ERROR") == 1 and "does not know" not in said.out
    told = light.run("-c", "import millrace as mr; mr.Variable").err.strip().splitlines()[-1]
    assert "random.py takes the place of Python's own module random." in told


@pytest.mark.parametrize("name", ["dataclasses.py", "subprocess.py"])
def test_the_doctor_itself_runs_beside_files_named_like_modules_that_it_needs(light, name):
    (light.here / name).write_text("raise SystemError('mine')\n")
    light.remove("cyclopts*")
    (light.site / "real").symlink_to(REAL)
    (light.site / "real.pth").write_text(str(light.site / "real"))  # so that the command itself can be imported
    said = light.doctor()
    assert name + " takes the place of Python's own module" in said, said.out + said.err


def test_two_installations_in_two_folders(light, tmp_path):
    light.package("numpy", "1.26.4", "", folder=tmp_path / "other")
    (light.site / "other.pth").write_text(str(tmp_path / "other"))
    said = light.doctor()
    assert said.code == 0 and "WARNING: numpy is installed twice: 2.4.6 and 1.26.4." in said
    assert "-m pip uninstall -y numpy" in said


def test_another_pythons_packages_in_pythonpath(light, tmp_path):
    light.package("numpy", "1.26.4", "", folder=tmp_path / "other")
    said = light.doctor(PYTHONPATH=str(tmp_path / "other"))
    assert "numpy is installed twice: 1.26.4 and 2.4.6." in said and "unset PYTHONPATH" in said
    assert said.code == 1 and "jax 0.10.1 and numpy 1.26.4 do not fit each other." in said


def test_two_installations_in_one_folder(light):
    light.package("numpy", "2.3.0", installer="conda")
    said = light.doctor()
    assert said.code == 1 and "Two installations of numpy lie in one folder" in said
    assert said.out.count("uninstall -y numpy") == 2


def test_two_millraces(light, tmp_path):
    (light.site / "millrace").symlink_to(tmp_path / "second")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "__init__.py").write_text("")
    said = light.doctor(PYTHONPATH=str(SOURCE))
    assert "WARNING: There are two Millraces. This one runs:" in said


def test_a_millrace_of_another_python_on_path(light):
    light.command("millrace", "#!/opt/other/bin/python3\nimport millrace\n")
    said = light.doctor()
    assert said.code == 0 and "WARNING: The command `millrace` belongs to another Python." in said
    assert "which runs /opt/other/bin/python3" in said and "-m millrace doctor" in said


def test_a_pip_of_another_python_on_path(light):
    light.command("pip", "#!/bin/sh\n'''exec' \"/opt/a long path/bin/python\" \"$0\" \"$@\"\n' '''\n")
    said = light.doctor()
    assert (
        "NOTE: The command `pip` belongs to another Python." in said and "It runs /opt/a long path/bin/python." in said
    )


def test_commands_of_this_python_are_no_finding(machine, codes, tmp_path):
    beside = os.path.join(os.path.dirname(machine.executable), "python3.12")
    script = tmp_path / "pip"
    for line in (f"#!{machine.executable}", f"#!{beside}", "#!/usr/bin/env python3", "#!/bin/bash", "\x7fELF"):
        script.write_text(line + "\n")
        assert not codes(shadowing, replace(machine, which=lambda name: str(script))), line


def test_an_ordinary_folder_is_no_finding(machine, codes, tmp_path):
    for name in ("train.py", "my_numpy.py", "test.py"):
        (tmp_path / name).touch()
    (tmp_path / "jax").mkdir()  # without __init__.py it hides nothing
    (tmp_path / "runs").mkdir()
    assert not codes(shadowing, replace(machine, path=(str(tmp_path), *machine.path)))


def test_this_very_environment_has_nothing_in_the_way():
    assert sys.prefix
    from millrace.doctor.reading import surroundings

    assert not [one for one in shadowing.check(surroundings()) if one.level == "error"]
