"""Weights of a file into a model, whoever wrote it: Millrace, PyTorch, or anybody as safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.inference.opening import TORCH
from millrace.inference.saved import KIND
from millrace.inference.torch import from_torch
from millrace.inference.torch_file import read_torch
from millrace.ir.errors import ArgumentError, FileError, ShapeError
from millrace.ir.types import is_float_array
from millrace.training.checkpoint import arrays_of
from millrace.training.kept import take_over
from millrace.training.model import Model

TORCHS = "PyTorch"


@dataclass(frozen=True)
class Weights:
    """What was read: whose file it is, how many arrays, and how many numbers.

    pairs: (layer, PyTorch's module) where the names differ, so that the layers were taken in order.
    """

    origin: str
    arrays: int
    numbers: int
    pairs: tuple[tuple[str, str], ...] = ()


def into(model: Model, path: str | Path) -> Weights:
    """Give a model the weights of a file, and say what was in it.

    Files of `model.save` and `model.save_weights` fit by the names of the weights. A state_dict of PyTorch, as
    `torch.save` wrote it (.pt, .pth), fits by the names of the layers or, where they differ, by their order, which
    `Weights.pairs` then tells; as safetensors, which keep no order, by the names alone. It is brought into Millrace's
    layouts.

    Raises FileError for a file that is missing, damaged, of another network, with weights that no layer takes, or of
    PyTorch's with NaN in it; then no weight is changed.
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
    arrays, about = arrays_of(path)
    if about is None:
        return put(model, path, arrays, "safetensors")
    if about.get("kind") == KIND:
        raise FileError(
            f"{path} is a predictor, whose weights have been folded: they fit no network any more. Take the model or "
            "the run that it was made of."
        )
    take_over(model, arrays, about, path)
    return Weights("Millrace", len(model.weights), model.count_params())


def put(model: Model, path: Path, state: dict[str, np.ndarray], origin: str) -> Weights:
    """Give a model a state_dict of PyTorch."""
    for name, array in state.items():
        if is_float_array(array) and np.isnan(array).any():
            raise FileError(f"{path}: {name!r} holds numbers that are not a number (NaN): train it again.")
    try:
        pairs = from_torch(model, state, ordered=origin == TORCHS)
    except (ArgumentError, ShapeError) as error:
        raise FileError(f"{path} does not fit {model.name}: {error.args[0]}") from None
    return Weights(origin, len(state), sum(array.size for array in state.values()), tuple(pairs))
