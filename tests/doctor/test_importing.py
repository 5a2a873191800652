"""Imports that fail, each with the words of the real error, tried as they are: in a process of their own."""

import pytest

from millrace.doctor import causes
from millrace.doctor.surroundings import Trial
from millrace.doctor.trying import trial

# The package that fails, what its import does, what the doctor says, and what its command has in it.
FAULTS = {
    "import-dll": (
        "jaxlib",
        "raise ImportError('DLL load failed while importing _jax: The specified module could not be found.')",
        "jax cannot be loaded: DLL load failed.",
        "winget install --id Microsoft.VCRedist.2015+.x64",
    ),
    "import-glibc": (
        "jaxlib",
        'raise ImportError("/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.27\' not found (required by _jax.so)")',
        "jax needs a newer C library: GLIBC_2.27.",
        "docker run",
    ),
    "import-cpp": (
        "numpy",
        'raise ImportError("/usr/lib/libstdc++.so.6: version `GLIBCXX_3.4.29\' not found (required by x.so)")',
        "numpy needs a newer C++ library: GLIBCXX_3.4.29.",
        "libstdc++6",
    ),
    "import-symbol": (
        "jaxlib",
        "raise ImportError('_jax.so: undefined symbol: _ZN4absl12lts_20250127')",
        "Parts of jax come from different versions.",
        "jax==0.10.1 jaxlib==0.10.1 --force-reinstall",
    ),
    "import-abi": (
        "ml_dtypes",
        "raise ImportError('A module that was compiled using NumPy 1.x cannot be run in NumPy 2.4.6 as it may crash.')",
        "ml_dtypes was built for another NumPy than the one installed.",
        '"numpy>=1.26" "ml_dtypes>=0.5" --upgrade',
    ),
    "import-cut": (
        "numpy",
        "raise ImportError('numpy/_core/_multiarray_umath.so: file too short')",
        "A file of numpy is damaged or for another system.",
        "numpy==2.4.6 --force-reinstall",
    ),
    "import-architecture": (
        "numpy",
        "raise ImportError(\"x.so: mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64')\")",
        "numpy was installed for another kind of processor.",
        "numpy==2.4.6 --force-reinstall",
    ),
    "import-macos": (
        "jaxlib",
        "raise ImportError('Symbol not found: _x (built for macOS 14.0 which is newer than running OS)')",
        "jax is made for a newer macOS.",
        "softwareupdate",
    ),
    "no-avx": (
        "jaxlib",
        "raise RuntimeError('This version of jaxlib was built using AVX instructions, which your CPU and/or operating "
        "system do not support. You may be able work around this issue by building jaxlib from source.')",
        "This processor has no AVX instructions, or they are switched off.",
        "millrace train --engine numpy",
    ),
    "no-sse42": (
        "numpy",
        'raise RuntimeError("NumPy was built with baseline optimizations: (X86_V2) but your machine doesn\'t support")',
        "This processor lacks SSE4.2.",
        '"numpy<2.4"',
    ),
    "import-map": (
        "numpy",
        "raise ImportError('x.so: failed to map segment from shared object')",
        "The system does not let numpy load its machine code.",
        "numpy==2.4.6",
    ),
    "import-memory": ("numpy", "raise MemoryError", "There was too little memory to load numpy.", "--engine numpy"),
    "import-library": (
        "numpy",
        "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')",
        "numpy lacks a library of the system: libgomp.so.1",
        "sudo apt-get install libgomp1",
    ),
    "import-permission": (
        "numpy",
        "raise PermissionError(13, 'Permission denied', 'x.so')",
        "Files of numpy may not be read.",
        "--force-reinstall",
    ),
    "import-absent": (
        "numpy",
        "import numpy._nothing_of_that_name",
        "numpy cannot be imported: the module numpy._nothing_of_that_name is missing.",
        "numpy==2.4.6 --force-reinstall",
    ),
    "import-disagree": (
        "jaxlib",
        "raise RuntimeError('jaxlib version 0.12.0 is newer than and incompatible with jax version 0.10.1. Please')",
        "jax and jaxlib do not fit each other.",
        '"jax>=0.10.1',
    ),
    "import-platform": (
        "jaxlib",
        "raise RuntimeError(\"Unable to initialize backend 'tpu': Backend 'tpu' is not in the list\")",
        "JAX was told to compute on tpu, which it cannot find.",
        "unset JAX_PLATFORMS",
    ),
    "import-flags": (
        "jaxlib",
        "import os, sys; sys.stderr.write('F1 parse_flags_from_env.cc:234] Unknown flag in XLA_FLAGS: --xla_no'); "
        "sys.stderr.flush(); os._exit(1)",
        "XLA does not know what XLA_FLAGS says: --xla_no",
        "unset XLA_FLAGS",
    ),
    "import-masked": (
        "numpy",
        "raise ImportError(\"cannot import name 'x' from partially initialized module 'numpy' (most likely due to a "
        'circular import)")',
        "A file of yours may have the name of a module that numpy needs.",
        "numpy==2.4.6 --force-reinstall",
    ),
    "import-illegal": (
        "jaxlib",
        "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        "Importing jax ended with an illegal instruction.",
        "millrace train --engine numpy",
    ),
    "import-crash": (
        "numpy",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "Importing numpy crashed (exit code -11).",
        "--force-reinstall",
    ),
    "import-killed": (
        "jaxlib",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "Importing jax was ended by the system.",
        "millrace train --engine numpy",
    ),
    "import-unknown": (
        "numpy",
        "raise ImportError('nobody has seen this before')",
        "numpy cannot be imported. The doctor does not know this error: ImportError: nobody has seen this before",
        "numpy==2.4.6 --force-reinstall",
    ),
}


