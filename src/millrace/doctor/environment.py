"""Environment variables that harm."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, error, note, warning
from millrace.doctor.installed import first
from millrace.doctor.surroundings import Surroundings

PLUGINS = {
    "cuda": ("jax-cuda13-plugin", "jax-cuda12-plugin"),
    "rocm": ("jax-rocm7-plugin", "jax-rocm60-plugin"),
    "tpu": ("libtpu",),
}
PLUGINS["gpu"] = (*PLUGINS["cuda"], *PLUGINS["rocm"])
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ON = ("1", "true", "True", "yes", "on")


def check(here: Surroundings) -> Iterator[Finding]:
    """Platforms that are not installed, flags that are none, compilation switched off, one thread for many cores."""
    told = here.environment
    for platform in filter(None, (one.strip() for one in told.get("JAX_PLATFORMS", "").split(","))):
        plugins = PLUGINS.get(platform, ())
        if plugins and not any(first(here, name) for name in plugins) and first(here, "jax"):
            mend = (mending.unset_variable(here, "JAX_PLATFORMS"),)
            yield error("platform-absent", "jax", mend, platform=platform, value=told["JAX_PLATFORMS"])
    for word in told.get("XLA_FLAGS", "").split()[:1]:
        if not word.startswith("--"):
            yield error("flags-unreadable", "jax", (mending.unset_variable(here, "XLA_FLAGS"),), flag=word)
    if told.get("JAX_DISABLE_JIT") in ON:
        yield warning("compiler-off", "jax", (mending.unset_variable(here, "JAX_DISABLE_JIT"),))
    for name in THREADS:
        if told.get(name) == "1" and here.cores > 1:
            yield note("one-thread", "", (mending.unset_variable(here, name),), variable=name, cores=here.cores)
            break
