"""What is installed, with the fault that each finding is about made in a scratch environment."""

import re
from dataclasses import replace

import pytest
from scratch_environment import LIGHT, REAL, SOURCE

from millrace.doctor import mending, needed, packages
from millrace.doctor.installed import first, installed
from millrace.doctor.versions import fits, wanted


def test_an_empty_environment_is_told_what_to_install(scratch):
    said = scratch.doctor()
    assert said.code == 1 and not said.err
    assert "ERROR: Not installed: numpy, ml_dtypes, jax, jaxlib, safetensors," in said
    assert "-m ensurepip --upgrade" in said and f"-m pip install -e {SOURCE.parent}" in said
    assert max(map(len, said.out.splitlines())) <= 80 or len(str(scratch.python)) > 50
    assert "numpy absent" in said


def test_in_an_empty_environment_a_command_says_the_same_in_short(scratch):
    said = scratch.run("-m", "millrace", "train", "digits")
    assert said.code == 2 and not said.out
    assert said.err.startswith("millrace cannot run:\nERROR: Not installed: numpy,")
    assert "-m millrace doctor` says more." in " ".join(said.err.split()) and "Traceback" not in said.err


def test_where_all_is_installed_nothing_is_wrong(full):
    said = full.doctor()
    assert said.code == 0 and "Nothing wrong found." in said and "ERROR" not in said and "WARNING" not in said, said.out
    assert "engine      xla on cpu" in said.out


def test_without_jax_millrace_runs_and_the_doctor_says_what_that_costs(full):
    full.remove("jax*")
    said = full.doctor()
    assert said.code == 0 and "WARNING: Not installed: jax, jaxlib." in said
    assert "many times slower" in said and '-m pip install "jax>=0.10.1,!=0.10.2,!=0.11.0"' in said.out.replace(
        "\\\n", ""
    )
    program = "import millrace as mr; print(mr.function([], mr.constant(2.0) * 3)())"
    ran = full.run("-W", "ignore", "-c", program)
    assert ran.out.strip() == "6.0" and ran.code == 0


def test_where_all_is_well_but_for_millraces_own_commands_the_doctor_alone_says_so(light):
    said = light.doctor()
    assert said.code == 0 and said.out.startswith("Nothing wrong found."), said.out
    assert "numpy 2.4.6, ml_dtypes 0.6.0, jax 0.10.1, jaxlib 0.10.1" in said


def test_a_command_that_lacks_a_package_names_it(full):
    full.instead("jax", "0.10.1", LIGHT["jax"])
    full.remove("rich*")
    said = full.run("-m", "millrace", "runs")
    assert said.code == 2 and "Not installed: rich." in said.err and '"rich>=13.9"' in said.err
    said = full.doctor()
    assert said.code == 1 and "ERROR: Not installed: rich." in said


@pytest.mark.parametrize(
    ("name", "version", "words", "command"),
    [
        ("jaxlib", "0.9.0", "jaxlib 0.9.0 is a version that Millrace cannot use.", '"jax>=0.10.1,!=0.10.2,!'),
        ("jaxlib", "0.10.3", "jax 0.10.1 and jaxlib 0.10.3 do not fit each other.", "jax==0.10.3 jaxlib==0.10.3"),
        ("jaxlib", "0.10.2", "jaxlib 0.10.2 computes wrong results or crashes on CPUs.", '"jaxlib>=0.10.1,!=0.10.2,!'),
        (
            "numpy",
            "1.24.0",
            "numpy 1.24.0 is a version that Millrace cannot use. Millrace needs numpy>=1.26.",
            '"numpy>=',
        ),
        ("numpy", "1.26.4", "jax 0.10.1 and numpy 1.26.4 do not fit each other. jax asks for numpy>=2.0.", '"numpy>=2'),
        ("ml_dtypes", "0.4.0", "ml_dtypes 0.4.0 is a version that Millrace cannot use.", '"ml_dtypes>=0.5"'),
    ],
)
def test_versions_that_do_not_fit(light, name, version, words, command):
    light.instead(name, version, "raise ImportError('an old one')")
    said = light.examined()
    assert said.code == 1 and words in said, said.out
    assert command in said
    assert "an old one" not in said.out and said.out.count("ERROR") == 1  # the import fails for this very reason


