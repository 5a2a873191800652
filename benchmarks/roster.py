"""Who takes part: Millrace, and each peer in each of its modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from benchmarks.workloads import Fresh, Workload, split

REFERENCE = "millrace"
MEMORY_PEER = "torch"  # beside whose peak memory Millrace's is shown

# Parameters that a framework has more than the others: PyTorch's LSTM has two biases where one would do.
SECOND_BIAS = {("torch", "lstm"): 4 * 128, ("torch", "lstm_long"): 4 * 256, ("torch", "char_rnn"): 4 * 256}


@dataclass(frozen=True)
class Contender:
    """A framework in one of its modes.

    peer: a module of `benchmarks.contenders`. environment: variables of its process. tuned: with the allocator's
    settings that Millrace chooses for itself; shown apart, since nobody has them who has not asked. spatial_only: a
    mode that is about images. only: "training" or "inference". imports: the statement that brings the framework in.
    exported: it runs what Millrace exports, so that Millrace's interpreter has to start it.
    """

    name: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    spatial_only: bool = False
    only: str = ""
    imports: str = ""
    exported: bool = False

    @property
    def is_peer(self) -> bool:
        return self.peer != REFERENCE

    @property
    def tuned(self) -> bool:
        return bool(self.options.get("tuned"))

    @property
    def tf32(self) -> bool:
        """Whether its products of float32 leave 13 of 23 bits of each operand out: another arithmetic."""
        return bool(self.options.get("tf32"))

    def takes(self, one: Workload | Fresh) -> bool:
        """Whether the workload has what this mode is about."""
        if self.tf32 and isinstance(one, Workload) and one.dtype != "float32":
            return False
        if isinstance(one, Workload) and one.network.only and self.peer not in one.network.only:
            return False
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
    Contender("millrace-predictor", "millrace", {"predictor": True}, only="inference"),
    Contender("onnxruntime", "onnxruntime", only="inference", exported=True),
    *torch_modes(tuned=False),
    Contender("torch-max", "torch", {"compile": True, "max_autotune": True}, only="training"),
    Contender("torch-freeze-max", "torch", {"compile": True, "max_autotune": True, "freeze": True}, only="inference"),
    Contender("keras-jax", "keras", environment=ON_JAX, imports="import keras"),
    Contender("keras-tf", "keras", environment=ON_TENSORFLOW, imports="import keras"),
    Contender("keras-tf-xla", "keras", {"jit": True}, ON_TENSORFLOW),
    Contender("jax", "jax", environment=QUIET, imports="import jax.numpy"),
    *torch_modes(tuned=True),
]

# On a GPU the examples lie in its memory before the clock starts; on a processor, where they are.
RESIDENT, LAST = {"resident": True}, {"resident": True, "channels_last": True}
FULL = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
GPU_ROSTER = [
    Contender("millrace", "millrace", RESIDENT),
    Contender("torch", "torch", RESIDENT),
    Contender("torch-cl", "torch", LAST),
    Contender("torch-compile", "torch", {**RESIDENT, "compile": True}),
    Contender("torch-compile-cl", "torch", {**LAST, "compile": True}),
    Contender("torch-max-cl", "torch", {**LAST, "compile": True, "max_autotune": True}),
    Contender("torch-compile-cl-tf32", "torch", {**LAST, "compile": True, "tf32": True}),
    Contender("jax", "jax", RESIDENT, {**QUIET, **FULL}),
    Contender("jax-tf32", "jax", {**RESIDENT, "tf32": True}, QUIET),
]
PEERS = {contender.name for contender in (*ROSTER, *GPU_ROSTER) if contender.is_peer and not contender.tf32}
TUNED = {contender.name for contender in ROSTER if contender.tuned}


def gpu_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Variables of a process that works on the first GPU that a user's variables allow, beside others that do."""
    first = given.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {"JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": first, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def chosen(patterns: str | None, roster: Sequence[Contender] = ROSTER) -> list[Contender]:
    """The contenders that patterns such as "millrace,torch*" name; the reference is always among them.

    Raises ValueError for a pattern that names nobody.
    """
    parts = split(patterns or "*")
    for pattern in parts:
        if not any(fnmatchcase(one.name, pattern) for one in roster):
            raise ValueError(f"no contender is called {pattern!r}. There are: {', '.join(c.name for c in roster)}.")
    return [c for c in roster if c.name == REFERENCE or any(fnmatchcase(c.name, p) for p in parts)]
