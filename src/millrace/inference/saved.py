"""A predictor in one file, and back.

The file is a safetensors file with checksums. Its arrays are the variables, by their names, and the graph's long
constants, by their hashes. Its description holds the graph as text, the names of the outputs, and what the answers
mean. Reading it runs nothing: the text is parsed, and each shape that it claims is held against the arrays.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from millrace.inference.predictor import About, Predictor
from millrace.ir.composite import Composite
from millrace.ir.core import Primitive
from millrace.ir.dims import Dim, bind
from millrace.ir.errors import FileError, GraphError, MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable, here, snapshot
from millrace.ir.text import MALFORMED, Body, literals, parse, text
from millrace.ir.types import TensorType
from millrace.training.checkpoint import check_ending, load_arrays, save_arrays
from millrace.training.model import Model

KIND = "predictor"
VERSION = 1  # of what the description says; the arrays and their checksums are of training/checkpoint.py
LONG = "sha256:"  # before the hash of a long constant, among the names of arrays
COMPUTES = (Placeholder, Constant, Read, Assign, Primitive, Composite)  # what may stand in the graph of a file


def save(source: Predictor | Model, path: str | Path) -> None:
    """Keep a predictor, or what a model predicts, in one file: graph, weights, and what the answers mean.

    Raises FileError where it cannot be written, and then leaves the earlier file as it was; ArgumentError for an
    ending that means another format.
    """
    predictor = Predictor.of(source) if isinstance(source, Model) else source
    check_ending(path)
    save_arrays(path, *packed_up(predictor))


def packed_up(predictor: Predictor) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a predictor by name, and what is said of them."""
    graph = predictor.graph
    variables = list(_variables(graph))
    with snapshot(variables) as buffers:
        arrays = {v.name: here(v, buffer) for v, buffer in zip(variables, buffers, strict=True)}
    about: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        "millrace": _millrace(),
        "graph": text(graph),
        "outputs": [port.name for port in predictor.outputs],
        "about": asdict(predictor.about),
    }
    long = {LONG + digest: array for digest, array in literals(graph).items()}
    made = _graph(about["graph"], arrays, long)  # what cannot be read back must not be written
    if text(made) != about["graph"] or not arrays.keys().isdisjoint(long):
        raise GraphError(f"the graph of {predictor!r} cannot be kept as text: it is read back as another one.")
    return {**arrays, **long}, about


def load(path: str | Path, engine: Any = None) -> Predictor:
    """The predictor that `save` kept. Nothing in the file is run.

    engine: "xla", "numpy", or None for the best there is.

    Raises FileError for a file that is missing, damaged, of a later version of Millrace, or no predictor.
    """
    return from_arrays(path, *load_arrays(path), engine)


def from_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], engine: Any = None
) -> Predictor:
    """The predictor of a file's arrays and description.  Raises FileError as `load` does."""
    if about.get("kind") != KIND:
        raise FileError(
            f"{path} holds no predictor but {about.get('kind')!r:.100}: millrace.inference.opened opens both."
        )
    found = about.get("version")
    if not isinstance(found, int) or found < 1:
        raise FileError(f"{path} does not say its version: it is damaged, or Millrace did not write it.")
    if found > VERSION:
        raise FileError(
            f"{path} is of version {f'{found:,}'[:20]}, this Millrace reads predictors up to version {VERSION}: update "
            "Millrace."
        )
    try:
        long = {name: array for name, array in arrays.items() if name.startswith(LONG)}
        graph = _graph(_text(about, "graph"), {n: a for n, a in arrays.items() if n not in long}, long)
        return Predictor(graph, _texts(about, "outputs"), about_from(about.get("about")), engine)
    except MemoryError:
        raise FileError(f"{path} does not fit into memory.") from None
    except (MillraceError, *MALFORMED) as error:
        said = str(error.args[0]) if error.args else type(error).__name__
        raise FileError(f"{path} holds no predictor that can be used: {said[:1500]}") from None


def _millrace() -> str:
    try:
        return version("millrace")
    except PackageNotFoundError:
        return ""


def _graph(source: str, arrays: Mapping[str, np.ndarray], long: Mapping[str, np.ndarray]) -> Graph:
    """The graph of a text over variables that hold these arrays.  Raises GraphError where they do not fit it."""
    graph = parse(source, literals={name.removeprefix(LONG): array for name, array in long.items()})
    _check(graph)
    for variable in _variables(graph):
        if variable.name not in arrays:
            raise GraphError(f"the graph uses variable {variable.name!r:.200}, which the file does not hold.")
        if TensorType.of(arrays[variable.name]) != variable.type:
            kept = TensorType.of(arrays[variable.name])
            raise GraphError(f"variable {variable.name!r:.200} is {kept} in the file, the graph says {variable.type}.")
        variable.assign(arrays[variable.name])
    return graph


def _variables(graph: Graph) -> dict[Variable, None]:
    """Every variable of a graph and of the bodies of its loops, each once."""
    inner = [variable for body in _bodies(graph) for variable in _variables(body)]
    return dict.fromkeys([*graph.variables, *inner])


def _bodies(graph: Graph) -> list[Graph]:
    return [held.graph for node in graph.nodes for held in vars(node.op).values() if isinstance(held, Body)]


def _check(graph: Graph) -> None:
    """Raise GraphError for a graph that does more than compute, or needs more memory for an example than there is."""
    limit = _memory()
    for node in graph.nodes:
        if not isinstance(node.op, COMPUTES):
            raise GraphError(f"the graph holds {node.op.name}, which does more than compute: a predictor may not.")
        hash(node.op)  # TypeError where an attribute is no value, such as a list
        if isinstance(node.op, Placeholder) and not isinstance(node.op.label, str):
            raise GraphError(f"an input is called {node.op.label!r:.100}, which is no name.")
        for value in node.outputs:
            if _bytes(value.type) > limit:
                raise GraphError(
                    f"{node.op.name} makes {value.type}, which is more for one example than this machine's memory "
                    f"of {limit / 1e9:.0f} GB."
                )
    for body in _bodies(graph):
        _check(body)


def _memory() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(type: TensorType) -> int:
    """The memory of a value where every open size is 1."""
    count = np.dtype(type.dtype).itemsize
    for size in type.shape:
        ones = dict.fromkeys(size.names, 1) if isinstance(size, Dim) else {}
        count *= max(int(bind(size, ones)), 0)  # type: ignore[arg-type]
    return count


def about_from(kept: Any) -> About:
    """What is said of a predictor.  Raises FileError where a field is of another kind."""
    if not isinstance(kept, dict):
        raise FileError("it does not say what the answers mean.")
    given: dict[str, Any] = {}
    for field in fields(About):
        if field.name not in kept:
            continue
        if field.type == "str":
            given[field.name] = _text(kept, field.name)
        elif field.type == "tuple[str, ...]":
            given[field.name] = _texts(kept, field.name)
        elif isinstance(kept[field.name], dict):
            given[field.name] = kept[field.name]
        else:
            raise FileError(f"{field.name!r} of its description is no table.")
    numbers = given.get("measured", {}).values()
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise FileError("what was measured of it is not all numbers.")
    return About(**given)


def _text(kept: Mapping[str, Any], name: str) -> str:
    if not isinstance(kept.get(name), str):
        raise FileError(f"{name!r} of its description is no text.")
    return str(kept[name])


def _texts(kept: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = kept.get(name)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise FileError(f"{name!r} of its description is no list of texts.")
    return tuple(found)
