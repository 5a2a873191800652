"""What the doctor looks at: this Python, this machine and this folder, as plain facts that a test can make up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """What NVIDIA's driver says: the names of its GPUs, its version, and the least compute capability among them."""

    names: tuple[str, ...]
    driver: str
    capability: float = 0.0  # 0 where the driver is too old to say


@dataclass(frozen=True)
class Trial:
    """Modules imported one after another in a process of their own.

    failed: the first that could not be, "" if all could. said: its error and those behind it, or what the process
    left on the error stream. code: the process's exit code, negative for the signal that ended it; None where it had
    to be stopped for taking too long. devices: what JAX computes on.
    """

    failed: str = ""
    said: str = ""
    code: int | None = 0
    devices: str = ""


@dataclass(frozen=True)
class Surroundings:
    """The facts that checks judge, and the questions that they may ask.

    python: its version. bits: 32 or 64. path: where this Python looks for modules. directory: where the command was
    called. library: the folder of the standard library. libc: the C library's name and version, ("", ()) outside
    Linux. macos: its version. features: what the processor can do, in Linux's names, None where nobody says.
    lacking_dlls: parts of Microsoft's runtime that cannot be loaded. long_paths: whether Windows allows paths of more
    than 260 characters. memory and memory_limit: bytes in the machine, and that this process may use; 0 if unknown.
    gpu: what the driver says; gpu_device: whether the system shows a GPU at all.
    """

    python: tuple[int, int, int]
    implementation: str = "CPython"
    bits: int = 64
    free_threaded: bool = False
    executable: str = ""
    prefix: str = ""
    base_prefix: str = ""
    path: tuple[str, ...] = ()
    library: str = ""
    directory: str = ""
    home: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    system: str = "Linux"
    architecture: str = "x86_64"
    libc: tuple[str, tuple[int, ...]] = ("", ())
    macos: tuple[int, ...] = ()
    features: frozenset | None = None
    translated: bool = False
    lacking_dlls: tuple[str, ...] = ()
    long_paths: bool | None = None
    cores: int = 1
    memory: int = 0
    memory_limit: int = 0
    gpu: Gpu | None = None
    gpu_device: bool = False
    free: Callable[[str], int | None] = lambda folder: None  # bytes left on its disk
    writable: Callable[[str], str] = lambda folder: ""  # why nothing can be written there, "" where it can
    suitable: Callable[[], str] = lambda: ""  # another Python on PATH that Millrace runs on
    which: Callable[[str], str | None] = lambda command: None  # where a command lies on PATH
    trial: Callable[[Sequence[str]], Trial] = lambda modules: Trial()

    @property
    def windows(self) -> bool:
        return self.system == "Windows"

    @property
    def virtual(self) -> bool:
        """Whether this Python lives in a virtual environment."""
        return self.prefix != self.base_prefix

    @property
    def python_text(self) -> str:
        return ".".join(map(str, self.python))
