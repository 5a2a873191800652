"""Values as people would write them: minus signs drawn out of products, quotients in the place of times 1 / x."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from millrace import functional as mr
from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.printing import written
from millrace.ir.rewrite import simplify

ROUNDS = 4  # a sign moves out of one product a round; deeper ones may stay where they are


def tidied(graph: Graph, off: Collection[str]) -> list[Value]:
    """The outputs, simplified by the rewrites but for those that are off, with fewer signs.

    It serves the eye alone: what is trained keeps the form that its engine was measured with.
    """
    for _ in range(ROUNDS):
        graph = simplify(graph, off=off)
        new = rebuilt(topological(graph.outputs), told, {})
        outputs = [new[value] for value in graph.outputs]
        if all(one is other for one, other in zip(outputs, graph.outputs, strict=True)):
            return outputs
        graph = Graph(graph.inputs, outputs)
    return list(simplify(graph, off=off).outputs)


def told(node: Node, given: tuple[Value, ...]) -> Any:
    """What stands for a node: -(x * y) for (-x) * y, x + y for x - (-y), y - x for -x + y, x / y for x * (1 / y)."""
    name = node.op.name
    if name not in ("Multiply", "Divide", "Subtract", "Add"):
        return again(node, node.op, given)
    x, y = given
    of_x, of_y = negated(x), negated(y)
    if name == "Subtract":
        return again(node, node.op, given) if of_y is None else mr.add(x, of_y)
    if name == "Add":
        return mr.subtract(y, of_x) if of_x is not None and of_y is None else again(node, node.op, given)
    if of_x is not None or of_y is not None:
        made = (mr.multiply if name == "Multiply" else mr.divide)(
            x if of_x is None else of_x, y if of_y is None else of_y
        )
        return made if of_x is not None and of_y is not None else mr.negative(made)
    if name == "Multiply" and y.node.op.name == "Divide" and written(y.node.inputs[0]).whole.text == "1":
        return mr.divide(x, y.node.inputs[1])
    return again(node, node.op, given)


def negated(value: Value) -> Value | None:
    """x where the value is -x, stretched or not."""
    node = value.node
    if node.op.name == "Negative":
        return node.inputs[0]
    if node.op.name == "Broadcast" and node.inputs[0].node.op.name == "Negative":
        made: Any = again(node, node.op, (node.inputs[0].node.inputs[0],))
        return made[0] if isinstance(made, tuple) else made
    return None
