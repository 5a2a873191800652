"""A small graph as a picture: a box for each node, level below level, and an arrow for each value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from millrace.ir.core import Node
from millrace.ir.leaves import Constant
from millrace.ir.printing import is_implied

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 104, 30, 14, 30, 12
LETTER = 6.6  # pixels, about, that a letter takes
COLOURS = {"data": "#dce9f5", "forward": "#e3f1e3", "backward": "#fbe6d4", "update": "#ece3f3"}


def draw_nodes(nodes: Sequence[Node], label: Callable[[Node], str], kind: Callable[[Node], str], about: str) -> str:
    """The drawing as SVG. label: what stands in a node's box; kind: its colour, of COLOURS; about: all of it in words.

    Constants and what only repeats a number are left out; a node has its place one level below its lowest input.
    """
    shown = [node for node in nodes if not isinstance(node.op, Constant) and not is_implied(node)]
    depth: dict[Node, int] = {}
    into = {node: _sources(node) for node in shown}
    for node in shown:
        depth[node] = 1 + max((depth[x] for x in into[node]), default=-1)
    rows: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    middle: dict[Node, float] = {}
    for node in sorted(shown, key=lambda node: depth[node]):
        rows[depth[node]].append(node)
    widest = max(len(row) for row in rows)
    width = 2 * MARGIN + widest * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + len(rows) * (HEIGHT + GAP_Y) - GAP_Y
    for row in rows:
        row.sort(key=lambda node: _wanted(node, into, middle, width))
        start = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for n, node in enumerate(row):
            middle[node] = start + n * (WIDTH + GAP_X) + WIDTH / 2
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(about)}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="node-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6675"/></marker></defs>',
    ]
    for node in shown:
        for source in into[node]:
            parts.append(_arrow(middle[source], _top(depth[source]) + HEIGHT, middle[node], _top(depth[node])))
    for node in shown:
        parts.append(_box(middle[node], _top(depth[node]), label(node), COLOURS[kind(node)]))
    return "".join(parts) + "</svg>"


def _sources(node: Node) -> list[Node]:
    """What a node's inputs come from, through what is not drawn."""
    found: list[Node] = []
    for x in node.inputs:
        source = x.node
        while is_implied(source) and source.inputs:
            source = source.inputs[0].node
        if not isinstance(source.op, Constant) and source not in found:
            found.append(source)
    return found


def _wanted(node: Node, into: dict[Node, list[Node]], middle: dict[Node, float], width: float) -> float:
    places = [middle[x] for x in into[node]]
    return sum(places) / len(places) if places else width / 2


def _top(level: int) -> float:
    return MARGIN + level * (HEIGHT + GAP_Y)


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    bend = (y0 + y1) / 2
    path = f"M{x0:.1f} {y0:.1f} C{x0:.1f} {bend:.1f} {x1:.1f} {bend:.1f} {x1:.1f} {y1 - 1:.1f}"
    return f'<path d="{path}" fill="none" stroke="#5b6675" marker-end="url(#node-tip)"/>'


def _box(middle: float, top: float, text: str, colour: str) -> str:
    fitted = f' textLength="{WIDTH - 10}" lengthAdjust="spacingAndGlyphs"' if len(text) * LETTER > WIDTH - 8 else ""
    return (
        f'<rect x="{middle - WIDTH / 2:.1f}" y="{top:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{colour}" '
        f'stroke="#5b6675"/><text x="{middle:.1f}" y="{top + 19:.1f}" text-anchor="middle" font-size="11" '
        f'fill="#1d2430"{fitted}>{escape(text)}</text>'
    )
