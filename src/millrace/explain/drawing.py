"""A model's graph as a picture: layers as boxes from top to bottom, arrows with the shapes that flow."""

from __future__ import annotations

from html import escape

from millrace.ir.dims import shape_text
from millrace.training.model import Model
from millrace.training.summary import Row, rows

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 250, 44, 28, 34, 10
LABEL = 120  # room for a shape beside an arrow
FAMILY = {
    "Input": "data", "Conv": "filter", "Dense": "dense", "Neuron": "dense", "Pooling": "pool", "Dropout": "noise",
    "Noise": "noise", "Softmax": "shape", "Flatten": "shape", "Reshape": "shape", "Activation": "shape",
    "Embedding": "data", "LSTM": "memory", "GRU": "memory", "RNN": "memory", "Bidirectional": "memory",
    "Memory": "memory", "Hopfield": "memory", "Attention": "memory", "Normalization": "norm", "Residual": "filter",
}  # fmt: skip


def family(kind: str) -> str:
    return next((css for word, css in FAMILY.items() if word in kind), "other")


def levels(table: list[Row]) -> list[int]:
    """How deep each row stands: one below the deepest of its inputs."""
    depth: dict[str, int] = {}
    found = []
    for row in table:
        level = 1 + max((depth.get(name, 0) for name in row.inputs), default=-1)
        depth[row.name] = max(level, depth.get(row.name, 0))
        found.append(level)
    return found


def draw(model: Model) -> str:
    """The drawing as SVG; readable without colour, and described for screen readers."""
    table = rows(model)
    depth = levels(table)
    by_level: dict[int, list[int]] = {}
    for index, level in enumerate(depth):
        by_level.setdefault(level, []).append(index)
    widest = max(len(group) for group in by_level.values())
    width = MARGIN * 2 + widest * (BOX_WIDTH + GAP_X) - GAP_X + (LABEL if widest == 1 else 0)
    height = MARGIN * 2 + (max(depth) + 1) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 24
    place: dict[int, tuple[float, float]] = {}
    for level, group in by_level.items():
        span = len(group) * (BOX_WIDTH + GAP_X) - GAP_X
        for position, index in enumerate(group):
            x = (width - span) / 2 + position * (BOX_WIDTH + GAP_X)
            place[index] = (x, MARGIN + level * (BOX_HEIGHT + GAP_Y))
    last_made = {row.name: index for index, row in enumerate(table)}

    words = "; ".join(f"{row.name} ({row.kind}) gives {shape_text(row.shape)}" for row in table)
    parts = [
        f'<svg class="drawing" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="The network from input to output: {escape(words)}">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>',
    ]
    for index, row in enumerate(table):
        x, y = place[index]
        for name in row.inputs:
            source = max((i for i in range(index) if table[i].name == name), default=last_made.get(name, 0))
            parts.append(_arrow(place[source], (x, y), shape_text(table[source].shape)))
    for index, row in enumerate(table):
        parts.append(_box(place[index], row))
    x, y = place[len(table) - 1]
    end = (x + BOX_WIDTH / 2, y + BOX_HEIGHT)
    parts.append(
        f'<text class="shape" x="{end[0]:.0f}" y="{end[1] + 18:.0f}" text-anchor="middle">'
        f"{escape(shape_text(table[-1].shape))}</text>"
    )
    return "".join(parts) + "</svg>"


def _arrow(source: tuple[float, float], target: tuple[float, float], label: str) -> str:
    x0, y0 = source[0] + BOX_WIDTH / 2, source[1] + BOX_HEIGHT
    x1, y1 = target[0] + BOX_WIDTH / 2, target[1]
    middle = (y0 + y1) / 2
    path = f"M{x0:.1f} {y0:.1f} C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1 - 1:.1f}"
    # beside a straight arrow's middle; beside a slanted one's start, where no other arrow ends
    at = middle + 4 if x0 == x1 else y0 + 13
    text = f'<text class="shape" x="{x0 + 8:.1f}" y="{at:.1f}">{escape(label)}</text>'
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>{text}'


def _box(place: tuple[float, float], row: Row) -> str:
    x, y = place
    parameters = f" · {row.parameters:,} parameters" if row.parameters else ""
    size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"'
    middle = f'x="{x + BOX_WIDTH / 2:.0f}" text-anchor="middle"'
    return (
        f'<g><rect class="box {family(row.kind)}" x="{x:.0f}" y="{y:.0f}" {size}/>'
        f'<text class="name" y="{y + 18:.0f}" {middle}>{escape(row.name)}</text>'
        f'<text class="kind" y="{y + 34:.0f}" {middle}>{escape(row.kind)}{parameters}</text></g>'
    )
