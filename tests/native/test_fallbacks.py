"""Where there are no routines XLA computes everything, and the doctor says why."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import millrace as mr
from millrace.cli import doctor
from millrace.doctor import chinese, english
from millrace.engines import compiler, machine, native
from millrace.native import library
from millrace.native.build import build, compiled, kinds
from millrace.training.run import Run

CPU = compiler.jax.default_backend() == "cpu"
OWN = "routine of its own"


def found(monkeypatch, **environment):
    """What `library` finds when it looks anew."""
    monkeypatch.delenv(library.SWITCH, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return library.library.__wrapped__()


def said(monkeypatch, none, language=english):
    """The doctor's words for it."""
    monkeypatch.setattr(machine, "library", lambda: none)
    return doctor.routines("cpu", language.FACTS)


def convolved():
    """A convolution's gradients on the compiler, on the interpreter, and what the compiler chose."""
    rng = np.random.default_rng(0)
    x = mr.Input((7, 6, 3), name="x")
    kernel = mr.Variable(rng.normal(size=(3, 2, 3, 5)).astype(np.float32), name="kernel")
    loss = mr.mean(mr.square(mr.conv(mr.tanh(x), kernel, 2, padding="same")))
    outputs, given = [loss, *mr.gradients(loss, [kernel, x])], rng.normal(size=(4, 7, 6, 3)).astype(np.float32)
    step = mr.function([x], outputs, engine="xla")
    got, expected = step(given), mr.function([x], outputs, engine="numpy")(given)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return {choice for _, choice, _ in step.programs[0].notes}


@pytest.mark.skipif(not CPU, reason="routines are for CPUs")
def test_programs_call_routines_where_there_are_some_and_else_compute_the_same():
    assert (OWN in convolved()) == (library.library().loaded is not None)


@pytest.mark.skipif(not CPU, reason="routines are for CPUs")
def test_without_them_the_same_is_computed(xla_alone):
    assert OWN not in convolved()


def test_they_are_for_float32_on_one_cpu(monkeypatch):
    from millrace.engines.low import Low

    monkeypatch.setattr(native, "offered", lambda: True)
    single, double = np.ones(2, np.float32), np.ones(2)
    assert Low("cpu").has_routine(single, single)
    assert not Low("cpu").has_routine(single, double) and not Low("gpu").has_routine(single)
    assert not Low("portable").has_routine(single)  # what is exported runs without Millrace
    assert not Low("cpu", devices=object()).has_routine(single)


def test_the_environment_switches_them_off(monkeypatch):
    none = found(monkeypatch, MILLRACE_NATIVE="off")
    assert none.loaded is None and none.why == "off"
    assert "MILLRACE_NATIVE=off" in said(monkeypatch, none) and "XLA" in said(monkeypatch, none)


@pytest.mark.skipif(not CPU, reason="routines are for CPUs")
def test_a_process_with_the_switch_off_uses_none_and_says_so():
    program = "import test_fallbacks as t; print(t.OWN in t.convolved(), t.machine.routines(), t.native.offered())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=os.path.dirname(__file__),
        env={**os.environ, "MILLRACE_NATIVE": "off"},
    )  # fmt: skip
    assert done.stdout.split() == ["False", "none", "False"], done.stderr[-2000:]


def test_where_none_were_built_the_doctor_says_how_to(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "BUILT", tmp_path)
    none = found(monkeypatch)
    assert none.why == ("unbuilt" if kinds() else "platform")
    if kinds():
        assert "build.py" in said(monkeypatch, none) and "gcc" in said(monkeypatch, none) + "gcc" * (os.name == "nt")


def test_a_library_of_other_sources_is_not_used(monkeypatch, tmp_path, c_compiler):
    for path in library.BUILT.glob("*.so"):
        shutil.copy(path, tmp_path)
    if not list(tmp_path.iterdir()):
        build(tmp_path)
    monkeypatch.setattr(library, "BUILT", tmp_path)
    monkeypatch.setattr(library, "fingerprint", lambda: "of later sources")
    none = found(monkeypatch)
    assert (none.loaded, none.why) == (None, "stale") and none.about.startswith(str(tmp_path))
    assert "build.py" in said(monkeypatch, none) and none.about in said(monkeypatch, none)


def test_a_damaged_library_and_one_of_something_else_are_not_used(monkeypatch, tmp_path, c_compiler):
    (tmp_path / "empty.c").write_text("int nothing;")
    made = tmp_path / "other.so"
    subprocess.run([*c_compiler, "-shared", "-fPIC", str(tmp_path / "empty.c"), "-o", str(made)], check=True)
    (tmp_path / "damaged.so").write_bytes(made.read_bytes()[:200])
    for name in ("other", "damaged"):
        none = library.opened(tmp_path / f"{name}.so", name)
        assert none.loaded is None and none.why == "unloadable" and name in none.about
        assert "build.py" in said(monkeypatch, none)


def test_a_processor_that_is_too_old_is_told(monkeypatch, tmp_path, c_compiler):
    source = "const char *millrace_fingerprint(void) { return FINGERPRINT; } int millrace_runs_here(void) { return 0; }"
    (tmp_path / "old.c").write_text(source)
    define = f'-DFINGERPRINT="{library.fingerprint()}"'
    made = str(tmp_path / "old.so")
    subprocess.run([*c_compiler, "-shared", "-fPIC", define, str(tmp_path / "old.c"), "-o", made], check=True)
    none = library.opened(tmp_path / "old.so", "old")
    assert none.why == "older" and "AVX2" in said(monkeypatch, none)


@pytest.mark.parametrize("why", ["off", "platform", "unbuilt", "stale", "unloadable", "older"])
def test_every_reason_has_words_in_both_languages(monkeypatch, why):
    none = library.Library(None, why=why, about="/a/b.so")
    for language in (english, chinese):
        assert "XLA" in said(monkeypatch, none, language) and "{" not in said(monkeypatch, none, language)


def test_the_doctor_names_the_library_that_is_used(monkeypatch):
    assert "x86-64-v3" in said(monkeypatch, library.Library(object(), "x86-64-v3"))
    assert doctor.routines("gpu") == "in C for processors only, not used on gpu"


@pytest.mark.parametrize(("kind", "kept"), [("x86-64-v4", "x86-64-v4"), ("", "none")])
def test_a_run_keeps_which_routines_it_was_made_with(monkeypatch, tmp_path, kind, kept):
    """They round otherwise than XLA does: a run that is to be repeated exactly has to know."""
    monkeypatch.setattr(machine, "library", lambda: library.Library(None, kind))
    run = Run(tmp_path)
    run.write_config({"model": "mlp", "engine": "xla", "seed": 0, "epochs": 1, "batch_size": 8})
    assert run.config()["versions"]["routines"] == kept


def test_a_compiler_that_fails_or_is_none_is_told(monkeypatch, tmp_path):
    if not kinds():
        pytest.skip("no routines for this system")
    assert "cannot be run" in compiled([str(tmp_path / "cc")], [], tmp_path / "made.so")
    monkeypatch.setenv("CC", "false --loud")
    libraries, why = build(tmp_path)
    assert libraries == [] and why.startswith("false --loud failed") and list(tmp_path.iterdir()) == []
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build(tmp_path)[0] == [] and "no C compiler" in build(tmp_path)[1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, c_compiler):
    (tmp_path / "file").write_text("")
    libraries, why = build(tmp_path / "file" / "built")
    assert libraries == [] and "cannot be written" in why
