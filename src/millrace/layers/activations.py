"""Activation functions by Keras's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Value
from millrace.ir.errors import ArgumentError, one_of

Activation = Callable[[Value], Value]


def linear(x: Value) -> Value:
    """x itself."""
    return mr.as_value(x)


KNOWN: dict[str, Activation] = {
    "linear": linear, "exponential": mr.exp, "tanh": mr.tanh, "sigmoid": mr.sigmoid,
    "softmax": mr.softmax, "log_softmax": mr.log_softmax,
    "silu": mr.silu, "swish": mr.silu, "hard_silu": mr.hard_silu, "hard_swish": mr.hard_silu,
    **{
        name: getattr(mr, name)
        for name in (
            "celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_tanh", "leaky_relu", "log_sigmoid",
            "mish", "relu", "relu6", "selu", "soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
            "sparsemax", "squareplus", "tanh_shrink", "threshold",
        )
    },
}  # fmt: skip


def activation(identifier: Any) -> Activation:
    """An activation from its name, a function as it is, or None for none.

    Raises ArgumentError for an unknown name.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if identifier not in KNOWN:
            raise one_of("activation", identifier, list(KNOWN))
        return KNOWN[identifier]
    if callable(identifier):
        return identifier
    raise ArgumentError(f"an activation is a name such as 'relu' or a function, got {identifier!r}.")


def activation_name(identifier: Any) -> Any:
    """The name under which an activation is saved; what has none stays itself."""
    for name, function in KNOWN.items():
        if function is identifier:
            return name
    return identifier
