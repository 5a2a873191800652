"""The compiler: a graph as one XLA program, through JAX, on one device or on those of a mesh.

Compiled programs are kept on disk between runs, in MILLRACE_CACHE or the user's cache directory.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from millrace.engines.allocator import release
from millrace.engines.bundling import BundlingLow
from millrace.engines.crossings import Crossing, crossings
from millrace.engines.devices import Devices, fetched, is_spread
from millrace.engines.plan import plan
from millrace.engines.xla import jax, jnp, versions
from millrace.ir.core import Value
from millrace.ir.graph import Graph
from millrace.ir.mesh import Mesh
from millrace.ir.state import Read, Variable, adopt, buffers_of, is_leased, snapshot

ALIGNMENT = 64  # bytes
WORTH_A_PLACE = 2**15  # bytes of an argument
LARGE = 2**24  # bytes of first weights, or in between, from which on a program takes care of the heap


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


class Compiler:
    """The XLA engine: one program a function, variables donated."""

    name = "xla"
    observes = False
    spreads = False  # whether a program on several devices has run in this process

    def __init__(self, mesh: Mesh | None = None) -> None:
        use_cache()
        self.mesh = mesh
        self.devices = Devices(mesh) if mesh is not None else None

    @cached_property
    def platform(self) -> str:
        """ "cpu", "gpu" or "tpu". Asking starts JAX, after which a processor can no longer be split into devices."""
        return jax.default_backend()

    def on(self, mesh: Mesh | None) -> Compiler:
        """The compiler for the devices of a mesh.  Raises ArgumentError where there are too few."""
        return self if mesh == self.mesh else Compiler(mesh)

    def prepare(self, graph: Graph, sizes: Mapping[str, int]) -> Any:
        bound = graph.bind(sizes)
        if self.devices is None:
            return CompiledProgram(bound, self.platform)
        return SpreadProgram(bound, self.platform, self.devices, graph.inputs)


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
        self.plan = plan(graph, backend, versions()["jaxlib"])
        low = BundlingLow(backend, self.devices)

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
                    **self.placement(),
                )
                .lower(_structs(self.donated), _structs(self.shared), *(_struct(v.type) for v in graph.inputs))
                .compile()
            )
        self.notes, self.bundles = low.notes, low.bundles
        memory = self.compiled.memory_analysis() if backend == "cpu" and graph.updates else None
        self.is_large = memory is not None and memory.temp_size_in_bytes > LARGE
        self.running: list[Any] = [None, None]  # a result of the call before the last one, and of the last, or turned
        self.places: list[dict[int, np.ndarray]] = [{}, {}]  # where those calls' large arguments lie
        self.calls = 0

    devices: Devices | None = None

    def placement(self) -> dict[str, Any]:
        """Where arguments and results lie, as JAX is told; on one device there is nothing to say."""
        return {}

    def settle(self) -> None:
        """Bring the variables that it reads to the device, where they stay: no call has to copy them again."""
        if Compiler.spreads:  # a program on several devices may have had them
            adopt(self.read, lambda b: fetched(b) if is_spread(b) else b)
        given = [buffer for buffer in buffers_of(self.read) if isinstance(buffer, np.ndarray)]
        if given:
            with jax.enable_x64(True):
                adopt(self.read, lambda b: jnp.array(b, copy=True) if isinstance(b, np.ndarray) else b)
            if sum(buffer.nbytes for buffer in given) > LARGE:
                del given
                release()

    def __call__(self, arrays: Sequence[Any], state: Mapping[Variable, Any]) -> tuple[list[Any], dict[Variable, Any]]:
        with jax.enable_x64(True):
            donated = [self.own(state[variable]) for variable in self.donated]
            shared = [state[variable] for variable in self.shared]
            outputs, updates = self.compiled(donated, shared, *self.private(arrays))
        if self.donated:
            self.running[self.calls % 2] = next(iter((*outputs, *updates)))
        return outputs, dict(zip(self.updated, updates, strict=True))

    def answers(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs of a graph that updates nothing, with the variables as they are now.

        Every prediction goes this way, so it does no more than it must: what is Python's of a call takes 3.9 us for 7.3
        with 6 variables, 5.4 for 11 with 22 (2 cores, Zen 4).
        """
        if Compiler.spreads or self.devices is not None:
            self.settle()
        with snapshot(self.shared) as shared:
            if np.ndarray not in map(type, shared):
                with jax.enable_x64(True):
                    return self.compiled([], shared, *self.private(arrays))[0]
        self.settle()
        return self.answers(arrays)

    def private(self, arrays: Sequence[Any]) -> list[Any]:
        """Copies of arguments: XLA reads a NumPy array's own memory, and later, when the caller may have written on.

        Of a large array that begins anywhere but where its own do, it makes one more copy, and slowly: of 400 KB in 114
        us for 29 (2 cores, Zen 4).
        """
        copies = list(arrays)
        places = self.places[self.calls % 2]
        for n, x in enumerate(arrays):
            if isinstance(x, np.ndarray):
                if x.nbytes < WORTH_A_PLACE:
                    copies[n] = np.array(x)
                    continue
                copies[n] = places.get(n)
                if copies[n] is None:
                    copies[n] = aligned(x)
                if self.donated:  # such calls come one after another
                    places[n] = copies[n]
                np.copyto(copies[n], x)
        return copies

    def make_room(self) -> None:
        """Wait until the call before the last has ended, whose arguments' places are to be used again.

        And until the last has ended, where two at once would need much memory in between. And keep that memory whole:
        new copies of arguments would be cut out of it while it is free, so that the next call finds no room and the
        heap grows by as much again. AlexNet's step, batch 32, stays at 1.4 to 1.7 GB for 2.4 to 3.0. Call it before
        what locks the state.
        """
        self.calls += 1
        for turn in (0, 1) if self.is_large else (self.calls % 2,):
            running = self.running[turn]
            if running is not None and running.is_deleted():
                self.places[turn] = {}  # given to another program, so nobody can wait for it, and it may still be read
            elif running is not None:
                running.block_until_ready()
        if self.is_large and self.calls in (2, 4, 8):  # what an early call left behind
            release()

    donates = True

    def own(self, buffer: Any) -> Any:
        """A buffer that may be given away: a copy of what NumPy made or of what a snapshot holds."""
        return jnp.array(buffer, copy=True) if isinstance(buffer, np.ndarray) or is_leased(buffer) else buffer


