"""Pythons, systems, processors, memory and disks, made up where none can be had, and real where they can."""

import subprocess
from dataclasses import replace

import pytest
from scratch_environment import SOURCE, pythons

from millrace.doctor import examination, memory, packages, processor, python, reading, storage, wheels, windows
from millrace.doctor.surroundings import GIB


def test_nothing_is_wrong_with_a_machine_on_which_nothing_is(machine, codes):
    for check in (python, wheels, processor, windows, storage, memory):
        assert not codes(check, machine), check


@pytest.mark.parametrize(
    ("code", "level", "change"),
    [
        ("python-old", "error", {"python": (3, 10, 13)}),
        ("python-new", "warning", {"python": (3, 15, 0)}),
        ("python-kind", "error", {"implementation": "PyPy"}),
        ("python-32-bit", "error", {"bits": 32}),
        ("python-free-threaded", "warning", {"free_threaded": True}),
    ],
)
def test_a_python_that_does_not_suit(machine, codes, code, level, change):
    found = codes(python, replace(machine, **change))
    assert set(found) == {code} and found[code].level == level
    assert found[code].mend[-1].endswith(("millrace", f"-e {SOURCE.parent}"))


def test_another_python_is_asked_for_as_this_machine_gives_it(machine, codes, tmp_path):
    old = replace(machine, python=(3, 9, 1))

    def mend(here):
        return codes(python, here)["python-old"].mend

    assert mend(replace(old, suitable=lambda: "python3.12"))[0] == "python3.12 -m venv .venv"
    assert mend(replace(old, which={"uv": "/usr/bin/uv"}.get))[0] == "uv venv --python 3.13 .venv"
    assert mend(replace(old, system="Darwin", which={"brew": "/bin/brew"}.get))[0] == "brew install python@3.13"
    assert mend(replace(old, system="Windows"))[0].startswith("winget install --id Python.Python.3.13 ")
    assert mend(replace(old, system="Windows"))[1] == "py -3.13 -m venv .venv"
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    assert mend(old)[0] == "conda create -n millrace -c conda-forge python=3.13 pip"


@pytest.mark.skipif(not any(minor in pythons() for minor in (8, 9, 10)), reason="needs an older Python on this machine")
def test_on_an_older_python_the_doctor_runs_and_says_that_it_is_too_old(tmp_path):
    for minor in {min(m for m in pythons() if m >= 8), 10} & set(pythons()):
        command = [str(pythons()[minor]), "-m", "millrace"]
        environment = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        for words, exit_code in (("doctor", 1), ("train", 2))[: 1 if minor == 10 else 2]:
            done = subprocess.run([*command, words], capture_output=True, text=True, cwd=tmp_path, env=environment)
            assert done.returncode == exit_code, done.stderr
            assert f"Python 3.{minor}." in done.stdout + done.stderr and "is too old" in done.stdout + done.stderr
            assert "Traceback" not in done.stderr and "Not installed" not in done.stdout + done.stderr


def test_the_python_of_the_microsoft_store(machine, codes):
    place = r"C:\Users\me\AppData\Local\Microsoft\WindowsApps\python.exe"
    found = codes(python, replace(machine, system="Windows", executable=place))
    assert found["python-store"].level == "note"


@pytest.mark.parametrize(
    ("code", "level", "change"),
    [
        ("glibc-old", "error", {"libc": ("glibc", (2, 17))}),
        ("musl", "error", {"libc": ("musl", ())}),
        ("no-wheels", "error", {"architecture": "riscv64"}),
        ("no-wheels", "error", {"system": "FreeBSD"}),
        ("macos-old", "error", {"system": "Darwin", "architecture": "arm64", "macos": (10, 15)}),
        ("macos-intel", "warning", {"system": "Darwin", "macos": (13, 2)}),
        ("windows-arm", "warning", {"system": "Windows", "architecture": "arm64"}),
    ],
)
def test_a_system_that_no_packages_are_made_for(machine, codes, code, level, change):
    found = codes(wheels, replace(machine, **change))
    assert set(found) == {code} and found[code].level == level


