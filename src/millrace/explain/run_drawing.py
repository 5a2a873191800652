"""A run's graph as a picture: regions as boxes, queues as arrows between them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files

from millrace.ir.graph import Graph
from millrace.ops.stages import Queue
from millrace.training.parts import Part, parts, plural
from millrace.training.regions import DEVICE

LEFT, RIGHT, ROW, HEAD, GAP, MARGIN, BETWEEN = 470, 380, 18, 30, 44, 10, 60


def draw_program(graphs: Mapping[str, Graph]) -> str:
    """The run as SVG: inputs above the steps that they feed, and beside a step what follows it."""
    y, width = float(MARGIN), 2 * MARGIN + LEFT + BETWEEN + RIGHT
    shapes: list[str] = []
    words: list[str] = []
    for name in graphs:
        mine = [part for part in parts(graphs) if part.graph == name]
        left = [p for p in mine if p.queue is not None or p.region.place == DEVICE]
        right = [p for p in mine if p not in left]
        shapes.append(f'<text class="name" x="{MARGIN}" y="{y + 14:.0f}">Graph {escape(name)}</text>')
        y += 26
        for part in left:
            if part.region.place == DEVICE:
                side = top = y
            shapes.append(_box(MARGIN, y, LEFT, part))
            words.append(f"{part.title}: {', '.join(line.what for line in part.lines)}")
            y += _height(part)
            if part.queue is not None:
                shapes.append(_queue(MARGIN + LEFT / 2, y, part.queue))
                y += GAP
        below = y
        for part in right:
            shapes.append(_box(MARGIN + LEFT + BETWEEN, side, RIGHT, part))
            words.append(f"{part.title}: {', '.join(f'{line.what} {line.how}' for line in part.lines)}")
            begins, at = top + HEAD / 2, side + HEAD / 2
            shapes.append(  # from one place at the step, by one line down: a step may be shorter than what follows it
                f'<path class="arrow" d="M{MARGIN + LEFT} {begins:.0f} h{BETWEEN // 2} V{at:.0f} h{BETWEEN // 2 - 2}" '
                'marker-end="url(#run-tip)"/>'
            )
            side += _height(part) + 14
        y = max(below, side) + 22
    return (
        f'<svg class="drawing program" viewBox="0 0 {width} {y:.0f}" style="max-width:{width}px" role="img" '
        f'aria-label="The run as one graph. {escape("; ".join(words))}">'
        '<defs><marker id="run-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>' + "".join(shapes) + "</svg>"
    )


def _height(part: Part) -> float:
    return HEAD + ROW * len(part.lines) + 8


def _box(x: float, y: float, width: float, part: Part) -> str:
    kind = {True: "dense", False: "data"}[part.region.place == DEVICE]
    rows = []
    for n, line in enumerate(part.lines):
        at = y + HEAD + ROW * n + 10
        whole = line.how or line.gives
        how, tip = shortened(whole, int((width - 120) / 6.6)), f"<title>{escape(whole)}</title>"
        rows.append(
            f'<text class="kind" x="{x + 12:.0f}" y="{at:.0f}">{escape(shortened(line.what, 14))}</text>'
            f'<text class="kind" x="{x + 112:.0f}" y="{at:.0f}">{escape(how)}{tip}</text>'
        )
    return (
        f'<g><rect class="box {kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_height(part):.0f}" rx="8"/>'
        f'<text class="name" x="{x + 12:.0f}" y="{y + 20:.0f}">{escape(part.title)}</text>{"".join(rows)}</g>'
    )


def _queue(x: float, y: float, queue: Queue) -> str:
    text = f"queue {queue.label}, {plural(queue.capacity, 'batch', 'batches')}"
    return (
        f'<path class="arrow" d="M{x:.0f} {y:.0f} V{y + GAP - 2:.0f}" marker-end="url(#run-tip)"/>'
        f'<text class="shape" x="{x + 10:.0f}" y="{y + GAP / 2 + 4:.0f}">{escape(text)}</text>'
    )


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def page(graphs: Mapping[str, Graph], title: str, words: str) -> str:
    """The drawing as a page of its own, which needs no other file."""
    from jinja2 import Environment

    folder = files("millrace.explain")
    environment = Environment(autoescape=True, trim_blocks=True)
    template = environment.from_string((folder / "run.html.j2").read_text("utf-8"))
    style = (folder / "style.css").read_text("utf-8")
    return template.render(title=title, words=words, style=style, drawing=draw_program(graphs))
