"""What a file holds of a model, and how a model takes it over again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from millrace.ir.bounds import Bounds
from millrace.ir.errors import FileError
from millrace.ir.state import Variable, here, is_here, snapshot
from millrace.ir.types import is_float_array
from millrace.training.callback import put_arrays, take_arrays


class Held:
    """What a file is to hold of a model, as it is at this moment, while training goes on.

    The buffers are leased until `release`, which is also the end of a `with`; `arrays` may be called on another thread.
    """

    def __init__(self, model: Any, progress: Mapping[str, Any] | None = None):
        self.about = description(model, progress)
        self._more = take_arrays(self.about["progress"])
        self._names = [variable.name for variable in model.state]
        healthy = [] if model._steps is None else [model._steps.healthy]
        self._lease = ExitStack()
        self._buffers = self._lease.enter_context(snapshot([*model.state, *healthy]))

    def arrays(self) -> dict[str, Any]:
        """The state by name, read where it lies: it must not be used after `release`. Waits for the steps before.

        What lies in parts with several processes stays as it is; `is_split` says so.
        """
        held = {name: as_held(buffer) for name, buffer in zip(self._names, self._buffers, strict=False)}
        return {**held, **self._more}

    def whole_arrays(self, variables: Sequence[Variable]) -> dict[str, np.ndarray]:
        """The same for one file.  Raises MillraceError where parts lie with other processes."""
        for variable, buffer in zip(variables, self._buffers, strict=False):
            if not is_here(buffer):
                here(variable, buffer)
        return self.arrays()

    @property
    def is_split(self) -> bool:
        """Whether this process has not all of the state."""
        return not all(map(is_here, self._buffers))

    @property
    def is_sound(self) -> bool:
        """Whether every step was finite. If not, the state is that before the first bad one. Waits for the steps."""
        return len(self._buffers) == len(self._names) or bool(np.asarray(self._buffers[-1]))

    def release(self) -> None:
        """Give the buffers back."""
        self._lease.close()
        self._buffers = []

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def as_held(buffer: Any) -> Any:
    """A buffer as an array; as it is where parts of it lie with other processes."""
    return np.asarray(buffer) if is_here(buffer) else buffer


def description(model: Any, progress: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a file says of a model besides its arrays: the layers, and how it is being trained."""
    about: dict[str, Any] = {
        "kind": "model", "architecture": model.get_config(), "progress": dict(progress or {}),
        "weights": [variable.name for variable in model.weights],
    }  # fmt: skip
    if model._steps is not None:
        lost = model.compiled.functions
        if not model.optimizer.is_saved_whole:
            lost = ["the learning rate, a function", *lost]
        # a function is not saved: whoever loads this compiles it with the function again
        about |= {"compile": None, "lost": lost} if lost else {
            "compile": {"optimizer": model.optimizer.get_config(), **model.compiled.get_config()}
        }  # fmt: skip
    return about


