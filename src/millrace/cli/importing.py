"""`millrace import`: an ONNX model as a predictor, or somebody's weights in a network of ours."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from millrace.cli.data import say
from millrace.cli.train import trained
from millrace.cli.using import keep_apart, megabytes, operations, say_next, say_ports, uses_of
from millrace.inference.opening import TORCH
from millrace.inference.predictor import Predictor
from millrace.inference.saved import save
from millrace.inference.weights import into as put_into
from millrace.ir.errors import ArgumentError, FileError, one_of
from millrace.models import RECIPES, Recipe
from millrace.training.checkpoint import check_ending
from millrace.training.model import Model, load_model
from millrace.training.run import Run

PAIRS = 4  # of layers and PyTorch's modules that are printed


def import_file(file: Path, out: Path, into: str | None, sizes: str | None = None) -> None:
    """Read a file, write a .safetensors file, and say what was read.

    Raises ArgumentError where the arguments do not fit together, FileError for a file that cannot be read or written.
    """
    check_out(file, out, into)
    if file.is_file() and into is None and file.suffix.lower() not in (".onnx", ".safetensors", *TORCH):
        raise ArgumentError(
            f"{file} is nothing that is imported: an ONNX model (.onnx), or with --into NETWORK weights (.pt, .pth, "
            ".safetensors)."
        )
    if file.suffix.lower() == ".onnx":
        if into is not None:
            raise ArgumentError(f"{file} is a whole network: leave --into out.")
        made = import_onnx(file, out, sizes_of(sizes))
    else:
        if sizes is not None:
            raise ArgumentError(f"{file} is no ONNX model, which alone has open sizes: leave --sizes out.")
        if into is None:
            raise ArgumentError(
                f"{file}: weights need a network to go into: --into NETWORK, the name of one that `millrace train` "
                "knows, a run directory, or a saved model."
            )
        made = import_weights(file, out, into)
    say_next(uses_of(made, out))


def check_out(file: Path, out: Path, into: str | None) -> None:
    check_ending(out)
    if out.suffix.lower() != ".safetensors":
        raise ArgumentError(f"{out}: what is imported is kept as {out.name}.safetensors; give a name with that ending.")
    keep_apart(out, file, *([Path(into)] if into else []))


def sizes_of(text: str | None) -> dict[str, int]:
    """The numbers of "length=128,other=4" by name.  Raises ArgumentError for anything else."""
    found: dict[str, int] = {}
    for part in text.split(",") if text is not None else []:
        name, _, number = (piece.strip() for piece in part.rpartition("="))
        if not name or re.fullmatch(r"[1-9][0-9]{0,9}", number) is None:
            raise ArgumentError(f"--sizes {text!r}: expected NAME=NUMBER, such as length=128,other=4; got {part!r}.")
        if name in found:
            raise ArgumentError(f"--sizes {text!r} gives {name!r} twice.")
        found[name] = int(number)
    return found


def import_onnx(file: Path, out: Path, sizes: dict[str, int]) -> Predictor:
    from millrace.inference.onnx.importing import from_onnx  # onnx takes long to import

    predictor = from_onnx(file, sizes=sizes)
    numbers = sum(variable.numpy().size for variable in predictor.graph.variables)
    save(predictor, out)
    say(f"Read {file}: {operations(predictor.graph)} operations, {numbers:,} parameters.")
    say_ports(predictor)
    say(f"Wrote {out}: {megabytes(out.stat().st_size)}.")
    return predictor


def import_weights(file: Path, out: Path, into: str) -> Predictor:
    model = network(into)
    found = put_into(model, file)
    model.save(out)
    say(f"Read {file}: {found.arrays} arrays of {found.origin}, {found.numbers:,} numbers.")
    if found.pairs:
        say("The names differ, so the layers were taken in order:")
        for ours, theirs in found.pairs[:PAIRS]:
            say(f"  {ours} <- {theirs or '(no name)'}")
        if len(found.pairs) > PAIRS:
            say(f"  and {len(found.pairs) - PAIRS} more")
    say(f"{model.name} has {model.count_params():,} parameters; all of them are set.")
    say(f"Wrote {out}: {megabytes(out.stat().st_size)}.")
    return Predictor.of(model, fold=False)


def network(name: str) -> Model:
    """The network of a name, a run directory or a saved model.  Raises ArgumentError or FileError for none of these."""
    if name in RECIPES:
        return trained(name).build(None)  # type: ignore[arg-type]  # its usual size, without looking at data
    path = Path(name)
    if path.is_dir():
        return Run.open(path).latest(partial(load_model, compile=False)).content
    if path.is_file():
        return load_model(path, compile=False)
    if path.suffix or len(path.parts) > 1:
        raise FileError(f"{name} does not exist: expected a run directory, or a model that `model.save` kept.")
    raise one_of("network", name, [key for key, one in RECIPES.items() if isinstance(one, Recipe)])
