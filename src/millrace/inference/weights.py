"""Weights of a file into a model, whoever wrote it: Millrace, PyTorch, or anybody as safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.inference.torch import from_torch
from millrace.inference.torch_file import read_torch
from millrace.ir.errors import ArgumentError, FileError, ShapeError
from millrace.ir.types import is_float_array
from millrace.training.model import Model

TORCHS = "PyTorch"
TORCH = (".pt", ".pth", ".bin", ".ckpt")
LARGEST_HEADER = 10**8  # bytes, as the safetensors format has it


@dataclass(frozen=True)
class Weights:
    """What was read: whose file it is, how many arrays, and how many numbers."""

    origin: str
    arrays: int
    numbers: int


def into(model: Model, path: str | Path) -> Weights:
    """Give a model the weights of a file, and say what was in it.

    Files of `model.save` and `model.save_weights` fit by the names of the weights. A state_dict of PyTorch, as
    `torch.save` wrote it (.pt, .pth), fits by the names of the layers or, where they differ, by their order; as
    safetensors, which keep no order, by the names alone. It is brought into Millrace's layouts.

    Raises FileError for a file that is missing, damaged, not finite, or of another network; then no weight is changed.
    """
    path = Path(path)
    if path.suffix.lower() in TORCH:
        return put(model, path, read_torch(path), TORCHS)
    if path.suffix.lower() != ".safetensors":
        raise FileError(
            f"{path}: weights are read from .safetensors, and from what torch.save wrote (.pt, .pth)."
            + (" An ONNX model is a whole network: millrace import FILE OUT." if path.suffix == ".onnx" else "")
        )
    if not path.is_file():
        raise FileError(
            f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected a file of weights."
        )
    if is_own(path):
        model.load_weights(path)
        return Weights("Millrace", len(model.weights), sum(v.numpy().size for v in model.weights))
    return put(model, path, read_safetensors(path), "safetensors")


def put(model: Model, path: Path, state: dict[str, np.ndarray], origin: str) -> Weights:
    """Give a model a state_dict of PyTorch."""
    for name, array in state.items():
        if is_float_array(array) and np.isnan(array).any():
            raise FileError(f"{path}: {name!r} holds numbers that are not a number (NaN): train it again.")
    try:
        from_torch(model, state)
    except (ArgumentError, ShapeError) as error:
        more = (
            " A safetensors file keeps no order: its layers are found by their names alone." if origin != TORCHS else ""
        )
        raise FileError(f"{path} does not fit {model.name}: {error.args[0]}{more}") from None
    return Weights(origin, len(state), sum(array.size for array in state.values()))


def is_own(path: Path) -> bool:
    """Whether Millrace wrote a safetensors file: whether its header says what the arrays are."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(LARGEST_HEADER, path.stat().st_size):
                return False  # damaged: who reads the arrays says so
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        return False
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return isinstance(metadata, dict) and "millrace" in metadata


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file of anybody's, by name.  Raises FileError for a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except PermissionError:
        raise FileError(f"{path} cannot be read: permission denied.") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise FileError(f"{path} is damaged or no safetensors file ({error}).") from None
