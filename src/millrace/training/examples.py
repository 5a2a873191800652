"""What turns the x, y and weights of `fit`, `evaluate` and `predict` into checked arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millrace.data.arrays import Arrays, checked_array, checked_labels
from millrace.ir.core import Value
from millrace.ir.dims import shape_text
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.leaves import Placeholder
from millrace.ir.types import as_dtype
from millrace.layers.calls import limit_of
from millrace.training.step import Answer, Steps


def input_name(value: Value) -> str:
    return value.op.label if isinstance(value.op, Placeholder) else "?"


def by_name(given: Mapping[str, Any], names: Sequence[str], name: str, kind: str) -> dict[str, Any]:
    """A dictionary whose names have been checked."""
    for key in given:
        if key not in names:
            raise DataError(f"{name} names {key!r}, but the model's {kind} are called {', '.join(names)}.")
    return dict(given)


def batch_size_for(inputs: Sequence[Value], asked: int, count: int) -> int:
    """Examples in a batch: what was asked for, no more than there are, or what a model is made for alone."""
    made_for = inputs[0].shape[0]
    return made_for if isinstance(made_for, int) else min(asked, count)


def inputs_of(inputs: Sequence[Value], x: Any, name: str) -> tuple[list[np.ndarray], list[str]]:
    """The arrays of a model's inputs, given alone, in their order, or by their names; and what to call them.

    Raises DataError for what does not fit the inputs.
    """
    names = [input_name(value) for value in inputs]
    if isinstance(x, Mapping):
        found = by_name(x, names, name, "inputs")
        missing = [n for n in names if n not in found]
        if missing:
            raise DataError(f"{name} has no array for the input {missing[0]!r}: it names {', '.join(found) or 'none'}.")
        given, labels = [found[n] for n in names], [f"{name}[{n!r}]" for n in names]
    else:
        alone = isinstance(x, (list, tuple)) and len(x) == 1 and getattr(x[0], "ndim", -1) == inputs[0].ndim
        given = list(x) if alone or (len(inputs) > 1 and isinstance(x, (list, tuple))) else [x]
        labels = [name] if len(given) == 1 else [f"{name}[{n}]" for n in range(len(given))]
    if len(given) != len(inputs):
        raise DataError(f"the model takes {len(inputs)} inputs ({', '.join(names)}), {name} has {len(given)}.")
    made = []
    for array, value, label in zip(given, inputs, labels, strict=True):
        checked = checked_array(array, value.type, label)
        if checked.dtype.kind == "f" and value.type.is_integer:
            raise DataError(f"{label} holds {checked.dtype}, the model takes {value.dtype}: convert it first.")
        converted = np.ascontiguousarray(as_dtype(checked, value.dtype, label))
        if value.type.is_float and not np.isfinite(converted).all():
            first = int(np.argwhere(~np.isfinite(converted))[0][0])
            raise DataError(f"{label} is too large for {value.dtype} in example number {first}: scale it first.")
        check_limit(converted, value, label)
        made.append(converted)
    return made, labels


def check_limit(array: np.ndarray, value: Value, name: str) -> None:
    """Raise DataError for a number that the table of an Embedding has no row for."""
    limit = limit_of(value)
    if limit is not None and array.dtype.kind == "f" and not (array == np.floor(array)).all():
        raise DataError(
            f"{name} holds {array[array != np.floor(array)][0]:g}, but layer {limit[1]!r} looks whole numbers up: give "
            "the Input dtype='int32', and whole numbers."
        )
    if limit is None or (array.min() >= 0 and array.max() < limit[0]):
        return
    worst = array.min() if array.min() < 0 else array.max()
    example = int(np.argwhere(array == worst)[0][0])
    raise DataError(
        f"{name} holds the number {int(worst)} (example {example}), but layer {limit[1]!r} has rows for 0 to "
        f"{limit[0] - 1}: give it a larger input_dim, or number the words anew."
    )


def examples(
    steps: Steps, outputs: Sequence[Value], x: Any, y: Any, sample_weight: Any, class_weight: Any,
    names: tuple[str, str, str],
) -> Arrays:  # fmt: skip
    """Inputs, answers and weights of all examples, in the order in which the steps take them.

    names: what messages call x, y and sample_weight.  Raises DataError for what cannot be used.
    """
    arrays, labels = inputs_of(steps.inputs, x, names[0])
    targets = _answers_of(steps, outputs, y, names[1])
    if class_weight is not None:
        if sample_weight is not None:
            raise ArgumentError("class_weight and sample_weight cannot be given both: multiply them first.")
        if len(steps.answers) != 1:
            raise ArgumentError("class_weight is for a model with one output: give sample_weight by names instead.")
        output = outputs[steps.answers[0].place].type
        count = output.shape[-1] if output.ndim > 1 else 1
        sample_weight = weights_of_classes(class_weight, targets[0][0], steps.answers[0], count)
    weights = _weights_of(steps, sample_weight, len(arrays[0]), names[2])
    named = [*targets, *weights]
    return Arrays([*arrays, *(a for a, _ in named)], [*labels, *(label for _, label in named)])


def _for_answers(steps: Steps, given: Any, name: str) -> list[tuple[Any, str]]:
    """What is given for each output that has a loss, with what to call it."""
    goals, answers = steps.compiled.goals, steps.answers
    if isinstance(given, Mapping):
        found = by_name(given, [g.name for g in goals], name, "outputs")
        return [(found.get(a.goal.name), f"{name}[{a.goal.name!r}]") for a in answers]
    if len(goals) == 1:
        return [(given, name)]
    if not isinstance(given, (list, tuple)):
        return [(given, name)] * len(answers)
    if len(given) != len(goals):
        names = ", ".join(g.name for g in goals)
        raise DataError(f"the model has {len(goals)} outputs ({names}), {name} has {len(given)}: give one for each.")
    return [(given[a.place], f"{name}[{a.place}]") for a in answers]


def _answers_of(steps: Steps, outputs: Sequence[Value], y: Any, name: str) -> list[tuple[np.ndarray, str]]:
    if y is not None and len(steps.compiled.goals) > 1 and not isinstance(y, (list, tuple, Mapping)):
        names = ", ".join(g.name for g in steps.compiled.goals)
        raise DataError(f"{name} must be a list with one array for each output, or a dictionary by names ({names}).")
    made = []
    for answer, (one, label) in zip(steps.answers, _for_answers(steps, y, name), strict=True):
        loss, output = answer.goal.loss, outputs[answer.place].type
        assert loss is not None
        if one is None:
            raise DataError(f"{label} is missing: give the right answer for each example.")
        one = _as_the_loss_wants(np.asarray(one) if not hasattr(one, "ndim") and len(np.shape(one)) else one, answer,
                                 output, label)  # fmt: skip
        check_places(one, answer, output, label)
        target = checked_array(one, answer.target.type, label)
        classes = loss.classes(output)
        if classes is None:
            target = as_dtype(target, answer.target.dtype, label)
        else:
            target = checked_labels(target, classes, label)
        if not answer.masked:  # answers of padded steps mean nothing
            last = output.shape[-1] if output.ndim > 1 else 1  # one number for each example has no last axis
            loss.check(target, label, last if isinstance(last, int) else 2)
        made.append((target, label))
    return made


def check_places(y: Any, answer: Answer, output: Any, name: str) -> None:
    """Raise DataError where the network answers at each place of an example, and y once for each example."""
    wanted, ndim = answer.target.type, getattr(y, "ndim", 0)
    places = output.shape[1:-1]
    once = ndim == 1 or (ndim == 2 and y.shape[-1] in (1, output.shape[-1]))
    column = ndim == wanted.ndim == 2 and y.shape[1] == 1 and isinstance(wanted.shape[1], int) and wanted.shape[1] > 1
    if not places or not once or (ndim >= wanted.ndim and not column) or y.shape == wanted.shape[1:]:
        return
    pooling = f" or GlobalAveragePooling{len(places)}D()" if len(places) <= 3 else ""
    raise DataError(
        f"{name} has examples of shape {shape_text(y.shape[1:])}, the model takes {shape_text(wanted.shape[1:])}: its "
        f"output {shape_text(output.shape[1:])} answers at each of its places. For one answer an example put "
        f"Flatten(){pooling} before the last layer."
    )


def _as_the_loss_wants(y: Any, answer: Answer, output: Any, name: str) -> Any:
    """y with a column for one output; an error where it was meant for another loss."""
    loss, wanted, ndim = answer.goal.loss, answer.target.type, getattr(y, "ndim", -1)
    assert loss is not None
    if loss.labels and ndim == output.ndim and y.shape[-1] == output.shape[-1] > 1:
        raise DataError(
            f"{name} holds a row of {y.shape[-1]} numbers for each example, but the loss wants class numbers: use "
            f"loss='categorical_crossentropy', or give {name}.argmax(-1)."
        )
    if not loss.labels and ndim == wanted.ndim - 1:
        if wanted.shape[-1] == 1:
            return y[..., None]
        if y.dtype.kind in "iu":
            raise DataError(
                f"{name} holds class numbers, but the loss wants {wanted.shape[-1]} numbers for each example: use "
                f"loss='sparse_categorical_crossentropy', or one-hot rows."
            )
    return y


def _weights_of(steps: Steps, given: Any, count: int, name: str) -> list[tuple[np.ndarray, str]]:
    """How much each example counts, for each output: [examples]."""
    made = []
    for one, label in _for_answers(steps, given, name):
        if one is None:
            made.append((np.ones(count, np.float32), label))
            continue
        try:
            weights = np.asarray(one, np.float32)
        except (TypeError, ValueError):
            raise DataError(f"{label} must hold one number for each example, got {one!r}.") from None
        weights = weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights
        if weights.ndim != 1:
            raise DataError(f"{label} must hold one number for each example, got shape {weights.shape}.")
        if not np.isfinite(weights).all():
            raise DataError(f"{label} is NaN or infinite at example {int(np.argmax(~np.isfinite(weights)))}.")
        if (weights < 0).any():
            raise DataError(
                f"{label} is below 0 at example {int(np.argmax(weights < 0))}: it would train away from the answer."
            )
        made.append((weights, label))
    return made


def class_weights(class_weight: Any, classes: int) -> tuple[float, ...]:
    """The weight of each class, by its number; 1 for a class that is not named.  Source: Keras class_weight.

    Raises ArgumentError for what is no dictionary from class numbers to weights.
    """
    fine = isinstance(class_weight, Mapping) and all(
        isinstance(k, (int, np.integer)) and isinstance(v, (int, float, np.number)) and np.isfinite(v)
        for k, v in class_weight.items()
    )
    if not fine:
        raise ArgumentError(f"class_weight must map class numbers to weights, as {{0: 1.0, 1: 5.0}}: {class_weight!r}.")
    if any(v < 0 for v in class_weight.values()):
        raise ArgumentError(
            f"class_weight {class_weight!r} has a weight below 0: it would train away from the answers."
        )
    unknown = [number for number in class_weight if not 0 <= number < classes]
    if unknown:
        raise ArgumentError(f"class_weight names class {unknown[0]}, but the classes are 0 to {classes - 1}.")
    return tuple(float(class_weight.get(number, 1.0)) for number in range(classes))


def weights_of_classes(class_weight: Any, target: np.ndarray, answer: Answer, outputs: int) -> np.ndarray:
    """How much each example counts by its class: [examples].  Raises ArgumentError as `class_weights` does."""
    weights = np.array(class_weights(class_weight, max(outputs, 2)), np.float32)
    assert answer.goal.loss is not None
    if answer.goal.loss.labels:
        classes = target
    else:
        classes = target.argmax(-1) if target.shape[-1] > 1 else np.rint(target[..., 0]).astype(int)
    if classes.ndim != 1:
        raise ArgumentError("class_weight needs one class for each example; give sample_weight instead.")
    return weights.take(classes, mode="clip")
