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
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, BUILT = HERE / "source", HERE / "built"

# The kinds of processor, best first, and what the compiler is told for each. An x86 older than 2013 has none.
X86 = {
    "x86-64-v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "x86-64-v3": ["-march=x86-64-v3"],
}
KINDS: dict[str, dict[str, list[str]]] = {
    "x86_64": X86, "amd64": X86, "aarch64": {"aarch64": []}, "arm64": {"arm64": []},
}  # fmt: skip

FLAGS = [
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-Wall",
]


def kinds() -> dict[str, list[str]]:
    """What can be built on this machine, best first."""
    return KINDS.get(platform.machine().lower(), {}) if os.name == "posix" else {}


def fingerprint() -> str:
    """What the source is, in 16 letters: a library that was built from other source is not used."""
    digest = hashlib.sha256()
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
    """The libraries that were built, and, where there is none, why."""
    command, wanted = compiler(), kinds()
    if not wanted:
        return [], f"there are no routines for {platform.machine()} on {platform.system()}"
    if command is None:
        return [], "no C compiler was found (apt install gcc, or xcode-select --install)"
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as half_written:

        def one(kind: str) -> tuple[Path | None, str]:
            made = Path(half_written) / f"{kind}.so"
            define = f'-DFINGERPRINT="{fingerprint()}"'
            words = [*command, *FLAGS, *wanted[kind], define, *map(str, sorted(SOURCE.glob("*.c"))), "-o", str(made)]
            try:
                done = subprocess.run([*words, "-lm", "-lpthread"], capture_output=True, text=True)
            except OSError as error:
                return None, str(error)
            if done.returncode != 0:
                return None, f"{' '.join(command)} failed: {done.stderr.strip()[:2000]}"
            return made.replace(into / made.name), ""

        with ThreadPoolExecutor() as pool:
            results = list(pool.map(one, wanted))
    return [path for path, _ in results if path], next((why for path, why in results if not path), "")


if __name__ == "__main__":
    paths, why = build()
    for path in paths:
        print(path)
    if why:
        sys.exit(f"Not built: {why}. Millrace works without, more slowly.")
