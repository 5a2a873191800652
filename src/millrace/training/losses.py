"""Losses by Keras's names: how wrong each example is, as one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.layers.identify import identified
from millrace.layers.keras_names import absent
from millrace.training.crossentropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from millrace.training.loss import FunctionLoss, Loss, is_function, per_example
from millrace.training.regression_losses import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
)

SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "logcosh": "log_cosh",
}
SHORT |= {short.upper(): full for short, full in SHORT.items()}


def loss(identifier: Any) -> Loss:
    """A loss from its Keras name, its saved form, a function, or one as it is.

    Raises ArgumentError for an unknown name.
    """
    if is_function(identifier, Loss):
        return FunctionLoss(identifier)
    return identified("loss", identifier, Loss, Loss.known, SHORT | class_names(Loss.known))


def class_names(known: dict[str, Any]) -> dict[str, str]:
    """The names of the classes themselves, which Keras takes too: MeanSquaredError for mean_squared_error."""
    return {cls.__name__: name for name, cls in known.items()}


__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "loss",
    "per_example",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in Loss.known:
            kind = Loss.known[name].__name__
            raise AttributeError(f"millrace.losses has no {name!r}. Write loss={name!r}, or mr.losses.{kind}().")
        raise absent("losses", name, globals())
