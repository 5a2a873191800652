"""A value as mathematics for people: broadcasting left out, each shared subexpression named once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millrace.ir.core import Node, Value
from millrace.ir.formula import ATOM, MATRIX_PRODUCT, PRODUCT, Term, within
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.state import Read
from millrace.ir.typeset import enclosed, rows, symbol


@dataclass(frozen=True)
class Spelt:
    """Mathematics as people type it, and as LaTeX sets it."""

    text: str
    latex: str


@dataclass(frozen=True)
class Written:
    """An expression, and what the names in it stand for, in the order in which they were made."""

    whole: Spelt
    named: Sequence[tuple[Spelt, Spelt]] = ()

    @property
    def text(self) -> str:
        """On one line, and below it what each name stands for."""
        where = [f"{name.text} = {meaning.text}" for name, meaning in self.named]
        return self.whole.text + "\n  where " + "\n        ".join(where) if where else self.whole.text

    @property
    def latex(self) -> str:
        """On one line, and below it what each name stands for."""
        return rows(self.whole.latex, *(f"{name.latex} = {meaning.latex}" for name, meaning in self.named))


def is_implied(node: Node) -> bool:
    """What mathematics does not write: repeating a number along an axis, a size as a float."""
    return node.op.name == "Broadcast" or (node.op.name == "Cast" and node.inputs[0].op.name == "Size")


def spell(node: Node, operands: Sequence[Spelt]) -> Spelt:
    """An operation on its operands; a product of two vectors, or of a number with anything, as it is typed."""
    texts, latex = [x.text for x in operands], [x.latex for x in operands]
    if node.op.name == "Dot":
        dims = [x.ndim for x in node.inputs]
        if dims == [1, 1] and node.outputs[0].ndim == 0:
            left, right = (within(x, ATOM) for x in texts)
            return Spelt(Term(f"{left} @ {right}", MATRIX_PRODUCT), node.op.latex(*latex))
        if 0 in dims and "1" in texts:  # a rate of 1 that arrives at a product
            return operands[1 - texts.index("1")]
        if 0 in dims:
            left, right = (within(x, PRODUCT) for x in texts)
            below, beside = (enclosed(x, PRODUCT) for x in latex)
            return Spelt(Term(f"{left} * {right}", PRODUCT), Term(rf"{below} \cdot {beside}", PRODUCT))
    return Spelt(node.op.notation(*texts), node.op.latex(*latex))


def formula(value: Value, name: str | None = None, simplified: bool = True) -> str:
    """`value` as text: an expression, then `where` with a line for each part that is used twice."""
    text = written(simpler(value) if simplified else value).text
    return f"{name} = {text}" if name else text


def simpler(value: Value) -> Value:
    """The value after every rewrite but those that would hide what is to be seen."""
    inputs = [n.outputs[0] for n in topological([value]) if isinstance(n.op, Placeholder)]
    unseen = ("shard on one device = x",)  # what is split is to be seen
    return simplify(Graph(inputs, [value]), off=unseen).outputs[0]


def written(value: Value, known: Mapping[Value, Spelt] | None = None) -> Written:
    """`value` as its operations write themselves; what is in `known` as it says, whatever made it."""
    known = {x: spelt for x, spelt in (known or {}).items() if x is not value}
    nodes = topological([value], frozenset(known))
    uses: Counter[Value] = Counter()
    for node in reversed(nodes):  # users before what they use
        for x in node.inputs:
            uses[x] += uses[node.outputs[0]] if is_implied(node) else 1
    shown: dict[Value, Spelt] = dict(known)
    named: list[tuple[Spelt, Spelt]] = []
    taken = {n.op.notation() for n in nodes if isinstance(n.op, (Placeholder, Read))}
    letters = iter(_letters(taken | {spelt.text for spelt in known.values()}))
    for node in nodes:
        if is_implied(node):
            shown[node.outputs[0]] = shown[node.inputs[0]]
            continue
        spelt = spell(node, [shown[x] for x in node.inputs])
        output = node.outputs[0]
        is_leaf = isinstance(node.op, (Placeholder, Read, Constant))
        users = sum(uses[x] for x in node.outputs)
        if users > 1 and not is_leaf and output is not value and len(spelt.text) > 3:
            letter = next(letters)
            name = Spelt(letter, symbol(letter))
            named.append((name, spelt))
            spelt = name
        for index, output in enumerate(node.outputs):
            shown[output] = spelt if len(node.outputs) == 1 else _numbered(spelt, index)
    return Written(shown[value], named)


def _numbered(spelt: Spelt, index: int) -> Spelt:
    """One of several results."""
    return Spelt(Term(f"{spelt.text}[{index}]"), Term(rf"{spelt.latex}\left[{index}\right]"))


def _letters(taken: set[str]) -> list[str]:
    first = [letter for letter in "abcdefghijkmnopqrstuvz" if letter not in taken]
    return first + [f"{letter}{n}" for n in range(1, 1000) for letter in first]
