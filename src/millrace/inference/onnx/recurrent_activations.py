"""The activations of ONNX's recurrent operations, which have names and numbers of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from millrace.inference.onnx.translating import Call
from millrace.ir.core import Value

Activation = Callable[[Value], Value]

GIVEN = math.nan  # a number without a default

DEFAULTS: dict[str, tuple[float | None, float | None]] = {  # alpha and beta; None: it takes none
    "relu": (None, None),
    "tanh": (None, None),
    "sigmoid": (None, None),
    "softsign": (None, None),
    "softplus": (None, None),
    "affine": (GIVEN, GIVEN),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "scaledtanh": (GIVEN, GIVEN),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, None),
}


def activations(mr: Any, call: Call, names: Sequence[str]) -> list[Activation]:
    """The attribute `activations`, else those of `names`, each with its alpha and beta.

    The lists activation_alpha and activation_beta name numbers for those alone that take them, in order.
    """
    given = call.attribute("activations") or list(names)
    if len(given) != len(names):
        raise call.refused(
            f"activations={list(given)} must be {len(names)}, as direction={call.attribute('direction')!r}"
        )
    alphas, betas = iter(call.attribute("activation_alpha") or ()), iter(call.attribute("activation_beta") or ())
    made = []
    for name in given:
        if name.lower() not in DEFAULTS:
            raise call.refused(f"its activation {name!r} is none of {', '.join(DEFAULTS)}")
        alpha, beta = DEFAULTS[name.lower()]
        alpha = alpha if alpha is None else next(alphas, alpha)
        beta = beta if beta is None else next(betas, beta)
        if alpha is GIVEN or beta is GIVEN:
            raise call.refused(f"its activation {name!r} needs alpha and beta, which activation_alpha and _beta lack")
        made.append(_activation(mr, name.lower(), alpha, beta))
    return made


def _activation(mr: Any, name: str, alpha: Any, beta: Any) -> Activation:
    table: dict[str, Activation] = {
        "relu": mr.relu,
        "tanh": mr.tanh,
        "sigmoid": mr.sigmoid,
        "softsign": mr.softsign,
        "softplus": mr.softplus,
        "affine": lambda x: mr.add(mr.multiply(x, alpha), beta),
        "leakyrelu": lambda x: mr.where(mr.less(x, 0.0), mr.multiply(x, alpha), x),
        "thresholdedrelu": lambda x: mr.threshold(x, alpha, 0.0),
        "scaledtanh": lambda x: mr.multiply(alpha, mr.tanh(mr.multiply(x, beta))),
        "hardsigmoid": lambda x: mr.clip(mr.add(mr.multiply(x, alpha), beta), 0.0, 1.0),
        "elu": lambda x: mr.elu(x, alpha),
    }
    return table[name]
