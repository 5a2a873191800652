"""This machine as the engines see it: processor, memory, devices, versions, and where compiled programs are kept."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from millrace.native.build import BUILT
from millrace.native.library import library

PACKAGES = ("millrace", "numpy", "ml_dtypes", "jax", "jaxlib")
SETTINGS = ("MILLRACE_", "JAX_", "XLA_", "TF_CPP_", "OMP_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "CUDA_VISIBLE_")


@dataclass(frozen=True)
class Kept:
    """A directory of compiled programs: how many bytes, in how many files, and whether more can be written."""

    path: Path
    size: int
    files: int
    writable: bool


def versions() -> dict[str, str]:
    """Python's version and those of the packages that results depend on; "absent" for what is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def routines() -> str:
    """The kind of processor that the routines in C which are used here were built for; "none" where XLA computes all.

    Results differ by rounding between one kind and another.
    """
    return library().kind or "none"


def no_routines() -> tuple[str, str, str]:
    """Why none are used, in a word (native/library.py has them all), about what, and the script that builds them."""
    return library().why, library().about, str(BUILT.parent / "build.py")


def processor() -> str:
    """The processor's name and its widest vectors, as far as the system says."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass  # not Linux: the machine's name has to do
    widest = next((flag for flag in ("avx512f", "avx2", "avx", "asimd") if flag in flags), "")
    return f"{name}, {widest}" if widest else name


def cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def memory() -> float:
    """The machine's memory in GiB, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return 0.0


def settings() -> dict[str, str]:
    """What the user's environment tells Millrace, JAX, XLA and the allocator."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}


def kept(directory: Path) -> Kept:
    """What a directory of compiled programs holds; one that is not there yet is writable if it can be made."""
    size = files = 0
    for path in directory.rglob("*") if directory.is_dir() else ():
        try:
            if path.is_file():
                size, files = size + path.stat().st_size, files + 1
        except OSError:
            continue  # another process has just removed it
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    return Kept(directory, size, files, nearest.is_dir() and os.access(nearest, os.W_OK))
