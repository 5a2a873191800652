"""`millrace profile`: a network's training step, measured layer by layer."""

from __future__ import annotations

from collections import Counter

from millrace.cli.networks import ready
from millrace.cli.train import positive
from millrace.explain.profile import profile, show
from millrace.ir.graph import Graph

WIDTH = 80  # columns that the table needs


def profile_network(name: str, batch_size: int | None, steps: int) -> None:
    """Print where the time of a network's training step goes."""
    from rich.console import Console

    positive(steps, "--steps")
    chosen = ready(name, batch_size)
    from millrace.engines import peak
    from millrace.engines.tracing import timed

    console = Console(highlight=False, markup=False)
    console.width = max(console.width, WIDTH)
    console.print(f"A training step of {name}, {chosen.batch_size} examples; mean of {steps} steps on random numbers\n")
    measured = timed(chosen.model.training_steps.train, chosen.arrays(), steps)
    best = peak.measured(most_computed_in(measured.graph))
    show(profile(measured, best, chosen.model), console)


def most_computed_in(graph: Graph) -> str:
    """The dtype in which most of a graph's arithmetic is done."""
    done: Counter[str] = Counter()
    for node in graph.nodes:
        if node.outputs[0].type.is_float:
            done[node.outputs[0].dtype] += node.op.flop(*(value.type for value in node.inputs))
    return done.most_common(1)[0][0] if done else "float32"
