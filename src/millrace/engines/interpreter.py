"""The interpreter: a graph run node by node in NumPy, independent nodes at the same time.

Each node waits for its inputs; a node that is ready runs on the thread that made it ready, further ones
on a pool. It can record every value, stop at a node, and check every value. It needs NumPy alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from millrace.ir.core import Node, Value, snake
from millrace.ir.dims import shape_text
from millrace.ir.errors import MillraceError, NonFiniteError
from millrace.ir.graph import Graph, apply
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.mesh import Mesh
from millrace.ir.state import Read, snapshot
from millrace.ir.types import is_float_array, widened

Watch = Callable[[Node, Sequence[np.ndarray], Sequence[np.ndarray]], None]


class Interpreter:
    """The NumPy engine: `mr.function(..., engine=mr.Interpreter(check=True))`.

    workers: threads, by default one a core. record: keep every value of the last call in `recorded`.
    check: raise NonFiniteError at the node where the first infinity or NaN is born. break_at: names of
    operations, nodes or values, or a test of a node; `on_break(node, inputs, outputs)` is called there,
    by default Python's debugger.
    """

    name = "numpy"

    def __init__(
        self,
        workers: int | None = None,
        record: bool = False,
        check: bool = False,
        break_at: Any = None,
        on_break: Watch | None = None,
    ):
        self.workers = workers or os.cpu_count() or 1
        self.record, self.check, self.break_at, self.on_break = record, check, break_at, on_break
        self.recorded: dict[Value, np.ndarray] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def observes(self) -> bool:
        """Whether somebody looks inside, so that the graph must stay as the user wrote it."""
        return self.record or self.check or self.break_at is not None

    @property
    def pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="millrace")
        return self._pool

    mesh: Mesh | None = None  # to it a split value is the value itself

    def on(self, mesh: Mesh | None) -> Interpreter:
        """Itself: whatever the mesh, the numbers are the same."""
        return self

    def prepare(self, graph: Graph, sizes: Mapping[str, int]) -> InterpretedProgram:
        return InterpretedProgram(self, graph, sizes)

    def breaks_at(self, node: Node) -> bool:
        if callable(self.break_at):
            return bool(self.break_at(node))
        wanted = self.break_at if isinstance(self.break_at, (list, tuple, set)) else [self.break_at]
        return any(w is node or w in node.outputs or w in (node.op.name, snake(node.op.name)) for w in wanted)

    def observe(self, node: Node, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        if self.record:
            self.recorded |= zip(node.outputs, outputs, strict=True)
        if self.break_at is not None and self.breaks_at(node):
            if self.on_break is None:
                breakpoint()
            else:
                self.on_break(node, inputs, outputs)
        if self.check:
            for value in outputs:
                if is_float_array(value) and not np.isfinite(value).all() and is_born(node, inputs, value):
                    raise born_here(node, inputs, value)


def is_born(node: Node, inputs: Sequence[np.ndarray], value: np.ndarray) -> bool:
    """Whether infinity or NaN arises here: nothing that the node was given was so already.

    An infinity that the user wrote or passed in is meant, such as a mask's; a NaN never is.
    """
    floats = [x for x in inputs if is_float_array(x)]
    if np.isnan(value).any():
        return not any(np.isnan(x).any() for x in floats)
    return bool(node.inputs) and not any(np.isinf(x).any() for x in floats)


def born_here(node: Node, inputs: Sequence[np.ndarray], value: np.ndarray) -> NonFiniteError:
    """The error for the first value that is not finite."""
    bad = ~np.isfinite(value)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    kind = "NaN" if np.isnan(value).any() else "infinity"
    ranges = ", ".join(
        f"{x.dtype}{shape_text(x.shape)} from {widened(x).min():.6g} to {widened(x).max():.6g}"
        for x in inputs
        if x.size and x.dtype != bool
    )
    match node.op:
        case Read(variable=variable):
            source = f"is in variable {variable.name!r} already"
        case Placeholder(label=label):
            source = f"came with input {label!r}"
        case _:
            source = f"was born in {snake(node.op.name)}"
    message = f"the first {kind} {source}: {int(bad.sum())} of {value.size} elements, the first at {list(first)}."
    return NonFiniteError(message + (f" Its inputs: {ranges}." if ranges else "")).at(node.place())  # type: ignore[return-value]


class InterpretedProgram:
    """A graph made ready to run for one set of sizes: who waits for whom."""

    def __init__(self, engine: Interpreter, graph: Graph, sizes: Mapping[str, int]):
        self.engine, self.graph = engine, graph
        self.nodes = [node for node in graph.nodes if node.inputs or not _is_given(node)]
        self.ops = {node: node.op.bind(sizes) for node in self.nodes}
        self.given = [node for node in graph.nodes if not node.inputs and _is_given(node)]
        self.users: dict[Node, list[Node]] = {node: [] for node in graph.nodes}
        self.waits: dict[Node, int] = {}
        for node in self.nodes:
            sources = {x.node for x in node.inputs if not (_is_given(x.node) and not x.node.inputs)}
            self.waits[node] = len(sources)
            for source in sources:
                self.users[source].append(node)
        wanted = [*graph.outputs, *graph.updates.values()]
        self.kept = {value.node for value in wanted}
        self.readers = {node: len(self.users[node]) for node in self.nodes}

    def __call__(self, arrays: Sequence[Any], state: Mapping[Any, Any]) -> tuple[list[Any], dict[Any, Any]]:
        return _Run(self, arrays, state).result()

    donates = False

    def settle(self) -> None:
        """NumPy reads what a variable holds as it is."""

    def answers(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs of a graph that updates nothing, with the variables as they are now."""
        variables = self.graph.variables
        with snapshot(variables) as buffers:
            return self(arrays, dict(zip(variables, buffers, strict=True)))[0]