@pytest.mark.parametrize("code", FAULTS)
def test_an_import_that_fails_is_told_by_its_cause(light, code):
    name, program, words, command = FAULTS[code]
    version = {"numpy": "2.4.6", "ml_dtypes": "0.6.0"}.get(name, "0.10.1")
    light.instead(name, version, program)
    said = light.examined()
    assert words in said, said.out + said.err
    assert said.code == (0 if code == "no-avx" else 1)
    assert command in said
    assert said.out.count("ERROR") + said.out.count("WARNING") == 1


def test_every_cause_has_its_fault():
    assert {code for code, *_ in causes.CAUSES} | set(causes.ENDS) | {"import-unknown"} == set(FAULTS)


def test_the_cause_may_stand_behind_the_error_that_is_seen(light):
    behind = (
        "try: raise ImportError('x.so: undefined symbol: a')\nexcept ImportError: raise RuntimeError('no more known')"
    )
    light.instead("numpy", "2.4.6", behind)
    assert "Parts of numpy come from different versions." in light.examined()


def test_an_import_that_does_not_end_is_stopped(light, machine, monkeypatch):
    monkeypatch.setattr("millrace.doctor.trying.SECONDS", 0.3)
    light.instead("numpy", "2.4.6", "import time; time.sleep(30)")
    tried = trial(str(light.python), [*machine.path[:0], str(light.site)], ["numpy"], {})
    assert tried == Trial("numpy", "", None)
    slow = causes.cause(machine, tried)
    assert slow.code == "import-slow" and slow.mend[0].endswith('-X importtime -c "import numpy"')


def test_what_numpy_says_in_a_page_becomes_a_sentence_where_millrace_is_used(light):
    wall = (
        "\\n\\nIMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!\\n\\nImporting the numpy C-extensions"
    )
    light.instead("numpy", "2.4.6", f"raise ImportError('{wall} failed. Original error was: x.so: file too short')")
    told = light.run("-c", "import millrace as mr; print('here'); mr.Variable")
    assert told.out == "here\n" and told.code == 1
    last = told.err.strip().splitlines()[-1]
    assert last.startswith("ImportError: Millrace cannot be imported. A file of numpy is damaged")
    assert "numpy==2.4.6 --force-reinstall" in last and "IMPORTANT" not in told.err


def test_a_real_jax_that_cannot_be_loaded_leaves_the_interpreter(full):
    full.instead("jaxlib", "0.10.1", FAULTS["import-dll"][1])
    program = (
        "import warnings, millrace as mr\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    print(mr.function([], mr.constant(2.0) * 3)())\n"
        "print(seen[0].message)\n"
        "try: mr.function([], mr.constant(1.0), engine='xla')\n"
        "except Exception as error: print(error)\n"
    )
    value, warned, refused = full.run("-c", program).out.splitlines()
    assert value == "6.0"
    for line in (warned, refused):
        assert "cannot be loaded: DLL load failed. Nearly always Microsoft's C++ runtime is missing" in line
        assert "`winget install --id Microsoft.VCRedist.2015+.x64`" in line
    assert "many times slower" in warned and "engine='numpy', --engine numpy" in refused


def test_flags_that_the_real_xla_does_not_know(full):
    said = full.doctor(XLA_FLAGS="--xla_nothing_of_that_name=1")
    assert said.code == 1 and "XLA does not know what XLA_FLAGS says: --xla_nothing_of_that_name=1" in said
    assert "unset XLA_FLAGS" in said
