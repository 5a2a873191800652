"""Whether the training step waits for its input: `python -m benchmarks.waiting [digits] [fashion] [alexnet]`.

Trains each for a while as `fit` does, and prints what the levels of its queue say. Fashion-MNIST and Imagenette come
from the folder MILLRACE_DATA.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from millrace.data.datasets import digits, fashion_mnist, imagenette
from millrace.models import alexnets
from millrace.models import digits as digits_page
from millrace.models import fashion as fashion_page
from millrace.training.callbacks import History
from millrace.training.model import Model
from millrace.training.optimizers import SGD
from millrace.training.program_file import in_words, measured


def digits_run() -> tuple[Model, Any, Any, dict[str, Any]]:
    data = digits()
    return digits_page.network(), data.x_train, data.y_train, {"epochs": 10, "batch_size": 64}


def fashion_run() -> tuple[Model, Any, Any, dict[str, Any]]:
    data = fashion_mnist()
    return fashion_page.network(), data.x_train[:20_000], data.y_train[:20_000], {"epochs": 1, "batch_size": 64}


def alexnet_run() -> tuple[Model, Any, Any, dict[str, Any]]:
    model = alexnets.alexnet(classes=10, front=alexnets.photographs())
    return model, imagenette().x_train, None, {"epochs": 1, "batch_size": 32}


RUNS: dict[str, Callable[[], tuple[Model, Any, Any, dict[str, Any]]]] = {
    "digits": digits_run, "fashion": fashion_run, "alexnet": alexnet_run,
}  # fmt: skip


def measure(name: str) -> str:
    """Train once to compile, then once to measure."""
    model, x, y, settings = RUNS[name]()
    model.compile(SGD(0.001, momentum=0.9), "sparse_categorical_crossentropy", ["accuracy"])
    part = {**settings, "epochs": 1, "verbose": 0}
    model.fit(x, y, **part)
    started = time.perf_counter()
    history: History = model.fit(x, y, **{**settings, "verbose": 0})
    took = time.perf_counter() - started
    op = model.program(x, y, batch_size=settings["batch_size"]).training.op
    return f"{name}: {history.input_levels.taken} steps in {took:.1f} s. {in_words(measured(history, op))}"


if __name__ == "__main__":
    for chosen in sys.argv[1:] or list(RUNS):
        print(measure(chosen), flush=True)
