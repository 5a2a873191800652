"""A graph as one StableHLO program that other machines run: any number of examples, for several platforms."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from millrace.engines.low import Low
from millrace.engines.xla import exporting, jax, jnp, without_places
from millrace.ir.composite import Composite, expansion
from millrace.ir.core import Node, Value, bind_attribute
from millrace.ir.dims import Dim, bind
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant
from millrace.ir.state import Read, Variable
from millrace.ir.types import TensorType


class PortableLow(Low):
    """What operations lower with where the sizes of some axes stay open, and no platform is known.

    sizes: what stands for each name of a dimension. lengths: those of the inputs' axes behind the first, which may as
    well be given. Each operation takes its plain form: what is faster on a CPU, or
    where sizes are known, asks for the platform "cpu", and a composite is what it is defined by.
    """

    def __init__(self, sizes: Mapping[str, Any], lengths: Sequence[str] = ()):
        super().__init__("portable")
        self.sizes, self.lengths = sizes, lengths

    def values(self, graph: Graph, results: dict[Value, Any], state: Mapping[Variable, Any]) -> list[Any]:
        for node in graph.nodes:
            if node.outputs[0] in results:
                continue
            outer, self.node = self.node, self.node or node
            arrays = [results[x] for x in node.inputs]
            out = self.value_of(node, arrays, state)
            self.node = outer
            for value, array in zip(node.outputs, out if len(node.outputs) > 1 else (out,), strict=True):
                results[value] = self.checked(node, value, array)
        return [results[value] for value in graph.outputs]

    def value_of(self, node: Node, arrays: Sequence[Any], state: Mapping[Variable, Any]) -> Any:
        """What a node computes from these arrays.  Raises ArgumentError that names it where it has no such form."""
        op: Any = node.op
        if isinstance(op, Constant):
            return jnp.asarray(op.literal.array)
        if isinstance(op, Read):
            return state[op.variable]
        arrays = self.roomy(node, arrays)
        if isinstance(op, Composite):
            types = [TensorType(x.dtype.name, v.shape) for x, v in zip(arrays, node.inputs, strict=True)]
            out = self.run(expansion(op, tuple(types)), arrays)
            return out if len(out) > 1 else out[0]
        try:
            return with_sizes(op, self.sizes).lower(self, *arrays)
        except MillraceError:
            raise
        except Exception as error:  # JAX's own errors about open sizes have many classes
            raise ArgumentError(
                f"{op.name} cannot be exported with open sizes ({', '.join(self.sizes) or 'none'}): "
                f"{str(error).splitlines()[0].rstrip('.')}.{self.instead()}"
            ).at((self.node or node).place()) from error

    def instead(self) -> str:
        """What to do where an operation has no form with open sizes, such as a loop of an open length."""
        if not self.lengths:
            return ""
        return f" Give the Input a length in place of {', '.join(self.lengths)}, such as (7,), or write .onnx instead."

    def checked(self, node: Node, value: Value, array: Any) -> Any:
        """An output in its dtype.  Raises MillraceError where it is not of the shape that was inferred."""
        array = array.astype(value.dtype) if self.computes_wide(node) else array
        shape = tuple(bind(size, self.sizes) for size in value.shape)
        if array.dtype != value.dtype or tuple(array.shape) != shape:
            raise MillraceError(f"lowering {node.op.name} gave {array.dtype}{array.shape}, not {value.type}").at(
                node.place()
            )
        return array


def with_sizes(op: Any, sizes: Mapping[str, Any]) -> Any:
    """An operation with the names of dimensions among its attributes replaced.

    Unlike `op.bind` it leaves the body of a loop alone, whose types take whole numbers and names: its nodes are bound
    one by one as they are lowered.
    """
    held = {field.name: getattr(op, field.name) for field in dataclasses.fields(op)}
    changes = {name: bind_attribute(x, sizes) for name, x in held.items() if isinstance(x, (Dim, tuple))}
    changes = {name: x for name, x in changes.items() if x is not held[name]}
    return dataclasses.replace(op, **changes) if changes else op


def portable(graph: Graph, platforms: Sequence[str], name: str = "model") -> Any:
    """A graph and its weights as a `jax.export.Exported`, which takes the inputs in their order.

    Named dimensions such as `batch` stay open. name: what the program is called.

    Raises ArgumentError for a graph that updates variables, and for an operation that has no form with open sizes.
    """
    if graph.updates:
        names = ", ".join(variable.name for variable in graph.updates)
        raise ArgumentError(f"this graph changes {names} when it is called: a program of StableHLO keeps no state.")
    export = exporting()
    with jax.enable_x64(True):
        scope = export.SymbolicScope()
        sizes = {free: export.symbolic_shape(free, scope=scope)[0] for free in sorted(graph.free_names)}
        lengths = {n for value in graph.inputs for size in value.shape[1:] for n in getattr(size, "names", ())}
        low = PortableLow(sizes, sorted(lengths))
        read = [node.op.variable for node in graph.nodes if isinstance(node.op, Read)]

        def program(*arrays: Any) -> Any:
            state = {variable: jnp.asarray(variable.numpy()) for variable in read}
            outputs = low.values(graph, dict(zip(graph.inputs, arrays, strict=True)), state)
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

        program.__name__ = re.sub(r"\W", "_", name) or "model"
        given = [
            jax.ShapeDtypeStruct(tuple(bind(size, sizes) for size in value.shape), np.dtype(value.dtype))
            for value in graph.inputs
        ]
        with without_places():  # whoever gets the file need not know the folders of this machine
            return export.export(jax.jit(program), platforms=tuple(platforms))(*given)


def deserialized(content: bytes) -> Callable[..., list[np.ndarray]] | None:
    """What `Exported.serialize` made, as a function of arrays; None where it is not for this machine's platform."""
    exported = exporting().deserialize(bytearray(content))
    here = jax.default_backend()
    if {"gpu": "cuda"}.get(here, here) not in exported.platforms:
        return None

    def call(*arrays: Any) -> list[np.ndarray]:
        with jax.enable_x64(True):
            made = exported.call(*arrays)
        return [np.asarray(array) for array in (made if isinstance(made, (list, tuple)) else (made,))]

    return call
