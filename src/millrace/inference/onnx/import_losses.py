"""ONNX's losses. Classes are axis 1 of the scores [batch, classes, *space]; labels are [batch, *space]."""

from __future__ import annotations

from typing import Any

from millrace.inference.onnx.translating import Call, translates
from millrace.ir.core import Value


@translates("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(mr: Any, call: Call) -> tuple[Value, Value]:
    """-log softmax(scores)[label], weighted and reduced, and the logarithms of all probabilities."""
    scores = call.value(0)
    if scores.ndim < 2:
        raise call.refused(f"its scores are {scores.type}, and have to be [batch, classes, *space]")
    log_prob = mr.log_softmax(scores, axis=1)
    return _loss(mr, call, log_prob), log_prob


@translates("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(mr: Any, call: Call) -> Value:
    """-input[label], weighted and reduced; input holds logarithms of probabilities."""
    return _loss(mr, call, call.value(0))


def _loss(mr: Any, call: Call, log_prob: Value) -> Value:
    """A label of ignore_index counts nothing; "mean" divides by the sum of the weights that count."""
    labels, ignored = call.value(1), call.attribute("ignore_index")
    classes, reduction = log_prob.shape[1], call.attribute("reduction", "mean")
    if not isinstance(classes, int) or labels.ndim != log_prob.ndim - 1:
        raise call.refused(f"its labels {labels.type} do not fit its scores {log_prob.type}, whose classes are axis 1")
    if reduction not in ("none", "sum", "mean"):
        raise call.refused(f"reduction={reduction!r} is none of none, sum, mean")
    chosen = mr.equal(mr.expand_dims(labels, -1), mr.cast(mr.iota((classes,), 0), labels.dtype))
    loss = mr.negative(mr.sum(mr.where(chosen, mr.moveaxis(log_prob, 1, -1), 0.0), -1))
    weights = mr.take(call.value(2), labels) if call.has(2) else None
    if ignored is not None:
        counts = mr.not_equal(labels, int(ignored))
        weights = mr.where(counts, mr.ones_like(loss) if weights is None else weights, 0.0)
    loss = loss if weights is None else mr.multiply(loss, weights)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return mr.sum(loss)
    return mr.mean(loss) if weights is None else mr.divide(mr.sum(loss), mr.sum(weights))
