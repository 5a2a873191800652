"""A node's attributes as Python has them: numbers, strings, lists, arrays, graphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import AttributeProto, NodeProto, defs

from millrace.inference.onnx.reading import label
from millrace.inference.onnx.tensors import array_of
from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.errors import FileError

Attributes = dict[str, Any]


def resolved(node: NodeProto, given: Mapping[str, AttributeProto]) -> NodeProto:
    """The node with its own attributes in the place of those that refer to `given`.

    given: the attributes of the call of the function that the node stands in. Where the call has none of a name, the
    node has none either.
    """
    if not any(attribute.ref_attr_name for attribute in node.attribute):
        return node
    made = NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            made.attribute.append(attribute)
        elif attribute.ref_attr_name in given:
            made.attribute.append(given[attribute.ref_attr_name])
            made.attribute[-1].name = attribute.name
    return made


def attributes_of(node: NodeProto, schema: defs.OpSchema | None, folder: Path | None) -> Attributes:
    """Attributes by name, of the kinds that the operator's schema says.

    Raises FileError for two of one name, for one of another kind, for one that is missing, and for too few inputs;
    UntranslatedError for a kind that Millrace lacks.
    """
    made: Attributes = {}
    expected: Mapping[str, Any] = schema.attributes if schema is not None else {}
    for attribute in node.attribute:
        if attribute.name in made:
            raise FileError(f"node {label(node)} has two attributes {attribute.name[:80]!r}: the model is damaged.")
        kind = expected[attribute.name].type.name if attribute.name in expected else None
        if kind not in (None, _kind(attribute)):
            raise FileError(
                f"node {label(node)} has the attribute {attribute.name!r} as {_kind(attribute)}, where {kind} belongs: "
                "the model is damaged."
            )
        made[attribute.name] = _python(attribute, node, attribute.name, folder)
    for name, said in expected.items():
        if said.required and name not in made:
            raise FileError(f"node {label(node)} lacks its attribute {name!r}: the model is damaged.")
    if schema is not None and not schema.min_input <= len(node.input) <= schema.max_input:
        raise FileError(f"node {label(node)} has {len(node.input)} inputs: the model is damaged.")
    return made


def _kind(attribute: AttributeProto) -> str:
    kinds = AttributeProto.AttributeType
    return kinds.Name(attribute.type) if attribute.type in kinds.values() else f"number {attribute.type}"


def _python(attribute: AttributeProto, node: NodeProto, name: str, folder: Path | None) -> Any:
    kinds = AttributeProto
    match attribute.type:
        case kinds.INT:
            return int(attribute.i)
        case kinds.FLOAT:
            return float(attribute.f)
        case kinds.STRING:
            return attribute.s.decode("utf-8", "replace")
        case kinds.INTS:
            return [int(n) for n in attribute.ints]
        case kinds.FLOATS:
            return [float(n) for n in attribute.floats]
        case kinds.STRINGS:
            return [s.decode("utf-8", "replace") for s in attribute.strings]
        case kinds.TENSOR:
            return array_of(attribute.t, folder, f"attribute {name!r} of node {label(node)}")
        case kinds.GRAPH:
            return attribute.g
    raise UntranslatedError(
        f"node {label(node)} cannot be imported: its attribute {name[:80]!r} is of the kind {_kind(attribute)}, which "
        "is not read."
    )
