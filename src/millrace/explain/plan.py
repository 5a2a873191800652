"""What the compiler chose for a training step, and why: for the whole program, and for each layer's passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millrace.explain.passes import Place, in_order
from millrace.ir.core import Node
from millrace.training.model import Model

Note = tuple[Node, str, str]


def of_place(notes: Iterable[Note], found: Mapping[Node, Place]) -> dict[Place, list[tuple[str, str]]]:
    """What was chosen in each place, with the reasons; what was chosen several times stands once."""
    made: dict[Place, dict[tuple[str, str], None]] = {}
    for node, choice, why in notes:
        if node in found:
            made.setdefault(found[node], {})[choice, why] = None
    return {place: list(chosen) for place, chosen in made.items()}


def rows(notes: Iterable[Note], found: Mapping[Node, Place], model: Model) -> list[tuple[str, str, str, str]]:
    """Layer, pass, choice and reason, in the order of the layers; a layer and a pass are named once."""
    chosen = of_place(notes, found)
    made: list[tuple[str, str, str, str]] = []
    layer = ""
    for place in in_order(found, model):
        for n, (choice, why) in enumerate(chosen.get(place, ())):
            name = place.layer if place.layer != layer else ""
            made.append((name, "" if n else place.kind, choice, why))
            layer = place.layer
    return made


def show(whole: Sequence[str], table: Sequence[tuple[str, str, str, str]], console: Any) -> None:
    """Print what was chosen for the whole program, then for the layers."""
    from rich.table import Table

    console.print("For the whole program:")
    lines = Table.grid(padding=(0, 1))
    for reason in whole or ["the compiler's own settings: nothing is known to be better here"]:
        lines.add_row(" -", reason)
    console.print(lines)
    console.print()
    if not table:
        console.print("For the layers: nothing but what the compiler does by itself.")
        return
    shown = Table(pad_edge=False, box=None)
    for header in ("layer", "pass", "chosen", "why"):
        shown.add_column(header, overflow="fold", no_wrap=header == "pass")
    for row in table:
        shown.add_row(*row)
    console.print(shown)
