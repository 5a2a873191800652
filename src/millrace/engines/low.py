"""What an operation's `lower` is given: XLA's vocabulary, and how a graph's operations are brought to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from millrace.engines import native
from millrace.engines.devices import Devices
from millrace.engines.plan import CONVOLUTIONS
from millrace.engines.xla import jax, jnp, lax, set_xla_metadata
from millrace.ir.composite import Composite
from millrace.ir.core import Node, Value, functional
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable
from millrace.ir.types import HALVES, TensorType

KEEP_CHANNELS = ("MaxPool", "AveragePool", "LocalResponseNormalization")  # each from its own place in the last axis
SPLIT_GROUPS = 8  # up to so many groups of a convolution run as one convolution each


class Low:
    """What an operation's `lower` is given: XLA's vocabulary, the platform, and a place for notes."""

    lax = lax
    jnp = jnp
    bundled = False  # whether an operation stands among routines in one call, where some pay that alone would not

    def __init__(self, platform: str, devices: Devices | None = None):
        self.platform, self.devices = platform, devices
        self.notes: list[tuple[Node | None, str, str]] = []
        self.node: Node | None = None

    def note(self, choice: str, why: str) -> None:
        """Record a lowering that was chosen, and the reason."""
        self.notes.append((self.node, choice, why))

    def run(self, graph: Graph, arrays: Sequence[Any]) -> list[Any]:
        """Lower every node of a graph on these arrays."""
        return self.values(graph, dict(zip(graph.inputs, arrays, strict=True)), {})

    def values(self, graph: Graph, results: dict[Value, Any], state: Mapping[Variable, Any]) -> list[Any]:
        for number, node in enumerate(graph.nodes):
            self.lower_node(node, number, results, state)
        return [results[value] for value in graph.outputs]

    def lower_node(self, node: Node, number: int, results: dict[Value, Any], state: Mapping[Variable, Any]) -> None:
        """Lower one node, of this number, on what `results` has of others."""
        if node.outputs[0] in results:
            return
        op: Any = node.op
        arrays = [results[x] for x in node.inputs]
        outer, self.node = self.node, self.node or node
        if isinstance(op, Constant):
            out: Any = jnp.asarray(op.literal.array)
        elif isinstance(op, Read):
            out = state[op.variable]
        elif isinstance(op, Assign):
            out = arrays[0]
        else:
            assert not isinstance(op, Placeholder)
            with jax.named_scope(f"n{number}") if outer is None else nullcontext():  # for `millrace profile`
                out = op.lower(self, *self.roomy(node, arrays))
        self.node = outer
        outputs = out if len(node.outputs) > 1 else (out,)
        if self.computes_wide(node):
            outputs = tuple(x.astype(value.dtype) for x, value in zip(outputs, node.outputs, strict=True))
        for value, array in zip(node.outputs, outputs, strict=True):
            if array.dtype != value.dtype or array.shape != value.shape:
                raise MillraceError(f"lowering {op.name} gave {array.dtype}{array.shape}, not {value.type}").at(
                    node.place()
                )
            results[value] = array

    def computes_wide(self, node: Node) -> bool:
        """Whether the operands of 16 bits are converted to float32 for the whole operation.

        Matrix products say so themselves; convolutions elsewhere than on CPUs accumulate in float32 as they are.
        """
        if not any(value.dtype in HALVES for value in node.inputs):
            return False
        accumulates = node.op.accumulates or (self.platform == "cpu" and node.op.name in CONVOLUTIONS)
        return accumulates or isinstance(node.op, Composite)

    def roomy(self, node: Node, arrays: Sequence[Any]) -> Sequence[Any]:
        """The operands of a node in the dtype in which it is computed."""
        if not self.computes_wide(node):
            return arrays
        return [x.astype(np.float32) if x.dtype.name in HALVES else x for x in arrays]

    def boundary(self, f: Callable[..., Any], *arrays: Any) -> Any:
        """`f(*arrays)`, which XLA on a CPU may not fuse with what comes before or after.

        XLA fuses a cheap producer into each of its uses and computes it again for each: around pooling and response
        normalization many times over, and by slow loops. A call that may not be inlined is a boundary that fusion
        keeps to, and costs nothing else; an optimization_barrier is removed before fusion. AlexNet's step, batch 32,
        takes 1.24 times as long without boundaries (0.60 against 0.48 s for a sketch of it, 2 cores, Zen 5).
        """
        if self.platform != "cpu" or self.devices is not None:  # a call is whole on each device of a mesh
            return f(*arrays)

        def within(*arrays: Any) -> Any:
            with set_xla_metadata(inlineable="true"):  # what f itself calls
                return f(*arrays)

        with set_xla_metadata(inlineable="false"):
            return jax.jit(within)(*arrays)

    def has_routine(self, *arrays: Any) -> bool:
        """Whether Millrace's own routines may compute this: numbers of 32 bits on one CPU, in a library that is there.

        XLA can split a program over a mesh, but no routine that it does not know.
        """
        single = all(x.dtype.name == "float32" for x in arrays)
        return single and self.platform == "cpu" and self.devices is None and native.offered()

    def routine(self, name: str, shape: tuple[int, ...], *arrays: Any, how: Sequence[int] = ()) -> Any:
        """The result of one of Millrace's own routines, float32, of this shape."""
        return native.call(name, [shape], arrays, how)[0]

    def routines(self, name: str, shapes: Sequence[tuple[int, ...]], *arrays: Any, how: Sequence[int] = ()) -> Any:
        """The results of a routine that has several; one alone where there is one."""
        made = native.call(name, shapes, arrays, how)
        return tuple(made) if len(made) > 1 else made[0]

    def traced(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of values, `f(mr, *values)`, as a function of arrays."""

        def on_arrays(*arrays: Any) -> Any:
            values = [Placeholder(f"x{n}", TensorType.of(x))() for n, x in enumerate(arrays)]
            out = f(functional(), *values)
            many = isinstance(out, tuple)
            results = self.run(Graph(values, out if many else (out,)), arrays)
            return tuple(results) if many else results[0]

        return on_arrays

    def by_group(self, f: Callable[..., Any], groups: int, *operands: Any) -> Any:
        """`f(groups, *operands)`, or on a CPU each group by itself along the last axis, concatenated.

        Measured on 2 cores of a Zen 3 EPYC: grouped convolutions run at 9 to 19 GFLOP/s, split ones at 91
        to 172. Many groups (depthwise) would become many small programs, so they stay together.
        """
        axis = self.axis_of_groups(groups)
        if axis is not None:
            assert self.devices is not None
            n = self.devices.mesh.along(axis)
            self.note(f"{n} devices", f"each has its groups of channels on the axis {axis!r}: nothing crosses")
            parts = [self.devices.last(x.ndim, axis) for x in operands]
            apart = partial(self.groups_here, f, groups // n)
            over = jax.eval_shape(partial(f, groups), *operands)
            return jax.shard_map(
                apart, mesh=self.devices.grid, in_specs=tuple(parts), out_specs=self.devices.last(over.ndim, axis),
                axis_names={axis},
            )(*operands)  # fmt: skip
        return self.groups_here(f, groups, *operands)

    def whole(self, x: Any) -> Any:
        """x, made by each device for itself. Random bits are: what they cost is less than sending them."""
        return x if self.devices is None else lax.with_sharding_constraint(x, self.devices.whole)

    def by_channels(self, f: Callable[..., Any], x: Any, window: Sequence[int], padding: Any) -> Any:
        """`f(padding, x)`, a sum over windows; where they reach over channels that lie on several devices, each gets
        the few that it lacks from its neighbours, once."""
        axis = self.axis_of_channels() if window[-1] > 1 else None
        below, above = padding[-1]
        if axis is None or set(window[:-1]) != {1} or below + above != window[-1] - 1:
            return f(padding, x)
        assert self.devices is not None
        n, lies = self.devices.mesh.along(axis), self.devices.last(x.ndim, axis)
        if x.shape[-1] // n < max(below, above):
            return f(padding, x)

        def here(x: Any) -> Any:
            left = lax.ppermute(x[..., x.shape[-1] - below :], axis, [(i, i + 1) for i in range(n - 1)])
            right = lax.ppermute(x[..., :above], axis, [(i + 1, i) for i in range(n - 1)])
            return f((*padding[:-1], (0, 0)), jnp.concatenate([left, x, right], axis=-1))  # at the ends come zeros

        over = jax.shard_map(here, mesh=self.devices.grid, in_specs=(lies,), out_specs=lies, axis_names={axis})
        return over(x)

    def axis_of_channels(self) -> str | None:
        """The axis of the mesh over which the channels of this node's first operand are split, as far as is known."""
        if self.devices is None or self.node is None or not self.node.inputs:
            return None
        node = self.node.inputs[0].node
        while node.op.name != "Shard" and node.inputs and (node.op.pointwise or node.op.name in KEEP_CHANNELS):
            node = node.inputs[0].node
        axis = node.op.axes[-1] if node.op.name == "Shard" else None  # type: ignore[attr-defined]
        return axis if self.devices.mesh.along(axis) > 1 else None

    def axis_of_groups(self, groups: int) -> str | None:
        """The axis of the mesh over which the channels of this node's first operand, and so its groups, are split."""
        if self.devices is None or self.node is None or self.node.inputs[0].op.name != "Shard":
            return None
        axis = self.node.inputs[0].op.axes[-1]  # type: ignore[attr-defined]
        n = self.devices.mesh.along(axis)
        return axis if n > 1 and groups % n == 0 else None

    def shard(self, x: Any, axes: Sequence[str | None]) -> Any:
        """x, said to lie so over the devices of the mesh."""
        if self.devices is None:
            return x
        sharding = self.devices.split(self.devices.fitting(axes, x.shape, "a value"))
        return lax.with_sharding_constraint(x, sharding)

    def groups_here(self, f: Callable[..., Any], groups: int, *operands: Any) -> Any:
        """`f(groups, *operands)`, on a CPU each group by itself."""
        if groups == 1 or groups > SPLIT_GROUPS or self.platform != "cpu":
            return f(groups, *operands)
        self.note(f"{groups} convolutions", "grouped convolutions are 7 to 10 times slower on a CPU")

        def apart(*arrays: Any) -> Any:
            parts = [jnp.split(x, groups, axis=-1) for x in arrays]
            return jnp.concatenate([f(1, *part) for part in zip(*parts, strict=True)], axis=-1)

        return self.boundary(apart, *operands)

    def transposed(self, f: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
        """The transpose of a linear function, found by XLA's own rules."""
        transpose = jax.linear_transpose(f, jax.ShapeDtypeStruct(x.shape, x.dtype))
        return lambda g: transpose(g)[0]
