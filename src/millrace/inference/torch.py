"""Weights to PyTorch and back: the same numbers under PyTorch's names and in its layouts.

    state = to_torch(model)                                    # {"conv1.weight": array, ...}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    from_torch(model, network.state_dict())

PyTorch is not needed: arrays go out, arrays or tensors come in. Layers are found by their names, or, where the
names differ, in their order. A Dense after a Flatten of images has its rows reordered, since PyTorch flattens
channels first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace.inference.layouts import Layout, layout_of
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.layers.base import Layer
from millrace.training.model import Model

State = Mapping[str, Any]


def to_torch(source: Layer, like: State | None = None) -> dict[str, np.ndarray]:
    """The weights of a model or of one layer, as PyTorch's state_dict has them.

    Keys are "LAYER.weight" and so on, without "LAYER." for a single layer. like: the state_dict of the
    PyTorch module that shall take them; its names are used, layer after layer in order.

    Raises ArgumentError for a layer that PyTorch lacks, or a `like` of another network.
    """
    made: dict[str, np.ndarray] = {}
    layouts = _layouts(source)
    prefixes = _prefixes(layouts, like) if like is not None else [name for name, _ in layouts]
    for prefix, (_, layout) in zip(prefixes, layouts, strict=True):
        for suffix, array in layout.export().items():
            key = f"{prefix}.{suffix}" if prefix else suffix
            wanted = None if like is None or key not in like else tuple(np.shape(_array(like[key])))
            if wanted is not None and wanted != array.shape:
                raise ShapeError(f"{key!r} is {list(wanted)} in PyTorch's module, but {list(array.shape)} here.")
            if like is None or key in like:
                made[key] = np.ascontiguousarray(array)
    return made


def from_torch(target: Layer, state: State) -> None:
    """Give a model, or one layer, the weights of a PyTorch state_dict.

    Raises ArgumentError or ShapeError that names the layer and the key where they do not fit; then no
    weight is changed.
    """
    state = state.state_dict() if hasattr(state, "state_dict") else state  # a module is as good
    layouts = _layouts(target)
    taken: list[tuple[Any, np.ndarray]] = []
    for prefix, (name, layout) in zip(_prefixes(layouts, state), layouts, strict=True):
        start = f"{prefix}." if prefix else ""
        mine = {s: _array(state[start + s]) for s in layout.suffixes if start + s in state}
        for variable, array in layout.load(mine):
            if array.shape != variable.shape:
                raise ShapeError(
                    f"layer {name!r}: {variable.name!r} is {variable.type}, but the weights of PyTorch's {prefix!r} "
                    f"give {list(array.shape)}."
                )
            taken.append((variable, array.astype(variable.dtype)))
    for variable, array in taken:
        variable.assign(array)


def _layouts(source: Layer) -> list[tuple[str, Layout]]:
    """Every layer with weights, with its name and how PyTorch lays it out."""
    if not isinstance(source, Model):
        return _within(source, "")
    return [found for layer in source.layers for found in _within(layer, layer.name)]


def _within(layer: Layer, name: str) -> list[tuple[str, Layout]]:
    if not any(v.type.is_float for v in layer.weights):
        return []
    layout = layout_of(layer)
    if layout is not None:
        return [(name, layout)]
    inner = layer.sublayers
    if not inner:
        raise ArgumentError(f"layer {layer.name!r} ({type(layer).__name__}) has no counterpart in PyTorch.")
    return [found for one in inner for found in _within(one, f"{name}.{one.name}" if name else one.name)]


def _prefixes(layouts: list[tuple[str, Layout]], state: State) -> list[str]:
    """Where in a state_dict each layer's weights are: under its name, or next in order."""
    names = [name for name, _ in layouts]
    if all(_has(state, name, layout) for name, layout in layouts):
        return names
    owners = list(dict.fromkeys(_owners(state)))
    found: list[str] = []
    for name, layout in layouts:
        while owners and not _has(state, owners[0], layout):
            skipped = owners.pop(0)
            if not _inside_of(skipped, found):
                raise ArgumentError(
                    f"layer {name!r} ({layout.kind}) needs {', '.join(layout.needed)}, but next in PyTorch's "
                    f"state_dict is {skipped!r} with {', '.join(_suffixes(state, skipped))}: the networks have "
                    "different layers."
                )
        if not owners:
            raise ArgumentError(f"PyTorch's state_dict has no weights left for layer {name!r} ({layout.kind}).")
        found.append(owners.pop(0))
    left = [owner for owner in owners if not _inside_of(owner, found)]
    if left:
        raise ArgumentError(f"PyTorch's state_dict has weights that no layer here takes: {', '.join(left)}.")
    return found


def _owners(state: State) -> list[str]:
    """The modules that hold weights of their own, in order."""
    return [key.rpartition(".")[0] for key in state]


def _suffixes(state: State, owner: str) -> list[str]:
    return [key.rpartition(".")[2] for key in state if key.rpartition(".")[0] == owner]


def _inside_of(owner: str, found: list[str]) -> bool:
    """Whether a module is part of one that has its layer already, such as the projection of an attention."""
    return any(owner.startswith(f"{one}.") or (one == "" and owner) for one in found)


def _has(state: State, prefix: str, layout: Layout) -> bool:
    return all((f"{prefix}.{s}" if prefix else s) in state for s in layout.needed)


def _array(x: Any) -> np.ndarray:
    """A NumPy array from an array or a PyTorch tensor, wherever that is."""
    for step in ("detach", "cpu", "numpy"):
        x = getattr(x, step)() if hasattr(x, step) else x
    return np.asarray(x)
