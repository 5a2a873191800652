"""The mathematics of a subject, from the graph that runs: its formula, what it is made of, and its gradient."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from millrace import functional as mr
from millrace.explain.signs import tidied
from millrace.ir.composite import Composite, expansion
from millrace.ir.core import Node, Op, Value, none
from millrace.ir.formula import Formula
from millrace.ir.gradient import STEPWISE, pull_back
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.printing import Spelt, is_implied, written
from millrace.ir.state import Read, Variable
from millrace.ir.typeset import rows, symbol
from millrace.ops.scan import Scan

LETTERS = "abcdefijkmnopqrsuvz"  # g and t have a meaning in gradients and updates
WHERE = r"\text{where}"  # between results and what their letters stand for
UNSEEN = ("shard on one device = x",)  # what is split is to be seen


@dataclass(frozen=True)
class Mathematics:
    """What is shown of a subject. An empty text: there is none.

    whole: the outputs as expressions. index: the definition by index of its main operation, and the operation's name.
    inside: what composite operations in it stand for, by name. gradient: with respect to each input and weight, with g
    for how the loss changes with the output. missing: why there is no gradient, by name.
    """

    whole: Spelt | None = None
    index: tuple[str, Formula] | None = None
    inside: Mapping[str, Spelt] | None = None
    gradient: Spelt | None = None
    missing: Mapping[str, str] | None = None
    step: Spelt | None = None


def short_names(variables: Sequence[Variable]) -> dict[Variable, str]:
    """The last part of each variable's name, and as many more as tell it from the others: kernel, forward_kernel."""
    parts = {v: v.name.split("/") for v in variables}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        names = {v: "_".join(p[-count:]) for v, p in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {v: v.name for v in variables}


def opened(outputs: Sequence[Value]) -> tuple[list[Value], dict[Variable, Value]]:
    """The same values with each variable as an open input under a short name."""
    nodes = topological(outputs)
    names = short_names([n.op.variable for n in nodes if isinstance(n.op, Read)])
    taken = {n.op.label for n in nodes if isinstance(n.op, Placeholder)}
    inputs = {v: Placeholder(f"{name}_" if name in taken else name, v.type)() for v, name in names.items()}

    def make(node: Node, given: tuple[Value, ...]) -> object:
        return inputs[node.op.variable] if isinstance(node.op, Read) else again(node, node.op, given)

    new = rebuilt(nodes, make, {})
    return [new[value] for value in outputs], inputs


def together(values: Mapping[str, Value], heads: Mapping[str, str] | None = None) -> Spelt:
    """Several values as equations, one below the other; what they share stands once, below all under a letter.

    heads: the left sides in LaTeX, where they are not just names.
    """
    inputs = [n.outputs[0] for n in topological(values.values()) if isinstance(n.op, Placeholder)]
    outputs = tidied(Graph(inputs, list(values.values())), off=UNSEEN)
    nodes = topological(outputs)
    uses: Counter[Value] = Counter(outputs)
    for node in reversed(nodes):
        for x in node.inputs:
            uses[x] += uses[node.outputs[0]] if is_implied(node) else 1
    taken = {n.op.notation() for n in nodes if isinstance(n.op, Placeholder)} | set(values)
    letters = (letter for n in ("", *range(1, 99)) for one in LETTERS if (letter := f"{one}{n}") not in taken)
    known: dict[Value, Spelt] = {}
    named: list[tuple[Spelt, Spelt]] = []
    for node in nodes:
        leaf = isinstance(node.op, (Placeholder, Constant)) or is_implied(node)
        if leaf or sum(uses[x] for x in node.outputs) < 2:
            continue
        if len(node.outputs) > 1:
            continue
        meaning = written(node.outputs[0], known).whole
        if len(meaning.text) > 3:
            letter = next(letters)
            known[node.outputs[0]] = Spelt(letter, symbol(letter))
            named.append((known[node.outputs[0]], meaning))
    text, latex = [], []
    for name, output in zip(values, outputs, strict=True):
        made = known.get(output) or written(output, known).whole
        text.append(f"{name} = {made.text}")
        latex.append(rf"{(heads or {}).get(name, head(name))} = {made.latex}")
    where = [f"{letter.text} = {meaning.text}" for letter, meaning in named]
    lines = [*text, *(("  where " if n == 0 else "        ") + line for n, line in enumerate(where))]
    below = [rf"{letter.latex} = {meaning.latex}" for letter, meaning in named]
    return Spelt(
        "\n".join(lines), rows(*latex, WHERE, *below) if below else rows(*latex) if len(latex) > 1 else latex[0]
    )


def head(name: str) -> str:
    """A name as LaTeX; h' is the next h."""
    return rf"{symbol(name[:-1])}'" if name.endswith("'") else symbol(name)


def slope_of(name: str) -> str:
    r"""The left side of a gradient, as LaTeX: \frac{\partial L}{\partial x}."""
    return rf"\frac{{\partial L}}{{\partial {symbol(name)}}}"


def differentiated(
    outputs: Mapping[str, Value], inputs: Mapping[str, Value]
) -> tuple[dict[str, Value], dict[str, str]]:
    """The gradient with respect to each float input, and why there is none, by name.

    g stands for how the loss changes with an output; g_h where there are several, or h is handed on to a next step.
    """
    if not inputs:
        return {}, {"": "nothing"}
    floats = {name: value for name, value in outputs.items() if value.type.is_float}
    wrt = {name: value for name, value in inputs.items() if value.type.is_float}
    missing = {name: "whole" for name, value in inputs.items() if not value.type.is_float}
    if not floats:
        return {}, dict.fromkeys(inputs, reason(next(iter(outputs.values())).node))
    alone = len(floats) == 1 and not next(iter(floats)).endswith("'")
    seeds = {n: Placeholder("g" if alone else f"g_{n.rstrip(chr(39))}", v.type)() for n, v in floats.items()}
    found, stopped = pull_back(mr, list(floats.values()), list(seeds.values()), list(wrt.values()), partial=False)
    gradients = {}
    for name, gradient in zip(wrt, found, strict=True):
        if gradient is not None:
            gradients[name] = gradient
        else:
            at = next((n for n in stopped if wrt[name].node in set(topological(n.outputs))), None)
            missing[name] = "unused" if at is None else reason(at)
    return gradients, missing


def reason(node: Node) -> str:
    """Why nothing flows back through a node, as its operation says."""
    gradient = getattr(node.op, "gradient", None)
    return gradient.reason if isinstance(gradient, none) else STEPWISE


def operand_names(op: Op, count: int) -> list[str]:
    """What an operation calls its inputs."""
    parameters = list(inspect.signature(getattr(op, "expand", op.infer)).parameters.values())
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "mr"]
    if len(names) != count:
        parameters = list(inspect.signature(op.infer).parameters.values())
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return names if len(names) == count else [f"x{n}" for n in range(count)]