def test_what_jax_itself_needs_is_looked_for(light):
    light.remove("opt_einsum*")
    said = light.doctor()
    assert said.code == 1 and "jax needs opt-einsum, which is not installed." in said
    assert "-m pip install opt-einsum" in said


def damaged_numpy(full):
    """NumPy with links to all its files but a folder that can be changed."""
    full.remove("numpy")
    (full.site / "numpy" / "_core").mkdir(parents=True)
    for folder in ("", "_core"):
        for entry in (REAL / "numpy" / folder).iterdir():
            if entry.name != "_core":
                (full.site / "numpy" / folder / entry.name).symlink_to(entry)
    return next((full.site / "numpy" / "_core").glob("_multiarray_umath*"))


def test_a_file_that_is_gone(full):
    machine_code = damaged_numpy(full)
    machine_code.unlink()
    said = full.doctor()
    assert said.code == 1 and re.search(r"The installation of numpy [\d.]+ is not whole\.", " ".join(said.out.split()))
    assert machine_code.name in said and re.search(r"install numpy==[\d.]+", said.out)
    assert said.out.count("ERROR") == 1  # that it cannot be imported is no second fault
    told = full.run("-c", "import millrace as mr; mr.Variable")
    last = told.err.strip().splitlines()[-1]
    assert last.startswith("ImportError: Millrace cannot be imported. The installation of numpy ")
    assert "pip install numpy==" in last and "IMPORTANT: PLEASE READ" not in told.err


def test_a_file_that_was_cut_short(full):
    machine_code = damaged_numpy(full)
    start = machine_code.read_bytes()[:1000]
    machine_code.unlink()
    machine_code.write_bytes(start)
    said = full.doctor()
    assert said.code == 1 and "is damaged." in said and "is not as long as it should be" in said
    assert said.out.count("ERROR") == 1


def test_an_environment_that_outlived_an_update_of_python(scratch):
    scratch.package("numpy", "2.4.6", "", tag="cp39-cp39-manylinux_2_27_x86_64")
    said = scratch.doctor()
    assert said.code == 1 and "numpy was installed by another Python." in said and "cp39-cp39-manylinux_2_27" in said
    assert "--force-reinstall" in said


def test_a_module_that_nobody_registered(scratch):
    (scratch.site / "numpy").mkdir()
    (scratch.site / "numpy" / "__init__.py").write_text("")
    assert "NOTE: numpy is there, but no installation of it is registered." in scratch.doctor()


@pytest.mark.parametrize(
    "tag", ["cp312-cp312-linux_x86_64", "py3-none-any", "cp310-abi3-linux_x86_64", "cp311.cp312-cp312-x"]
)
def test_a_wheel_for_this_python(machine, scratch, tag):
    scratch.package("numpy", "2.4.6", "", tag=tag)
    here = replace(machine, path=(str(scratch.site),))
    assert packages.built_for(here, first(here, "numpy"))


@pytest.mark.parametrize("tag", ["cp311-cp311-linux_x86_64", "cp313-abi3-linux_x86_64", "pp311-pypy311_pp73-linux"])
def test_a_wheel_for_another_python(machine, scratch, tag):
    scratch.package("numpy", "2.4.6", "", tag=tag)
    here = replace(machine, path=(str(scratch.site),))
    assert not packages.built_for(here, first(here, "numpy"))


def test_a_package_is_found_however_its_name_is_written(machine, scratch):
    scratch.package("ml_dtypes", "0.6.0", "", requires=["numpy>=2"], installer="conda")
    here = replace(machine, path=(str(scratch.site),))
    for name in ("ml_dtypes", "ml-dtypes", "ML_Dtypes"):
        (one,) = installed(here, name)
        assert (one.version, one.installer, one.wants) == ("0.6.0", "conda", ("numpy>=2",))


