"""The text form of a graph: one operation a line, with types; it parses back to the same graph.

    graph main(v0) {
      variable 'w' : float32[2]
      v0 = Placeholder(label='x', type=type('float32', (batch, 2)))() : float32[batch, 2]
      v1 = Read(variable=variable('w'))() : float32[2]
      ...
      return v7
    }

Nothing in a text is run: it is read as a syntax tree, and only names of operations, numbers, strings and
dimensions are accepted. Long constants stand as a hash, their content beside the text.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace.ir.core import OPS, Op, Value, attribute_text, layer_scope
from millrace.ir.dims import from_ast
from millrace.ir.errors import GraphError, MillraceError, one_of
from millrace.ir.graph import Graph
from millrace.ir.leaves import Constant, Literal
from millrace.ir.state import Assign, Read, Variable
from millrace.ir.syntax import STRING, expression, printable, tree_of, until_colon
from millrace.ir.types import DTYPES, TensorType

ANY_TYPE = r"(?:\w++\[[^\[\]]*+\]|stream<[^<>]*+>)"
# What can be read backwards in one way alone: the time that a line takes is proportional to its length.
GRAPH = re.compile(r"graph \w++\(([\w, ]*+)\) \{")
VARIABLE = re.compile(rf"variable ({STRING}) : (\w++\[[^\[\]]*+\])( fixed)?")
UPDATE = re.compile(r"update (\w++)")
NAMES = re.compile(r"[\w, ]++")
TYPES = re.compile(rf" ({ANY_TYPE}(?:; {ANY_TYPE})*+)(?: @ ({STRING}))?")


class Body:
    """A graph as an attribute of an operation, such as a loop's body: compared by its text."""

    __slots__ = ("graph", "text")

    def __init__(self, graph: Graph):
        self.graph = graph
        self.text = text(graph, "body")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"body({self.text!r})"

    def bind_sizes(self, sizes: Mapping[str, int]) -> Body:
        graph = self.graph.bind(sizes)
        return self if all(a is b for a, b in zip(graph.nodes, self.graph.nodes, strict=True)) else Body(graph)


def text(graph: Graph, name: str = "main") -> str:
    """The graph as text; `parse` reads it back."""
    names: dict[Value, str] = {}
    lines = []
    for node in graph.nodes:
        for value in node.outputs:
            names[value] = f"v{len(names)}"
        left = ", ".join(names[value] for value in node.outputs)
        arguments = ", ".join(names[value] for value in node.inputs)
        types = "; ".join(str(value.type) for value in node.outputs)
        layer = f" @ {node.layer!r}" if node.layer else ""
        lines.append(f"  {left} = {operation_text(node.op)}({arguments}) : {types}{layer}")
    variables = [f"  variable {v.name!r} : {v.type}{'' if v.trainable else ' fixed'}" for v in graph.variables]
    header = f"graph {name}({', '.join(names[value] for value in graph.inputs)}) {{"
    updates = [f"  update {names[value]}" for value in graph.updates.values()]
    result = f"  return {', '.join(names[value] for value in graph.outputs)}".rstrip()
    return "\n".join([header, *variables, *lines, *updates, result, "}"]) + "\n"


def literals(graph: Graph) -> dict[str, np.ndarray]:
    """The long constants of a graph by hash: what must be kept beside its text."""
    found: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        if isinstance(node.op, Constant) and not node.op.literal.is_short:
            found[node.op.literal.digest] = node.op.literal.array
        for f in dataclasses.fields(node.op):  # type: ignore[arg-type]
            inner = getattr(node.op, f.name)
            if isinstance(inner, Body):
                found |= literals(inner.graph)
    return found


def operation_text(op: Op) -> str:
    """An operation with its attributes, e.g. Transpose(axes=(1, 0))."""
    fields = []
    for f in dataclasses.fields(op):  # type: ignore[arg-type]
        value = getattr(op, f.name)
        shown = f"variable({value.name!r})" if isinstance(value, Variable) else attribute_text(value)
        fields.append(f"{f.name}={shown}")
    return f"{op.name}({', '.join(fields)})"


