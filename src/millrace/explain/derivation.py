"""A formula differentiated step by step: the rules that the differentiation applied, then those that simplified it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from millrace import functional
from millrace.explain.expression import Expression, read
from millrace.explain.trial import Trial, try_out
from millrace.ir import gradient, rewrite
from millrace.ir.core import Node, Value
from millrace.ir.dims import shape_text
from millrace.ir.errors import ArgumentError, GradientError, one_of
from millrace.ir.formula import PRODUCT, Term
from millrace.ir.gradient import Applied
from millrace.ir.graph import Graph, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.printing import Spelt, Written, spell, written
from millrace.ir.rewrite import Rewritten
from millrace.ir.typeset import called, symbol


@dataclass(frozen=True)
class Part:
    """What a rule gives for one input: its share number `number` of `count`, and the sum once all shares are there."""

    name: Spelt
    of: Spelt
    rule: Written
    number: int
    count: int
    total: Written | None


@dataclass(frozen=True)
class Step:
    """One rule of differentiation as it was applied.

    op: the operation's name; made: which value, as what; arrived: how the loss changes with that value; inside: how
    many rules were applied within it, where the operation is made of others and has no rule of its own; of_vectors:
    whether it is the product of two vectors, which has no other factor to transpose.
    """

    op: str
    made: Spelt
    meaning: Spelt
    arrived: Spelt
    parts: Sequence[Part]
    inside: int
    of_vectors: bool = False


@dataclass(frozen=True)
class Rule:
    """A rewrite rule that fired: what it found, what it made of it, and how often it did just that."""

    name: str
    before: Written
    after: Written
    times: int


@dataclass(frozen=True)
class Gradient:
    """The gradient by one name: what the rules gave, what is left after simplification, and that written out."""

    name: str
    by: Spelt
    raw: Written
    simple: Written
    whole: Written


@dataclass(frozen=True)
class Derivation:
    """All that happened, in its order."""

    expression: Expression
    loss: Spelt
    shapes: Mapping[str, str]
    forward: Sequence[tuple[Spelt, Spelt]]
    steps: Sequence[Step]
    rules: Sequence[Rule]
    gradients: Sequence[Gradient]
    nodes: tuple[int, int]  # of all gradients together, before and after
    trial: Trial | None


def derive(text: str, wrt: str | None = None) -> Derivation:
    """Differentiate a formula by the names in `wrt`, separated by commas; by its first name unless given.

    Raises ArgumentError for what is no formula or no name in it, and where there is no gradient.
    """
    expression = read(text)
    names = _chosen(expression, wrt)
    loss = expression.value
    if not loss.type.is_float:
        raise ArgumentError(f"{expression.text} is {loss.type}: only floating-point numbers have gradients.")
    if loss.shape != ():
        raise ArgumentError(
            f"{expression.text} is {loss.type}, and only a single number has a gradient: write "
            f"mean({expression.text}) or sum({expression.text})."
        )
    applied: list[Applied] = []
    found: list[Value] = []
    with gradient.observed(applied.append):
        try:
            found = functional.gradients(loss, [expression.names[name] for name in names])
        except GradientError as error:
            raise ArgumentError(f"{expression.text} has no gradient by {' and '.join(names)}{_why(error)}") from None
    inputs = list(expression.names.values())
    raw = Graph(inputs, found)
    fired: list[Rewritten] = []
    with rewrite.observed(fired.append):
        simple = rewrite.simplify(raw)
    spelling = Spelling(expression, applied)
    steps = _steps(applied, spelling)
    spelling.recognise(raw.outputs)
    return Derivation(
        expression,
        spelling.loss,
        {name: shape_text(value.shape) for name, value in expression.names.items()},
        spelling.forward,
        steps,
        _rules(fired, spelling),
        [
            Gradient(name, spelling.by(expression.names[name]), spelling.of(before), spelling.of(after), written(after))
            for name, before, after in zip(names, raw.outputs, simple.outputs, strict=True)
        ],
        (operations(raw), operations(simple)),
        try_out(expression.names, loss, names, simple.outputs),
    )


def _why(error: GradientError) -> str:
    """The reasons in an error about a gradient, without the lines of Python that they name."""
    lines = str(error.args[0]).splitlines()[1:-1]
    reasons = [f"{line.split()[0]}: {line.rsplit(': ', 1)[1]}" for line in lines if ": " in line]
    return f": {'; '.join(dict.fromkeys(reasons))}." if reasons else "."


def _chosen(expression: Expression, wrt: str | None) -> list[str]:
    known = list(expression.names)
    names = [name.strip() for name in wrt.split(",")] if wrt is not None else known[:1]
    for name in names:
        if name not in known:
            raise one_of("name to differentiate by", name, known)
    return list(dict.fromkeys(names))


def operations(graph: Graph) -> int:
    """The operations of a graph: its nodes but inputs and constants."""
    return sum(not isinstance(node.op, (Placeholder, Constant)) for node in graph.nodes)


class Spelling:
    """Names for the values in between: v1, v2 ... for what is computed forward, dL/dv1 for what comes back."""

    def __init__(self, expression: Expression, applied: Sequence[Applied]):
        self.names = expression.names
        taken = set(expression.names)
        letter = next(x for x in ("v", "u", "h", "s", "value_") if not any(n.startswith(x) for n in taken))
        loss = next(x for x in ("L", "J", "loss") if x not in taken)
        self.loss = Spelt(loss, symbol(loss))
        self.forward: list[tuple[Spelt, Spelt]] = []
        self.known: dict[Value, Spelt] = {}
        self.numbers: dict[object, int] = {}
        self.named: dict[int, Spelt] = {}
        differentiated = {rule.node for rule in applied if not rule.inside}
        nodes = [n for n in topological([expression.value]) if self.is_named(n, n in differentiated)]
        for number, node in enumerate(nodes, 1):
            meaning = self.meaning(node)
            name = self.loss if node is nodes[-1] else Spelt(f"{letter}{number}", symbol(f"{letter}{number}"))
            for index, output in enumerate(node.outputs):
                alone = len(node.outputs) == 1
                spelt = name if alone else Spelt(f"{name.text}[{index}]", rf"{name.latex}\left[{index}\right]")
                self.known[output] = spelt
            self.forward.append((name, meaning))

    @staticmethod
    def is_named(node: Node, differentiated: bool) -> bool:
        """Constants, sizes and what only repeats them are written where they are used."""
        if isinstance(node.op, (Placeholder, Constant)) or not node.inputs:
            return False
        return differentiated or node.op.name not in ("Broadcast", "Cast")

    def meaning(self, node: Node) -> Spelt:
        """One operation on names."""
        operands = [self.of(x).whole for x in node.inputs]
        if node.op.name == "Broadcast":
            (x,), shape = operands, shape_text(node.outputs[0].shape)
            return Spelt(f"repeat({x.text}, {shape})", called("repeat", x.latex, shape))
        return spell(node, operands)

    def name(self, value: Value) -> Spelt:
        """What a value is called."""
        return self.known.get(value) or Spelt(value.op.notation(), value.op.latex())

    def by(self, value: Value) -> Spelt:
        """How the loss changes with a value, as a name."""
        of = self.name(value)
        below = rf"\partial {of.latex}"
        return Spelt(
            Term(f"d{self.loss.text}/d{of.text}", PRODUCT),
            Term(rf"\frac{{\partial {self.loss.latex}}}{{{below}}}", PRODUCT),
        )

    def recognise(self, gradients: Sequence[Value]) -> None:
        """From now on, know what gradients use also where rewriting has made it anew, by what it is computed from."""
        for node in topological(gradients):
            for output in node.outputs:
                if output in self.known:
                    self.named.setdefault(self.key(output), self.known[output])

    def of(self, value: Value, more: Mapping[Value, Spelt] | None = None) -> Written:
        """A value by the names of others."""
        known = dict(self.known) | dict(more or {})
        for node in topological([value]):
            for output in node.outputs:
                if self.named and self.key(output) in self.named:
                    known.setdefault(output, self.named[self.key(output)])
        return Written(known[value]) if value in known else written(value, known)

    def key(self, value: Value) -> int:
        """The same number for values that the same operations make of the same inputs."""
        for node in topological([value]):
            inputs = tuple(self.numbers[x] for x in node.inputs)
            for output in node.outputs:
                made = (node.op, inputs, output.index)
                self.numbers[output] = self.numbers.setdefault(made, len(self.numbers))
        return self.numbers[value]


def _steps(applied: Sequence[Applied], spelling: Spelling) -> list[Step]:
    outer = [rule for rule in applied if not rule.inside]
    counts: dict[Value, int] = {}
    for rule in outer:
        for value, given in zip(rule.node.inputs, rule.given, strict=True):
            counts[value] = counts.get(value, 0) + (given is not None)
    seen: dict[Value, int] = {}
    comes: dict[Value, Spelt] = {}
    inside = 0
    steps: list[Step] = []
    for rule in applied:
        if rule.inside:
            inside += 1
            continue
        node = rule.node
        parts: list[Part] = []
        for g, output in zip(rule.arrived, node.outputs, strict=True):
            if g is not None and output in counts:
                comes[g] = spelling.by(output)
        for value, given, total in zip(node.inputs, rule.given, rule.total, strict=True):
            if given is None or total is None:
                continue
            seen[value] = seen.get(value, 0) + 1
            last = seen[value] == counts[value]
            whole = spelling.of(total, comes) if last and counts[value] > 1 else None
            parts.append(
                Part(
                    spelling.name(value),
                    spelling.by(value),
                    spelling.of(given, comes),
                    seen[value],
                    counts[value],
                    whole,
                )
            )
        steps.append(
            Step(
                node.op.name,
                spelling.name(node.outputs[0]),
                spelling.meaning(node),
                spelling.by(node.outputs[0]),
                parts,
                inside,
                node.op.name == "Dot" and [x.ndim for x in node.inputs] == [1, 1] and node.outputs[0].ndim == 0,
            )
        )
        inside = 0
    return steps


def _rules(fired: Sequence[Rewritten], spelling: Spelling) -> list[Rule]:
    """The rules that changed what is seen, equal ones once: nobody wants to read that a 1 was shared."""
    found: dict[tuple[str, str, str], Rule] = {}
    for rewritten in fired:
        shared = rewritten.rule == "common-subexpressions"
        plain = isinstance(rewritten.before.op, (Placeholder, Constant)) or rewritten.before.op.name in (
            "Broadcast",
            "Size",
            "Cast",
        )
        if shared and plain:
            continue
        before, after = spelling.of(rewritten.before), spelling.of(rewritten.after)
        if before.text == after.text and not shared:
            continue
        key = (rewritten.rule, before.text, after.text)
        times = found[key].times + 1 if key in found else 1
        found[key] = Rule(rewritten.rule, before, after, times)
    return list(found.values())
