"""Metrics by Keras's names: statistics over examples, gathered in the graph and read now and then."""

from __future__ import annotations

from typing import Any

from millrace.ir.errors import ArgumentError
from millrace.layers.identify import identified
from millrace.training.counting_metrics import (
    AUC,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    MeanIoU,
    Precision,
    R2Score,
    Recall,
    TrueNegatives,
    TruePositives,
)
from millrace.training.loss import is_function, keras_name
from millrace.training.losses import SHORT as LOSS_SHORT
from millrace.training.losses import Loss, class_names
from millrace.training.mean_metrics import (
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)
from millrace.training.metric import FunctionMetric, Metric

SHORT = {**LOSS_SHORT, "logcosh": "log_cosh_error", "LOGCOSH": "log_cosh_error", "log_cosh": "log_cosh_error"}
SHORT |= {"rmse": "root_mean_squared_error", "RMSE": "root_mean_squared_error", "mean_iou": "mean_io_u"}
ACCURACY = {
    "sparse_categorical_crossentropy": SparseCategoricalAccuracy,
    "categorical_crossentropy": CategoricalAccuracy,
    "categorical_focal_crossentropy": CategoricalAccuracy,
    "binary_crossentropy": BinaryAccuracy,
    "binary_focal_crossentropy": BinaryAccuracy,
    "kl_divergence": CategoricalAccuracy,
}
CROSSENTROPY = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_focal_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryCrossentropy,
}
FITTING: dict[str, dict[str, Any]] = {
    "accuracy": ACCURACY,
    "acc": ACCURACY,
    "crossentropy": CROSSENTROPY,
    "ce": CROSSENTROPY,
}


def metric(identifier: Any, loss: Loss) -> Metric:
    """A metric from its name, its saved form, a function, or one as it is.

    "accuracy" and "crossentropy" are those that fit the loss.
    Raises ArgumentError for an unknown name, or for accuracy with a loss of regression.
    """
    if isinstance(identifier, str) and identifier in FITTING:
        name = {"acc": "accuracy", "ce": "crossentropy"}.get(identifier, identifier)
        kind = FITTING[identifier].get(keras_name(type(loss).__name__))
        if kind is None:
            raise ArgumentError(
                f"accuracy counts right classes; the {loss.title} has none. Use 'mae' or 'mse', or name the one that "
                "is meant, such as 'binary_accuracy'."
                if name == "accuracy"
                else f"crossentropy is of probabilities; the {loss.title} has none. Name the one that is meant."
            )
        settings = {"from_logits": loss.from_logits} if name == "crossentropy" and hasattr(loss, "from_logits") else {}
        return kind(name=name, **settings)
    if is_function(identifier, Metric):
        return FunctionMetric(identifier)
    known = {**Metric.known, "accuracy": Metric}
    made = identified("metric", identifier, Metric, known, class_names(Metric.known) | SHORT)
    if isinstance(identifier, str):
        made.name = identifier
    return made


__all__ = [
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "metric",
]
