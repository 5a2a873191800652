"""`symbolic-differentiation`: what differences cost and how wrong they are, against a gradient that is a graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import line_figure
from millrace.concepts.steps import BATCH, digits_model
from millrace.explain.charts import Line
from millrace.explain.derivation import derive, operations
from millrace.explain.pages import Code, Listing, Math
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.types import TensorType
from millrace.ir.work import flop
from millrace.words import words

FORMULA = "mean(tanh(w*x)**2)"
STEPS = tuple(10.0**-n for n in range(1, 13))  # how far a number is moved
NUMBERS = 1000  # in w, whose gradient is timed


@dataclass(frozen=True)
class Timed:
    """The gradient by all of w: seconds by its graph, seconds by differences, and how far they are apart."""

    symbolic: float
    numeric: float
    apart: float


def loss_of(dtype: str, count: int) -> Graph:
    """mean(tanh(w x)^2) and its gradient by w, for vectors [count]."""
    w, x = (Placeholder(name, TensorType(dtype, (count,)))() for name in ("w", "x"))
    loss = mr.mean(mr.square(mr.tanh(w * x)))
    return simplify(Graph([w, x], [loss, *mr.gradients(loss, [w])]))


def samples(dtype: str, count: int) -> list[np.ndarray]:
    """Numbers for w and x."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-1.5, 1.5, count).astype(dtype) for _ in range(2)]


def errors(dtype: str, steps: Sequence[float] = STEPS) -> list[float]:
    """How wrong (f(w + h) - f(w)) / h is for the first number of w, against its true derivative, for each h."""
    exact = float(loss_of("float64", 3).evaluate(samples("float64", 3))[1][0])
    graph = loss_of(dtype, 3)
    w, x = samples(dtype, 3)
    found = []
    for step in steps:
        moved = w.copy()
        moved[0] += step
        high, low = (float(graph.evaluate([array, x])[0]) for array in (moved, w))
        found.append(max(abs((high - low) / step - exact) / abs(exact), 1e-16))
    return found


def timed(count: int = NUMBERS) -> Timed:
    """Both ways to the whole gradient, in the interpreter."""
    graph = loss_of("float64", count)
    only = Graph(graph.inputs, graph.outputs[:1])
    w, x = samples("float64", count)
    graph.evaluate([w, x])
    started = time.perf_counter()
    gradient = graph.evaluate([w, x])[1]
    symbolic = time.perf_counter() - started
    started = time.perf_counter()
    low = float(only.evaluate([w, x])[0])
    numeric = np.empty(count)
    for n in range(count):
        moved = w.copy()
        moved[n] += 1e-7
        numeric[n] = (float(only.evaluate([moved, x])[0]) - low) / 1e-7
    return Timed(
        symbolic, time.perf_counter() - started, float(np.abs(numeric - gradient).max() / np.abs(gradient).max())
    )


def work_of_digits() -> tuple[int, int, int]:
    """Of the network for digits: arithmetic of the loss, of the loss with all gradients, and its parameters."""
    steps = digits_model().training_steps
    loss = steps.unguarded.outputs[0]
    inputs = steps.unguarded.inputs
    one, both = (simplify(Graph(inputs, out)).bind({"batch": BATCH}) for out in ([loss], [loss, *steps.gradients]))
    return flop(one.nodes), flop(both.nodes), digits_model().count_params()


def nodes_of_digits() -> tuple[int, int]:
    """The gradient's operations before and after simplification."""
    steps = digits_model().training_steps
    raw = Graph(steps.unguarded.inputs, steps.gradients)
    return operations(raw), operations(simplify(raw))


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Errors of differences, both ways timed, the work for a whole network, and what simplification leaves."""
    table = words("concepts", language)["symbolic-differentiation"]
    single, double = errors("float32"), errors("float64")
    took = timed()
    forward, both, parameters = work_of_digits()
    derivation, (before, after) = derive(FORMULA), nodes_of_digits()
    gradient = derivation.gradients[0]
    best = min(range(len(single)), key=lambda n: single[n])
    rows = [
        [table["by_graph"], f"{took.symbolic * 1e3:.2f} ms", f"{both / forward:.1f}"],
        [table["by_differences"], f"{took.numeric * 1e3:.0f} ms", f"{parameters + 1:,}"],
    ]
    return Finding(
        "seen" if took.numeric > 10 * took.symbolic and min(single) > 1e-6 else "unseen",
        {
            "best_single": min(single),
            "best_step": STEPS[best],
            "worst_single": single[-1],
            "best_double": min(double),
            "numbers": NUMBERS,
            "symbolic": took.symbolic * 1e3,
            "numeric": took.numeric * 1e3,
            "ratio": took.numeric / took.symbolic,
            "work": both / forward,
            "parameters": parameters,
            "before": derivation.nodes[0],
            "after": derivation.nodes[1],
            "digits_before": before,
            "digits_after": after,
        },
        [
            Code(f"dL/dw = {gradient.whole.text}"),
            line_figure(
                table["figure"],
                [Line("float32", list(STEPS), single), Line("float64", list(STEPS), double, 1)],
                table["step"],
                table["error"],
                language,
                log="xy",
            ),
            Listing([table[f"column_{n}"] for n in range(3)], rows),
        ],
    )


SYMBOLIC_DIFFERENTIATION = Concept(
    "symbolic-differentiation",
    experiment,
    see=("dataflow-graph", "compiler", "gradients"),
    also=(
        "differentiation",
        "automatic-differentiation",
        "backpropagation",
        "chain-rule",
        "gradient",
        "backprop",
        "autodiff",
        "autograd",
    ),
    formulas=(
        Math("f'(w) ≈ (f(w + h) - f(w)) / h", r"f'(w) \approx \frac{f(w + h) - f(w)}{h}"),
        Math(
            "dL/du = dL/dv * f'(u)",
            r"\frac{\partial L}{\partial u} = \frac{\partial L}{\partial v}\, f'(u)",
        ),
    ),
)
