"""`compiler`: one training step as the user wrote it, as XLA runs it, and what each takes."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.steps import BATCH, digits_model
from millrace.engines.function import engine_named, function
from millrace.engines.hlo import parse
from millrace.explain.derivation import operations
from millrace.explain.pages import Listing
from millrace.ir.graph import Graph
from millrace.training.model import Model
from millrace.words import words

REPEATS = 7
NOTHING = ("parameter", "constant", "tuple", "bitcast", "get-tuple-element")  # instructions that compute nothing


@dataclass(frozen=True)
class Measured:
    """A step: the nodes of its graph before and after simplification, XLA's kernels, and seconds.

    inside: operations within the fused kernels; fused: how many such kernels; kernels: all that run.
    """

    written: int
    simplified: int
    kernels: int
    fused: int
    inside: int
    preparing: float
    interpreted: float
    compiled: float
    apart: float


def arrays_of(graph: Graph, batch: int) -> list[np.ndarray]:
    """Random arguments of a step for digits: pictures, classes, and weights of 1."""
    rng = np.random.default_rng(0)
    made = []
    for x in graph.bind({"batch": batch}).inputs:
        if x.dtype == "int32":
            made.append(rng.integers(0, 10, x.shape).astype("int32"))
        else:
            made.append(np.ones(x.shape, "float32") if x.ndim == 1 else rng.random(x.shape, np.float32))
    return made


def measure(model: Model, batch: int = BATCH, repeats: int = REPEATS) -> Measured:
    """The gradients of one step of a model, by both engines."""
    steps = model.training_steps
    outputs = [steps.unguarded.outputs[0], *steps.gradients]
    inputs = list(steps.unguarded.inputs)
    graph = Graph(inputs, outputs)
    given = arrays_of(graph, batch)
    numpy, xla = (function(inputs, outputs, engine=engine) for engine in ("numpy", "xla"))
    started = time.perf_counter()
    first = [np.asarray(x) for x in xla(*given)]
    preparing = time.perf_counter() - started
    plain = [np.asarray(x) for x in numpy(*given)]
    text = xla.programs[0].compiled.as_text()
    kernels, fused, inside = kernels_of(text)
    return Measured(
        len(graph.nodes),
        len(xla.simplified.nodes),
        kernels,
        fused,
        inside,
        preparing,
        _median(numpy, given, min(repeats, 3)),
        _median(xla, given, repeats),
        max(float(np.abs(a - b).max()) for a, b in zip(first, plain, strict=True)),
    )


def kernels_of(text: str) -> tuple[int, int, int]:
    """From XLA's text of a program: what runs, how much of it is fused, and how many operations are in that."""
    program = parse(text)
    main = next(name for name in program.inside if name not in program.runs)
    own = [program.instructions[name] for name in program.inside[main]]
    counts = Counter(made.opcode for made in own)
    inner = [x for made in own if made.opcode == "fusion" for c in made.called for x in program.inside[c]]
    inside = sum(program.instructions[name].opcode not in NOTHING for name in inner)
    return sum(n for opcode, n in counts.items() if opcode not in NOTHING), counts["fusion"], inside


def _median(run: Callable[..., Any], given: list[np.ndarray], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for x in run(*given):
            np.asarray(x)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """The step of the network for digits; without a compiler, only what can be counted in the graph."""
    table = words("concepts", language)["compiler"]
    if engine_named().name != "xla":
        steps = digits_model().training_steps
        return Finding(
            "without", {"written": operations(Graph(steps.unguarded.inputs, [steps.loss_value, *steps.gradients]))}
        )
    found = measure(digits_model())
    say(f"  {found.interpreted * 1e3:.1f} ms, {found.compiled * 1e3:.1f} ms")
    numbers = {
        "written": found.written, "simplified": found.simplified, "kernels": found.kernels, "fused": found.fused,
        "inside": found.inside, "preparing": found.preparing, "interpreted": found.interpreted * 1e3,
        "compiled": found.compiled * 1e3, "ratio": found.interpreted / found.compiled, "apart": found.apart,
        "batch": BATCH, "pays": found.preparing / max(found.interpreted - found.compiled, 1e-9),
    }  # fmt: skip
    shown = [("written", "d"), ("simplified", "d"), ("kernels", "d"), ("fused", "d"), ("inside", "d")]
    rows = [[table[key], f"{numbers[key]:{form}}"] for key, form in shown]
    rows += [[table[key], f"{numbers[key]:.1f} ms"] for key in ("interpreted", "compiled")]
    rows.append([table["preparing"], f"{found.preparing:.1f} s"])
    return Finding(
        "seen" if found.compiled < found.interpreted else "unseen",
        numbers,
        [Listing([table["column_0"], table["column_1"]], rows)],
    )


COMPILER = Concept(
    "compiler",
    experiment,
    see=("dataflow-graph", "symbolic-differentiation", "frameworks"),
    also=("compilation", "fusion", "interpreter", "jit"),
)
