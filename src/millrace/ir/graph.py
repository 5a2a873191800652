"""A graph: values in, values out, variables updated; walking, copying and checking it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from millrace.ir.core import Node, Op, Value, made_by
from millrace.ir.dims import Dim
from millrace.ir.errors import ArgumentError, GraphError
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable
from millrace.ir.types import widened


def topological(values: Iterable[Value], stop: frozenset[Value] = frozenset()) -> list[Node]:
    """Every node that `values` rest on, inputs before users; nothing beyond the values in `stop`."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(value.node, False) for value in reversed(list(values)) if value not in stop]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((x.node, False) for x in reversed(node.inputs) if x not in stop and x.node not in seen)
    return order


class Graph:
    """Inputs, outputs and updates of variables, with everything between them."""

    def __init__(
        self,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        updates: Mapping[Variable, Value] | None = None,
    ):
        for value in (*inputs, *outputs):
            if not isinstance(value, Value):
                raise ArgumentError(f"a graph has values as its inputs and outputs, got {value!r}.")
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.updates: dict[Variable, Value] = {}
        for variable, value in (updates or {}).items():
            with made_by(value.node):
                self.updates[variable] = Assign(variable)(value)
        self.nodes = topological((*self.inputs, *self.outputs, *self.updates.values()))
        verify(self)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every variable that is read or updated, in the order of their first appearance."""
        read = [node.op.variable for node in self.nodes if isinstance(node.op, (Read, Assign))]
        return tuple(dict.fromkeys(read))

    @property
    def free_names(self) -> frozenset[str]:
        """Names of dimensions that the inputs bind."""
        names: set[str] = set()
        for value in self.inputs:
            for size in value.shape:
                names |= size.names if isinstance(size, Dim) else set()
        return frozenset(names)

    def bind(self, sizes: Mapping[str, int]) -> Graph:
        """The same graph with named dimensions replaced by numbers."""
        return self.rebuild(lambda node, inputs: again(node, node.op.bind(sizes), inputs)) if sizes else self

    def rebuild(self, make: Callable[[Node, tuple[Value, ...]], Any]) -> Graph:
        """A copy in which `make(node, new_inputs)` says what stands for each node."""
        new = rebuilt(self.nodes, make, {})
        graph = Graph.__new__(Graph)
        graph.inputs = tuple(new[value] for value in self.inputs)
        graph.outputs = tuple(new[value] for value in self.outputs)
        graph.updates = {variable: new[value] for variable, value in self.updates.items()}
        graph.nodes = topological((*graph.inputs, *graph.outputs, *graph.updates.values()))
        return graph

    def substitute(self, replacements: Mapping[Value, Value]) -> dict[Value, Value]:
        """Copies of all values, built on `replacements`; what does not depend on them stays itself."""
        return rebuilt(self.nodes, lambda node, inputs: again(node, node.op, inputs), dict(replacements))

    def evaluate(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for concrete inputs, one node after another: the plainest interpreter.

        Variables are read and not written.
        """
        results: dict[Value, Any] = dict(zip(self.inputs, arrays, strict=True))
        last = {x: node for node in self.nodes for x in node.inputs}
        for node in self.nodes:
            if node.outputs[0] not in results:
                results |= zip(node.outputs, apply(node, [results[x] for x in node.inputs]), strict=True)
            for x in node.inputs:
                if last[x] is node and x not in self.outputs:
                    results.pop(x, None)  # large weights are drawn here: what was needed goes at once
        return [results[value] for value in self.outputs]


