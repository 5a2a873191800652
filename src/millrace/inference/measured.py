"""What a change of a predictor costs: its answers beside those of before, on examples that no training saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.data.datasets import Dataset
from millrace.data.folder import offline
from millrace.data.rows import batches, opened
from millrace.data.source import ENCODED, Source
from millrace.inference.predictor import About, Predictor
from millrace.inference.rewriting import detached
from millrace.ir.errors import DataError, MillraceError
from millrace.models import Recipe, recipe
from millrace.ops.stages import Batch, Decode, ReadRecords, Shuffle
from millrace.training.examples import inputs_of

EXAMPLES = 1000  # of held-out data, at most


def compared(before: Predictor, after: Predictor, x: Any, y: Any = None, batch_size: int = 32) -> dict[str, float]:
    """How two predictors answer the same examples: x as `predict` takes it, y the right classes, where there are any.

    Both stay as they are, also where they remember something from one batch to the next.

    examples: how many there are. greatest_difference, mean_difference: of all outputs, in their own unit. For outputs
    that give a number to each of several classes: same_answer, the share of answers whose first class stays the same.
    With y: accuracy_before and accuracy_after. Answers are counted one for each example, or for each of its steps.

    Raises DataError for examples that they do not take, for none, or for an output that is not finite.
    """
    outputs = [
        made if isinstance(made, list) else [made]
        for made in (apart_from(before).predict(x, batch_size), apart_from(after).predict(x, batch_size))
    ]
    apart = [np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)) for a, b in zip(*outputs, strict=True)]
    count = sum(one.size for one in apart)
    if not count:
        raise DataError("there are no examples to compare answers on.")
    if not all(np.isfinite(one).all() for one in apart):
        raise DataError("outputs are NaN or infinite, or differ in where they are: there is nothing to measure.")
    found = {
        "examples": float(len(outputs[0][0])),
        "greatest_difference": max(float(one.max(initial=0.0)) for one in apart),
        "mean_difference": sum(float(one.sum()) for one in apart) / count,
    }
    first, second = (answers(one[0]) for one in outputs)
    if first is None or second is None:
        return found
    found["same_answer"] = float((first == second).mean())
    if y is not None and np.asarray(y).dtype.kind in "iu" and np.shape(y) == first.shape:
        found["accuracy_before"], found["accuracy_after"] = (float((one == y).mean()) for one in (first, second))
    return found


def apart_from(predictor: Predictor) -> Predictor:
    """The same predictor; where it remembers, with a memory of its own."""
    return predictor.with_graph(detached(predictor.graph)) if predictor.graph.updates else predictor


def noted(predictor: Predictor, measured: Mapping[str, float]) -> Predictor:
    """The same predictor, which says in `about.measured` what was measured of it."""
    about = replace(predictor.about, measured={**predictor.about.measured, **measured})
    return predictor.with_graph(predictor.graph, about)


def answers(output: np.ndarray) -> np.ndarray | None:
    """The first class of each answer; None for an output that does not tell classes apart along its last axis."""
    return output.argmax(axis=-1) if output.ndim > 1 and output.shape[-1] > 1 else None


def held_out(about: About, predictor: Predictor | None = None) -> tuple[Any, Any] | None:
    """Held-out examples x and their right answers y, at most 1,000, of the data set that a predictor was trained on.

    None where it has no recipe, or where the data are not there or not those of the training; nothing is downloaded.
    The seed among its settings says which examples were held out, where that is drawn. predictor: what pictures in
    files are decoded for, without it they are not looked at; and what the examples have to fit.
    """
    try:
        chosen = recipe(about.recipe) if about.recipe else None
        if not isinstance(chosen, Recipe):
            return None
        settings = {name: value for name, value in about.settings.items() if name not in ("seed", *chosen.once)}
        with offline():
            data = chosen.configured(settings).data(about.settings.get("seed", 0))
        if about.classes and tuple(data.classes) != about.classes:
            return None
        if about.vocabulary and tuple(data.vocabulary) != about.vocabulary:
            return None
        is_source = isinstance(data.x_validation, Source)
        found = _of_source(data.x_validation, predictor) if is_source else _of_arrays(data)
        if found is not None and predictor is not None:
            inputs_of(predictor.graph.inputs, found[0], "x")
        return found
    except (MillraceError, TypeError, ValueError, OverflowError):  # for settings of a file that are no settings
        return None


def _of_arrays(data: Dataset) -> tuple[Any, Any]:
    x = data.x_validation
    return [part[:EXAMPLES] for part in x] if isinstance(x, list) else x[:EXAMPLES], data.y_validation[:EXAMPLES]


def _of_source(source: Source, predictor: Predictor | None) -> tuple[Any, Any] | None:
    """Pictures of a folder and their classes, drawn from all of it; those that are broken are left out."""
    if predictor is None or source.elements[0] != ENCODED or len(source.elements) != 2:
        return None
    stream = Shuffle(0)(ReadRecords(source.name, source.count, source.elements)())
    stream = Batch(min(EXAMPLES, source.count))(Decode(*predictor.inputs[0].type.shape[1:])(stream))
    made = batches(stream.op, opened(stream.node.inputs[0], {source.name: source})).make(0, 0)
    real = np.flatnonzero(made.weights)
    x, y = (array[real] for array in made.arrays[:2])
    return x, y
