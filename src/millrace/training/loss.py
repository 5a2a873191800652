"""What a loss is: a rule from right answers and outputs to one number for each example."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.types import TensorType
from millrace.ops.compare import Cast
from millrace.ops.shape import Reshape
from millrace.ops.softmax import Softmax

EPSILON = 1e-7  # keeps logarithms of probabilities finite, as Keras's does


def keras_name(name: str) -> str:
    """A class's name as Keras writes it in lower case: KLDivergence -> kl_divergence, F1Score -> f1_score."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


class Loss:
    """A rule `loss(y_true, y_pred) -> [batch]`. A loss of one's own defines `call`."""

    known: ClassVar[dict[str, type[Loss]]] = {}
    labels: ClassVar[bool] = False  # whether y_true holds class numbers instead of vectors

    def __init_subclass__(cls, listed: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if listed:
            Loss.known[keras_name(cls.__name__)] = cls

    def target_type(self, output: TensorType) -> TensorType:
        """What y_true looks like for a model's output."""
        if self.labels:
            return TensorType("int32", output.shape[:-1])
        return output

    def classes(self, output: TensorType) -> int | None:
        """How many classes labels may name; None where y_true holds no labels."""
        return output.shape[-1] if self.labels else None

    def check(self, y: np.ndarray, name: str, outputs: int) -> None:
        """Raise DataError for right answers that this loss has no meaning for."""

    def call(self, y_true: Value, y_pred: Value) -> Value:
        raise ArgumentError(f"loss {type(self).__name__} does not define call(self, y_true, y_pred)")

    def __call__(self, y_true: Value, y_pred: Value) -> Value:
        """One number for each example: [batch], the mean over what an example has besides."""
        return per_example(mr.as_value(self.call(y_true, y_pred)), self.title)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"loss {keras_name(type(self).__name__)}"

    def get_config(self) -> dict[str, Any]:
        return {"class_name": keras_name(type(self).__name__), "config": dict(vars(self))}


class FunctionLoss(Loss, listed=False):
    """A function `f(y_true, y_pred)` as a loss: y_true is like the output, the result [batch] or [batch, ...].

    A model trained with one is saved without it, since a file holds no code.  Source: Keras LossFunctionWrapper.
    """

    def __init__(self, function: Callable[[Value, Value], Any]):
        self.function = function

    @property
    def title(self) -> str:
        return f"loss {function_name(self.function)}"

    def call(self, y_true: Value, y_pred: Value) -> Value:
        return mr.as_value(self.function(y_true, y_pred))


def function_name(function: Any) -> str:
    """The name of a function, for columns and messages."""
    return str(getattr(function, "__name__", type(function).__name__))


def is_function(identifier: Any, base: type) -> bool:
    """Whether a bare function was given where an object of `base` is meant."""
    return callable(identifier) and not isinstance(identifier, (base, type))


def per_example(x: Value, title: str = "it") -> Value:
    """[batch] from [batch, ...], the mean over all but the first axis."""
    if x.ndim == 0:
        raise ShapeError(f"{title} gives one number for the whole batch: give one for each example, [batch] or more.")
    return mr.mean(mr.cast(x, "float32") if not x.type.is_float else x, axis=range(1, x.ndim)) if x.ndim > 1 else x


def logits_of(y_pred: Value) -> Value | None:
    """What was given to the softmax that made y_pred: the loss is exact there where log(softmax) is not.

    Seen also through a change of dtype, and through a reshape that keeps the last axis.
    """
    if isinstance(y_pred.op, Softmax):
        return y_pred.node.inputs[0]
    through = isinstance(y_pred.op, Cast) and y_pred.type.is_float
    through = through or (isinstance(y_pred.op, Reshape) and y_pred.shape[-1:] == y_pred.node.inputs[0].shape[-1:])
    logits = logits_of(y_pred.node.inputs[0]) if through else None
    return logits if logits is None else mr.reshape(mr.cast(logits, y_pred.dtype), y_pred.shape)
