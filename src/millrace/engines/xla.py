"""JAX, imported once everything is set that must be set before. The only file that imports it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Loading a cached program on the very machine that made it, XLA complains at length about tuning hints
# ("prefer-no-gather") that it takes for missing processor features. Said before jaxlib is loaded, unless the
# user has said otherwise: only what is fatal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from millrace.engines.allocator import tune

ALLOCATOR = tune()  # before JAX starts threads that allocate

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

# Programs run on the thread that calls them, unless the user's environment says otherwise. On another, as is JAX's way,
# a prediction of a tiny network takes 63 us of processor time for 22, and one of an MLP 115 for 64 (2 cores, Zen 4):
# threads have to be woken. What is large is spread over all cores either way, and other threads of Python run on.
if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
    jax.config.update("jax_cpu_enable_async_dispatch", False)

warnings.filterwarnings("ignore", message="Some donated buffers were not usable", module="jax")


def gathered(array: jax.Array) -> np.ndarray:
    """An array whose parts lie on several processes' devices, whole; every process has to ask for it."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def meet(name: str, seconds: int) -> None:
    """Wait until every process has come to the meeting of this name.

    By the service that joins them, which waits as long as it is told to; a sum over devices would not.
    """
    _service().wait_at_barrier(name, seconds * 1000)


def said(name: str, text: str | None, seconds: int) -> str:
    """A text that one process gives, and the others, who give None, wait for."""
    if text is not None:
        _service().key_value_set(name, text)
        return text
    return str(_service().blocking_key_value_get(name, seconds * 1000))


def joined() -> tuple[int, int]:
    """How many processes have joined, and which this one is. JAX's own question would start its devices."""
    from jax._src.distributed import global_state

    return int(global_state.num_processes or 1), int(global_state.process_id or 0)


def _service() -> Any:
    """JAX offers no public way to it."""
    from jax._src.distributed import global_state

    return global_state.client


def exporting() -> Any:
    """jax.export, which makes files of programs; imported when it is wanted, since few programs are."""
    from jax import export

    return export


@contextmanager
def without_places() -> Iterator[None]:
    """Programs that are lowered within it do not say which lines of source they come from.

    For this thread alone, and whatever the user's own settings are. JAX offers no public way to set them for a while.
    """
    from jax._src import config

    # without full tracebacks the limit does not count, and each operation names the file of its innermost caller
    with config.include_full_tracebacks_in_locations(True), config.traceback_in_locations_limit(0):
        yield


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


__all__ = [
    "ALLOCATOR", "exporting", "gathered", "jax", "jaxlib", "jnp", "joined", "lax", "meet", "said", "set_xla_metadata",
    "versions", "without_places",
]  # fmt: skip
