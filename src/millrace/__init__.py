"""Millrace: a deep-learning framework whose whole training run is one graph that you can read.

import numpy as np, millrace as mr
w = mr.Variable(np.array([1.0, 2.0], np.float32), name="w")
x = mr.Input((2,), name="x")
loss = mr.mean(mr.square(mr.tanh(x * w)))
dw, = mr.gradients(loss, [w])
print(dw)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from millrace.api import *  # noqa: F403


ROOMS = {
    "inference", "layers", "functional", "engines", "training", "models", "explain", "experiments", "data", "ops", "ir",
    "cli", "api", "words", "concepts", "look", "doctor", "diagnosis", "native",
}  # fmt: skip


# The names of `millrace.api` arrive with the first use of one: so `millrace --help` starts in a third of the time.
def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ROOMS:
        return _imported(f"millrace.{name}")
    api = _imported("millrace.api")
    if not hasattr(api, name):
        raise _imported("millrace.layers.keras_names").absent("", name, dir(api))
    globals()[name] = getattr(api, name)
    return globals()[name]


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except Exception as error:  # of NumPy, most often, which says so in a page
        from millrace.doctor.advice import advice, foreign

        if not foreign(error):
            raise
        told = ImportError(f"Millrace cannot be imported. {advice(error, 'numpy')}")
    raise told from None


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for name in dir(import_module("millrace.api")) if not name.startswith("_"))})
