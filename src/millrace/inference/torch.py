"""Weights to PyTorch and back: the same numbers under PyTorch's names and in its layouts.

    state = to_torch(model)                                    # {"conv1.weight": array, ...}
    network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    from_torch(model, network.state_dict())

PyTorch is not needed: arrays go out, arrays or tensors come in. Layers are found by their names, or, where the
names differ, in their order. A Dense after a Flatten of images has its rows reordered, since PyTorch flattens
channels first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from millrace.inference.layouts import Layout, layout_of
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.layers.base import Layer
from millrace.training.model import Model

State = Mapping[str, Any]
LINES = 8  # of the network and the file beside each other, in an error
FEW = 6  # names in an error, before "and 7 more"


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
            key = _key(prefix, suffix)
            wanted = None if like is None or key not in like else tuple(np.shape(_array(like[key])))
            if wanted is not None and wanted != array.shape:
                raise ShapeError(f"{key!r} is {list(wanted)} in PyTorch's module, but {list(array.shape)} here.")
            if like is None or key in like:
                made[key] = np.ascontiguousarray(array)
    return made


def from_torch(target: Layer, state: State, *, ordered: bool = True) -> list[tuple[str, str]]:
    """Give a model, or one layer, the weights of a PyTorch state_dict.

    Layers are found by their names or, where not all of these are in the state, by their order. Then the pairs of
    (layer here, module in PyTorch) are returned, which are worth a look; where the names fit, an empty list.
    ordered: whether the state is in the order of PyTorch's modules. A safetensors file is not: only names count there.

    Raises ArgumentError or ShapeError that names the layer and the key where they do not fit, or where the state has
    learned numbers that no layer here takes; then no weight is changed.
    """
    state = state.state_dict() if hasattr(state, "state_dict") else state  # a module is as good
    layouts = _layouts(target)
    names = [name for name, _ in layouts]
    prefixes = _prefixes(layouts, state, ordered=ordered, whole=True)
    _refuse_left(layouts, prefixes, state)
    taken: list[tuple[Any, np.ndarray]] = []
    for prefix, (name, layout) in zip(prefixes, layouts, strict=True):
        mine = {s: _array(state[_key(prefix, s)]) for s in layout.suffixes if _key(prefix, s) in state}
        for variable, array in layout.load(mine):
            if array.shape != variable.shape:
                raise ShapeError(
                    f"layer {name!r}: {variable.name!r} is {variable.type}, but the weights of PyTorch's {prefix!r} "
                    f"give {list(array.shape)}."
                )
            taken.append((variable, array.astype(variable.dtype)))
    for variable, array in taken:
        variable.assign(array)
    return [] if prefixes == names else list(zip(names, prefixes, strict=True))


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


def _prefixes(layouts: list[tuple[str, Layout]], state: State, ordered: bool = True, whole: bool = False) -> list[str]:
    """Where in a state_dict each layer's weights are: under its name, or next in order.

    whole: whether a layer has to take all that its module holds, and not only what it needs.
    """
    names = [name for name, _ in layouts]
    missing = [name for name, layout in layouts if not _has(state, name, layout)]
    if not missing:
        return names
    if not ordered:
        raise ArgumentError(
            "a safetensors file keeps no order: its layers are found by their names alone, and under these names it "
            f"has no weights, or not all: {_few(missing)}.{_beside(layouts, state, names.index(missing[0]))}"
        )
    owners = list(dict.fromkeys(_owners(state)))
    found: list[str] = []
    used: set[str] = set()
    for name, layout in layouts:
        while owners and not _has(state, owners[0], layout, whole):
            skipped = owners.pop(0)
            if not (_inside_of(skipped, found) or _learns_nothing(skipped, state, used)):
                verb = "takes" if _has(state, skipped, layout) else "needs"
                its = _suffixes(state, skipped)
                raise ArgumentError(
                    f"layer {name!r} ({layout.kind}) {verb} {', '.join(layout.needed)}, but next in PyTorch's "
                    f"state_dict is {skipped or 'its top level'!r} with {', '.join(its)}: the networks have different "
                    f"layers.{_more_levels(its)}{_beside(layouts, state, len(found))}"
                )
        if not owners:
            raise ArgumentError(
                f"PyTorch's state_dict has no weights left for layer {name!r} ({layout.kind})."
                f"{_beside(layouts, state, len(found))}"
            )
        found.append(owners.pop(0))
        used |= {_key(found[-1], suffix) for suffix in layout.suffixes}
    left = [owner for owner in owners if not (_inside_of(owner, found) or _learns_nothing(owner, state, used))]
    if left:
        raise ArgumentError(
            f"PyTorch's state_dict has weights that no layer here takes: {_few(left)}."
            f"{_beside(layouts, state, len(layouts))}"
        )
    return found


def _refuse_left(layouts: list[tuple[str, Layout]], prefixes: list[str], state: State) -> None:
    """Raises ArgumentError for learned numbers that no layer takes."""
    used = {_key(prefix, s) for prefix, (_, layout) in zip(prefixes, layouts, strict=True) for s in layout.suffixes}
    left = [key for key in state if key not in used and _is_learned(key, state, used)]
    if left:
        told = [f"{key} {list(np.shape(_array(state[key])))}" for key in left]
        raise ArgumentError(
            f"PyTorch's state_dict has weights that no layer here takes: {_few(told)}. Without them the network would "
            f"answer otherwise.{_more_levels([key.rpartition('.')[2] for key in left])}"
        )


def _is_learned(key: str, state: State, used: set[str]) -> bool:
    """Whether a key holds learned numbers that are not among those of the `used` keys.

    Counters, positions and masks are not learned. Tied weights are in a state_dict under each of their names.
    """
    if key.rpartition(".")[2] == "num_batches_tracked":
        return False
    array = _array(state[key])
    if array.size == 0 or array.dtype in (np.bool_, np.int32, np.int64):
        return False
    tied = key.rpartition(".")[2] == "weight" and array.ndim == 2 and bool((array != array.flat[0]).any())
    return not any(_is_same(array, _array(state[other]), tied) for other in used if other in state)


def _is_same(one: np.ndarray, other: np.ndarray, copied: bool) -> bool:
    """Whether two arrays are one weight: in the same memory or, where it may have been copied, equal.

    Only the weights of embeddings and of Linear layers are taken for copies: zeros and ones are equal by chance.
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.__array_interface__["data"] == other.__array_interface__["data"] and one.strides == other.strides:
        return True
    return copied and np.array_equal(one, other)


