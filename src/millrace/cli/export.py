"""`millrace export`: a trained model as a file for use elsewhere, compared with the model before it is left there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from millrace.cli.data import say
from millrace.cli.using import (
    check_writable,
    keep_apart,
    megabytes,
    one_line,
    opened_to_use,
    operations,
    say_next,
    say_ports,
    uses_of,
)
from millrace.data.holding import PARTIAL
from millrace.inference.exporting import Format, export, format_of
from millrace.inference.measured import compared, held_out, noted
from millrace.inference.opening import in_few_operations
from millrace.inference.precision import lowered
from millrace.inference.predictor import Predictor
from millrace.inference.stablehlo import called, named
from millrace.ir.dims import bind
from millrace.ir.errors import ArgumentError, FileError, MillraceError

COMPARED = 8  # examples
MEASURED = 100  # random examples, where there are none that were held out
# The greatest difference that is left to rounding, as a share of the greatest answer; of 1 where that is smaller.
LIMITS = {"float32": 1e-4, "bfloat16": 1e-2, "int8": 1e-2}

Call = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def export_model(path: Path, out: Path, precision: str | None, platforms: str | None, check: bool) -> None:
    """Write a model, say what was written, and compare it with the model.

    Raises ArgumentError for arguments that do not fit together, FileError for a file that cannot be read, that cannot
    be written, or that answers otherwise than the model: then nothing is left of it, and an earlier file stays.
    """
    chosen = format_of(out)
    keep_apart(out, path)
    check_writable(out)
    if platforms is not None and "platforms" not in chosen.options:
        raise ArgumentError(f"--platforms is for .stablehlo files: {out} runs wherever what reads it runs.")
    named(platforms)
    whole = opened_to_use(path, fold=False)
    used = in_few_operations(whole)
    made = used if precision is None else lowered(used, precision)
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
    if chosen.name == "stablehlo":
        say_next(in_python(made, out), "Next, in Python:", indent="")
    else:
        say_next(uses_of(made, out))
    if chosen.name == "onnx":
        say("ONNX Runtime runs it too, and C++: docs/cpp.md.")


def in_python(predictor: Predictor, out: Path) -> list[str]:
    """The lines that call a file of StableHLO."""
    arrays = [f"x{n}" for n in range(len(predictor.inputs))] if len(predictor.inputs) > 1 else ["x"]
    return [
        "from jax import export",
        f"program = export.deserialize(bytearray(open({str(out)!r}, 'rb').read()))",
        f"answers = program.call({', '.join(arrays)})",
    ]


def examples(predictor: Predictor, count: int, found: tuple[Any, Any] | None) -> list[np.ndarray]:
    """Arrays for the inputs: of held-out examples of the network's data, where these are at hand, else random."""
    if found is not None:
        x = found[0] if isinstance(found[0], list) else [found[0]]
        return [np.asarray(array[:count]) for array in x]
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
    return arrays


def kind_of(found: tuple[Any, Any] | None) -> str:
    return "random examples" if found is None else "held-out examples"


def say_cost(before: Predictor, after: Predictor, found: tuple[Any, Any] | None) -> dict[str, float]:
    """Print what fewer bits cost: accuracy where there are right answers, and how far answers move; and return it."""
    y = None if found is None else found[1]
    arrays = examples(before, MEASURED if found is None else len(y), found)  # type: ignore[arg-type]
    try:
        cost = compared(before, after, arrays if len(arrays) > 1 else arrays[0], y)
    except ArgumentError as error:  # of a model without an axis of examples
        say(f"  what that costs was not measured: {one_line(error)}")
        return {}
    count = f"{int(cost['examples']):,} {kind_of(found)}"
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
    reader, name = READERS[chosen.name]
    counts = (COMPARED, 1) if predictor.graph.free_names else (COMPARED,)
    parts = [examples(predictor, count, found) for count in counts]
    wanted = [predictor(*part) for part in parts]
    try:
        call = reader(out)
        got = [] if call is None else [call(part) for part in parts]
    except MillraceError:
        raise
    except Exception as error:  # of other projects', which have many classes
        said = str(error).strip().partition("\n")[0][:300]
        raise FileError(
            f"{name} cannot run {out}: {said} It was not written: please report it. --no-check writes it."
        ) from None
    if call is None:
        return
    apart, size = 0.0, 1.0
    for want, made in ((a, b) for one, other in zip(wanted, got, strict=True) for a, b in zip(one, other, strict=True)):
        if want.shape != made.shape:
            raise FileError(f"{out} answers with {list(made.shape)} where the model has {list(want.shape)}.")
        first, second = (np.asarray(array, np.float64) for array in (want, made))
        apart = float(np.maximum(apart, difference(first, second)))  # NaN, where there is any
        size = max(size, float(np.abs(first[np.isfinite(first)]).max(initial=0)))
    count = f"{len(parts[0][0])} {kind_of(found)}"
    limit = LIMITS.get(predictor.about.precision, LIMITS["int8"]) * size
    if not apart <= limit:
        raise FileError(
            f"{out} answers otherwise than the model: {name} is up to {apart:.2g} apart on {count}, "
            f"where rounding explains {limit:.2g}. It was not written: please report it. --no-check writes it."
        )
    told = f"up to {apart:.1g} apart" if apart else "bit for bit"
    say(f"  {name} gives the same on {count}, {told}")


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The greatest difference of two arrays; NaN where one has NaN or infinity and the other has not."""
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(apart.max(initial=0))


def by_onnxruntime(out: Path) -> Call | None:
    try:
        import onnxruntime
    except ImportError:
        say("  not compared: ONNX Runtime is not installed (pip install onnxruntime)")
        return None
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def by_jax(out: Path) -> Call | None:
    call = called(out)
    if call is None:
        say("  not compared: the file is not for this machine's platform")
        return None
    return lambda arrays: call(*arrays)


def by_millrace(out: Path) -> Call:
    kept = opened_to_use(out)
    return lambda arrays: kept(*arrays)


# Who reads a format, and what it is called.
READERS: dict[str, tuple[Callable[[Path], Call | None], str]] = {
    "onnx": (by_onnxruntime, "ONNX Runtime"),
    "stablehlo": (by_jax, "JAX"),
    "millrace": (by_millrace, "the file"),
}
