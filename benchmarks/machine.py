"""What a result depends on besides the code: the hardware, the system, and the versions of everything."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from millrace.engines.machine import cores, memory

PACKAGES = (
    "millrace",
    "numpy",
    "jax",
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "torch",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "grain",
    "pillow",
    "simplejpeg",
)

ASK_VERSIONS = """
import json, platform, sys
from importlib import metadata
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def versions(python: str) -> dict[str, str]:
    """The versions of Python and of the frameworks that an interpreter has; empty where it does not run."""
    try:
        asked = subprocess.run(
            [python, "-c", ASK_VERSIONS, *PACKAGES], capture_output=True, text=True, timeout=60, check=True
        )
        return json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}


def first_line(path: str, start: str = "") -> str:
    """The first line of a file that begins so, without its beginning; "" where there is none."""
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(start):
                return line.removeprefix(start).lstrip(" \t:").strip()
    except OSError:
        pass
    return ""


def processor() -> str:
    """The processor's name, and its family and model where a virtual machine hides the name."""
    name = first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    family, model = first_line("/proc/cpuinfo", "cpu family"), first_line("/proc/cpuinfo", "model\t")
    flags = first_line("/proc/cpuinfo", "flags").split()
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    more = [f"family {family} model {model}" if family else "", widest]
    return ", ".join(part for part in (name, *more) if part)


def available() -> float:
    """The memory in MiB that new processes can have without swapping; endless where the system does not say."""
    found = first_line("/proc/meminfo", "MemAvailable")
    return int(found.split()[0]) / 1024 if found else float("inf")


def resident(pid: int) -> float:
    """The memory in MiB that a process has now; 0 where the system does not say."""
    found = first_line(f"/proc/{pid}/status", "VmRSS")
    return int(found.split()[0]) / 1024 if found else 0.0


def revision() -> str:
    """The commit that is measured, with a mark where files differ from it; "" outside a repository."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return asked.stdout.strip()
    except OSError:
        return ""


def machine() -> dict[str, Any]:
    """The hardware and the system."""
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(memory(), 1),
        "system": platform.platform(),
        "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else [],
    }


def everything(peers: str) -> dict[str, Any]:
    """All that belongs beside a result."""
    return {
        "machine": machine(),
        "revision": revision(),
        "versions": {"millrace": versions(sys.executable), "peers": versions(peers)},
    }
