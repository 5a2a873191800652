"""`millrace explain --plan`: what was chosen for a training step, and why; on a mesh, what its devices exchange."""

from __future__ import annotations

from typing import Any

from millrace.cli.networks import Ready, ready
from millrace.explain import crossing
from millrace.explain.passes import owners, places
from millrace.explain.plan import rows, show
from millrace.ir.mesh import Mesh, check_batch


def explain_plan(name: str, batch_size: int | None, mesh: str | None) -> None:
    """Print the choices for a network's training step. Only with a mesh is it compiled.

    Raises ArgumentError for a mesh that is none, or of more devices than there are.
    """
    from rich.console import Console

    from millrace.engines.function import engine_named

    spread = None if mesh is None else Mesh.of_text(mesh)
    engine = engine_named("xla", spread)  # before anything starts JAX: a processor can be split only then
    chosen = ready(name, batch_size)
    if spread is not None:
        check_batch(chosen.batch_size, spread)
    console = Console(highlight=False, markup=False)
    console.print(f"What is chosen for a training step of {name}, {chosen.batch_size} examples\n")
    if spread is None or spread.size == 1:
        alone(chosen, console)
    else:
        on_a_mesh(chosen, spread, engine, console)


def alone(chosen: Ready, console: Any) -> None:
    from millrace.engines.tracing import lowering
    from millrace.engines.xla import ALLOCATOR

    found = lowering(chosen.step, chosen.sizes)
    where = places(found.graph, owners(chosen.model))
    show([*found.plan.reasons, ALLOCATOR], rows(found.notes, where, chosen.model), console)


def on_a_mesh(chosen: Ready, mesh: Mesh, engine: Any, console: Any) -> None:
    from millrace.engines.function import Function

    step = Function(chosen.model.training_steps.train.graph, engine, list, (), False)
    program = engine.prepare(step.simplified, chosen.sizes)
    where = places(program.graph, owners(chosen.model))
    show(program.plan.reasons, rows(program.notes, where, chosen.model), console)
    console.print()
    crossing.show(crossing.rows(program.crossings, where, chosen.model), mesh, console)
