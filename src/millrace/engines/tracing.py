"""The compiler watched: which lowerings a program has chosen, and how long each of its operations runs."""

from __future__ import annotations

import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from millrace.engines import hlo, native
from millrace.engines.bundling import BundlingLow
from millrace.engines.function import Function, engine_named
from millrace.engines.plan import Plan, plan
from millrace.engines.xla import jax, versions
from millrace.ir.core import Node, Value
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.state import Read

STEP = "millrace step"
Interval = tuple[float, float]
Event = tuple[str, float, float]  # an operation's name, its start and its end
Note = tuple[Node, str, str]


@dataclass(frozen=True)
class Lowering:
    """What was chosen for a graph: options of the whole program, and lowerings of its nodes with the reasons."""

    graph: Graph
    plan: Plan
    notes: list[Note]


def lowering(graph: Graph, sizes: Mapping[str, int]) -> Lowering:
    """What the compiler would choose for a graph whose named dimensions are so large: traced, not compiled."""
    backend = engine_named("xla").platform
    bound, low = graph.bind(sizes), BundlingLow(backend)
    held = [node.op.variable for node in bound.nodes if isinstance(node.op, Read)]

    def program(state: Any, arrays: Any) -> Any:
        results: dict[Value, Any] = dict(zip(bound.inputs, arrays, strict=True))
        return low.values(bound, results, dict(zip(held, state, strict=True)))

    def struct(type: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(type.shape, np.dtype(type.dtype))

    with jax.enable_x64(True):
        jax.eval_shape(program, [struct(v.type) for v in held], [struct(v.type) for v in bound.inputs])
    notes = [(node, choice, why) for node, choice, why in low.notes if node is not None]
    chosen = plan(bound, backend, versions()["jaxlib"])
    if low.bundles:
        count = sum(map(len, low.bundles.values()))
        calls = f"{len(low.bundles)} calls" if len(low.bundles) > 1 else "one call"
        chosen.reasons.append(f"{count} routines in {calls}: waking threads for each would take longer")
    return Lowering(bound, chosen, notes)


@dataclass(frozen=True)
class Timing:
    """Where the time of a program went, in seconds a call.

    nodes: of each node of `graph`, by its number, the time of the operations that XLA made of it, and `parts` the
    same for each of those; where one is made of several nodes, each has an equal share. Where several ran at once,
    each moment is divided equally among them, so that all times add up to the time that passed. elsewhere: in
    operations that come from no node. idle: while none ran. watched: a call with the watching, whose parts the others
    are; alone: a call without it.
    """

    graph: Graph
    notes: list[Note]
    nodes: dict[int, float]
    parts: dict[int, dict[str, float]]
    elsewhere: float
    idle: float
    watched: float
    alone: float


def timed(function: Function, arrays: Sequence[Any], calls: int) -> Timing:
    """Call a function again and again, first by itself and then watched by XLA's profiler.

    The function is one that has not been called yet: its program is compiled here, with the names of its nodes.

    Raises MillraceError where the profiler gives nothing, for example because another one is running.
    """
    with _named_programs():
        _finished(function(*arrays))
    shapes = [np.shape(array) for array in arrays]
    program = next(p for p in function.programs if [value.shape for value in p.graph.inputs] == shapes)
    text = hlo.parse(program.compiled.as_text())
    spent = []
    for _ in range(calls + 1):
        started = time.perf_counter()
        _finished(function(*arrays))
        spent.append(time.perf_counter() - started)
    around = hlo.containers(text)
    numbers = {name: [number] for name, number in hlo.sources(text).items()}
    with native.watched() as seen:
        steps = _watch(lambda: _finished(function(*arrays)), calls)
    steps = _opened(steps, numbers, program.bundles, seen)
    nodes: dict[int, float] = {}
    parts: dict[int, dict[str, float]] = {}
    elsewhere = idle = 0.0
    for (start, end), events in steps:
        shares, rest = divided(events, around, (start, end))
        idle += rest / len(steps)
        for name, seconds in shares.items():
            sources, seconds = numbers.get(name, []), seconds / len(steps)
            if not sources:
                elsewhere += seconds
            for number in sources:
                nodes[number] = nodes.get(number, 0.0) + seconds / len(sources)
                part = parts.setdefault(number, {})
                part[name] = part.get(name, 0.0) + seconds / len(sources)
    watched = sum(end - start for (start, end), _ in steps) / len(steps)
    notes = [(node, choice, why) for node, choice, why in program.notes if node is not None]
    return Timing(program.graph, notes, nodes, parts, elsewhere, idle, watched, median(spent[1:]))


def _opened(
    steps: Sequence[tuple[Interval, list[Event]]],
    numbers: dict[str, list[int]],
    bundles: Mapping[int, Sequence[tuple[str, list[int]]]],
    seen: Sequence[native.Seen],
) -> list[tuple[Interval, list[Event]]]:
    """The events with each bundle's replaced by those of its routines, whose nodes `numbers` then has."""
    runs: dict[int, list[list[native.Seen]]] = {}
    for one in seen:
        runs.setdefault(one.key, []).append([]) if one.step == 0 else None
        runs[one.key][-1].append(one)
    opened = []
    for window, events in steps:
        kept: list[Event] = []
        for event in sorted(events, key=lambda event: event[1]):
            name, start, _ = event
            (key,) = numbers.get(name, [-1])
            if key not in bundles or not runs.get(key):
                kept.append(event)
                continue
            run = runs[key].pop(0)
            for one in run:
                routine, nodes = bundles[key][one.step]
                part = f"{routine}.{key}.{one.step}"
                numbers[part] = nodes
                kept.append((part, start + one.start - run[0].start, start + one.end - run[0].start))
        opened.append((window, kept))
    return opened


def divided(events: Sequence[Event], around: set[str], window: Interval) -> tuple[dict[str, float], float]:
    """The seconds of a window that each operation had, and those in which none ran.

    A moment in which several run is divided equally among them; what is `around` others has only what they leave.
    """
    edges: list[tuple[float, int, str]] = []
    for name, start, end in events:
        start, end = max(start, window[0]), min(end, window[1])
        if end > start:
            edges += [(start, 1, name), (end, -1, name)]
    edges.sort()
    running: dict[str, int] = {}
    shares: dict[str, float] = {}
    idle, before = 0.0, window[0]
    for moment, change, name in [*edges, (window[1], 0, "")]:
        passed = moment - before
        now = [x for x in running if x not in around] or list(running)
        for one in now:
            shares[one] = shares.get(one, 0.0) + passed / len(now)
        idle += 0.0 if now else passed
        before = moment
        if change:
            running[name] = running.get(name, 0) + change
            if not running[name]:
                del running[name]
    return shares, idle


def _finished(results: Any) -> None:
    jax.block_until_ready(results)


@contextmanager
def _named_programs() -> Iterator[None]:
    """Inside, a program from the cache on disk is taken only if its operations have this program's names.

    The cache knows programs by what they compute: another one's copy may number its nodes otherwise.
    """
    setting = "jax_compilation_cache_include_metadata_in_key"
    before = getattr(jax.config, setting)
    jax.config.update(setting, True)
    try:
        yield
    finally:
        jax.config.update(setting, before)


def _watch(call: Callable[[], None], calls: int) -> list[tuple[Interval, list[Event]]]:
    """For each call its window and the operations that ran, with their starts and ends, in seconds."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            with jax.profiler.trace(folder, profiler_options=options):
                for _ in range(calls):
                    with jax.profiler.TraceAnnotation(STEP):
                        call()
            written = next(iter(sorted(Path(folder).rglob("*.xplane.pb"))), None)
            if written is None:
                raise RuntimeError("it wrote nothing")
            found = jax.profiler.ProfileData.from_file(str(written))
        except RuntimeError as error:
            raise MillraceError(f"XLA's profiler did not run ({error}). Is another one running?") from None
        windows, events = _events(found)
    if not windows or not events:
        raise MillraceError("XLA's profiler did not say which operations ran on this platform.")
    windows.sort()
    steps: list[tuple[Interval, list[Event]]] = [(window, []) for window in windows]
    for event in events:
        for (start, end), inside in steps:
            if event[1] < end and event[2] > start:
                inside.append(event)
    return steps


def _events(found: Any) -> tuple[list[Interval], list[Event]]:
    """The windows of the calls and the operations in them.

    An operation that several threads work on ends where its "end: ..." stands, on the thread that came last. But that
    is written only when the thread has gone on with what had waited for it: what else began there was not waiting.
    """
    windows: list[Interval] = []
    begun: list[tuple[str, float, float, Any]] = []
    ends: dict[Any, tuple[float, int]] = {}
    starts: dict[int, list[float]] = {}
    for thread, line in enumerate(line for plane in found.planes for line in plane.lines):
        for event in line.events:
            start, length = event.start_ns * 1e-9, event.duration_ns * 1e-9
            if event.name == STEP:
                windows.append((start, start + length))
                continue
            facts = dict(event.stats)
            if "hlo_op" in facts:
                begun.append((facts["hlo_op"], start, start + length, facts.get("_p")))
                starts.setdefault(thread, []).append(start)
            elif event.name.startswith("end: "):
                ends[facts.get("_c")] = start, thread
    for found_there in starts.values():
        found_there.sort()
    events = []
    for name, start, end, flow in begun:
        last, thread = ends.get(flow, (end, -1))
        there = starts.get(thread, [])
        after = bisect_right(there, start)
        went_on = there[after] if after < len(there) else last
        events.append((name, start, max(end, min(last, went_on))))
    return windows, events