def apply(node: Node, arrays: Sequence[np.ndarray], bound: Any = None) -> tuple[np.ndarray, ...]:
    """What one node computes, in NumPy: always arrays, always of the inferred dtype.

    Numbers of 16 bits are computed with in float32, and each result is rounded to its dtype: NumPy lacks
    most of bfloat16, and would sum float16 in float16. `bound` is the node's operation with named dimensions
    replaced by numbers, where it has any.
    """
    op: Any = bound or node.op
    if isinstance(op, Constant):
        return (op.literal.array,)
    if isinstance(op, Read):
        return (op.variable.numpy(),)
    if isinstance(op, Assign):
        return (arrays[0],)
    if isinstance(op, Placeholder):
        raise GraphError(f"input {op.label!r} has no value here: pass it to mr.function")
    with np.errstate(all="ignore"):  # infinities are values; the engines look for those that matter
        out = op.evaluate(*(widened(x) for x in arrays))
        out = out if isinstance(out, tuple) else (out,)
        return tuple(np.asarray(x, dtype=value.dtype) for x, value in zip(out, node.outputs, strict=True))


def rebuilt(
    nodes: Iterable[Node], make: Callable[[Node, tuple[Value, ...]], Any], new: dict[Value, Value]
) -> dict[Value, Value]:
    """Old values mapped to new ones: `make(node, new_inputs)` says what stands for each node."""
    for node in nodes:
        if all(value in new for value in node.outputs):
            continue
        inputs = tuple(new.get(value, value) for value in node.inputs)
        with made_by(node):
            outputs = make(node, inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for value, made in zip(node.outputs, outputs, strict=True):
            new.setdefault(value, made)  # one of several outputs may have been replaced already
    return new


def again(node: Node, op: Op, inputs: tuple[Value, ...]) -> Any:
    """`op` on `inputs` in the place of a node: the node itself where nothing has changed."""
    return node.outputs if op is node.op and inputs == node.inputs else op(*inputs)


Rule = Callable[[Graph], Iterable[str]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    """A rule of the language: yields a complaint for each place where a graph breaks it."""
    RULES[check.__name__.replace("_", "-")] = check
    return check


def verify(graph: Graph) -> None:
    """Check a graph against every rule; GraphError lists what is broken."""
    complaints = [f"{name}: {text}" for name, check in RULES.items() for text in check(graph)]
    if complaints:
        raise GraphError("not a valid graph:\n  " + "\n  ".join(complaints[:5]))


@rule
def every_input_is_named(graph: Graph) -> Iterable[str]:
    given = set(graph.inputs)
    for node in graph.nodes:
        if isinstance(node.op, Placeholder) and node.outputs[0] not in given:
            yield f"input {node.op.label!r} is used but is not among the inputs ({node.place()})"


@rule
def inputs_are_placeholders(graph: Graph) -> Iterable[str]:
    for value in graph.inputs:
        if not isinstance(value.op, Placeholder):
            yield f"an input must be an mr.Input, not the result of {value.op.name} ({value.node.place()})"
    if len(set(graph.inputs)) < len(graph.inputs):
        yield "an input is given twice"


@rule
def types_are_inferred(graph: Graph) -> Iterable[str]:
    for node in graph.nodes:
        types = node.op.infer(*(value.type for value in node.inputs))
        if (types if isinstance(types, tuple) else (types,)) != tuple(v.type for v in node.outputs):
            yield f"{node.op.name} says {types} but its outputs are {[str(v.type) for v in node.outputs]}"


@rule
def variables_have_unique_names(graph: Graph) -> Iterable[str]:
    names: dict[str, Variable] = {}
    for variable in graph.variables:
        if names.setdefault(variable.name, variable) is not variable:
            yield f"two variables are called {variable.name!r}: give one another name"


@rule
def updates_are_outermost(graph: Graph) -> Iterable[str]:
    updates = set(graph.updates.values())
    for node in graph.nodes:
        if isinstance(node.op, Assign) and node.outputs[0] not in updates:
            yield f"{node.op.variable.name!r} is assigned inside an expression; pass updates= instead"
        for value in node.inputs:
            if isinstance(value.op, Assign):
                yield f"{node.op.name} uses the result of assigning {value.op.variable.name!r}"


@rule
def inputs_come_first(graph: Graph) -> Iterable[str]:
    seen: set[Value] = set()
    for node in graph.nodes:
        for value in node.inputs:
            if value not in seen:
                yield f"{node.op.name} uses a value before it is made"
        seen.update(node.outputs)