def test_where_no_jax_is_made_millrace_is_installed_without_it(machine, codes, tmp_path):
    for mac in (replace(machine, system="Darwin"), replace(machine, system="Windows", architecture="arm64")):
        missing = codes(packages, mac)["missing-base"]
        assert "jax" not in missing.about["names"] and "jax" not in " ".join(missing.mend)
    mend = codes(wheels, replace(machine, system="Darwin"))["macos-intel"].mend
    assert "numpy" in mend[-2] and "jax" not in mend[-2] and mend[-1].endswith(f"-e {SOURCE.parent} --no-deps")
    (tmp_path / "site" / "numpy-2.4.6.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "numpy-2.4.6.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 2.4.6\n")
    assert codes(wheels, replace(machine, system="Darwin"))["macos-intel"].mend == ("millrace train --engine numpy",)


@pytest.mark.parametrize("libc", [("glibc", (2, 27)), ("glibc", (2, 41)), ("", ())])
def test_a_c_library_that_is_new_enough(machine, codes, libc):
    assert not codes(wheels, replace(machine, libc=libc))


def test_a_processor_without_what_the_packages_were_built_with(machine, codes):
    found = codes(processor, replace(machine, features=frozenset({"sse4_2"})))
    assert found["no-avx"].level == "warning" and found["no-avx"].mend == ("millrace train --engine numpy",)
    assert codes(processor, replace(machine, features=frozenset({"sse3"})))["no-sse42"].level == "error"
    assert not codes(processor, replace(machine, features=None))  # nobody says
    assert not codes(processor, replace(machine, architecture="arm64", features=frozenset({"asimd"})))
    mac = replace(machine, system="Darwin", translated=True, features=frozenset({"sse4_2"}))
    assert set(codes(processor, mac)) == {"rosetta"}
    assert not codes(wheels, mac)  # it is no Intel Mac


def test_a_windows_without_microsofts_runtime(machine, codes):
    bare = replace(machine, system="Windows", prefix="C:\\env", lacking_dlls=("msvcp140.dll",), long_paths=False)
    found = codes(windows, bare)
    assert set(found) == {"runtime-missing"}
    assert found["runtime-missing"].mend == ("winget install --id Microsoft.VCRedist.2015+.x64",)
    deep = replace(bare, prefix="C:\\Users\\somebody\\" + "deep\\" * 20 + "env", lacking_dlls=())
    assert codes(windows, deep)["paths-short"].mend[0].startswith("reg add HKLM")
    assert not codes(windows, replace(deep, long_paths=True))
    assert not codes(windows, replace(bare, system="Linux"))


def test_little_memory_and_a_containers_limit(machine, codes, tmp_path):
    assert set(codes(memory, replace(machine, memory=GIB // 2))) == {"memory-little"}
    assert set(codes(memory, replace(machine, memory=2 * GIB))) == {"memory-small"}
    limited = codes(memory, replace(machine, memory_limit=GIB // 2))
    assert set(limited) == {"memory-little", "memory-limited"}
    assert limited["memory-limited"].about == {"usable": "0.5 GiB", "whole": "16.0 GiB"}
    assert not codes(memory, replace(machine, memory=0))


def test_a_limit_is_read_where_the_system_keeps_it(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("0::/user/job\n")
    (tmp_path / "user" / "job").mkdir(parents=True)
    assert reading.container_limit(str(tmp_path), str(own)) == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert reading.container_limit(str(tmp_path), str(own)) == 0
    (tmp_path / "user" / "job" / "memory.max").write_text("536870912\n")
    assert reading.container_limit(str(tmp_path), str(own)) == 2**29
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert reading.container_limit(str(tmp_path), str(own)) == 2**29  # the narrowest of them counts


def test_a_disk_that_is_full_or_nearly_so(machine, codes):
    full = codes(storage, replace(machine, free=lambda folder: 5 * 2**20))
    assert full["disk-full"].level == "error" and full["disk-full"].about["free"] == "5 MiB"
    assert codes(storage, replace(machine, free=lambda folder: GIB // 2))["disk-little"].level == "warning"
    assert not codes(storage, replace(machine, free=lambda folder: None))


def test_room_is_missed_once_for_each_disk(machine):
    found = [one.code for one in storage.check(replace(machine, free=lambda folder: 0))]
    assert found.count("disk-full") <= 2  # here, the cache and the temporary folder, on at most two disks


def test_where_the_python_does_not_suit_the_packages_are_left_out(machine):
    assert {one.code for one in examination.examine(machine)} == {"missing-base"}
    assert {one.code for one in examination.examine(replace(machine, python=(3, 8, 0)))} == {"python-old"}


def test_what_is_read_of_this_machine_is_what_it_says_itself():
    import os
    import platform
    import sys

    here = reading.surroundings()
    assert here.python == sys.version_info[:3] and here.bits == 64 and here.directory == os.getcwd()
    assert here.system == platform.system() and here.memory > GIB // 4 and here.cores >= 1
    if here.system == "Linux" and here.libc[0] == "glibc":
        assert ".".join(map(str, here.libc[1])) == platform.libc_ver()[1]
    assert here.free(here.directory) and here.writable("/dev/null/not/there")
