"""`millrace import`: an ONNX model as a predictor, or somebody's weights in a network of ours."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from millrace.cli.data import say
from millrace.cli.train import trained
from millrace.cli.using import keep_apart, megabytes, operations, say_ports
from millrace.inference.saved import save
from millrace.inference.weights import into as put_into
from millrace.ir.errors import ArgumentError, FileError, one_of
from millrace.models import RECIPES, Recipe
from millrace.training.checkpoint import check_ending
from millrace.training.model import Model, load_model
from millrace.training.run import Run


def import_file(file: Path, out: Path, into: str | None) -> None:
    """Read a file, write a .safetensors file, and say what was read.

    Raises ArgumentError where the arguments do not fit together, FileError for a file that cannot be read or written.
    """
    check_out(file, out, into)
    if file.suffix.lower() == ".onnx":
        if into is not None:
            raise ArgumentError(f"{file} is a whole network: leave --into out.")
        import_onnx(file, out)
    else:
        if into is None:
            raise ArgumentError(
                f"{file}: weights need a network to go into: --into NETWORK, the name of one that `millrace train` "
                "knows, a run directory, or a saved model."
            )
        import_weights(file, out, into)
    say(f"Next: millrace predict {out} examples.npy")


def check_out(file: Path, out: Path, into: str | None) -> None:
    check_ending(out)
    if out.suffix.lower() != ".safetensors":
        raise ArgumentError(f"{out}: what is imported is kept as {out.name}.safetensors; give a name with that ending.")
    keep_apart(out, file, *([Path(into)] if into else []))


def import_onnx(file: Path, out: Path) -> None:
    from millrace.inference.onnx.importing import from_onnx  # onnx takes long to import

    predictor = from_onnx(file)
    numbers = sum(variable.numpy().size for variable in predictor.graph.variables)
    save(predictor, out)
    say(f"Read {file}: {operations(predictor.graph)} operations, {numbers:,} parameters.")
    say_ports(predictor)
    say(f"Wrote {out}: {megabytes(out.stat().st_size)}.")


def import_weights(file: Path, out: Path, into: str) -> None:
    model = network(into)
    found = put_into(model, file)
    model.save(out)
    say(f"Read {file}: {found.arrays} arrays of {found.origin}, {found.numbers:,} numbers.")
    say(f"{model.name} has {model.count_params():,} parameters; all of them are set.")
    say(f"Wrote {out}: {megabytes(out.stat().st_size)}.")


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