def take_over(model: Any, arrays: dict[str, Any], about: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Give a model the state that a file holds; returns how far training had come.

    Floating-point numbers are converted to the model's dtype, with a warning where that rounds them.
    Raises FileError where the file does not fit the model; then nothing is taken over.
    """
    arrays = check_weights(model, arrays, about, path)
    taken = {v: arrays[v.name] for v in [*model.weights, *memory_in(model, arrays, about, path)]}
    rounded = [v for v, array in taken.items() if fits(v, array) and not np.can_cast(array.dtype, np.dtype(v.dtype))]
    taken = {v: converted(v, array, path) for v, array in taken.items()}
    if rounded:
        first = rounded[0]
        warnings.warn(
            f"{path} holds {arrays[first.name].dtype} where the model has {first.dtype}: {len(rounded)} arrays are "
            f"rounded, {first.name!r} the first.",
            stacklevel=3,
        )
    for variable, array in taken.items():
        variable.assign(array)
    progress = about["progress"]
    put_arrays(progress, arrays)
    model.progress = progress
    return dict(progress)


def check_weights(model: Any, arrays: dict[str, Any], about: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """A file's arrays under the names of a model's weights.  Raises FileError where one is missing or does not fit."""
    if not isinstance(about.get("progress"), dict):
        raise FileError(f"{path} does not say how far training got: it is damaged, or no model.")
    arrays = by_our_names(model, arrays, about.get("weights"))
    for variable in model.weights:
        if variable.name not in arrays:
            raise FileError(f"{path} is of another model: it has no weight {variable.name!r}.")
        if not fits(variable, arrays[variable.name]):
            raise _other(variable, arrays[variable.name], path)
    return arrays


def _other(variable: Variable, array: np.ndarray, path: str | Path) -> FileError:
    return FileError(
        f"{path} is of another model: {variable.name!r} is {array.dtype}{list(array.shape)} there, "
        f"{variable.type} here."
    )


def bounds_of(arrays: Mapping[str, Any], about: Mapping[str, Any]) -> Bounds:
    """What the model of a file may need while it is built: weights as its arrays, and room for what is small."""
    shapes = {array.shape for array in arrays.values()}
    elements = sum(array.size for array in arrays.values())
    # An operation takes about 50 characters, a layer 200; but one that repeats its steps may be thousands of nodes.
    length = len(json.dumps(about.get("architecture")))
    return Bounds(shapes, 2 * len(arrays) + 16, 16 * elements + 2**22, 4 * length + 20_000)


def fits(variable: Variable, array: np.ndarray) -> bool:
    """Whether a file's array has the shape of a variable, and its dtype or another one of floating point."""
    alike = array.dtype == variable.dtype or (is_float_array(array) and variable.type.is_float)
    return alike and array.shape == variable.shape


def converted(variable: Variable, array: np.ndarray, path: str | Path) -> np.ndarray:
    """A file's array in the dtype of a variable.  Raises FileError where it does not fit, or its range is too small."""
    if not fits(variable, array):
        raise _other(variable, array, path)
    if array.dtype == variable.dtype:
        return array
    with np.errstate(over="ignore"):
        made = array.astype(variable.dtype)
    if (np.isfinite(array) & ~np.isfinite(made)).any():
        raise FileError(
            f"{path}: {variable.name!r} holds numbers up to {np.abs(array[np.isfinite(array)]).max():g}, which "
            f"{variable.dtype} cannot hold."
        )
    return made


def by_our_names(model: Any, arrays: dict[str, Any], order: Any) -> dict[str, Any]:
    """A file's arrays under the names of this model's weights, where only automatic names differ.

    The same network built twice numbers its layers on; then the weights are taken in their order, if each has
    the shape that it must have.
    """
    mine = [v.name for v in model.weights]
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        return arrays
    if sorted(order) == sorted(mine) or len(order) != len(mine):
        return arrays
    if not all(name in arrays and fits(v, arrays[name]) for name, v in zip(order, model.weights, strict=True)):
        return arrays
    ours = dict(zip(order, mine, strict=True))

    def renamed(name: str) -> str:
        if name.startswith("optimizer/"):
            weight, _, slot = name.removeprefix("optimizer/").rpartition("/")
            return f"optimizer/{ours[weight]}/{slot}" if weight in ours else name
        return ours.get(name, name)

    return {renamed(name): array for name, array in arrays.items()}


def memory_in(model: Any, arrays: Mapping[str, Any], about: Mapping[str, Any], path: str | Path) -> list[Variable]:
    """What training remembers besides the weights, as far as a file has it: all of the optimizer's, or none."""
    if model._steps is None:
        return []
    mine = model.state[len(model.weights) :]
    optimizer = [v for v in mine if v not in model._steps.variables]
    means = [v for v in model._steps.variables if v.name in arrays]
    if not any(name.startswith("optimizer/") for name in arrays):
        return means
    kept = about.get("compile")
    before = kept.get("optimizer") if isinstance(kept, dict) else None
    before = before if isinstance(before, dict) else {}
    here = model.optimizer.get_config()["class_name"]
    absent = [v.name for v in optimizer if v.name not in arrays]
    if absent or before.get("class_name", here) != here:
        why = f"it has no {absent[0]!r}" if absent else f"it was {before['class_name']}, here it is {here}"
        raise FileError(
            f"{path} does not hold all that the optimizer remembers ({why}): compile the model as it was, or call "
            "load_weights before compile to take the weights alone and start the optimizer anew."
        )
    if not about["progress"].get("step") and any(arrays[v.name].shape != v.shape for v in means):
        means = []  # other metrics, and no epoch under way
    return [*optimizer, *means]
