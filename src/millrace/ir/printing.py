"""A value as mathematics for people: broadcasting left out, each shared subexpression named once."""

from __future__ import annotations

from collections import Counter

from millrace.ir.core import Node, Value
from millrace.ir.formula import Term
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.state import Read


def is_implied(node: Node) -> bool:
    """What mathematics does not write: repeating a number along an axis, a size as a float."""
    return node.op.name == "Broadcast" or (node.op.name == "Cast" and node.inputs[0].op.name == "Size")


def formula(value: Value, name: str | None = None, simplified: bool = True) -> str:
    """`value` as text: an expression, then `where` with a line for each part that is used twice."""
    if simplified:
        inputs = [n.outputs[0] for n in topological([value]) if isinstance(n.op, Placeholder)]
        unseen = ("shard on one device = x",)  # what is split is to be seen
        value = simplify(Graph(inputs, [value]), off=unseen).outputs[0]
    nodes = topological([value])
    uses: Counter[Value] = Counter()
    for node in reversed(nodes):  # users before what they use
        for x in node.inputs:
            uses[x] += uses[node.outputs[0]] if is_implied(node) else 1
    shown: dict[Value, str] = {}
    where: list[str] = []
    letters = iter(_letters({n.op.notation() for n in nodes if isinstance(n.op, (Placeholder, Read))}))
    for node in nodes:
        if is_implied(node):
            shown[node.outputs[0]] = shown[node.inputs[0]]
            continue
        written = node.op.notation(*(shown[x] for x in node.inputs))
        for index, output in enumerate(node.outputs):
            shown[output] = written if len(node.outputs) == 1 else Term(f"{written}[{index}]")
        output = node.outputs[0]
        is_leaf = isinstance(node.op, (Placeholder, Read, Constant))
        users = sum(uses[x] for x in node.outputs)
        if users > 1 and not is_leaf and output is not value and len(written) > 3:
            letter = next(letters)
            where.append(f"{letter} = {written}")
            for index, x in enumerate(node.outputs):
                shown[x] = Term(letter if len(node.outputs) == 1 else f"{letter}[{index}]")
    head = str(shown[value])
    head = f"{name} = {head}" if name else head
    if not where:
        return head
    return head + "\n  where " + "\n        ".join(where)


def _letters(taken: set[str]) -> list[str]:
    first = [letter for letter in "abcdefghijkmnopqrstuvz" if letter not in taken]
    return first + [f"{letter}{n}" for n in range(1, 1000) for letter in first]
