"""The facts of this Python, this machine and this folder, read without importing anything but the standard library."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from millrace.doctor.needed import NEWEST, OLDEST
from millrace.doctor.surroundings import Gpu, Surroundings
from millrace.doctor.trying import trial
from millrace.doctor.versions import numbers

PATH_TOLD = "MILLRACE_DOCTOR_PATH"  # where a doctor that was started apart finds the module path of who started it
WINDOWS_FEATURES = {38: "sse4_2", 39: "avx", 40: "avx2"}  # of IsProcessorFeaturePresent.  Source: winnt.h
RUNTIME = ("vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll")


def surroundings(path: Sequence[str] = ()) -> Surroundings:
    """Everything that the checks judge, as it is here. path: where modules are looked for, if not as in this moment."""
    environment = dict(os.environ)
    told = environment.pop(PATH_TOLD, "")
    path = tuple(told.split(os.pathsep)) if told else tuple(path or sys.path)
    system = platform.system()
    memory, limit = memory_bytes(system)
    return Surroundings(
        python=sys.version_info[:3],
        implementation=platform.python_implementation(),
        bits=64 if sys.maxsize > 2**32 else 32,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        executable=os.path.abspath(sys.executable or "python"),
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        path=path,
        library=sysconfig.get_path("stdlib"),
        directory=current_directory(),
        home=os.path.expanduser("~"),
        environment=environment,
        system=system,
        architecture=architecture(platform.machine()),
        libc=libc() if system == "Linux" else ("", ()),
        macos=numbers(platform.mac_ver()[0]),
        features=features(system),
        translated=system == "Darwin" and answer("sysctl", "-n", "sysctl.proc_translated").strip() == "1",
        lacking_dlls=lacking_dlls() if system == "Windows" else (),
        long_paths=long_paths() if system == "Windows" else None,
        cores=cores(),
        memory=memory,
        memory_limit=limit,
        gpu=gpu(),
        gpu_device=any(map(os.path.exists, ("/dev/nvidia0", "/dev/nvidiactl", "/proc/driver/nvidia/version"))),
        free=free,
        writable=writable,
        suitable=suitable,
        which=shutil.which,
        trial=lambda modules: trial(sys.executable, path, modules, environment),
    )


def current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it has been removed


def architecture(machine: str) -> str:
    """One name for each processor family, however the system calls it."""
    return {"amd64": "x86_64", "x64": "x86_64", "aarch64": "arm64"}.get(machine.lower(), machine.lower())


def libc() -> tuple[str, tuple[int, ...]]:
    """The C library and its version: ("glibc", (2, 36)), or ("musl", ()) as in Alpine Linux."""
    with suppress(AttributeError, ValueError, OSError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name == "glibc":
            return name, numbers(version)
    if any(Path("/lib").glob("ld-musl-*")):
        return "musl", ()
    return "", ()


def features(system: str) -> frozenset[str] | None:
    """What the processor can do, in the names that Linux uses; None where it cannot be asked."""
    if system == "Linux":
        with suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    elif system == "Darwin":
        said = answer("sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features").lower()
        return frozenset(said.replace("avx1.0", "avx").replace(".", "_").split()) or None
    elif system == "Windows":
        with suppress(ImportError, AttributeError, OSError):
            import ctypes

            present = ctypes.windll.kernel32.IsProcessorFeaturePresent  # type: ignore[attr-defined, unused-ignore]
            return frozenset(name for number, name in WINDOWS_FEATURES.items() if present(number))
    return None


def lacking_dlls() -> tuple[str, ...]:
    """The parts of Microsoft's runtime that cannot be loaded."""
    import ctypes

    lacking = []
    for name in RUNTIME:
        try:
            ctypes.WinDLL(name)  # type: ignore[attr-defined, unused-ignore]
        except (OSError, AttributeError):
            lacking.append(name)
    return tuple(lacking)


def long_paths() -> bool | None:
    """Whether Windows lets programs use paths of more than 260 characters."""
    try:
        import winreg

        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:  # type: ignore[attr-defined, unused-ignore]
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])  # type: ignore[attr-defined, unused-ignore]
    except (ImportError, OSError):
        return None


def cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def memory_bytes(system: str) -> tuple[int, int]:
    """The machine's memory, and the limit that a container sets; 0 for what is unknown or unlimited."""
    machine = 0
    if system == "Windows":
        machine = windows_memory()
    else:
        with suppress(ValueError, OSError, AttributeError):
            machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = container_limit() if system == "Linux" else 0
    return machine, limit if limit < machine or not machine else 0


def windows_memory() -> int:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX.  Source: Windows, sysinfoapi.h"""

        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (f"bytes{n}", ctypes.c_ulonglong) for n in range(7)
        ]

    with suppress(AttributeError, OSError):
        status = Status(length=ctypes.sizeof(Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]
        return int(status.bytes0)
    return 0


def container_limit(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """The least memory limit among this process's control groups, in bytes; 0 without one."""
    group = ""
    with suppress(OSError):
        group = Path(own).read_text(encoding="utf-8").splitlines()[-1].rpartition(":")[2].strip("/")
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        for place in {os.path.join(root, name), os.path.join(root, group, name)}:
            with suppress(OSError, ValueError):
                limits.append(int(Path(place).read_text(encoding="utf-8")))
    return min((limit for limit in limits if limit < 2**60), default=0)


def answer(*command: str) -> str:
    """What a command prints; "" where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


def suitable() -> str:
    """The name of a Python on PATH that Millrace runs on; "" if there is none. A name alone may lead nowhere."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = f"python3.{minor}"
        if shutil.which(name) and answer(name, "-c", "import sys; print(sys.maxsize > 2**32)").strip() == "True":
            return name
    return ""


def gpu() -> Gpu | None:
    """What NVIDIA's driver says of its GPUs, None where nothing answers."""
    lines = answer("nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader").splitlines()
    if not lines:  # drivers before 510 do not know the compute capability
        lines = answer("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
    rows = [[part.strip() for part in line.split(",")] for line in lines if "," in line]
    if not rows:
        return None
    capabilities = [float(row[2]) for row in rows if len(row) > 2 and row[2].replace(".", "", 1).isdigit()]
    return Gpu(tuple(row[0] for row in rows), rows[0][1], min(capabilities, default=0.0))


def free(folder: str) -> int | None:
    """Bytes that can still be written on the disk of a folder, or of the nearest folder above it that is there."""
    try:
        return shutil.disk_usage(nearest(folder)).free
    except OSError:
        return None


def nearest(folder: str) -> str:
    """A folder, or the nearest one above it that is there."""
    place = os.path.abspath(folder)
    while not os.path.exists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    return place


def writable(folder: str) -> str:
    """Why nothing can be written into a folder, or into the one above it that is there; "" where it can.

    A file is really written: a right on paper is none on a disk that is full or mounted for reading.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest(folder), prefix=".millrace-") as file:
            file.write(b"x")
        return ""
    except OSError as error:
        return error.strerror or str(error)
