"""An ONNX graph while it is written: its nodes, initializers, names and sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import helper

from millrace.inference.onnx.export_dtypes import work_dtype
from millrace.inference.onnx.export_forms import Shape
from millrace.inference.onnx.export_table import refused
from millrace.inference.onnx.tensors import onnx_dtype
from millrace.ir.core import Node
from millrace.ir.dims import Dim, Size

SMALL = 4096  # elements that are compared bit by bit
END = 2**63 - 1  # "to the end", for Slice


class Writer:
    """An ONNX graph that is being written, or the body of a loop in one (then `outer` is the graph around it).

    Names are unique in all graphs together, since a body sees what is around it. Initializers and sizes are written in
    the outermost graph. given: that graph's inputs with their shapes, which open dimensions are read from. here: the
    node of Millrace that is being written, after whose layer nodes are named.
    """

    def __init__(self, outer: Writer | None = None):
        self.root: Writer = outer.root if outer else self
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.given: list[tuple[str, Shape]] = []
        self.taken: set[str] = set()
        self.here: Node | None = None
        self.results: set[str] = set()
        self._sizes: dict[Size, str] = {}
        self._reshaped: dict[str, tuple[str, Sequence[Size]]] = {}
        self._now: dict[str, str] = {}  # names of today for names that were given first
        self._known: dict[Any, str] = {}  # nodes by what they compute
        self._arrays: defaultdict[str, list[str]] = defaultdict(list)

    @contextmanager
    def at(self, node: Node | None) -> Iterator[None]:
        """What is written inside is named after this node."""
        before, self.here = self.here, node or self.here
        try:
            yield
        finally:
            self.here = before

    def unique(self, wish: str) -> str:
        """The wish, or the wish with a number, as a name that nothing has yet."""
        taken, name, count = self.root.taken, wish, 1
        while name in taken:
            count += 1
            name = f"{wish}_{count}"
        taken.add(name)
        return name

    def nodes_of(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Write a node; the names of its outputs."""
        layer = self.here.layer if self.here is not None else ""
        name = self.unique(f"{layer}/{op_type}" if layer else op_type)
        names = [name, *(self.unique(name) for _ in range(outputs - 1))]
        inputs = [self._now.get(given, given) for given in inputs]
        self.nodes.append(helper.make_node(op_type, inputs, names, name=name, **attributes))
        return names

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Write a node with one output, once for the same inputs and attributes; its name."""
        key = op_type, inputs, repr(attributes)
        if key not in self._known:
            self._known[key] = self.nodes_of(op_type, inputs, 1, **attributes)[0]
        return self._known[key]

    def cast(self, name: str, before: str, after: str) -> str:
        """A tensor in another dtype."""
        return name if before == after else self.node("Cast", name, to=onnx_dtype(after))

    def through(self, op_type: str, inputs: Sequence[str], dtype: str, *rest: str, **attributes: Any) -> str:
        """Write a node whose inputs and output have one dtype, between casts where runtimes lack it for this dtype."""
        work = work_dtype(op_type, dtype)
        name = self.node(op_type, *(self.cast(name, dtype, work) for name in inputs), *rest, **attributes)
        return self.cast(name, work, dtype)

    def array(self, array: np.ndarray, label: str = "") -> str:
        """An initializer; the same one for the same numbers under the same label."""
        root = self.root
        label = label or "constant"
        for name in root._arrays[label]:
            other = root.initializers[name]
            if other.shape == array.shape and other.dtype == array.dtype and _same(other, array):
                return name
        name = self.unique(label)
        root.initializers[name] = array
        root._arrays[label].append(name)
        return name

    def ints(self, *numbers: int) -> str:
        """Whole numbers as an initializer int64 [numbers]."""
        return self.array(np.array(numbers, np.int64))

    def number(self, number: Any, dtype: str) -> str:
        """One number as an initializer without axes."""
        return self.array(np.array(number).astype(dtype))

    # ---- shapes

    def size(self, size: Size) -> str:
        """A dimension as a tensor int64 [1]."""
        if not isinstance(size, Dim):
            return self.ints(size)
        root = self.root
        if size not in root._sizes:
            with root.at(None):
                root._sizes[size] = root._read_size(size) or root._computed_size(size)
        return root._sizes[size]

    def scalar(self, size: Dim) -> str:
        """An open dimension as a tensor int64 without axes."""
        return self.node("Squeeze", self.size(size), self.ints(0))

    def counted(self, size: Size) -> str:
        """The numbers from 0 up to a dimension as a tensor int64 [size]."""
        if not isinstance(size, Dim):
            return self.array(np.arange(size), "steps")
        return self.node("Range", self.number(0, "int64"), self.scalar(size), self.number(1, "int64"))

    def _read_size(self, size: Size) -> str | None:
        for name, shape in self.given:
            for axis, other in enumerate(shape):
                if other == size:
                    return self.node("Shape", name, start=axis, end=axis + 1)
        return None

    def _computed_size(self, size: Dim) -> str:
        if len(size.terms) == 1 and size.terms[0] == (size.terms[0][0][:1], 1):
            return self._solved_size(size)
        total = ""
        for names, factor in size.terms:
            part = self.ints(factor)
            for n, name in enumerate(names):
                one = self.size(Dim((((name,), 1),)))
                part = one if n == 0 and factor == 1 else self.node("Mul", part, one)
            total = self.node("Add", total, part) if total else part
        return total

    def _solved_size(self, size: Dim) -> str:
        """A name that inputs have only in sizes such as 2*batch+1."""
        for given, shape in self.given:
            for axis, other in enumerate(shape):
                terms = dict(other.terms) if isinstance(other, Dim) else {}
                constant = terms.pop((), 0)
                if list(terms) == [size.terms[0][0]]:
                    read = self.node("Shape", given, start=axis, end=axis + 1)
                    rest = self.node("Sub", read, self.ints(constant)) if constant else read
                    return self.node("Div", rest, self.ints(next(iter(terms.values()))))
        assert self.here is not None
        raise refused(self.here, f"no input tells how large {size} is")

    def shape(self, sizes: Sequence[Size]) -> str:
        """A shape as a tensor int64 [axes]."""
        if not any(isinstance(size, Dim) for size in sizes):
            return self.ints(*sizes)  # type: ignore[arg-type]
        parts: list[str] = []
        known: list[int] = []
        for size in (*sizes, None):
            if isinstance(size, int):
                known.append(size)
                continue
            if known:
                parts.append(self.ints(*known))
                known = []
            if size is not None:
                parts.append(self.size(size))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def reshaped(self, name: str, before: Sequence[Size], after: Sequence[Size]) -> str:
        """A tensor under another shape; in one go where it was reshaped before."""
        name, before = self._reshaped.get(name, (name, before))
        if tuple(before) == tuple(after):
            return name
        made = self._reshape(name, before, after)
        self._reshaped[made] = name, tuple(before)
        return made

    def _reshape(self, name: str, before: Sequence[Size], after: Sequence[Size]) -> str:
        spec = list(after)
        open_axes = [axis for axis, size in enumerate(after) if isinstance(size, Dim)]
        if 0 in after:
            return self.node("Reshape", name, self.shape(after), allowzero=1)
        if len(open_axes) > 1:  # 0: as before
            for axis in [axis for axis in open_axes if axis < len(before) and before[axis] == after[axis]]:
                spec[axis] = 0
                open_axes.remove(axis)
        if len(open_axes) == 1:
            spec[open_axes[0]] = -1
        return self.node("Reshape", name, self.shape(spec))

    def regrouped(self, name: str, before: Shape, after: Shape) -> str:
        """A tensor under another shape that has the same sizes or other groups of them; axes of size 1 come or go."""
        long = [[size for size in shape if size != 1] for shape in (before, after)]
        ones = [[axis for axis, size in enumerate(shape) if size == 1] for shape in (before, after)]
        if long[0] == long[1] and before != after and not (ones[0] and ones[1]):
            op_type = "Squeeze" if ones[0] else "Unsqueeze"
            return self.node(op_type, name, self.ints(*(ones[0] or ones[1])))
        return self.reshaped(name, before, after)

    # ---- results

    def named(self, name: str, wish: str = "") -> str:
        """A tensor as an output of this graph, under a name that only this output has.

        The node that makes it writes it under that name; what comes from elsewhere, or twice, goes through Identity.
        """
        name = self._now.get(name, name)
        if name in self.results or not any(name in node.output for node in self.nodes):
            (name,) = self.nodes_of("Identity", [name], 1)
        if wish:
            self._rename(name, wish)
        self.results.add(wish or name)
        return wish or name

    def prune(self) -> None:
        """Drop the nodes and initializers that no result needs."""
        kept: list[Any] = []
        used = set(self.results)
        for node in reversed(self.nodes):
            if used.intersection(node.output):
                used |= _read_by(node)
                kept.append(node)
        self.nodes = kept[::-1]
        self.initializers = {name: array for name, array in self.initializers.items() if name in used}

    def _rename(self, before: str, after: str) -> None:
        """Another name for a tensor, where it is used already and where it will be."""
        for node in self.nodes:
            _renamed(node, before, after)
        self._now[before] = after


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one shape and dtype have the same bits."""
    return a.tobytes() == b.tobytes() if a.size <= SMALL else bool(np.array_equal(a, b))


def _renamed(node: Any, before: str, after: str) -> None:
    """Another name for a tensor, in a node and the bodies that it holds."""
    for names in (node.input, node.output):
        for n, name in enumerate(names):
            if name == before:
                names[n] = after
    for attribute in node.attribute:
        for inner in attribute.g.node:
            _renamed(inner, before, after)


def _read_by(node: Any) -> set[str]:
    """The tensors that a node and its bodies read."""
    inner = (_read_by(other) for attribute in node.attribute for other in attribute.g.node)
    outputs = (value.name for attribute in node.attribute for value in attribute.g.output)
    return {*node.input, *outputs}.union(*inner)
