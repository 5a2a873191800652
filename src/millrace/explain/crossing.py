"""What the devices of a mesh send each other in a training step: which layer needs it, and how many bytes it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millrace.explain.passes import Place, in_order
from millrace.ir.core import Node
from millrace.training.model import Model

MEANS = {
    "all-gather": "parts made whole",
    "all-reduce": "shares added up",
    "reduce-scatter": "shares added up, each keeps a part",
    "collective-permute": "edges handed to neighbours",
    "all-to-all": "parts exchanged",
}
MANY = 4  # arrays that XLA sends in one go: those of all layers, not of the one that it names
SMALL = 0.002  # of all bytes: what is less is put together


def rows(crossings: Sequence[Any], found: Mapping[Node, Place], model: Model) -> list[tuple[str, str, str, str, int]]:
    """Layer, pass, exchange, axes and bytes that each device receives, in the order of the layers.

    What is small is put together in a last row, so that the bytes of all rows are those of the step.
    """
    order = {place: n for n, place in enumerate(in_order(found, model))}
    added: dict[tuple[int, str, str, str, str], int] = {}
    for one in crossings:
        place = found.get(one.node) if one.node is not None and len(one.shapes) <= MANY else None
        nobody = "gradients" if one.kind == "all-reduce" and len(one.shapes) > MANY else "(no layer)"
        layer, kind = (place.layer, place.kind) if place is not None else (nobody, "")
        rank = order.get(place, len(order)) if place is not None else len(order)
        key = (rank, layer, kind, MEANS[one.kind], ", ".join(one.axes))
        added[key] = added.get(key, 0) + one.bytes
    total = sum(added.values())
    large = {key: size for key, size in sorted(added.items()) if size >= SMALL * total}
    made = [(layer, kind, what, axes, size) for (_, layer, kind, what, axes), size in large.items()]
    rest = total - sum(large.values())
    return [*made, *([("smaller ones", "", "", "", rest)] if rest else [])]


def show(table: Sequence[tuple[str, str, str, str, int]], mesh: object, console: Any) -> None:
    """Print what crosses, and how much it is in all."""
    from rich.table import Table

    if not table:
        console.print(f"Nothing crosses between the devices of the mesh {mesh}.")
        return
    console.print(f"What crosses between the devices of the mesh {mesh}, in bytes that each receives in a step:")
    shown = Table(pad_edge=False, box=None)
    for header in ("layer", "pass", "exchange", "axis"):
        shown.add_column(header, overflow="fold", no_wrap=header != "exchange")
    shown.add_column("bytes", justify="right", no_wrap=True)
    for layer, kind, what, axes, size in table:
        shown.add_row(layer, kind, what, axes, f"{size:,}")
    shown.add_row("in all", "", "", "", f"{sum(row[4] for row in table):,}")
    console.print(shown)
