"""Why an import failed: the causes that are known by the words of their errors, or by how the process ended."""

from __future__ import annotations

import re
from collections.abc import Callable

from millrace.doctor import mending, windows
from millrace.doctor.finding import Finding, error, warning
from millrace.doctor.installed import first
from millrace.doctor.needed import GLIBC, named
from millrace.doctor.packages import module_of
from millrace.doctor.surroundings import Surroundings, Trial


def again(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    """The same version once more."""
    there = first(here, name)
    both = ("jax", "jaxlib") if name in ("jax", "jaxlib") else (name,)
    wanted = [f"{one}=={there.version}" if there and name == one else str(named(one) or one) for one in both]
    if there and name in ("jax", "jaxlib"):
        wanted = [f"{one}=={there.version}" for one in both]
    return mending.replace(here, *wanted)


def numpy_too(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    """The package and NumPy, chosen together."""
    wanted = ["numpy"] + ([name] if name != "numpy" else [])
    if name in ("jax", "jaxlib"):
        wanted = ["numpy", "scipy", "ml_dtypes", "jax", "jaxlib"]
    return mending.install(
        here, *(str(named(one) or one) for one in wanted), options=("--upgrade", "--force-reinstall")
    )


def runtime(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    """Microsoft's runtime, or where it is there, the package once more."""
    return (windows.RUNTIME, *again(here, name, found))


def newer_system(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    return (f"docker run -it --rm -v .:/work -w /work python:{mending.PYTHON}-slim bash",)


def newer_cpp(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    if mending.conda(here):
        return (f"conda install -p {mending.quoted(here, here.prefix)} -c conda-forge libstdcxx-ng",)
    return ("sudo apt-get install --only-upgrade libstdc++6",)


def library(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    """The system package that has a shared library."""
    file = found.group(1)
    known = {"libstdc++": "libstdc++6", "libgomp": "libgomp1", "libgcc_s": "libgcc-s1", "libz": "zlib1g"}
    package = next((package for start, package in known.items() if file.startswith(start)), "")
    return (f"sudo apt-get install {package}",) if package else again(here, name, found)


def absent(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    """What was not found, installed; where it is part of an installed package, that package once more."""
    missing = found.group(1).split(".")[0]
    if missing == module_of(name):
        return again(here, name, found) if first(here, name) else mending.needed(here, name)
    return mending.needed(here, missing)


def flags_off(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    return (mending.unset_variable(here, "XLA_FLAGS"),)


def platforms_off(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    return (mending.unset_variable(here, "JAX_PLATFORMS"),)


def unlimited(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    return ("ulimit -v unlimited", *again(here, name, found))


def interpreter(here: Surroundings, name: str, found: re.Match[str]) -> tuple[str, ...]:
    return ("millrace train --engine numpy",)


# The first whose words are in the error is the cause. What the words capture is `found` in its text.
CAUSES: tuple[tuple[str, str, Callable[..., tuple[str, ...]]], ...] = (
    ("import-flags", r"Unknown flags? in XLA_FLAGS: *(.*)", flags_off),
    ("import-flags", r"read flags for environment variable \"(XLA_FLAGS)\"", flags_off),
    ("import-platform", r"Unable to initialize backend '(\w+)'", platforms_off),
    ("import-platform", r"Unknown backend:? '?(\w+)", platforms_off),
    ("no-avx", r"built using ([\w., ]+) instructions", interpreter),
    ("no-sse42", r"(NumPy was built with baseline optimizations)", lambda here, *_: mending.install(here, "numpy<2.4")),
    ("import-glibc", r"version `(GLIBC_[\d.]+)' not found", newer_system),
    ("import-cpp", r"version `((?:GLIBCXX|CXXABI)_[\d.]+)' not found", newer_cpp),
    ("import-disagree", r"(jaxlib (?:is )?version \S+(?: is newer|, but this version)[^.]*(?:\.\d[^.]*)*)",
     lambda here, *_: mending.needed(here, "jax", "jaxlib")),
    ("import-abi", r"(compiled using NumPy 1|_ARRAY_API not found|multiarray failed to import|dtype size changed"
     r"|compiled against (?:ABI|API) version)", numpy_too),
    ("import-cut", r"(file too short|bad magic number|truncated|is not a valid Win32 application|invalid ELF header)",
     again),
    ("import-architecture", r"(wrong ELF class|incompatible architecture|wrong architecture|Exec format error)", again),
    ("import-macos", r"(built for macOS [\d.]+ which is newer)", lambda *_: ("softwareupdate --install --all",)),
    ("import-map", r"(failed to map segment|Cannot allocate memory)", unlimited),
    ("import-memory", r"(MemoryError|std::bad_alloc)", interpreter),
    ("import-library", r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object", library),
    ("import-dll", r"(DLL load failed)", runtime),
    ("import-symbol", r"(undefined symbol: \w+|symbol not found|Symbol not found)", again),
    ("import-permission", r"(Permission denied)", again),
    ("import-masked", r"(partially initialized module '[\w.]+')", again),
    ("import-absent", r"No module named '([\w.]+)'", absent),
)  # fmt: skip

# Exit codes of a process that did not end by itself: signals, and what Windows calls them.
ENDS = {
    "import-illegal": (-4, 132, 0xC000001D, 0xC000001D - 2**32),
    "import-crash": (-11, 139, -7, -6, 134, 0xC0000005, 0xC0000005 - 2**32),
    "import-killed": (-9, 137),
}


def cause(here: Surroundings, tried: Trial) -> Finding:
    """What a failed import means."""
    name = package_of(tried.failed)
    for code, words, mend in CAUSES:
        found = re.search(words, tried.said)
        if found:
            return judged(code, here, name, tried.said, mend(here, name, found), found.group(1).strip())
    nothing = re.match("", "")
    assert nothing is not None
    if tried.code is None:
        slow = f'{mending.python(here)} -X importtime -c "import {tried.failed}"'
        return judged("import-slow", here, name, "", (slow,), "")
    for code, numbers in ENDS.items():
        if tried.code in numbers:
            mend = again if code == "import-crash" else interpreter
            return judged(code, here, name, tried.said, mend(here, name, nothing), str(tried.code))
    return judged("import-unknown", here, name, tried.said, again(here, name, nothing), "")


def judged(code: str, here: Surroundings, name: str, said: str, mend: tuple[str, ...], found: str) -> Finding:
    """The finding of a cause; that JAX cannot be used on a processor without AVX leaves the interpreter whole."""
    level = warning if code == "no-avx" else error
    lines = [line for line in said.splitlines() if line.strip()] or [""]
    least = ".".join(map(str, GLIBC))
    return level(code, name, mend, name=name, found=found, said=shortened(lines), least=least)


def shortened(lines: list[str]) -> str:
    """The line that says what happened, at most 200 letters of it."""
    telling = [line for line in lines if re.match(r"\w*(Error|Exception)\b|F\d{4}", line.strip())]
    line = (telling or lines)[-1 if not telling else 0].strip()
    return line if len(line) <= 200 else line[:197] + "..."


def package_of(module: str) -> str:
    """The package that a module belongs to."""
    from millrace.doctor.needed import NEEDED

    return next((one.name for one in NEEDED if one.module == module.split(".")[0]), module or "jax")
