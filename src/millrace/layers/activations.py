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
    "linear": linear, "relu": mr.relu, "tanh": mr.tanh, "sigmoid": mr.sigmoid, "softmax": mr.softmax,
    "log_softmax": mr.log_softmax, "softplus": mr.softplus, "elu": mr.elu, "gelu": mr.gelu, "silu": mr.silu,
    "swish": mr.silu, "leaky_relu": mr.leaky_relu, "exponential": mr.exp,
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