class _Constants:
    """Long constants by hash, each made once however often a text names it."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self.made: dict[str, Literal] = {}

    def literal(self, digest: str) -> Literal:
        if digest not in self.made:
            if digest not in self.arrays:
                raise GraphError(f"the constant with sha256 {digest} is missing beside the text")
            made = Literal(self.arrays[digest])
            if made.digest != digest:
                raise GraphError(f"the constant beside the text for sha256 {digest} has another one")
            self.made[digest] = made
        return self.made[digest]


class _Reader:
    def __init__(self, variables: Mapping[str, Variable], constants: _Constants):
        self.variables: ChainMap[str, Variable] = ChainMap({}, variables)  # type: ignore[arg-type]
        self.constants = constants
        self.values: dict[str, Value] = {}
        self.inputs: list[str] = []
        self.outputs: list[Value] = []
        self.updates: dict[Variable, Value] = {}
        self.declared: set[str] = set()
        self.begun = self.returned = self.ended = False

    def line(self, line: str) -> None:
        if match := GRAPH.fullmatch(line):
            if self.begun:
                raise GraphError("a second graph begins here")
            self.begun, self.inputs = True, _names(match[1])
        elif match := VARIABLE.fullmatch(line):
            self.declare(ast.literal_eval(match[1]), TensorType.parse(match[2]), not match[3])
        elif line.startswith("return"):
            self.outputs = [self.values[name] for name in _names(line[6:])]
            self.returned = True
        elif match := UPDATE.fullmatch(line):
            value = self.values[match[1]]
            if not isinstance(value.op, Assign):
                raise GraphError(f"{match[1]} is no assignment")
            self.updates[value.op.variable] = value.node.inputs[0]
        elif line == "}" and self.returned:
            self.ended = True
        else:
            self.node(line)

    def declare(self, name: str, type: TensorType, trainable: bool) -> None:
        if name in self.declared:
            raise GraphError(f"variable {name!r} is declared twice")
        self.declared.add(name)
        known = self.variables.get(name)
        if known is None:
            self.variables[name] = Variable.blank(type, name, trainable)
        elif known.type != type:
            raise GraphError(f"variable {name!r} is {known.type}, the text says {type}")

    def node(self, line: str) -> None:
        left, _, right = line.partition(" = ")
        if not right or not NAMES.fullmatch(left):
            raise GraphError("this is not a line of a graph")
        source, rest = until_colon(right)
        match = TYPES.fullmatch(rest)
        if match is None:
            raise GraphError("expected ': ' and types such as float32[2], then perhaps ' @ ' and the layer's name")
        names, types, layer = _names(left), match[1], match[2]
        tree = tree_of(source)
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Call) or tree.keywords:
            raise GraphError("expected Operation(attributes)(inputs)")
        made_twice = [name for name in names if name in self.values]
        if made_twice:
            raise GraphError(f"{made_twice[0]} is made twice")
        op = self.attribute(tree.func)
        if not isinstance(op, Op):
            raise GraphError("expected Operation(attributes)(inputs)")
        inputs = [self.values[_name(argument)] for argument in tree.args]
        if isinstance(op, Read):
            made: Any = op.variable.value
        elif layer:
            with layer_scope(ast.literal_eval(layer)):
                made = op(*inputs)
        else:
            made = op(*inputs)
        outputs = made if isinstance(made, tuple) else (made,)
        inferred = "; ".join(str(value.type) for value in outputs)
        if inferred != types:
            raise GraphError(f"says {types}, but it is {inferred}")
        self.values |= zip(names, outputs, strict=True)

    def attribute(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Constant(value=value):
                return value
            case ast.Name(id="inf" | "nan" as name):
                return float(name)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf")):
                return float("-inf")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float(value))):
                return -value
            case ast.Tuple(elts=items):
                return tuple(self.attribute(item) for item in items)
            case ast.List(elts=items):
                return [self.attribute(item) for item in items]
            case ast.Call(func=ast.Name(id="type"), args=arguments):
                return TensorType(*(self.attribute(a) for a in arguments))
            case ast.Call(func=ast.Name(id="variable"), args=[ast.Constant(value=str(name))]):
                if name not in self.variables:
                    raise one_of("variable", name, list(self.variables))
                return self.variables[name]
            case ast.Call(func=ast.Name(id="literal"), args=[dtype, shape, content]):
                kind = self.attribute(dtype)
                if kind not in DTYPES:  # NumPy has others, of any length
                    raise one_of("dtype", kind, DTYPES)
                return Literal(np.array(self.attribute(content), dtype=kind).reshape(self.attribute(shape)))
            case ast.Call(func=ast.Name(id="literal"), keywords=[ast.keyword(value=ast.Constant(value=str(digest)))]):
                return self.constants.literal(digest)
            case ast.Call(func=ast.Name(id="body"), args=[ast.Constant(value=str(inner))]):
                return Body(_parsed(inner, self.variables, self.constants))
            case ast.Call(func=ast.Name(id=name), keywords=keywords, args=[]):
                if name not in OPS:
                    raise one_of("operation", name, list(OPS))
                return OPS[name](**{str(k.arg): self.attribute(k.value) for k in keywords})
        return from_ast(tree)


def _name(tree: ast.expr) -> str:
    return tree.id if isinstance(tree, ast.Name) else ast.unparse(tree)


def _names(source: str) -> list[str]:
    return [name.strip() for name in source.split(",") if name.strip()]


def parse(
    source: str,
    variables: Mapping[str, Variable] | None = None,
    literals: Mapping[str, np.ndarray] | None = None,
) -> Graph:
    """The graph that a text describes.

    `variables` by name are used where the text names them; others are made, filled with zeros.
    `literals` holds long constants by hash, as `literals(graph)` gives them.

    Raises GraphError with the number of the line that cannot be read.
    """
    return _parsed(source, variables or {}, _Constants(literals or {}))


def _parsed(source: str, variables: Mapping[str, Variable], constants: _Constants) -> Graph:
    reader = _Reader(variables, constants)
    number, line = 0, ""

    def wrong(what: str) -> GraphError:
        return GraphError(f"line {number}{printable(what, 1000)}\n  {printable(line.strip(), 200)}")

    try:
        for line in source.splitlines():
            number += 1
            if line.strip():
                if reader.ended:
                    raise GraphError("the graph has ended already")
                reader.line(line.strip())
        if not reader.ended:
            raise GraphError("the text ends before the graph does")
        inputs = [reader.values[name] for name in reader.inputs]
        return Graph(inputs, reader.outputs, reader.updates)
    except KeyError as error:
        raise wrong(f" uses {error}, which no line before it makes") from None
    except MillraceError as error:
        raise wrong(f": {error.args[0]}") from None
    except MALFORMED as error:
        raise wrong(f" cannot be read ({error})") from None


# What a text that is no graph can make Python's own parser or an operation's attributes raise.
MALFORMED = (
    SyntaxError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    RecursionError,
    OverflowError,
    ZeroDivisionError,
    MemoryError,
)


def read_operation(source: str) -> Op:
    """The operation that a text describes.  Raises GraphError where it describes none."""
    try:
        op = _Reader({}, _Constants({})).attribute(expression(source))
    except (*MALFORMED, GraphError) as error:
        raise GraphError(f"{source[:200]!r} is not an operation ({error})") from None
    if not isinstance(op, Op):
        raise GraphError(f"{source[:200]!r} is not an operation")
    return op
