"""`function`: the one door through which a graph is run, whatever engine runs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from millrace.doctor.advice import advice
from millrace.engines.interpreter import Interpreter
from millrace.ir.core import Value, functional
from millrace.ir.dims import Dim, shape_text, solve
from millrace.ir.errors import ArgumentError, DimensionError, NonFiniteError, ShapeError, one_of
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.mesh import Mesh
from millrace.ir.rewrite import simplify
from millrace.ir.state import STATE_LOCK, STEP_LOCK, Variable, buffers_of, here, replace, snapshot
from millrace.ir.types import as_dtype, is_float_array

ENGINES = ("xla", "numpy")
_started: dict[str, Any] = {}


def engine_named(engine: Any = None, mesh: Mesh | None = None) -> Any:
    """An engine from its name, or the default: "xla" where JAX is installed, else "numpy"; on the devices of a mesh.

    Raises ArgumentError for an unknown name, for "xla" where JAX cannot be imported, or for too few devices.
    """
    if mesh is not None:
        if not isinstance(mesh, Mesh):
            raise ArgumentError(f"mesh must be a mesh such as mr.Mesh(data=2), got {mesh!r}.")
        if mesh.size > 1:
            return engine_named(engine).on(mesh)
    if engine is not None and not isinstance(engine, str):
        return engine
    if engine not in (None, *ENGINES):
        raise one_of("engine", engine, ENGINES)
    if engine is None:
        engine = "default"
    if engine not in _started:
        _started[engine] = Interpreter() if engine == "numpy" else _compiler(fall_back=engine == "default")
    return _started[engine]


def _compiler(fall_back: bool) -> Any:
    try:
        from millrace.engines.compiler import Compiler  # JAX takes a second: only who compiles pays

        return engine_named("xla") if fall_back else Compiler()
    except (ImportError, RuntimeError, AttributeError, OSError) as error:  # absent, broken, of clashing versions
        why = advice(error)
        if not fall_back:
            raise ArgumentError(
                f"the XLA engine needs JAX, which cannot be imported. {why} The NumPy engine needs only NumPy "
                "(engine='numpy', --engine numpy)."
            ) from None
        warnings.warn(
            f"JAX cannot be imported. {why} Until then Millrace runs in its NumPy interpreter, with the same results "
            "and many times slower.",
            stacklevel=4,
        )
        return engine_named("numpy")


class Function:
    """A graph that can be called; made by `mr.function`.

    `graph` is the graph as it was given, `compiled_programs` how many sizes it was made ready for.
    """

    def __init__(
        self,
        graph: Graph,
        engine: Any,
        shape_result: Callable[[list[Any]], Any],
        off: Collection[str],
        check: bool,
    ):
        self.graph, self.engine, self._shape_result, self.check_finite = graph, engine, shape_result, check
        guarded = guard(graph) if check else graph
        off = off if engine.mesh is None else {*off, "shard on one device = x"}
        self.simplified = guarded if engine.observes else simplify(guarded, off)
        self.names = dimension_names(guarded)
        self.variables = self.simplified.variables
        self._programs: dict[tuple[tuple[str, int], ...], Any] = {}
        self._known: dict[tuple[Any, ...], Any] = {}  # by what arguments look like, where they need no conversion

    def __str__(self) -> str:
        """The text of its graph."""
        return str(self.graph)

    @property
    def compiled_programs(self) -> int:
        return len(self._programs)

    @property
    def programs(self) -> list[Any]:
        return list(self._programs.values())

    def __call__(self, *arrays: Any) -> Any:
        """Run once: outputs in the form in which they were asked for; variables are updated.

        Raises ShapeError or DTypeError for an argument that does not fit its input.
        """
        looks = tuple([(getattr(x, "shape", None), getattr(x, "dtype", None)) for x in arrays])
        program, given = self._known.get(looks), list(arrays)
        if program is None:
            program, given = self._prepared(arrays)
            if all(x is y for x, y in zip(arrays, given, strict=True)):
                self._known[looks] = program
        outputs = self._run(program, given)
        if self.check_finite and not bool(outputs.pop()):
            raise replay(self.graph, given)
        return self._shape_result(outputs)

    def _prepared(self, arrays: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The program for arguments of these shapes, and the arguments as it takes them."""
        given, sizes = checked(self.graph.inputs, arrays)
        unknown = sorted(self.names - set(sizes))
        if unknown:
            raise DimensionError(
                f"no argument says how large {', '.join(unknown)} is: give the function an input of that size."
            )
        key = tuple(sorted(sizes.items()))
        if key not in self._programs:
            self._programs[key] = self.engine.prepare(self.simplified, sizes)
        return self._programs[key], given

    def _run(self, program: Any, given: list[Any]) -> list[Any]:
        if not self.simplified.updates:
            return program.answers(given)
        variables = self.variables
        program.settle()
        with STEP_LOCK:  # of several functions that write, one after another
            if not program.donates:
                with snapshot(variables) as buffers:
                    outputs, updates = program(given, dict(zip(variables, buffers, strict=True)))
                replace(updates)
                return outputs
            program.make_room()
            with STATE_LOCK:  # through dispatch: nobody may read a buffer that is being given away
                state = dict(zip(variables, buffers_of(variables), strict=True))
                outputs, updates = program(given, state)
                replace(updates)
        return outputs


