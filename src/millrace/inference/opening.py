"""Whatever holds a trained model, opened to predict: a run, a saved model, a file of `save`, or an ONNX model."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

from millrace.inference.folding import folded
from millrace.inference.predictor import About, Predictor
from millrace.inference.saved import KIND, from_arrays
from millrace.ir.errors import FileError
from millrace.ir.rewrite import simplify
from millrace.training.checkpoint import arrays_of, is_safetensors
from millrace.training.model import load_model, model_of
from millrace.training.run import Run

TORCH = (".pt", ".pth", ".bin", ".ckpt")
KERAS = (".keras", ".h5", ".hdf5")


def opened(path: str | Path, engine: Any = None, fold: bool = True) -> Predictor:
    """The predictor of a run directory, of a file that `model.save` or `inference.save` wrote, or of an ONNX model.

    A run's is that of its newest whole checkpoint; one that is passed over as damaged is told in a warning.
    engine: "xla", "numpy", or None for the best there is. fold: as `Predictor.of`; a file of `inference.save` stays as
    it is.

    Raises FileError for what is none of these, or damaged; it says what to do with weights alone.
    """
    path = Path(path)
    if path.is_dir():
        return of_run(path, engine, fold)
    if not path.is_file():
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
        raise FileError(f"{path} {what}: expected a run directory, a saved model, or an ONNX model.")
    ending = path.suffix.lower()
    if ending == ".onnx":
        from millrace.inference.onnx.importing import from_onnx  # slow to import, and seldom needed

        read = from_onnx(path, engine)
        return in_few_operations(read) if fold else read
    if ending in (*TORCH, *KERAS):
        raise FileError(_foreign(path, ending))
    if ending == ".stablehlo":
        raise FileError(
            f"{path} is a program for JAX: jax.export.deserialize(open({str(path)!r}, 'rb').read()).call(x). To use "
            "the model here, export it as .safetensors or .onnx."
        )
    if ending != ".safetensors" and not is_safetensors(path):
        raise FileError(
            f"{path} is no model that Millrace opens: expected a run directory, a saved model (.safetensors), or an "
            "ONNX model (.onnx)."
        )
    return of_file(path, engine, fold)


def in_few_operations(predictor: Predictor) -> Predictor:
    """The predictor with its weights folded; one whose weights are rounded already stays as it is."""
    if predictor.about.precision != "float32":
        return predictor
    return predictor.with_graph(simplify(folded(predictor.graph)))


def of_run(path: Path, engine: Any = None, fold: bool = True) -> Predictor:
    """The predictor of a run directory.  Raises FileError for what is no run, or has no whole checkpoint."""
    from millrace.models import Recipe, recipe  # all networks by name: more than a file needs

    run = Run.open(path)
    config = run.config()
    classes, vocabulary = run.words()
    found = run.latest(partial(load_model, compile=False))
    for message in found.messages:
        warnings.warn(message, stacklevel=3)
    trained = recipe(config["model"])
    options = trained.options if isinstance(trained, Recipe) else {}
    settings = {name: config[name] for name in (*options, "seed") if name in config}
    about = About(config["model"], tuple(classes), tuple(vocabulary), config["model"], settings)
    return Predictor.of(found.content, about, engine, fold)


def of_file(path: Path, engine: Any = None, fold: bool = True) -> Predictor:
    """The predictor of a file that `save` or `model.save` wrote.  Raises FileError for any other file."""
    arrays, about = arrays_of(path)
    if about is None or about.get("kind") == "weights":
        raise FileError(_weights_alone(path))
    kind = about.get("kind")
    if kind == KIND:
        return from_arrays(path, arrays, about, engine)
    if kind != "model":
        raise FileError(f"{path} holds {str(kind)[:80]!r} of Millrace's, and no model.")
    return Predictor.of(model_of(path, arrays, about, compile=False), engine=engine, fold=fold)


def _weights_alone(path: Path) -> str:
    return (
        f"{path} holds weights alone, and not the network that they are of. Put them into one: millrace import "
        f"{path} OUT.safetensors --into NETWORK, with the name of a network that `millrace train` knows, a run "
        "directory, or a saved model."
    )


def _foreign(path: Path, ending: str) -> str:
    """What to do with a file of another framework's."""
    if ending in KERAS:
        return f"{path} is a file of Keras's, which Millrace does not read: export it from there as ONNX."
    return (
        f"{path} is a file of PyTorch's. Weights (a state_dict) can be put into a network of Millrace's: millrace "
        f"import {path} OUT.safetensors --into NETWORK. A whole model is opened as ONNX: write it with "
        "torch.onnx.export."
    )
