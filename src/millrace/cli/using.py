"""What the commands share that use a trained model: opening it, and saying what it takes and gives."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
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
from millrace.training.checkpoint import ADVICE, ELSEWHERE


def opened_to_use(path: Path, engine: str | None = None, fold: bool = True) -> Predictor:
    """The predictor of whatever `opened` takes; what it warns of is told on stderr.

    Raises ArgumentError for an unknown engine, FileError as `opened` does.
    """
    chosen = engine_named(engine)
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


def check_writable(out: Path) -> None:
    """Raise FileError for a place where nothing can be written, before the work is done."""
    folder = next(parent for parent in out.absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise FileError(f"cannot write {out}: {folder} is no folder. {ELSEWHERE}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"cannot write {out}: Permission denied. {ADVICE[errno.EACCES]}")


def say_next(commands: Sequence[str], title: str = "Next:", indent: str = "  ") -> None:
    """Print commands, each whole on a line of its own, to be copied from there."""
    print("\n".join([title, *(indent + printable(command) for command in commands)]))


def uses_of(predictor: Predictor, path: Path) -> list[str]:
    """The commands that use a model in a file."""
    given = "examples.npz" if len(predictor.inputs) > 1 else "examples.npy"
    recipe = recipe_of(predictor)
    if recipe is not None and recipe.example is not None:
        given = "'a sentence'" if predictor.about.vocabulary else "picture.png"
    name = shlex.quote(str(path))
    return [f"millrace predict {name} {given}", f"millrace serve {name}"]


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
