"""Models as files of other formats: which there are, what their files are called, and who writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.inference.predictor import Predictor
from millrace.inference.saved import save
from millrace.inference.stablehlo import save_stablehlo
from millrace.ir.errors import ArgumentError, one_of
from millrace.layers.keras_names import refused
from millrace.training.model import Model


def _onnx(predictor: Predictor, path: Path) -> None:
    from millrace.inference.onnx.exporting import save_onnx  # onnx takes long to import

    save_onnx(predictor, path)


@dataclass(frozen=True)
class Format:
    """A kind of file: its name, the endings that mean it, who writes it, and which options that takes."""

    name: str
    endings: tuple[str, ...]
    write: Callable[..., Any]
    options: tuple[str, ...] = ()


FORMATS = (
    Format("onnx", (".onnx",), _onnx),
    Format("stablehlo", (".stablehlo",), save_stablehlo, ("platforms",)),
    Format("millrace", (".safetensors",), save),
)
OTHERS = {  # formats that Keras writes
    "tf_saved_model": "write 'onnx', which ONNX Runtime runs, or 'stablehlo', which JAX runs.",
    "openvino": "OpenVINO reads ONNX files: write 'onnx'.",
    "litert": "write 'onnx', which ONNX Runtime runs on small devices too.",
}
OTHER_ENDINGS = {
    ".keras": "model.save(path) keeps a model, as .safetensors.",
    ".h5": "model.save(path) keeps a model, as .safetensors.",
    ".tflite": OTHERS["litert"],
    ".pt": "to_torch(model) of millrace.inference.torch gives the weights as a state_dict.",
    ".pth": "to_torch(model) of millrace.inference.torch gives the weights as a state_dict.",
}
INSTEAD = {
    "verbose": "leave it out: nothing is printed.",
    "input_signature": "leave it out: the file takes what the model takes.",
    "platforms": "it is for .stablehlo; other files run wherever what reads them runs.",
    "precision": "write lowered(Predictor.of(model), 'int8') of millrace.inference, which keeps the weights in int8.",
    "opset_version": "leave it out: the file says which version it needs.",
}


def export(source: Model | Predictor, filepath: str | Path, format: str | None = None, **options: Any) -> None:
    """Write what a model or predictor computes in use, with its weights, as one file.

    format: "onnx" (`.onnx`), "stablehlo" (`.stablehlo`), or "millrace" (`.safetensors`, for
    `millrace.inference.load`); by the path's ending unless given. platforms: for stablehlo, of
    "cpu", "cuda" and "tpu", all three unless given.

    Raises ArgumentError for an unknown format, or a graph that the format cannot hold: it names the operation;
    FileError where the file cannot be written.
    Source: Keras Model.export.
    """
    chosen = format_of(filepath, format)
    strange = [name for name in options if name not in chosen.options]
    if strange and not chosen.options and strange[0] not in INSTEAD:
        raise ArgumentError(f"export as {chosen.name} takes no {strange[0]}, and no other option either: leave it out.")
    if strange:
        raise refused(f"export as {chosen.name}", strange, chosen.options, INSTEAD)
    predictor = Predictor.of(source) if isinstance(source, Model) else source
    if not isinstance(predictor, Predictor):
        raise ArgumentError(f"export takes a model or a predictor, got {source!r}.")
    chosen.write(predictor, Path(filepath), **options)


def format_of(path: str | Path, format: str | None = None) -> Format:
    """The format of a name, or else of a path's ending.  Raises ArgumentError for an unknown one, with what to use."""
    if not isinstance(path, (str, Path)):
        raise ArgumentError(f"export needs the path of a file, got {path!r}.")
    if format is not None:
        by_name: Mapping[str, Format] = {one.name: one for one in FORMATS}
        if format in OTHERS:
            raise ArgumentError(f"format {format!r} is not written here: {OTHERS[format]}")
        if format not in by_name:
            raise one_of("format", format, list(by_name))
        return by_name[format]
    ending = Path(path).suffix.lower()
    for one in FORMATS:
        if ending in one.endings:
            return one
    if ending in OTHER_ENDINGS:
        raise ArgumentError(f"{path}: {ending} files are not written here: {OTHER_ENDINGS[ending]}")
    known = ", ".join(f"{ending} ({one.name})" for one in FORMATS for ending in one.endings)
    raise ArgumentError(f"{path}: its ending says no format that is known. Known: {known}.")