class SpreadProgram(CompiledProgram):
    """A compiled graph on the devices of a mesh: batches and variables in parts, results whole on each device."""

    def __init__(self, graph: Graph, backend: str, devices: Devices, inputs: Sequence[Value]):
        self.devices, self.open_inputs = devices, inputs
        super().__init__(graph, backend)

    def placement(self) -> dict[str, Any]:
        devices = self.devices
        assert devices is not None
        self.given = [devices.of_input(x, v.shape) for x, v in zip(self.open_inputs, self.graph.inputs, strict=True)]
        self.held = {v: devices.of_variable(v) for v in (*self.read, *self.updated)}
        return {
            "in_shardings": ([self.held[v] for v in self.donated], [self.held[v] for v in self.shared], *self.given),
            "out_shardings": ([devices.whole] * len(self.graph.outputs), [self.held[v] for v in self.updated]),
        }

    @property
    def crossings(self) -> list[Crossing]:
        """What the devices send each other in a call."""
        assert self.devices is not None
        return crossings(self.compiled.as_text() or "", self.graph, self.devices.mesh)

    def settle(self) -> None:
        Compiler.spreads = True
        assert self.devices is not None
        with jax.enable_x64(True):
            for variable in self.read:
                adopt([variable], partial(self.devices.place, sharding=self.held[variable]))

    def own(self, buffer: Any) -> Any:
        assert self.devices is not None
        return self.devices.copied(buffer) if is_leased(buffer) else buffer

    def private(self, arrays: Sequence[Any]) -> list[Any]:
        assert self.devices is not None
        return [self.devices.place(x, lies) for x, lies in zip(arrays, self.given, strict=True)]


def aligned(like: np.ndarray) -> np.ndarray:
    """Memory for such an array that begins where XLA's own arrays do."""
    room = np.empty(like.nbytes + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    return room[begin : begin + like.nbytes].view(like.dtype).reshape(like.shape)


def _struct(type: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(type.shape, np.dtype(type.dtype))


def _structs(variables: Sequence[Variable]) -> list[jax.ShapeDtypeStruct]:
    return [_struct(variable.type) for variable in variables]
