"""A loop over time as one operation; its gradient is a loop over time backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.core import Op, Primitive, Sample, Value
from millrace.ir.dims import Size, same
from millrace.ir.errors import ShapeError
from millrace.ir.formula import Formula
from millrace.ir.gradient import pull_back
from millrace.ir.graph import Graph, again, rebuilt, topological
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.text import Body
from millrace.ir.types import TensorType
from millrace.ir.work import flop
from millrace.ops.arithmetic import Add, Multiply
from millrace.ops.contract import Dot
from millrace.ops.elementwise import Elementwise, Tanh
from millrace.ops.sampling import bad_types, tensor, uniform
from millrace.ops.scan_rows import program
from millrace.ops.shape import Transpose


@dataclass(frozen=True)
class Scan(Primitive):
    """Apply a body again and again, handing its state from step to step.

    Inputs: `carries` initial states, then `sequences` values with time as their first axis, then
    constants that every step sees. The body takes states, this step's slices and the constants, and gives
    new states and this step's outputs. Results: the last states, then the outputs stacked over time.
    `extends`: the body of which this one is a longer form, whose scan it can stand for.
    Source: JAX lax.scan; its gradient: Griewank and Walther, Evaluating Derivatives, ch. 12.
    """

    body: Body
    carries: int
    sequences: int
    length: Size
    reverse: bool = False
    extends: Body | None = None

    @property
    def graph(self) -> Graph:
        return self.body.graph

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        n, m = self.carries, self.carries + self.sequences
        for x in types[n:m]:
            if x.ndim < 1 or not same(x.shape[0], self.length):
                raise ShapeError(f"scan runs {self.length} steps, but a sequence is {x}: time must be its first axis.")
        step = (*types[:n], *(x.with_shape(*x.shape[1:]) for x in types[n:m]), *types[m:])
        expected = tuple(value.type for value in self.graph.inputs)
        if step != expected:
            shown = [", ".join(map(str, side)) for side in (expected, step)]
            raise ShapeError(f"the body of a scan takes ({shown[0]}) but a step gives it ({shown[1]}).")
        results = [value.type for value in self.graph.outputs]
        for before, after in zip(types[:n], results[:n], strict=True):
            if before != after:
                raise ShapeError(f"the body of a scan turns a state of {before} into {after}; it must stay the same.")
        return (*results[:n], *(y.with_shape(self.length, *y.shape) for y in results[n:]))

    def evaluate(self, *arrays: np.ndarray) -> Any:
        n, m = self.carries, self.carries + self.sequences
        states, collected = list(arrays[:n]), []
        steps = range(int(self.length))  # type: ignore[arg-type]
        for t in reversed(steps) if self.reverse else steps:
            results = self.graph.evaluate([*states, *(x[t] for x in arrays[n:m]), *arrays[m:]])
            states = results[:n]
            collected.append(results[n:])
        if self.reverse:
            collected.reverse()
        outputs = self.graph.outputs[n:]
        stacked = [
            np.stack([step[k] for step in collected]) if collected else np.zeros((0, *value.shape), value.dtype)
            for k, value in enumerate(outputs)
        ]
        everything = (*states, *stacked)
        return everything if len(everything) > 1 else everything[0]

    def flop(self, *types: TensorType) -> int:
        return int(self.length) * flop(self.graph.nodes)  # type: ignore[arg-type]

    def lower(self, low: Any, *arrays: Any) -> Any:
        n, m = self.carries, self.carries + self.sequences
        given = [x.astype(np.float32) if x.dtype == bool else x for x in arrays]
        if isinstance(self.length, int) and low.has_routine(*given):
            how = program(self.graph, n, self.sequences, self.length, self.reverse)
            if how is not None:
                low.note("routine of its own", "XLA's loop runs each step's products on one thread of a CPU")
                shapes = [array.shape for array in arrays[:n]]
                shapes += [(self.length, arrays[0].shape[0], value.shape[1]) for value in self.graph.outputs[n:]]
                given[n:m] = [x[..., None] if x.ndim == 2 else x for x in given[n:m]]
                made = low.routines("scan", shapes, *given, how=how)
                results = made if isinstance(made, tuple) else (made,)
                typed = tuple(
                    x != 0 if y.dtype == "bool" else x for x, y in zip(results, self.graph.outputs, strict=True)
                )
                return typed if len(typed) > 1 else typed[0]

        def step(states: Any, slices: Any) -> Any:
            results = low.run(self.graph, (*states, *slices, *arrays[m:]))
            return tuple(results[:n]), tuple(results[n:])

        states, stacked = low.lax.scan(
            step, tuple(arrays[:n]), tuple(arrays[n:m]), length=self.length, reverse=self.reverse
        )
        everything = (*states, *stacked)
        return everything if len(everything) > 1 else everything[0]

    def gradient(self, mr: Any, g: Any, out: Any, *inputs: Value) -> Any:
        return _Backward(mr, self, inputs).run(g if isinstance(g, tuple) else (g,))

    def stands_for(self) -> Op | None:
        """The shorter scan whose results are the first results of this one."""
        if self.extends is None:
            return None
        return Scan(self.extends, self.carries, self.sequences, self.length, self.reverse)

    def formula(self, *types: TensorType) -> Formula | None:
        return None  # a loop, not an equation for one element: tested against the loop written out

    def notation(self, *operands: str) -> str:
        direction = " backwards" if self.reverse else ""
        return f"scan[{self.length} steps{direction}]({', '.join(operands)})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        def body(build: Any, *types: TensorType) -> Body:
            values = tuple(Placeholder(f"x{n}", t)() for n, t in enumerate(types))
            return Body(Graph(values, build(*values)))

        two, matrix = tensor("float64", 2, 3), tensor("float64", 3, 3)
        rnn = body(lambda h, x, w: ((r := Tanh()(Add()(Dot()(h, w), x))), r), two, two, matrix)
        decay = body(lambda h, x: (Add()(Multiply()(h, x), x),), tensor("float64", 2), tensor("float64", 2))
        count = body(lambda h, w: (Multiply()(h, w), h), tensor("float32"), tensor("float32"))

        def x(*shape: int, dtype: str = "float64") -> np.ndarray:
            return uniform(rng, shape, dtype=dtype)

        return [
            Sample(cls(rnn, 1, 1, 4), (x(2, 3), x(4, 2, 3), x(3, 3))),
            Sample(cls(rnn, 1, 1, 3, True), (x(2, 3), x(3, 2, 3), x(3, 3))),
            Sample(cls(decay, 1, 1, 5), (x(2), x(5, 2))),
            Sample(cls(decay, 1, 1, 1), (x(2), x(1, 2))),
            Sample(cls(count, 1, 0, 3), (x(dtype="float32"), x(dtype="float32"))),
        ]

    @classmethod
    def errors(cls) -> list:
        op = cls.samples(np.random.default_rng(0))[2].op
        state = tensor("float64", 2)
        return [
            bad_types(op, "runs 5 steps", state, tensor("float64", 4, 2)),
            bad_types(op, "a step gives it", tensor("float64", 3), tensor("float64", 5, 2)),
        ]


class _Backward:
    """Builds the gradient of a scan: a longer forward loop that keeps what the backward loop needs."""

    def __init__(self, mr: Any, scan: Scan, inputs: tuple[Value, ...]):
        self.mr, self.scan, self.inputs = mr, scan, inputs
        graph, n, m = scan.graph, scan.carries, scan.carries + scan.sequences
        self.graph = graph
        self.states, self.slices, self.constants = graph.inputs[:n], graph.inputs[n:m], graph.inputs[m:]

    def run(self, g: tuple[Value, ...]) -> tuple[Value | None, ...]:
        mr, scan, n = self.mr, self.scan, self.scan.carries
        m = n + scan.sequences
        seeds = [
            Placeholder(f"g{k}", value.type)() if value.type.is_float else None
            for k, value in enumerate(self.graph.outputs)
        ]
        wanted = [value for value in self.graph.inputs if value.type.is_float]
        found, _ = pull_back(mr, self.graph.outputs, seeds, wanted, partial=True)
        by_input = dict(zip(wanted, found, strict=True))

        d_states = [by_input.get(value) for value in self.states]
        d_slices = [by_input.get(value) for value in self.slices]
        products, summed = self._split([by_input.get(value) for value in self.constants])
        results = [value for value in (*d_states, *d_slices, *summed) if value is not None]
        results += [operand for terms in products for term in terms for operand in _factors(term)]

        kept = self._kept(results, {seed for seed in seeds if seed is not None})
        return self._loops(g, seeds, kept, d_states, d_slices, products, summed, n, m)

    def _split(self, gradients: list[Value | None]) -> tuple[list[list[Value]], list[Value | None]]:
        """For each constant: the products of which its gradient is the sum, and the rest of the sum.

        A product of things that change from step to step is not summed inside the loop: its factors are
        stacked over time and multiplied once after it, with time as one more axis to sum over.
        """
        products: list[list[Value]] = []
        rest: list[Value | None] = []
        for gradient in gradients:
            terms, others = [], None
            stack = [gradient] if gradient is not None else []
            while stack:
                value = stack.pop()
                if isinstance(value.op, Add):
                    stack.extend(reversed(value.node.inputs))
                elif _is_product(value):
                    terms.append(value)
                else:
                    others = value if others is None else self.mr.add(others, value)
            products.append(terms)
            rest.append(others)
        return products, rest

    def _kept(self, results: list[Value], seeds: set[Value]) -> list[Value]:
        """What the backward step reads from the forward one: made without its seeds, and not an input of it.

        What only derivatives need and a pass over elements makes of it, such as 1 - tanh(x)^2, the backward step
        makes itself: to keep a value costs a write and a read at each step.
        """
        nodes = topological(results)
        forward = {value for node in topological(self.graph.outputs) for value in node.outputs}
        backward: set[Value] = set(seeds)
        for node in nodes:
            derived = node.outputs[0] not in forward and (isinstance(node.op, Elementwise) or node.op.moves)
            if any(value in backward for value in node.inputs) or (derived and node.inputs):
                backward.update(node.outputs)
        used = {x: None for node in nodes if node.outputs[0] in backward for x in node.inputs if x not in backward}
        used |= {value: None for value in results if value not in backward}
        given = {*self.slices, *self.constants}
        return [value for value in used if value not in given and not isinstance(value.op, Constant)]

    def _loops(
        self,
        g: Any,
        seeds: Any,
        kept: Any,
        d_states: Any,
        d_slices: Any,
        products: Any,
        summed: Any,
        n: int,
        m: int,
    ) -> tuple[Value | None, ...]:
        mr, scan, graph = self.mr, self.scan, self.graph
        shown = graph.outputs[n:]
        longer = Body(Graph(graph.inputs, (*graph.outputs, *(value for value in kept if value not in shown))))
        forward = Scan(longer, n, scan.sequences, scan.length, scan.reverse, scan.body)(*self.inputs)
        forward = forward if isinstance(forward, tuple) else (forward,)
        # What steps made, over time: each is stacked once, be it an output, a slice's gradient, a factor or several.
        # With outputs that nobody reads left out, a step of an LSTM of 256 units over 100 steps takes 0.92 of the time
        # (half of 13 rounds within 0.88 to 1.00) and 120 MiB between its operations for 152 (2 cores, Zen 4).
        over_time = dict(zip(longer.graph.outputs[n:], forward[n:], strict=True))
        stacked_kept = [over_time[value] for value in kept]
        over_time |= zip(self.slices, self.inputs[n:m], strict=True)

        # The state of the backward loop: gradients of the states that floats have, and sums for constants.
        live = [k for k in range(n) if seeds[k] is not None]
        sums = [value for value in summed if value is not None]
        accumulators = [Placeholder(f"a{k}", value.type)() for k, value in enumerate(sums)]
        new_states = [d_states[k] if d_states[k] is not None else mr.zeros_like(graph.outputs[k]) for k in live]
        new_sums = [mr.add(a, value) for a, value in zip(accumulators, sums, strict=True)]
        wanted = [value for value in d_slices if value is not None]
        wanted += [operand for terms in products for term in terms for operand in _factors(term)]
        outputs = [value for value in dict.fromkeys(wanted) if value not in over_time]
        output_seeds = [(k, seed) for k, seed in enumerate(seeds) if k >= n and seed is not None]
        replaced: dict[Value, Value] = {}
        body = Body(
            Graph(
                _fresh(
                    (
                        *(seeds[k] for k in live),
                        *accumulators,
                        *(seed for _, seed in output_seeds),
                        *kept,
                        *self.slices,
                        *self.constants,
                    ),
                    replaced,
                ),
                _rebuilt((*new_states, *new_sums, *outputs), replaced),
            )
        )
        zeros = [mr.zeros_like(value) for value in self._outside(sums)]
        backward = Scan(
            body, len(live) + len(sums), len(output_seeds) + len(kept) + len(self.slices), scan.length, not scan.reverse
        )(
            *(g[k] for k in live), *zeros, *(g[k] for k, _ in output_seeds),
            *stacked_kept, *self.inputs[n:m], *self.inputs[m:],
        )  # fmt: skip
        results = iter(backward if isinstance(backward, tuple) else (backward,))

        states: list[Value | None] = [None] * n
        for k in live:
            states[k] = next(results)
        totals = [next(results) if value is not None else None for value in summed]
        over_time |= zip(outputs, results, strict=True)
        slices = [None if value is None else over_time[value] for value in d_slices]
        constants: list[Value | None] = []
        for total, terms in zip(totals, products, strict=True):
            for term in terms:
                product = _over_time(term, *(over_time[operand] for operand in _factors(term)))
                total = product if total is None else mr.add(total, product)
            constants.append(total)
        return (*states, *slices, *constants)

    def _outside(self, sums: list[Value]) -> list[Value]:
        """Constants have the same type inside and outside: their sums start as zeros of it."""
        m = self.scan.carries + self.scan.sequences
        by_type = {value.type: value for value in self.inputs[m:]}
        return [by_type[value.type] for value in sums]


def _is_product(value: Value) -> bool:
    """A product without batch axes, perhaps with its axes permuted."""
    op = value.node.inputs[0].op if isinstance(value.op, Transpose) else value.op
    return isinstance(op, Dot) and not op.x_batch


def _factors(term: Value) -> tuple[Value, ...]:
    return term.node.inputs[0].node.inputs if isinstance(term.op, Transpose) else term.node.inputs


def _over_time(term: Value, x: Value, y: Value) -> Value:
    """The product `term` of one step, summed over all steps: its factors stacked, time contracted too."""
    if isinstance(term.op, Transpose):
        return term.op(_over_time(term.node.inputs[0], x, y))
    op: Any = term.op
    later = [(0, *(axis + 1 for axis in axes)) for axes in (op.x_contract, op.y_contract)]
    return Dot(*later)(x, y)


def _fresh(values: tuple[Value, ...], replaced: dict[Value, Value]) -> tuple[Value, ...]:
    """New inputs in the place of values."""
    for k, value in enumerate(values):
        replaced[value] = Placeholder(f"x{k}", value.type)()
    return tuple(replaced[value] for value in values)


def _rebuilt(values: tuple[Value, ...], replaced: dict[Value, Value]) -> tuple[Value, ...]:
    new = rebuilt(
        topological(values, frozenset(replaced)), lambda node, inputs: again(node, node.op, inputs), dict(replaced)
    )
    return tuple(new.get(value, value) for value in values)