def _learns_nothing(owner: str, state: State, used: set[str]) -> bool:
    """Whether a module holds nothing that a layer would have to take."""
    keys = [_key(owner, suffix) for suffix in _suffixes(state, owner)]
    return not any(key not in used and _is_learned(key, state, used) for key in keys)


def _more_levels(suffixes: list[str]) -> str:
    """What to do where PyTorch's recurrent layer is several, one above the other."""
    levels = [int(found[1]) for suffix in suffixes if (found := re.search(r"_l(\d+)(_reverse)?$", suffix))]
    if max(levels, default=0) == 0:
        return ""
    return (
        f" PyTorch's has num_layers={max(levels) + 1}: here that is one layer of as many cells, such as "
        "RNN([LSTMCell(units), LSTMCell(units)])."
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def _beside(layouts: list[tuple[str, Layout]], state: State, at: int = 0) -> str:
    """What the network needs beside what the state has: a line a layer, those around number `at`."""
    ours = [_line(name, layout.needed, layout.export()) for name, layout in layouts]
    arrays = {owner: _suffixes(state, owner) for owner in _owners(state)}
    for owner in list(arrays):
        parent, _, last = owner.rpartition(".")
        if last == "out_proj" and parent in arrays:  # the projection of an attention is no layer of its own
            arrays[parent] += [f"{last}.{suffix}" for suffix in arrays.pop(owner)]
    theirs = [_line(owner, held, {s: _array(state[_key(owner, s)]) for s in held}) for owner, held in arrays.items()]
    count = max(len(ours), len(theirs))
    start = max(0, min(at - LINES // 2, count - LINES))
    rows = list(zip_longest(ours, theirs, fillvalue="-"))[start : start + LINES]
    rows = [("the network needs", "the state_dict has"), *rows]
    width = max(len(left) for left, _ in rows)
    made = "".join(f"\n  {left:<{width}}  {right}" for left, right in rows)
    return made + (f"\n  (layers {start + 1} to {start + LINES} of {count})" if count > LINES else "")


def _line(name: str, suffixes: list[str], arrays: Mapping[str, np.ndarray]) -> str:
    """A layer's weight, with its shape, and how many arrays more."""
    first = min(suffixes, key=lambda suffix: "weight" not in suffix)
    more = f", {len(suffixes) - 1} more" if len(suffixes) > 1 else ""
    return f"{_key(name, first)} {list(arrays[first].shape)}{more}"


def _key(prefix: str, suffix: str) -> str:
    return f"{prefix}.{suffix}" if prefix else suffix


def _owners(state: State) -> list[str]:
    """The modules that hold weights of their own, in order."""
    return [key.rpartition(".")[0] for key in state]


def _suffixes(state: State, owner: str) -> list[str]:
    return [key.rpartition(".")[2] for key in state if key.rpartition(".")[0] == owner]


def _inside_of(owner: str, found: list[str]) -> bool:
    """Whether a module is part of one that has its layer already, such as the projection of an attention."""
    return any(owner.startswith(f"{one}.") or (one == "" and owner) for one in found)


def _has(state: State, prefix: str, layout: Layout, whole: bool = False) -> bool:
    """Whether a module holds what a layer needs; whole: and no other learned numbers of its own."""
    suffixes = layout.suffixes
    if not all(_key(prefix, suffix) in state for suffix in layout.needed):
        return False
    used = {_key(prefix, suffix) for suffix in suffixes}
    more = [_key(prefix, suffix) for suffix in _suffixes(state, prefix) if suffix not in suffixes] if whole else []
    return not any(_is_learned(key, state, used) for key in more)


def _array(x: Any) -> np.ndarray:
    """A NumPy array from an array or a PyTorch tensor, wherever that is."""
    for step in ("detach", "cpu", "numpy"):
        x = getattr(x, step)() if hasattr(x, step) else x
    return np.asarray(x)
