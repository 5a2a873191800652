"""Rewrites: a graph replaced by a simpler one that means the same.

Each rule has a name, can be listed and switched off, and changes no result beyond rounding. The rules
about a particular operation stand beside it in `millrace.ops`; the general ones stand here.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from millrace.ir.core import Node, Op, Value, functional
from millrace.ir.errors import one_of
from millrace.ir.graph import Graph, again, apply, rebuilt, topological
from millrace.ir.leaves import Constant, Literal
from millrace.ir.text import Body

GENERAL = {
    "constant-folding": "an operation on constants is computed now",
    "common-subexpressions": "the same operation on the same inputs is computed once",
    "shared-forward": "a loop gives way to the longer form of it that its gradient runs anyway",
    "dead-code": "what no output and no update needs is dropped",
}
FOLD_WORK = 10_000_000  # additions and the like: what takes long is left to the engine
FOLD_LIMIT = 4096  # elements: folding may not turn a short text into a large constant

Simplification = Callable[..., "Value | tuple[Value, ...] | None"]
_BY_OP: dict[type[Op], list[tuple[str, Simplification]]] = {}
_ABOUT: dict[str, str] = {}


def simplification(name: str, *ops: type[Op]) -> Callable[[Simplification], Simplification]:
    """Register `rule(mr, op, *inputs)` for these operations: the simpler value, or None."""

    def register(rule: Simplification) -> Simplification:
        _ABOUT[name] = (rule.__doc__ or "").strip()
        for op in ops:
            _BY_OP.setdefault(op, []).append((name, rule))
        return rule

    return register


def rules() -> dict[str, str]:
    """Every rewrite rule by name, with what it does."""
    return {**GENERAL, **dict(sorted(_ABOUT.items()))}


@dataclass(frozen=True)
class Rewritten:
    """One rule that fired: its name, the value it was about, and what has taken that value's place."""

    rule: str
    before: Value
    after: Value


_observer: contextvars.ContextVar[Callable[[Rewritten], None] | None] = contextvars.ContextVar("observer", default=None)


@contextmanager
def observed(observe: Callable[[Rewritten], None]) -> Iterator[None]:
    """Rewriting inside tells `observe` each rule that fires, in its order; but not that dead code is dropped."""
    token = _observer.set(observe)
    try:
        yield
    finally:
        _observer.reset(token)


def simplify(graph: Graph, off: Collection[str] = (), passes: int = 4) -> Graph:
    """The graph with all rules applied but those named in `off`.

    Raises ArgumentError for a rule that does not exist.
    """
    for name in off:
        if name not in rules():
            raise one_of("rewrite rule", name, list(rules()))
    for _ in range(passes):
        before = graph
        graph = _once(graph, frozenset(off))
        if [n.op for n in graph.nodes] == [n.op for n in before.nodes]:
            break
    return _within_loops(graph, off)


def _within_loops(graph: Graph, off: Collection[str]) -> Graph:
    """The graph with the bodies of its loops simplified as well; last, since until then bodies are compared."""

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        bodies = {name: value for name, value in vars(node.op).items() if isinstance(value, Body)}
        simpler = {name: Body(simplify(body.graph, off)) for name, body in bodies.items()}
        changed = {name: body for name, body in simpler.items() if body != bodies[name]}
        return again(node, replace(node.op, **changed) if changed else node.op, inputs)  # type: ignore[type-var]

    return graph.rebuild(make) if any(isinstance(v, Body) for n in graph.nodes for v in vars(n.op).values()) else graph


def _once(graph: Graph, off: frozenset[str]) -> Graph:
    mr = functional()
    observe = _observer.get()
    known: dict[Any, Any] = {}

    def fired(rule: str, node: Node, inputs: tuple[Value, ...], after: Any) -> Any:
        """What a rule has made of a node, told to the observer."""
        if observe is not None:
            before = again(node, node.op, inputs)
            pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (before, after)), strict=True)
            for old, new in pairs:
                observe(Rewritten(rule, old, new))
        return after

    longer = {} if "shared-forward" in off else _longer_forms(graph)

    def once(op: Op, inputs: tuple[Value, ...], node: Node) -> Any:
        """The operation on these inputs, made at most once."""
        if "common-subexpressions" in off:
            return again(node, op, inputs)
        key = (op, inputs, _zeros(op))
        if key in known:
            return fired("common-subexpressions", node, inputs, known[key]) if op is node.op else known[key]
        known[key] = again(node, op, inputs)
        return known[key]

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        op = node.op
        if not op.pure:
            return again(node, op, inputs)
        if "constant-folding" not in off and inputs and all(isinstance(x.op, Constant) for x in inputs):
            folded = _fold(node, inputs)
            if folded is not None:
                return fired("constant-folding", node, inputs, folded)
        for name, rule in _BY_OP.get(type(op), ()):
            if name not in off:
                simpler = rule(mr, op, *inputs)
                if simpler is not None:
                    return fired(name, node, inputs, simpler)
        if (op, node.inputs) in longer:
            results = once(longer[op, node.inputs], inputs, node)[: len(node.outputs)]
            return fired("shared-forward", node, inputs, results if len(results) > 1 else results[0])
        return once(op, inputs, node)

    new = rebuilt(graph.nodes, make, {value: value for value in graph.inputs})
    result = Graph.__new__(Graph)
    result.inputs = graph.inputs
    result.outputs = tuple(new[value] for value in graph.outputs)
    result.updates = {variable: new[value] for variable, value in graph.updates.items()}
    roots = [*result.inputs, *result.outputs, *result.updates.values()]
    if "dead-code" in off:
        roots += [new[value] for node in graph.nodes for value in node.outputs]
    result.nodes = topological(roots)
    return result


def _zeros(op: Op) -> tuple[str, ...]:
    """The zeros among an operation's attributes with their signs, which == does not see."""
    return tuple(repr(value) for value in vars(op).values() if isinstance(value, float) and value == 0)


def _longer_forms(graph: Graph) -> dict[Any, Op]:
    """Operations on inputs, and the longer form on the same inputs whose first results are theirs."""
    found: dict[Any, Op] = {}
    for node in graph.nodes:
        shorter = getattr(node.op, "stands_for", lambda: None)()
        if shorter is not None:
            found[shorter, node.inputs] = node.op
    return found


def _is_long(node: Node, inputs: tuple[Value, ...]) -> bool:
    """Whether computing a node takes long although it makes little: a loop, or a window over much that is padding."""
    loop = getattr(node.op, "length", 0)
    return not isinstance(loop, int) or loop > FOLD_LIMIT or node.op.flop(*(x.type for x in inputs)) > FOLD_WORK


def _fold(node: Node, inputs: tuple[Value, ...]) -> Any:
    if any(not v.type.is_concrete or v.type.size > FOLD_LIMIT for v in node.outputs):  # type: ignore[operator]
        return None
    if not hasattr(node.op, "evaluate") or _is_long(node, inputs):
        return None
    arrays = apply(node, [x.op.literal.array for x in inputs])  # type: ignore[attr-defined]
    made = tuple(Constant(Literal(array))() for array in arrays)
    return made if len(made) > 1 else made[0]
