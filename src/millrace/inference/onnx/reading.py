"""An ONNX file as a checked model: what the rest of the import may rely on, whatever the file holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.errors import ArgumentError, FileError

OLDEST, NEWEST = 7, 28  # versions of ONNX's operators
MOST_BYTES = 2**31 - 1  # what protobuf holds in one file
MOST_NODES = 200_000
DEEPEST = 16  # graphs within graphs
LONGEST_NAME = 4096
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Read:
    """A model whose graph is in order: names are made once, and before they are used.

    folder: where tensors outside of the file lie, None for a model that did not come from a file.
    name: what to call it. opsets: the version of each domain's operators. functions: its own, by domain and name.
    nodes: how many the file lists, with those of functions and of graphs within.
    """

    model: ModelProto
    folder: Path | None
    name: str
    opsets: dict[str, int]
    functions: dict[tuple[str, str], FunctionProto]
    nodes: int


def read_model(source: str | Path | bytes | ModelProto) -> Read:
    """A model from a path, the bytes of a file, or a ModelProto.

    Raises FileError for a file that is missing, too large, damaged or breaks ONNX's rules.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        try:
            return _checked(_parsed(_bytes_of(path)), path.parent, path.stem)
        except UntranslatedError:
            raise
        except FileError as error:
            said = str(error)
            raise FileError(said if said.startswith(f"{path} ") else f"{path}: {said}") from None
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _checked(_parsed(bytes(source)), None, "")
    if isinstance(source, ModelProto):
        return _checked(source, None, "")
    raise ArgumentError(f"from_onnx takes a path, bytes or a ModelProto, got {type(source).__name__}.")


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise FileError(f"{path} has {size} bytes; an ONNX file has at most {MOST_BYTES}: keep weights beside it.")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from None


def _parsed(content: bytes) -> ModelProto:
    if len(content) > MOST_BYTES:
        raise FileError(f"the model has {len(content)} bytes; an ONNX file has at most {MOST_BYTES}.")
    try:
        model: ModelProto = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RecursionError, MemoryError) as error:
        raise FileError(f"this is no ONNX model, or it is damaged ({str(error)[:120]}).") from None
    return model


def _checked(model: ModelProto, folder: Path | None, stem: str) -> Read:
    for entry in model.opset_import:
        _check_text(entry, "domain")
    if not model.HasField("graph"):
        raise FileError("this is no ONNX model: it has no graph.")
    opsets = opsets_of(model.opset_import, "the model")
    functions: dict[tuple[str, str], FunctionProto] = {}
    count = [0]
    for function in model.functions:
        key = (domain_of(function), function.name)
        if not function.name or key in functions:
            raise FileError(f"the model defines the function {function.name[:80]!r} twice, or without a name.")
        _check_function(function, count)
        functions[key] = function
    _check_graph(model.graph, set(), 0, count)
    return Read(model, folder, _short(stem or model.graph.name or "model"), opsets, functions, count[0])


def domain_of(thing: Any) -> str:
    """The domain of a node, function or opset; ONNX's own is "" by either of its names."""
    return "" if thing.domain in STANDARD else str(thing.domain)


def opsets_of(entries: Iterable[Any], what: str) -> dict[str, int]:
    """The version of each domain's operators.  Raises FileError for two of one domain, or one that is not read."""
    opsets: dict[str, int] = {}
    for entry in entries:
        domain = domain_of(entry)
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise FileError(f"{what} names two versions of the operators of {domain or 'ONNX'!r}.")
    version = opsets.get("", NEWEST)
    if not OLDEST <= version <= NEWEST:
        how = "Convert it with onnx.version_converter." if version < OLDEST else "Export it for an older version."
        raise UntranslatedError(
            f"{what} uses version {version} of ONNX's operators; {OLDEST} to {NEWEST} are read. {how}"
        )
    return opsets


def _check_text(thing: Any, *fields: str) -> None:
    """Protobuf hands text that is none as bytes: names have to be text, and not endless."""
    for field in fields:
        text = getattr(thing, field)
        for one in (text,) if isinstance(text, (str, bytes)) else text:
            if not isinstance(one, str) or len(one) > LONGEST_NAME:
                kind = type(thing).__name__.removesuffix("Proto").lower()
                raise FileError(f"the {field} of a {kind} is no text, or has {len(one)} characters: it is damaged.")


def _check_function(function: FunctionProto, count: list[int]) -> None:
    _check_text(function, "name", "domain", "input", "output", "attribute")
    made = set(function.input)
    if len(made) < len(function.input):
        raise FileError(f"function {_short(function.name)!r} names an input twice: the model is damaged.")
    _check_nodes(function.node, made, 1, count)
    missing = [name for name in function.output if name not in made]
    if missing:
        raise FileError(f"function {_short(function.name)!r} gives {_short(missing[0])!r}, which nothing makes.")


def _check_graph(graph: GraphProto, outside: set[str], depth: int, count: list[int]) -> None:
    """Every name is made once and before it is used; what is used is there; no graph within graphs without end.

    outside: the names that the graph around it has; it is left as it was.
    """
    if depth > DEEPEST:
        raise FileError(f"the model has graphs within graphs, more than {DEEPEST} deep.")
    if graph.sparse_initializer:
        raise UntranslatedError("the model has sparse tensors, which Millrace lacks: export it with dense ones.")
    for thing in (*graph.input, *graph.output, *graph.initializer):
        _check_text(thing, "name")
    _check_text(graph, "name")
    inputs = [value.name for value in graph.input]
    tensors = [tensor.name for tensor in graph.initializer]
    for kind, names in (("input", inputs), ("initializer", tensors)):
        for name in names:
            if not name:
                raise FileError(f"the model has an {kind} without a name.")
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise FileError(f"the model has two {kind}s called {_short(twice)!r}: it is damaged.")
    added = {*inputs, *tensors} - outside
    outside |= added
    added |= _check_nodes(graph.node, outside, depth, count)
    outputs = [value.name for value in graph.output]
    for name in outputs:
        if name not in outside:
            raise FileError(f"the model gives {_short(name)!r}, which nothing makes: it is damaged.")
    outside -= added
    if depth == 0 and (not outputs or len(set(outputs)) < len(outputs)):
        raise FileError("the model has no output, or names one twice.")


def _check_nodes(nodes: Iterable[NodeProto], made: set[str], depth: int, count: list[int]) -> set[str]:
    """What the nodes make, which is added to `made`."""
    added: set[str] = set()
    for node in nodes:
        count[0] += 1
        if count[0] > MOST_NODES:
            raise FileError(f"the model has more than {MOST_NODES} nodes.")
        _check_text(node, "name", "op_type", "domain", "input", "output")
        for attribute in node.attribute:
            _check_text(attribute, "name", "ref_attr_name")
        for name in node.input:
            if name and name not in made:
                raise FileError(
                    f"node {label(node)} uses {_short(name)!r} before anything makes it: the model has a cycle, is not "
                    "sorted, or is damaged."
                )
        for inner in graphs_of(node):
            _check_graph(inner, made, depth + 1, count)
        for name in node.output:
            if name and name in made:
                raise FileError(f"node {label(node)} makes {_short(name)!r}, which is there already.")
            if name:
                made.add(name)
                added.add(name)
    return added


def label(node: NodeProto) -> str:
    """How messages call a node."""
    return f"{_short(node.name or next(iter(node.output), ''))!r} ({_short(node.op_type)})"


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs among a node's attributes: branches, and bodies of loops."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
