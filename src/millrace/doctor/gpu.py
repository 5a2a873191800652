"""Whether a GPU is there, and whether JAX can compute on it: driver, plugin, and what stands in their way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from millrace.doctor import mending
from millrace.doctor.finding import Finding, note, warning
from millrace.doctor.installed import Installed, first
from millrace.doctor.needed import CAPABILITIES, DRIVERS
from millrace.doctor.surroundings import Surroundings
from millrace.doctor.versions import numbers

LIBRARIES = re.compile(r"lib(cudart|cublas|cudnn|cufft|cusolver|cusparse|nccl)\b.*\.so")


def check(here: Surroundings) -> Iterator[Finding]:
    """A GPU without its plugin, a plugin without its driver, and what hides or disturbs them."""
    plugins = {cuda: there for cuda in DRIVERS for there in [first(here, f"jax-cuda{cuda}-plugin")] if there}
    if here.gpu and here.windows:
        yield note("gpu-windows", mend=("wsl --install",), gpu=named(here))
        return
    if plugins and not here.gpu:
        yield warning("gpu-no-driver", mend=("nvidia-smi",), plugin=next(iter(plugins.values())).name)
    elif here.gpu_device and not here.gpu:
        yield note("gpu-silent", mend=("nvidia-smi",))
    if here.gpu:
        hidden = here.environment.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None and hidden.strip() in ("", "-1"):
            yield note("gpu-hidden", mend=(mending.unset_variable(here, "CUDA_VISIBLE_DEVICES"),), gpu=named(here))
        if not plugins:
            yield from without_plugin(here)
    for cuda, plugin in plugins.items():
        yield from with_plugin(here, cuda, plugin)


def named(here: Surroundings) -> str:
    """The GPUs, each kind once."""
    names = here.gpu.names if here.gpu else ()
    return ", ".join(f"{names.count(one)} x {one}" if names.count(one) > 1 else one for one in dict.fromkeys(names))


def serves(here: Surroundings, cuda: int) -> bool:
    """Whether driver and GPU are new enough for a CUDA."""
    assert here.gpu is not None
    new_enough = not here.gpu.capability or here.gpu.capability >= CAPABILITIES[cuda]
    return numbers(here.gpu.driver)[:1] >= (DRIVERS[cuda],) and new_enough


def plugin_command(here: Surroundings, cuda: int) -> tuple[str, ...]:
    """The command that installs JAX's plugin in the version of the JAX that is there."""
    jax = first(here, "jax")
    return mending.install(here, f"jax[cuda{cuda}]" + (f"=={jax.version}" if jax else ""))


def without_plugin(here: Surroundings) -> Iterator[Finding]:
    assert here.gpu is not None
    best = next((cuda for cuda in sorted(DRIVERS, reverse=True) if serves(here, cuda)), None)
    about = {"gpu": named(here), "driver": here.gpu.driver}
    if best is None:
        yield note("gpu-too-old", mend=("nvidia-smi",), least=DRIVERS[12], capability=CAPABILITIES[12], **about)
    else:
        yield warning("gpu-no-plugin", "jax", plugin_command(here, best), **about)


def with_plugin(here: Surroundings, cuda: int, plugin: Installed) -> Iterator[Finding]:
    """A plugin of another version than JAX, a driver or a GPU too old for it, other CUDA libraries before its own."""
    jaxlib = first(here, "jaxlib")
    if jaxlib and numbers(jaxlib.version)[:3] != numbers(plugin.version)[:3]:
        about = {"plugin": plugin.name, "have": plugin.version, "jaxlib": jaxlib.version}
        yield warning("gpu-plugin-version", "jax", plugin_command(here, cuda), **about)
    if here.gpu and not serves(here, cuda):
        older = next((one for one in sorted(DRIVERS, reverse=True) if serves(here, one)), None)
        mend = plugin_command(here, older) if older else ("nvidia-smi",)
        yield warning(
            "gpu-driver-old", "jax", mend, gpu=named(here), driver=here.gpu.driver, cuda=cuda, least=DRIVERS[cuda],
            capability=CAPABILITIES[cuda],
        )  # fmt: skip
    for folder in filter(None, here.environment.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        others = [name for name in names_in(folder) if LIBRARIES.match(name)]
        if others:
            mend = (mending.unset_variable(here, "LD_LIBRARY_PATH"),)
            yield warning("gpu-libraries", "jax", mend, folder=folder, file=sorted(others)[0], plugin=plugin.name)


def names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