def test_what_is_needed_is_what_the_project_says():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["project"]
    asked = {text.partition(";")[0].strip() for text in project["dependencies"]}
    assert {str(one) for one in needed.NEEDED} == asked
    assert project["requires-python"] == ">=" + ".".join(map(str, needed.OLDEST))
    named = [text.rpartition("3.")[2] for text in project["classifiers"] if "Python :: 3." in text]
    assert max(map(int, named)) == needed.NEWEST[1]
    assert project["scripts"]["millrace"] == "millrace.__main__:main"
    from millrace.engines.plan import UNSAFE_YNNPACK

    assert set(needed.WRONG) <= set(UNSAFE_YNNPACK)


@pytest.mark.parametrize(
    ("version", "bounds", "fit"),
    [
        ("0.10.1", ">=0.10.1,!=0.10.2", True),
        ("0.10.2", ">=0.10.1,!=0.10.2", False),
        ("0.12.0.1", ">=0.10.1,!=0.10.2,!=0.11.0", True),
        ("0.11", "!=0.11.0", False),
        ("2.0.0rc1", ">=2.0", True),
        ("1.9", "<1.10", True),
        ("0.10.1", "==0.10.*", True),
        ("0.11.1", "==0.10.*", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("7", "", True),
    ],
)
def test_bounds_mean_what_pip_takes_them_for(version, bounds, fit):
    assert fits(version, bounds) == fit


def test_a_requirement_holds_only_where_its_condition_does():
    assert str(wanted("jaxlib<=0.10.1,>=0.10.1", (3, 11, 7))) == "jaxlib>=0.10.1,<=0.10.1"
    assert str(wanted("numpy (>=1.26)", (3, 11, 7))) == "numpy>=1.26"
    assert wanted('numpy>=2.1.0; python_version >= "3.13"', (3, 11, 7)) is None
    assert wanted('numpy>=2.1.0; python_version >= "3.13"', (3, 13, 0)).bounds == ">=2.1.0"
    assert wanted('pytest>=8; extra == "test"', (3, 13, 0)) is None


def test_commands_are_those_of_who_installed(machine, scratch, tmp_path):
    here = replace(machine, path=(str(scratch.site),), which={"python": machine.executable}.get)
    assert mending.install(here, "numpy>=1.26") == (
        "python -m ensurepip --upgrade",
        'python -m pip install "numpy>=1.26"',
    )
    with_uv = replace(here, which={"uv": "/bin/uv"}.get)
    assert mending.install(with_uv, "numpy") == (f"uv pip install numpy --python {machine.executable}",)
    scratch.package("pip", "26.0", "")
    assert mending.install(here, "numpy") == ("python -m pip install numpy",)
    assert mending.install(with_uv, "numpy") == ("env/bin/python -m pip install numpy",)
    scratch.package("numpy", "2.0.0", "", installer="conda")
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    assert mending.replace(here, "numpy==2.0.0")[0].startswith(f"conda install -p {tmp_path / 'env'} -c conda-forge ")
    system = replace(here, prefix="/usr")
    (tmp_path / "lib" / "EXTERNALLY-MANAGED").touch()
    assert mending.install(system, "rich") == ("python3 -m venv .venv", ".venv/bin/python -m pip install rich")


def test_words_are_quoted_as_the_shell_wants_them(machine):
    assert mending.quoted(machine, "jax>=0.10.1,!=0.10.2") == '"jax>=0.10.1,!=0.10.2"'
    assert mending.quoted(machine, "/home/me/a b") == '"/home/me/a b"'
    assert mending.quoted(machine, "/home/me/$x!") == "'/home/me/$x!'"
    assert mending.quoted(replace(machine, system="Windows"), "C:\\env\\python.exe") == "C:\\env\\python.exe"
    assert mending.set_variable(replace(machine, system="Windows"), "A", "b") == '$env:A = "b"'
