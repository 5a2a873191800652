"""Who takes part: Millrace, and each peer in each of its modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.workloads import Fresh, Workload, split

REFERENCE = "millrace"
MEMORY_PEER = "torch"  # beside whose peak memory Millrace's is shown

# Parameters that a framework has more than the others: PyTorch's LSTM has two biases where one would do.
SECOND_BIAS = {("torch", "lstm"): 4 * 128, ("torch", "lstm_long"): 4 * 256}


@dataclass(frozen=True)
class Contender:
    """A framework in one of its modes.

    peer: a module of `benchmarks.contenders`. environment: variables of its process. tuned: with the allocator's
    settings that Millrace chooses for itself; shown apart, since nobody has them who has not asked. spatial_only: a
    mode that is about images. only: "training" or "inference". imports: the statement that brings the framework in.
    """

    name: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    spatial_only: bool = False
    only: str = ""
    imports: str = ""

    @property
    def is_peer(self) -> bool:
        return self.peer != REFERENCE

    @property
    def tuned(self) -> bool:
        return bool(self.options.get("tuned"))

    def takes(self, one: Workload | Fresh) -> bool:
        """Whether the workload has what this mode is about."""
        if isinstance(one, Workload):
            return (one.network.spatial or not self.spatial_only) and self.only in ("", one.kind)
        if one.workload is None:
            return bool(self.imports)
        return not (self.tuned or self.spatial_only or self.only)


def torch_modes(tuned: bool) -> list[Contender]:
    """Eager and compiled, in both layouts of memory."""
    end = "-tuned" if tuned else ""
    extra = {"tuned": True} if tuned else {}
    last, compiled = {"channels_last": True, **extra}, {"compile": True, **extra}
    return [
        Contender(f"torch{end}", "torch", extra, imports="" if tuned else "import torch"),
        Contender(f"torch-cl{end}", "torch", last, spatial_only=True),
        Contender(f"torch-compile{end}", "torch", compiled),
        Contender(f"torch-compile-cl{end}", "torch", {**compiled, **last}, spatial_only=True),
        Contender(f"torch-freeze{end}", "torch", {**compiled, "freeze": True}, only="inference"),
        Contender(
            f"torch-freeze-cl{end}", "torch", {**compiled, **last, "freeze": True}, spatial_only=True, only="inference"
        ),
    ]


QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}
ON_JAX, ON_TENSORFLOW = {"KERAS_BACKEND": "jax", **QUIET}, {"KERAS_BACKEND": "tensorflow", **QUIET}

ROSTER = [
    Contender("millrace", "millrace", imports="import millrace as mr; mr.Sequential, mr.layers.Dense, mr.optimizers"),
    Contender("millrace-untuned", "millrace", environment={"MILLRACE_ALLOCATOR": "default"}, only="training"),
    Contender("millrace-predict", "millrace", {"whole": True}, only="inference"),
    *torch_modes(tuned=False),
    Contender("torch-max", "torch", {"compile": True, "max_autotune": True}, only="training"),
    Contender("torch-freeze-max", "torch", {"compile": True, "max_autotune": True, "freeze": True}, only="inference"),
    Contender("keras-jax", "keras", environment=ON_JAX, imports="import keras"),
    Contender("keras-tf", "keras", environment=ON_TENSORFLOW, imports="import keras"),
    Contender("keras-tf-xla", "keras", {"jit": True}, ON_TENSORFLOW),
    Contender("jax", "jax", environment=QUIET, imports="import jax.numpy"),
    *torch_modes(tuned=True),
]
PEERS = {contender.name for contender in ROSTER if contender.is_peer}
TUNED = {contender.name for contender in ROSTER if contender.tuned}


def chosen(patterns: str | None) -> list[Contender]:
    """The contenders that patterns such as "millrace,torch*" name; the reference is always among them.

    Raises ValueError for a pattern that names nobody.
    """
    parts = split(patterns or "*")
    for pattern in parts:
        if not any(fnmatchcase(one.name, pattern) for one in ROSTER):
            raise ValueError(f"no contender is called {pattern!r}. There are: {', '.join(c.name for c in ROSTER)}.")
    return [c for c in ROSTER if c.name == REFERENCE or any(fnmatchcase(c.name, p) for p in parts)]
