"""Weights that take up what is computed from weights alone: folding, graph to graph.

Two things: a product or sum along the channels right after a linear operation goes into that operation's weights, as
batch normalization does into the convolution before it; and whatever else depends on weights alone is computed once,
now, instead of in each call. Both compute in float64 and round once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.inference.known import Known
from millrace.inference.linear import channels, lies_along, scaled, sides
from millrace.ir.core import Node, Value
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.state import Read, Variable
from millrace.ops.arithmetic import Add, Divide, Multiply, Subtract
from millrace.ops.elementwise import Negative
from millrace.ops.shape import Broadcast

Make = Callable[[Node, tuple[Value, ...]], Any]


def folded(graph: Graph) -> Graph:
    """The graph with its weights folded: results change by rounding alone, and its own variables not at all."""
    return settled(merged(graph))


@dataclass
class Chain:
    """A linear operation and the steps along its channels that follow it, as one: x times `weights`, plus `shift`.

    side: which operand of the operation the weights are. Both in float64; the shift has an axis for each of the
    result's, of size 1 where it does not vary. steps: the nodes that are taken up.
    """

    linear: Node
    side: int
    weights: np.ndarray
    shift: np.ndarray
    steps: list[Node] = field(default_factory=list)

    @property
    def saves(self) -> bool:
        """Whether there is anything to fold: a single sum is a bias, and stays one."""
        return len(self.steps) > 1 or (bool(self.steps) and not isinstance(self.steps[0].op, (Add, Subtract)))

    def takes(self, step: Node, place: int, other: np.ndarray | None) -> bool:
        """Take up a step: its operand `place` is the chain so far, the other is these numbers.  False: it cannot."""
        found = times_and_plus(step, place, other)
        if found is None or not all(lies_along(self.linear, self.side, x) for x in found):
            return False
        times, plus = found
        with np.errstate(all="ignore"):
            weights, shift = scaled(self.linear, self.side, self.weights, times), self.shift * times + plus
            kept = [array.astype(self.linear.outputs[0].dtype) for array in (weights, shift)]
        if not all(np.isfinite(array).all() for array in kept):
            return False
        self.weights, self.shift = weights, shift
        self.steps.append(step)
        return True

    def emitted(self, inputs: tuple[Value, ...], names: tuple[str, str]) -> Value:
        """The operation with its new weights, and its shift added."""
        out = self.linear.outputs[0]
        given = list(inputs)
        given[self.side] = Variable(self.weights.astype(out.dtype), names[0]).value
        product: Value = self.linear.op(*given)
        if not self.shift.any():
            return product
        axes = tuple(sorted(channels(self.linear, self.side)))
        shift = np.broadcast_to(self.shift.reshape([self.shift.shape[a] for a in axes]), [out.shape[a] for a in axes])
        bias = Variable(shift.astype(out.dtype), names[1])
        return Add()(product, Broadcast(out.shape, axes)(bias.value))


def times_and_plus(step: Node, place: int, other: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    """What a step makes of the value c at its operand `place`: c times the first plus the second; None: not that."""
    one, none = (np.full((1,) * step.outputs[0].ndim, number) for number in (1.0, 0.0))
    if isinstance(step.op, Negative):
        return -one, none
    if other is None:
        return None
    if isinstance(step.op, Add):
        return one, other
    if isinstance(step.op, Subtract):
        return (one, -other) if place == 0 else (-one, other)
    if isinstance(step.op, Multiply):
        return other, none
    if isinstance(step.op, Divide) and place == 0:
        with np.errstate(all="ignore"):
            return 1 / other, none
    return None


def merged(graph: Graph) -> Graph:
    """The graph with products and sums along the channels taken into the linear operation before them.

    Not where that operation's result, or one in between, is used elsewhere too, nor where its weights are.
    """
    known = Known(graph)
    uses = Counter(x for node in graph.nodes for x in node.inputs) + Counter(graph.outputs)
    after = {x: node for node in graph.nodes for x in node.inputs}
    found = (chain_from(node, known, uses, after) for node in graph.nodes)
    chains = {chain.linear: chain for chain in found if chain is not None}
    steps = {step: chain for chain in chains.values() for step in chain.steps}

    def make(node: Node, inputs: tuple[Value, ...]) -> Any:
        if node in chains:
            return chains[node].emitted(inputs, names_of(chains[node], known))
        if node in steps:  # nothing is left to do: its operand is the chain, whole already
            within = {chain_node.outputs[0] for chain_node in (steps[node].linear, *steps[node].steps)}
            return next(new for old, new in zip(node.inputs, inputs, strict=True) if old in within)
        return again(node, node.op, inputs)

    return remade(graph, make, {}) if chains else graph


def chain_from(node: Node, known: Known, uses: Mapping[Value, int], after: Mapping[Value, Node]) -> Chain | None:
    """What begins with this node and can be folded, or None."""
    side = next((n for n in sides(node.op) if node.inputs[n] in known), None)
    value = node.outputs[0]
    if side is None or not value.type.is_float or value in known or uses[value] != 1 or value not in after:
        return None
    if not known.is_only_used_here(node.inputs[side], uses):
        return None
    chain = Chain(node, side, known.array(node.inputs[side]), np.zeros((1,) * value.ndim))
    while uses[value] == 1 and value in after:
        step = after[value]
        place = step.inputs.index(value)
        other = step.inputs[1 - place] if len(step.inputs) == 2 else None
        lane = None if other is None else known.lane(other)
        if step.outputs[0].type != value.type or not chain.takes(step, place, lane):
            break
        value = step.outputs[0]
    return chain if chain.saves else None


def names_of(chain: Chain, known: Known) -> tuple[str, str]:
    """What the weights and the bias of a chain are called: as they were, or "bias" beside the weights."""
    variables = known.variables[chain.linear.inputs[chain.side]]
    name = variables[0].name if variables else f"{chain.linear.layer or 'folded'}/kernel"
    layer = name.rpartition("/")[0]
    first = chain.steps[0]
    others = [x for x in first.inputs if x is not chain.linear.outputs[0]] if isinstance(first.op, Add) else []
    own = [v.name for x in others for v in known.behind(x) if v.name.rpartition("/")[0] == layer]
    return name, own[0] if own else f"{layer}/bias".lstrip("/")


def settled(graph: Graph) -> Graph:
    """The graph with everything that depends on its variables alone computed now, into variables of its own.

    Not what is larger than the variables that it is made of, such as one that is repeated along an axis; nor a
    variable that is only put in another order, where it is needed in its own as well.
    """
    known = Known(graph)
    users = {x: node for node in graph.nodes if node.outputs[0] not in known for x in node.inputs if x in known}
    ends = list(dict.fromkeys([*users, *(x for x in graph.outputs if x in known)]))
    after = {x: node for node in graph.nodes for x in node.inputs}
    new: dict[Value, Value] = {}
    for value in ends:
        variables = known.variables[value]
        if isinstance(value.op, Read) or not variables or elements(value) > sum(map(elements, variables)):
            continue
        if known.is_only_moved(value) and grows(ends, variables, known):
            continue
        array = known.array(value).astype(value.dtype)
        new[value] = Variable(array, name_for(value, known, after), all(v.trainable for v in variables)).value
    return remade(graph, lambda node, inputs: again(node, node.op, inputs), new) if new else graph


def grows(ends: Iterable[Value], variables: Iterable[Variable], known: Known) -> bool:
    """Whether all that is made of these variables is more than they are."""
    wanted = set(variables)
    users = [value for value in ends if wanted & set(known.variables[value])]
    return sum(map(elements, users)) > sum(map(elements, {v for value in users for v in known.variables[value]}))


def name_for(value: Value, known: Known, after: Mapping[Value, Node]) -> str:
    """What a computed weight is called: as the one that it is made of, or after its layer and what it does there."""
    variables = known.variables[value]
    if len(variables) == 1 and known.is_only_moved(value):
        return variables[0].name
    user = after.get(value)
    while user is not None and isinstance(user.op, Broadcast):
        user = after.get(user.outputs[0])
    does = value.op.name.lower()
    if user is not None and isinstance(user.op, (Multiply, Divide)):
        does = "scale"
    elif user is not None and isinstance(user.op, (Add, Subtract)):
        does = "shift"
    layers = {v.name.rpartition("/")[0] for v in variables}
    layer = layers.pop() if len(layers) == 1 else value.node.layer
    return f"{layer}/{does}".lstrip("/")


def elements(x: Value | Variable) -> int:
    return int(x.type.size)  # type: ignore[arg-type]


def remade(graph: Graph, make: Make, new: dict[Value, Value]) -> Graph:
    """The graph with `make(node, inputs)` for each node and `new` for some values; new variables get names apart."""
    values = rebuilt(graph.nodes, make, dict(new))
    outputs = [values[x] for x in graph.outputs]
    updates = {variable: values[x].node.inputs[0] for variable, x in graph.updates.items()}
    nodes = topological([*outputs, *updates.values()])
    variables = dict.fromkeys(node.op.variable for node in nodes if isinstance(node.op, Read))
    before = set(graph.variables)
    taken = {v.name for v in variables if v in before} | {v.name for v in updates}
    for variable in variables:
        if variable not in before:
            variable.name = apart(variable.name, taken)
            taken.add(variable.name)
    return Graph([values[x] for x in graph.inputs], outputs, updates)


def apart(name: str, taken: set[str]) -> str:
    """A name, with a number where it is taken."""
    names = [name, *(f"{name}_{n}" for n in range(2, len(taken) + 2))]
    return next(one for one in names if one not in taken)