def checked(inputs: Sequence[Value], arrays: Sequence[Any]) -> tuple[list[Any], dict[str, int]]:
    """Arguments in their inputs' dtypes, and the sizes of the named dimensions.

    Raises ArgumentError, ShapeError or DTypeError that names the input.
    """
    names = [_label(value) for value in inputs]
    if len(arrays) != len(inputs):
        raise ArgumentError(f"this function takes {len(inputs)} arrays ({', '.join(names)}), got {len(arrays)}.")
    sizes: dict[str, int] = {}
    given = [_argument(array, value, name) for array, value, name in zip(arrays, inputs, names, strict=True)]
    before = -1
    while len(sizes) != before:  # a size bound by a later input may decide an earlier one
        before = len(sizes)
        for array, value, name in zip(given, inputs, names, strict=True):
            fits = len(array.shape) == value.ndim and all(
                solve(size, got, sizes) for size, got in zip(value.shape, array.shape, strict=True)
            )
            if not fits:
                bound = ", ".join(f"{k} = {v}" for k, v in sizes.items())
                raise ShapeError(
                    f"input {name!r} takes {shape_text(value.shape)}, got shape {shape_text(array.shape)}"
                    + (f" (with {bound})." if bound else ".")
                )
    return given, sizes


def replay(graph: Graph, arrays: Sequence[Any]) -> NonFiniteError:
    """A call that went wrong, run again in the interpreter: the error that names its cause."""
    for value, array in zip(graph.inputs, arrays, strict=True):
        bad = _first_bad(np.asarray(array))
        if bad is not None:
            return NonFiniteError(f"input {_label(value)!r} is not finite at index {bad}: clean the data first.")
    variables = graph.variables
    with snapshot(variables) as buffers:
        state = {v: here(v, b) for v, b in zip(variables, buffers, strict=True)}
    for variable, array in state.items():
        bad = _first_bad(array)
        if bad is not None:
            return NonFiniteError(f"variable {variable.name!r} is not finite at index {bad} before this step.")
    given, sizes = checked(graph.inputs, arrays)
    try:
        Interpreter(check=True).prepare(graph, sizes)(given, state)
    except NonFiniteError as error:
        return error
    text = "the compiled step gave infinity or NaN, the interpreter does not: a value overflowed only there."
    return NonFiniteError(text)


def dimension_names(graph: Graph) -> frozenset[str]:
    """Every name of a dimension that running the graph needs to know."""
    names: set[str] = set()
    for node in graph.nodes:
        for value in node.outputs:
            for size in value.shape:
                names |= size.names if isinstance(size, Dim) else set()
        for attribute in vars(node.op).values():
            for size in attribute if isinstance(attribute, tuple) else (attribute,):
                names |= size.names if isinstance(size, Dim) else set()
    return frozenset(names)


def guard(graph: Graph) -> Graph:
    """The graph with one more output, whether all results are finite; if not, variables keep their values."""
    mr = functional()
    finite = mr.constant(True)
    assigned = (value.node.inputs[0] for value in graph.updates.values())
    for value in (*graph.outputs, *assigned):
        if value.type.is_float:
            finite = mr.logical_and(finite, mr.all_finite(value))
    updates = {v: mr.where(finite, value.node.inputs[0], v.value) for v, value in graph.updates.items()}
    return Graph(graph.inputs, (*graph.outputs, finite), updates)


def _label(value: Value) -> str:
    return value.op.label if isinstance(value.op, Placeholder) else "?"


def _first_bad(array: np.ndarray) -> list[int] | None:
    if not is_float_array(array) or np.isfinite(array).all():
        return None
    return [int(i) for i in np.argwhere(~np.isfinite(array))[0]]


def _argument(array: Any, value: Value, name: str) -> Any:
    """An argument in its input's dtype; what has it already stays where it is, on a device perhaps."""
    dtype = getattr(array, "dtype", None)
    if dtype == value.dtype and getattr(dtype, "isnative", True):
        return array
    return as_dtype(array, value.dtype, f"input {name!r}")


def function(
    inputs: Sequence[Value],
    outputs: Any = (),
    updates: Mapping[Variable, Value] | None = None,
    engine: Any = None,
    rewrites_off: Collection[str] = (),
    check_finite: bool = False,
    mesh: Mesh | None = None,
) -> Function:
    """A graph as something to call: arrays in, arrays out, variables updated.

    inputs: what `mr.Input` made, in the order of the arguments. outputs: a value, a list of them, or ().
    updates: new values of variables, which appear all at once when the call ends. engine: "xla", "numpy",
    an `mr.Interpreter(...)`, or None for the best there is. rewrites_off: names from `mr.rewrites()`.
    check_finite: raise NonFiniteError, with the node where it was born, when a result or a new value is
    infinite or NaN; the variables then keep their values. mesh: the devices on which it runs, as one program.

    Raises GraphError for a graph that breaks a rule of the language.
    """
    mr = functional()
    if isinstance(inputs, Value):
        raise ArgumentError("function takes a list of inputs: mr.function([x], ...).")
    if updates is not None and not (isinstance(updates, Mapping) and all(isinstance(v, Variable) for v in updates)):
        raise ArgumentError(
            "updates maps variables to their new values: {w: w - 0.1 * dw}. (After `w += ...` the name w is a value, "
            "no longer the variable.)"
        )
    one = not isinstance(outputs, (list, tuple))
    values = [mr.as_value(x) for x in ([outputs] if one else outputs)]
    graph = Graph(list(inputs), values, {v: mr.as_value(x, v.dtype) for v, x in (updates or {}).items()})
    kind = list if isinstance(outputs, list) else tuple
    shape_result = (lambda results: results[0]) if one else kind
    return Function(graph, engine_named(engine, mesh), shape_result, rewrites_off, check_finite)


def evaluate(x: Any) -> np.ndarray:
    """The value of an expression without open inputs, by the interpreter."""
    value = functional().as_value(x)
    return np.asarray(Function(Graph([], [value]), engine_named("numpy"), lambda r: r[0], (), False)())
