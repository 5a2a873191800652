"""Trained models as StableHLO: one file with graph and weights, for CPU, CUDA and TPU, that JAX alone can call.

save_stablehlo(predictor, "model.stablehlo")

from jax import export                                   # elsewhere, without Millrace
program = export.deserialize(open("model.stablehlo", "rb").read())
answers = program.call(x)                                # any number of examples
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.inference.predictor import Predictor
from millrace.ir.errors import ArgumentError, one_of
from millrace.ir.rewrite import simplify
from millrace.training.checkpoint import write_whole

PLATFORMS = ("cpu", "cuda", "tpu")
MOST = 2**31 - 2**20  # bytes of weights: the file's own offsets end at 2 GiB


def save_stablehlo(predictor: Predictor, path: str | Path, platforms: str | Sequence[str] | None = None) -> int:
    """Write a predictor as one file; returns its bytes.

    The weights are inside, and the batch stays open. The program takes the inputs in the predictor's order; one output
    is an array, several are a tuple in their order.

    platforms: what it shall run on, of "cpu", "cuda" and "tpu"; all three unless given.

    Raises ArgumentError for a graph that cannot be exported, and names the operation; FileError as `write_whole`.
    Source: jax.export.
    """
    content = bytes(program(predictor, named(platforms)).serialize())
    write_whole(Path(path), content)
    return len(content)


def program(predictor: Predictor, platforms: Sequence[str] = PLATFORMS) -> Any:
    """The `jax.export.Exported` of a predictor.  Raises ArgumentError as `save_stablehlo` does."""
    size = sum(variable.numpy().nbytes for variable in predictor.graph.variables)
    if size > MOST:
        raise ArgumentError(
            f"{predictor.about.name} has {size:,} bytes of weights, and a file of StableHLO holds up to {MOST:,}: "
            "keep it as .safetensors."
        )
    try:
        from millrace.engines.portable import portable
    except ImportError as error:
        raise ArgumentError(f"StableHLO is written by JAX, which cannot be imported ({error}).") from None
    return portable(simplify(predictor.graph), platforms, predictor.about.name)


def called(path: str | Path) -> Callable[..., list[np.ndarray]] | None:
    """A `.stablehlo` file as a function of arrays, read back by JAX; None where it is not for this machine's platform.

    For a file that was just written: JAX reads it, and is not made for hostile ones.
    """
    from millrace.engines.portable import deserialized

    return deserialized(Path(path).read_bytes())


def named(platforms: str | Sequence[str] | None) -> tuple[str, ...]:
    """Platforms from a list or a text with commas.  Raises ArgumentError for an unknown one."""
    if platforms is None:
        return PLATFORMS
    names = platforms.split(",") if isinstance(platforms, str) else platforms
    if not isinstance(names, Sequence) or not names:
        raise ArgumentError(f"platforms is a list of some of {', '.join(PLATFORMS)}, got {platforms!r}.")
    names = [str(name).strip() for name in names]
    for name in names:
        if name in ("gpu", "nvidia"):
            raise ArgumentError(f"platform {name!r}: GPUs of NVIDIA are called cuda here.")
        if name not in PLATFORMS:
            raise one_of("platform", name, PLATFORMS)
    return tuple(dict.fromkeys(names))