def _is_given(node: Node) -> bool:
    return isinstance(node.op, (Placeholder, Constant, Read))


class _Run:
    """One execution: results so far, how many inputs each node still waits for, and the first error."""

    def __init__(self, program: InterpretedProgram, arrays: Sequence[Any], state: Mapping[Any, Any]):
        self.program, self.engine = program, program.engine
        graph = program.graph
        self.results: dict[Value, np.ndarray] = dict(zip(graph.inputs, (np.asarray(x) for x in arrays), strict=True))
        self.engine.recorded = {}
        for node in program.given:
            if isinstance(node.op, Constant):
                self.results[node.outputs[0]] = node.op.literal.array
            elif isinstance(node.op, Read):
                self.results[node.outputs[0]] = np.asarray(state[node.op.variable])
            if self.engine.observes:
                self.engine.observe(node, (), [self.results[node.outputs[0]]])
        self.waits, self.readers = dict(program.waits), dict(program.readers)
        self.left = len(program.nodes)
        self.lock, self.done = threading.Lock(), threading.Event()
        self.error: BaseException | None = None

    def result(self) -> tuple[list[Any], dict[Any, Any]]:
        ready = [node for node in self.program.nodes if not self.waits[node]]
        if ready:
            self.start(ready)
            self.done.wait()
        if self.error is not None:
            raise self.error
        graph = self.program.graph
        updates = {variable: np.array(self.results[value]) for variable, value in graph.updates.items()}
        return [np.array(self.results[value]) for value in graph.outputs], updates  # nobody else's memory

    def start(self, ready: list[Node]) -> None:
        """Run the first here and the others on the pool."""
        for node in ready[1:]:
            self.engine.pool.submit(self.follow, node)
        self.follow(ready[0])

    def follow(self, node: Node | None) -> None:
        """Run a node, then one that it made ready, and so on; hand further ones to the pool."""
        while node is not None and self.error is None:
            try:
                self.execute(node)
            except BaseException as error:
                self.fail(node, error)
                return
            ready = self.finish(node)
            for other in ready[1:]:
                self.engine.pool.submit(self.follow, other)
            node = ready[0] if ready else None

    def execute(self, node: Node) -> None:
        inputs = [self.results[x] for x in node.inputs]
        outputs = apply(node, inputs, self.program.ops[node])
        self.results |= zip(node.outputs, outputs, strict=True)
        if self.engine.observes:
            self.engine.observe(node, inputs, outputs)

    def finish(self, node: Node) -> list[Node]:
        ready = []
        with self.lock:
            for user in self.program.users[node]:
                self.waits[user] -= 1
                if not self.waits[user]:
                    ready.append(user)
            for source in {x.node for x in node.inputs}:
                if source in self.readers and source not in self.program.kept:
                    self.readers[source] -= 1
                    if not self.readers[source]:  # nobody needs it any more: give the memory back
                        for value in source.outputs:
                            self.results.pop(value, None)
            self.left -= 1
            if not self.left:
                self.done.set()
        return ready

    def fail(self, node: Node, error: BaseException) -> None:
        with self.lock:
            if self.error is None:
                self.error = error.at(node.place()) if isinstance(error, MillraceError) else error
                if isinstance(error, Exception) and not isinstance(error, MillraceError):
                    error.add_note(f"in {snake(node.op.name)} {node.place()}")
            self.done.set()
