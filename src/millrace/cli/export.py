"""`millrace export`: a trained model as a file for use elsewhere, compared with the model before it is left there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.cli.data import say
from millrace.cli.using import megabytes, opened_to_use, operations, say_ports
from millrace.data.holding import PARTIAL
from millrace.inference.exporting import Format, export, format_of
from millrace.inference.folding import folded
from millrace.inference.measured import compared, held_out, noted
from millrace.inference.precision import lowered
from millrace.inference.predictor import Predictor
from millrace.inference.stablehlo import called
from millrace.ir.dims import bind
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.rewrite import simplify

COMPARED = 8  # examples
MEASURED = 100  # random examples, where there are none that were held out
# The greatest difference that is left to rounding, as a share of the greatest answer; of 1 where that is smaller.
LIMITS = {"float32": 1e-4, "bfloat16": 1e-2, "int8": 1e-2}
NEXT = {
    "onnx": "millrace predict {0} EXAMPLES, millrace serve {0}, ONNX Runtime, or C++ (docs/cpp.md)",
    "stablehlo": "in Python, jax.export.deserialize(bytes of {0}).call(x)",
    "millrace": "millrace predict {0} EXAMPLES, or millrace serve {0}",
}

Call = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def export_model(path: Path, out: Path, precision: str, platforms: str | None, check: bool) -> None:
    """Write a model, say what was written, and compare it with the model.

    Raises ArgumentError for arguments that do not fit together, FileError for a file that cannot be read, that cannot
    be written, or that answers otherwise than the model: then nothing is left of it, and an earlier file stays.
    """
    chosen = format_of(out)
    check_out(path, out, chosen, platforms)
    whole = opened_to_use(path, fold=False)
    used = in_few_operations(whole)
    made = lowered(used, precision)
    say_ports(made)
    before, after = operations(whole.graph), operations(used.graph)
    folded_away = f", {before - after} of {before} are folded into the weights" if before > after else ""
    say(f"  {operations(made.graph)} operations{folded_away}")
    found = held_out(used.about, used) if check or made is not used else None
    if made is not used:
        made = noted(made, say_cost(used, made, found))
    half = out.with_name(f".{out.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        export(made, half, chosen.name, **({"platforms": platforms} if platforms is not None else {}))
        if check:
            say_difference(made, half, chosen, found)
        os.replace(half, out)
    except (FileError, OSError) as error:
        raise FileError(str(error).replace(str(half), str(out))) from None
    finally:
        half.unlink(missing_ok=True)
    say(f"Wrote {out}: {megabytes(out.stat().st_size)}.")
    say("Next: " + NEXT[chosen.name].format(out) + ".")


def check_out(path: Path, out: Path, chosen: Format, platforms: str | None) -> None:
    """Raise ArgumentError for a file that would replace the model, or options that its format has not."""
    place, model = out.resolve(), path.resolve()
    if place == model or (place.exists() and model in place.parents):
        raise ArgumentError(f"{out} would replace what it is made of: give another name.")
    if platforms is not None and "platforms" not in chosen.options:
        raise ArgumentError(f"--platforms is for .stablehlo files: {out} runs wherever what reads it runs.")


def in_few_operations(predictor: Predictor) -> Predictor:
    """The predictor with its weights folded; one whose weights are rounded already stays as it is."""
    if predictor.about.precision != "float32":
        return predictor
    return predictor.with_graph(simplify(folded(predictor.graph)))


def examples(predictor: Predictor, count: int, found: tuple[Any, Any] | None) -> tuple[list[np.ndarray], str]:
    """Arrays for the inputs, and what they are: held-out examples of the network's data where these are at hand."""
    if found is not None:
        x = found[0] if isinstance(found[0], list) else [found[0]]
        return [np.asarray(array[:count]) for array in x], "held-out examples"
    rng = np.random.default_rng(0)
    below = max(len(predictor.about.vocabulary), 2)
    arrays = []
    for port in predictor.inputs:
        sizes = dict.fromkeys((n for size in port.type.shape for n in getattr(size, "names", ())), count)
        shape = [int(bind(size, sizes)) for size in port.type.shape]  # type: ignore[arg-type]
        made = (
            rng.random(shape)
            if port.type.is_float
            else rng.integers(0, 256 if port.type.dtype == "uint8" else below, shape)
        )
        arrays.append(made.astype(port.type.dtype))
    return arrays, "random examples"


def say_cost(before: Predictor, after: Predictor, found: tuple[Any, Any] | None) -> dict[str, float]:
    """Print what fewer bits cost: accuracy where there are right answers, and how far answers move; and return it."""
    y = None if found is None else found[1]
    arrays, kind = examples(before, MEASURED if found is None else len(y), found)  # type: ignore[arg-type]
    cost = compared(before, after, arrays if len(arrays) > 1 else arrays[0], y)
    count = f"{int(cost['examples']):,} {kind}"
    if "accuracy_before" in cost:
        old, new = cost["accuracy_before"], cost["accuracy_after"]
        say(f"  accuracy on {count}: {old:.2%} before, {new:.2%} in {after.about.precision} ({new - old:+.2%})")
    if "same_answer" in cost:
        say(f"  the same answer for {cost['same_answer']:.2%} of {count}")
    say(f"  answers move by {cost['greatest_difference']:.2g} at most, {cost['mean_difference']:.2g} on average")
    if found is None:
        say("  random examples say little: the accuracy of a network that learned from data is measured on those.")
    return cost


def say_difference(predictor: Predictor, out: Path, chosen: Format, found: tuple[Any, Any] | None) -> None:
    """Print how far the file's answers are from the predictor's.  Raises FileError where that is too far."""
    reader = {"onnx": by_onnxruntime, "stablehlo": by_jax, "millrace": by_millrace}[chosen.name]
    opened = reader(out)
    if opened is None:
        return
    call, name = opened
    arrays, kind = examples(predictor, COMPARED, found)
    apart, size = 0.0, 1.0
    counts = {len(arrays[0]), 1} if predictor.graph.free_names else {len(arrays[0])}
    for count in sorted(counts, reverse=True):
        part = [array[:count] for array in arrays]
        for want, got in zip(predictor(*part), call(part), strict=True):
            if want.shape != got.shape:
                raise FileError(f"{out} answers with {list(got.shape)} where the model has {list(want.shape)}.")
            exact = [np.asarray(array, np.float64) for array in (want, got)]
            apart = max(apart, float(np.abs(exact[0] - exact[1]).max(initial=0)))
            size = max(size, float(np.abs(exact[0]).max(initial=0)))
    limit = LIMITS[predictor.about.precision] * size
    if not apart <= limit:
        raise FileError(
            f"{out} answers otherwise than the model: {name} is up to {apart:.2g} apart on {len(arrays[0])} {kind}, "
            f"where rounding explains {limit:.2g}. It was not written: please report it. --no-check writes it."
        )
    difference = f"up to {apart:.1g} apart" if apart else "bit for bit"
    say(f"  {name} gives the same on {len(arrays[0])} {kind}, {difference}")


def by_onnxruntime(out: Path) -> tuple[Call, str] | None:
    try:
        import onnxruntime
    except ImportError:
        say("  not compared: ONNX Runtime is not installed (pip install onnxruntime)")
        return None
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True))), "ONNX Runtime"


def by_jax(out: Path) -> tuple[Call, str] | None:
    call = called(out)
    if call is None:
        say("  not compared: the file is not for this machine's platform")
        return None
    return lambda arrays: call(*arrays), "JAX"


def by_millrace(out: Path) -> tuple[Call, str]:
    kept = opened_to_use(out)
    return lambda arrays: kept(*arrays), "the file"