def expanded(node: Node) -> Spelt:
    """What a composite operation stands for."""
    types = tuple(x.type for x in node.inputs)
    graph = expansion(node.op, types)
    names = operand_names(node.op, len(types))
    inputs = {x: Placeholder(name, x.type)() for x, name in zip(graph.inputs, names, strict=True)}
    new = graph.substitute(inputs)
    outputs = [new[x] for x in graph.outputs]
    names = ["y"] if len(outputs) == 1 else [f"y{n}" for n in range(len(outputs))]
    return together(dict(zip(names, outputs, strict=True)))


def stepped(node: Node) -> Spelt:
    """What one step of a loop does: its new states, and what it puts out."""
    op: Scan = node.op  # type: ignore[assignment]
    graph = op.graph
    names = [f"s{n}'" if n < op.carries else f"y{n - op.carries}" for n in range(len(graph.outputs))]
    wanted = [f"s{n}" for n in range(op.carries)] + [f"x{n}" for n in range(op.sequences)]
    wanted += [f"w{n}" for n in range(len(graph.inputs) - len(wanted))]
    inputs = {x: Placeholder(name, x.type)() for x, name in zip(graph.inputs, wanted, strict=True)}
    new = graph.substitute(inputs)
    return together(dict(zip(names, [new[x] for x in graph.outputs], strict=True)))


STRUCTURE = {"Reshape", "Transpose", "Broadcast", "Cast", "Constant", "Placeholder", "Read", "Slice", "Scan", "Shard"}


def main_operation(outputs: Sequence[Value], alone: bool) -> Node | None:
    """The node that does most of the arithmetic. alone: only if it is the only one that does any."""
    nodes = [
        n for n in topological(outputs) if not isinstance(n.op, (Placeholder, Constant, Read)) and not is_implied(n)
    ]
    work = [n for n in nodes if n.op.name not in STRUCTURE] or [n for n in nodes if not isinstance(n.op, Scan)]
    if not work or (alone and len(work) > 1):
        return None
    return max(work, key=lambda n: n.op.flop(*(x.type for x in n.inputs)))


def index_of(node: Node | None) -> tuple[str, Formula] | None:
    """An operation's definition by index, for the sizes at hand."""
    if node is None or not hasattr(node.op, "formula"):
        return None
    made = node.op.formula(*(x.type for x in node.inputs))
    return None if made is None else (node.op.name, made)


def mathematics(
    inputs: Mapping[str, Value], outputs: Mapping[str, Value], alone: bool = True,
    step: tuple[Mapping[str, Value], Mapping[str, Value]] | None = None, wrt: Sequence[str] = (),
) -> Mathematics:  # fmt: skip
    """All that is shown of values that a subject built from inputs.

    alone: whether a definition by index is shown only where one operation does it all. step: of a loop, whose gradient
    then stands for the whole. wrt: the inputs that it is differentiated by, all unless given.
    """
    values, weights = opened(list(outputs.values()))
    shown = dict(zip(outputs, values, strict=True))
    composite = {n.op.name: n for n in topological(values) if isinstance(n.op, Composite)}
    inside = {name: expanded(node) for name, node in composite.items()}
    loops = [n for n in topological(values) if isinstance(n.op, Scan)]
    step_spelt = None
    if step is not None:
        given, made = step
        opened_step, step_weights = opened(list(made.values()))
        stepped_values = dict(zip(made, opened_step, strict=True))
        step_spelt = together(stepped_values)
        by = {**given, **labelled(step_weights.values())}
        gradients, missing = differentiated(stepped_values, by)
    else:
        if loops:
            step_spelt = stepped(loops[0])
        by = {name: value for name, value in inputs.items() if not wrt or name in wrt}
        by |= labelled(value for v, value in weights.items() if v.trainable)
        of_interest = shown if all(name.endswith("'") for name in shown) else dict(list(shown.items())[:1])
        gradients, missing = differentiated(of_interest, by)
    return Mathematics(
        together(shown), index_of(main_operation(values, alone)), inside,
        together({f"dL/d{n}": v for n, v in gradients.items()}, {f"dL/d{n}": slope_of(n) for n in gradients})
        if gradients else None,
        missing, step_spelt,
    )  # fmt: skip


def labelled(values: Iterable[Value]) -> dict[str, Value]:
    """Open inputs by their names."""
    return {value.op.notation(): value for value in values}


def counted(shape: Sequence[object]) -> str:
    """A shape as a product: 3*3*1*32; a single number as 1."""
    return "*".join(map(str, shape)) or "1"
