"""The compiler: a graph as one XLA program, through JAX. The only file that imports JAX.

Compiled programs are kept on disk between runs, in MILLRACE_CACHE or the user's cache directory.
"""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

# Loading a cached program on the very machine that made it, XLA complains at length about tuning hints
# ("prefer-no-gather") that it takes for missing processor features. Said before jaxlib is loaded, unless the
# user has said otherwise: only what is fatal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from millrace.engines.allocator import release, tune

ALLOCATOR = tune()  # before JAX starts threads that allocate

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from millrace.engines.plan import CONVOLUTIONS, plan
from millrace.ir.composite import Composite
from millrace.ir.core import Node, Value, functional
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Placeholder
from millrace.ir.state import Assign, Read, Variable, adopt, buffers_of, is_leased
from millrace.ir.types import HALVES, TensorType

LARGE = 2**24  # bytes of first weights, or in between, from which on a program takes care of the heap
SPLIT_GROUPS = 8  # up to so many groups of a convolution run as one convolution each


def cache_directory() -> Path:
    """Where compiled programs are kept: apart for each kind of processor, whose instructions they use."""
    chosen = os.environ.get("MILLRACE_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millrace"
    return base / "xla" / processor()


def processor() -> str:
    """A short name for this processor and what it can do."""
    described = [platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        described += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    except OSError:
        pass  # not Linux: the machine's name has to do
    return f"{platform.machine()}-{hashlib.sha256(''.join(described).encode()).hexdigest()[:12]}"


def use_cache() -> None:
    """Keep compiled programs on disk, unless the user has told JAX otherwise or the disk refuses."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    try:
        directory = cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK):
            return
    except (OSError, RuntimeError):
        return  # no home, or a read-only one: compile anew each time
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Low:
    """What an operation's `lower` is given: XLA's vocabulary, the platform, and a place for notes."""

    lax = lax
    jnp = jnp

    def __init__(self, platform: str):
        self.platform = platform
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
            if node.outputs[0] in results:
                continue
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
        return [results[value] for value in graph.outputs]

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
        if self.platform != "cpu":
            return f(*arrays)

        def within(*arrays: Any) -> Any:
            with set_xla_metadata(inlineable="true"):  # what f itself calls
                return f(*arrays)

        with set_xla_metadata(inlineable="false"):
            return jax.jit(within)(*arrays)

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


class Compiler:
    """The XLA engine: one program a function, variables donated."""

    name = "xla"
    observes = False

    def __init__(self) -> None:
        use_cache()
        self.platform = jax.default_backend()

    def prepare(self, graph: Graph, sizes: Mapping[str, int]) -> CompiledProgram:
        return CompiledProgram(graph.bind(sizes), self.platform)


class CompiledProgram:
    """A compiled graph. Variables that it updates are donated: their memory becomes the new values'."""

    def __init__(self, graph: Graph, backend: str):
        self.graph = graph
        self.read = [node.op.variable for node in graph.nodes if isinstance(node.op, Read)]
        self.donated = [variable for variable in self.read if variable in graph.updates]
        self.shared = [variable for variable in self.read if variable not in graph.updates]
        # JAX gives the memory of each donated array to the first result of its shape. In the order of the donated
        # each variable's new value lies where its old one lay; else XLA has to copy all weights first.
        self.updated = [*self.donated, *(variable for variable in graph.updates if variable not in self.donated)]
        self.plan = plan(graph, backend, jaxlib.__version__)
        low = Low(backend)

        def program(donated: Any, shared: Any, *arrays: Any) -> Any:
            state = dict(zip((*self.donated, *self.shared), (*donated, *shared), strict=True))
            results: dict[Value, Any] = dict(zip(graph.inputs, arrays, strict=True))
            outputs = low.values(graph, results, state)
            return outputs, [results[graph.updates[variable]] for variable in self.updated]

        with jax.enable_x64(True):
            self.compiled = (
                jax.jit(
                    program,
                    donate_argnums=(0,),
                    keep_unused=True,
                    compiler_options=self.plan.options or None,
                )
                .lower(_structs(self.donated), _structs(self.shared), *(_struct(v.type) for v in graph.inputs))
                .compile()
            )
        self.notes = low.notes
        memory = self.compiled.memory_analysis() if backend == "cpu" and graph.updates else None
        self.is_large = memory is not None and memory.temp_size_in_bytes > LARGE
        self.running: Any = None  # a result of the call before
        self.places: list[np.ndarray | None] = []  # where a large program keeps its arguments
        self.calls = 0

    def settle(self) -> None:
        """Bring the variables that it reads to the device, where they stay: no call has to copy them again."""
        given = [buffer for buffer in buffers_of(self.read) if isinstance(buffer, np.ndarray)]
        if given:
            with jax.enable_x64(True):
                adopt(self.read, lambda b: jnp.array(b, copy=True) if isinstance(b, np.ndarray) else b)
            if sum(buffer.nbytes for buffer in given) > LARGE:
                del given
                release()

    def __call__(self, arrays: Sequence[Any], state: Mapping[Variable, Any]) -> tuple[list[Any], dict[Variable, Any]]:
        with jax.enable_x64(True):
            donated = [_own(state[variable]) for variable in self.donated]
            shared = [state[variable] for variable in self.shared]
            outputs, updates = self.compiled(donated, shared, *self.private(arrays))
        if self.is_large:
            self.running = next(iter((*outputs, *updates)))
        return outputs, dict(zip(self.updated, updates, strict=True))

    def private(self, arrays: Sequence[Any]) -> list[Any]:
        """Copies of arguments: XLA reads a NumPy array's own memory, and later, when the caller may have written on."""
        if not self.is_large:
            return [np.array(x) if isinstance(x, np.ndarray) else x for x in arrays]
        if not self.places:
            self.places = [np.empty(v.shape, v.dtype) if v.dtype != "bfloat16" else None for v in self.graph.inputs]
        copies = list(arrays)
        for n, (x, place) in enumerate(zip(arrays, self.places, strict=True)):
            if isinstance(x, np.ndarray):
                copies[n] = np.array(x) if place is None else place
                if place is not None:
                    np.copyto(place, x)
        return copies

    def make_room(self) -> None:
        """Wait until the call before has ended, where two at once would need much memory in between.

        And keep that memory whole: new copies of arguments would be cut out of it while it is free, so that the next
        call finds no room and the heap grows by as much again. AlexNet's step, batch 32, stays at 1.4 to 1.7 GB for
        2.4 to 3.0. Call it before what locks the state.
        """
        if self.is_large:
            if self.running is not None and self.running.is_deleted():
                self.places = []  # given to another program, so nobody can wait for it, and it may still be read
            elif self.running is not None:
                self.running.block_until_ready()
            self.calls += 1
            if self.calls in (2, 4, 8):  # what an early call left behind
                release()

    donates = True


def _own(buffer: Any) -> Any:
    """A buffer that may be given away: a copy of what NumPy made or of what a snapshot holds."""
    if not isinstance(buffer, jax.Array) or is_leased(buffer):
        return jnp.array(buffer, copy=True)
    return buffer


def _struct(type: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(type.shape, np.dtype(type.dtype))


def _structs(variables: Sequence[Variable]) -> list[jax.ShapeDtypeStruct]:
    return [_struct(variable.type) for variable in variables]


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


warnings.filterwarnings("ignore", message="Some donated buffers were not usable", module="jax")
