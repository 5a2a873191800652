"""What the commands share that use a trained model: opening it, and saying what it takes and gives."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from millrace.cli.data import say
from millrace.engines.function import engine_named
from millrace.inference.opening import opened
from millrace.inference.predictor import Predictor
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Read
from millrace.ir.syntax import printable
from millrace.models import RECIPES, Recipe


def opened_to_use(path: Path, engine: str | None = None, fold: bool = True) -> Predictor:
    """The predictor of whatever `opened` takes; what it warns of is told on stderr.

    Raises ArgumentError for an unknown engine, FileError as `opened` does.
    """
    chosen = engine_named(engine)
    if path.suffix.lower() == ".stablehlo" and path.is_file():
        raise FileError(
            f"{path} is a program for JAX: jax.export.deserialize(open('{path}', 'rb').read()).call(x). To use the "
            "model here, export it as .safetensors or .onnx."
        )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        predictor = opened(path, chosen, fold)
    for warning in told:
        if warning.category is UserWarning:
            print(printable(f"millrace: {warning.message}"), file=sys.stderr)
    return predictor


def keep_apart(out: Path, *sources: Path) -> None:
    """Raise ArgumentError for a file in the place of one of these, or of one within them; FileError for a folder."""
    place = out.resolve()
    if place.is_dir():
        raise FileError(f"{out} is a folder: give a file.")
    for source in (path.resolve() for path in sources):
        if place == source or (place.exists() and source in place.parents):
            raise ArgumentError(f"{out} would replace what it is made of: give another name.")


def recipe_of(predictor: Predictor) -> Recipe | None:
    """The network of `millrace train` that a predictor is, where it says so and there is one."""
    found = RECIPES.get(predictor.about.recipe)
    return found if isinstance(found, Recipe) else None


def say_ports(predictor: Predictor) -> None:
    """Print what a predictor is called, takes and gives."""
    about = predictor.about
    say(f"{about.name}, weights in {about.precision}")
    for what, ports in (("takes", predictor.inputs), ("gives", predictor.outputs)):
        for port in ports:
            say(f"  {what} {port.name}: {port.type}")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"


def one_line(error: Any) -> str:
    """What an error says, without the place in the source that it also knows."""
    return str(error.args[0]) if error.args else str(error)


def operations(graph: Graph) -> int:
    """How many operations a graph computes with: without inputs, weights and constants."""
    return sum(not isinstance(node.op, (Placeholder, Constant, Read)) for node in graph.nodes)
