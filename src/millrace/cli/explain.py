"""`millrace explain --plan`: what was chosen for a training step, and why, without compiling it."""

from __future__ import annotations

from millrace.cli.networks import ready
from millrace.explain.passes import owners, places
from millrace.explain.plan import rows, show
from millrace.ir.errors import ArgumentError


def explain_plan(name: str, batch_size: int | None) -> None:
    """Print the choices for a network's training step."""
    from rich.console import Console

    chosen = ready(name, batch_size)
    from millrace.engines.xla import ALLOCATOR
    from millrace.engines.tracing import lowering

    found = lowering(chosen.step, chosen.sizes)
    console = Console(highlight=False, markup=False)
    console.print(f"What is chosen for a training step of {name}, {chosen.batch_size} examples\n")
    where = places(found.graph, owners(chosen.model))
    show([*found.plan.reasons, ALLOCATOR], rows(found.notes, where, chosen.model), console)


def nothing_asked() -> ArgumentError:
    return ArgumentError("explain what? --plan shows what was chosen for a training step, and why.")
