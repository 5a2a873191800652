"""`dataflow-graph`: a training step drawn and counted, and how many of its nodes can run at the same time."""

from __future__ import annotations

from collections.abc import Callable

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import line_figure
from millrace.concepts.graph_drawing import draw_nodes
from millrace.concepts.steps import LEAVES, computing, digits_model, digits_step, levels, passes_of, small_step
from millrace.explain.charts import Line
from millrace.explain.pages import Code, Figure, Listing
from millrace.explain.passes import OPTIMIZER
from millrace.ir.core import Node, snake
from millrace.ir.graph import Graph, topological
from millrace.ir.printing import formula
from millrace.ir.state import Assign
from millrace.words import words


def label(node: Node) -> str:
    """What a node does, in a word or two."""
    if isinstance(node.op, (*LEAVES, Assign)):
        return node.op.notation(*("" for _ in node.inputs)).replace("<-", "←").strip()
    return snake(node.op.name)


def drawing(graph: Graph, caption: str, told: str) -> Figure:
    """A small step as a picture: what goes forward, backward, and to the new numbers."""
    forward = set(topological(graph.outputs))

    def kind(node: Node) -> str:
        if isinstance(node.op, LEAVES):
            return "data"
        if node in forward:
            return "forward"
        return "update" if isinstance(node.op, Assign) or node.layer == OPTIMIZER else "backward"

    return Figure(caption, draw_nodes(graph.nodes, label, kind, told), told)


def _lines(graph: Graph) -> str:
    """The step as text: the loss, and what each variable becomes."""
    new = [formula(value.node.inputs[0], f"{variable.name} <-") for variable, value in graph.updates.items()]
    return "\n".join([formula(graph.outputs[0], "loss"), *(line.replace("<- =", "<-") for line in new)])


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """Draw the small step, then count the step of the network for digits."""
    table = words("concepts", language)["dataflow-graph"]
    small = small_step()
    graph = digits_step()
    order = levels(graph)
    counted = passes_of(graph, digits_model())
    widths = [len(group) for group in order.groups]
    total, longest = order.count, len(order.groups)
    numbers = {**counted, "total": total, "longest": longest, "widest": order.widest, "mean": total / longest}
    numbers |= {"small": len(computing(small)), "small_longest": len(levels(small).groups)}
    rows = [[table[key], str(counted[key])] for key in counted] + [[table["sum"], str(sum(counted.values()))]]
    told = table["told"].format(**numbers)
    return Finding(
        "found",
        numbers,
        [
            drawing(small, table["figure"], told),
            Code(_lines(small)),
            Listing([table["column_0"], table["column_1"]], rows),
            line_figure(
                table["figure_levels"],
                [Line(table["line"], [float(n + 1) for n in range(longest)], widths, dots=False)],
                table["level"],
                table["at_once"],
                language,
            ),
        ],
    )


DATAFLOW_GRAPH = Concept(
    "dataflow-graph",
    experiment,
    see=("symbolic-differentiation", "compiler", "frameworks"),
    also=("graph", "computational-graph", "dataflow"),
)
