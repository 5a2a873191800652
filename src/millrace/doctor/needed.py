"""What Millrace needs, as pyproject.toml says it, and what stops where it is missing."""

from __future__ import annotations

from dataclasses import dataclass

from millrace.doctor.surroundings import Surroundings
from millrace.doctor.versions import normal

OLDEST, NEWEST = (3, 11), (3, 14)  # Pythons that Millrace is tested with and every package has wheels for
GLIBC = (2, 27)  # of the wheels of NumPy, ml_dtypes and jaxlib
MACOS = (11,)
DRIVERS = {12: 525, 13: 580}  # Source: NVIDIA, CUDA Compatibility, minor version compatibility
CAPABILITIES = {12: 5.2, 13: 7.5}  # Source: JAX, Installation
EVERYTHING, COMPILER, PART = "everything", "compiler", "part"


@dataclass(frozen=True)
class Needed:
    """A package, the module that is imported, the versions that will do, and what stops without it."""

    name: str
    module: str
    bounds: str
    stops: str = PART

    def __str__(self) -> str:
        return self.name + self.bounds


NEEDED = (
    Needed("numpy", "numpy", ">=1.26", EVERYTHING),
    Needed("ml_dtypes", "ml_dtypes", ">=0.5", EVERYTHING),
    Needed("jax", "jax", ">=0.10.1,!=0.10.2,!=0.11.0", COMPILER),
    Needed("jaxlib", "jaxlib", ">=0.10.1,!=0.10.2,!=0.11.0", COMPILER),
    Needed("safetensors", "safetensors", ">=0.5"),
    Needed("rich", "rich", ">=13.9"),
    Needed("cyclopts", "cyclopts", ">=4"),
    Needed("jinja2", "jinja2", ">=3.1"),
    Needed("latex2mathml", "latex2mathml", ">=3.77"),
    Needed("pillow", "PIL", ">=11"),
    Needed("simplejpeg", "simplejpeg", ">=1.9"),
    Needed("cykooz-resizer", "cykooz", ">=4"),
    Needed("scikit-learn", "sklearn", ">=1.5"),
    Needed("tensorboardX", "tensorboardX", ">=2.6.2"),
    Needed("onnx", "onnx", ">=1.19"),
    Needed("flatbuffers", "flatbuffers", ">=24.3"),
    Needed("starlette", "starlette", ">=0.40"),
    Needed("uvicorn", "uvicorn", ">=0.30"),
    Needed("prometheus-client", "prometheus_client", ">=0.20"),
)
BEHIND_JAX = ("scipy", "opt-einsum")  # what JAX needs besides
WRONG = ("0.10.2", "0.11.0")  # of jax and jaxlib: wrong results or crashes on CPUs (jax issues 39103, 39257)


def needed(here: Surroundings) -> list[Needed]:
    """What is needed here: JAX only where it is made, and no cykooz-resizer where Pillow does the same."""
    arm_linux = here.system == "Linux" and here.architecture != "x86_64"
    left_out = [one for one in NEEDED if one.stops == COMPILER] if not compiler_made(here) else []
    left_out += [one for one in NEEDED if one.name == "cykooz-resizer" and arm_linux]
    return [one for one in NEEDED if one not in left_out]


def compiler_made(here: Surroundings) -> bool:
    """Whether there is a jaxlib for this system: there is none for Intel Macs and for Windows on ARM."""
    return (here.system, here.architecture) not in (("Darwin", "x86_64"), ("Windows", "arm64"))


def named(name: str) -> Needed | None:
    """The needed package of this name, whichever way it is written."""
    return next((one for one in NEEDED if normal(one.name) == normal(name)), None)
