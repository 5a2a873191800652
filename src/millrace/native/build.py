"""Compiles the routines, once for each kind of processor: `python src/millrace/native/build.py`.

Installing Millrace does it (hatch_build.py at the root of the source). It imports nothing but Python's own library and
nothing of Millrace, which is not installed yet then.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, BUILT = HERE / "source", HERE / "built"

# The kinds of processor, best first, and what the compiler is told for each. An x86 older than 2013 has none. The
# names are the first processors of each kind: compilers before GCC 11 and clang 12 do not know "x86-64-v3".
X86 = {
    "x86-64-v4": ["-march=skylake-avx512", "-mtune=generic", "-mprefer-vector-width=512"],
    "x86-64-v3": ["-march=haswell", "-mtune=generic"],
}
KINDS: dict[str, dict[str, list[str]]] = {
    "x86_64": X86, "amd64": X86, "aarch64": {"aarch64": []}, "arm64": {"arm64": []},
}  # fmt: skip

FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wall",
]


def kinds() -> dict[str, list[str]]:
    """What can be built on this machine, best first."""
    return KINDS.get(platform.machine().lower(), {}) if os.name == "posix" else {}


@cache
def fingerprint() -> str:
    """What source and flags are, in 16 letters: a library that was built from others is not used."""
    digest = hashlib.sha256(repr((FLAGS, KINDS)).encode())
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def compiler() -> list[str] | None:
    """The command of a C compiler: $CC, or the first that is found."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    return [found] if found else None


def build(into: Path = BUILT) -> tuple[list[Path], str]:
    """The libraries that were built, best first, and, where one could not be, why."""
    command, wanted = compiler(), kinds()
    if not wanted:
        return [], f"there are no routines for {platform.machine()} on {platform.system()}"
    if command is None:
        return [], "no C compiler was found (apt install gcc, or xcode-select --install)"
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as half_written, ThreadPoolExecutor() as pool:
            made = [Path(half_written) / f"{kind}.so" for kind in wanted]
            errors = list(pool.map(compiled, [command] * len(made), wanted.values(), made))
            built = [path.replace(into / path.name) for path, error in zip(made, errors, strict=True) if not error]
    except OSError as error:
        return [], f"{into} cannot be written: {error.strerror}"
    return built, next(filter(None, errors), "")


def compiled(command: list[str], flags: list[str], made: Path) -> str:
    """Compile all sources into one library; what went wrong, or ""."""
    define = f'-DFINGERPRINT="{fingerprint()}"'
    sources = [str(path) for path in sorted(SOURCE.glob("*.c"))]
    words = [*command, *FLAGS, *flags, define, *sources, "-o", str(made), "-lm", "-lpthread"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"
    return "" if done.returncode == 0 else f"{shlex.join(command)} failed: {done.stderr.strip()[:2000]}"


if __name__ == "__main__":
    paths, why = build()
    for path in paths:
        print(path)
    if why:
        sys.exit(f"Not built: {why}. Millrace works without, more slowly.")
