"""Operators of ONNX that ONNX itself defines by others: a node of one is read as the nodes of its definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import AttributeProto, FunctionProto, NodeProto, TypeProto, defs, helper

from millrace.inference.onnx.reading import domain_of, label
from millrace.inference.onnx.tensors import onnx_dtype
from millrace.inference.onnx.translating import Given
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import FileError


def defaults_of(node: NodeProto, body: FunctionProto, opsets: Mapping[str, int]) -> dict[str, AttributeProto]:
    """What a function's attributes are where a node does not say: by the function, or by ONNX's operator."""
    made = {attribute.name: attribute for attribute in body.attribute_proto}
    schema = schema_of(node, opsets)
    for name, attribute in schema.attributes.items() if schema is not None else ():
        if attribute.default_value.name:
            made.setdefault(name, attribute.default_value)
    return made


def schema_of(node: NodeProto, opsets: Mapping[str, int]) -> defs.OpSchema | None:
    """What ONNX says of a node's operator in the version that counts."""
    domain = domain_of(node)
    try:
        return defs.get_schema(node.op_type, opsets[domain], domain) if domain in opsets else None
    except (defs.SchemaError, TypeError, ValueError):
        return None


def body_of(node: NodeProto, opsets: Mapping[str, int], inputs: Sequence[Given] | None) -> FunctionProto | None:
    """The definition of a node's operator by others, None where ONNX has none.

    inputs: what the node is given, on whose types some definitions depend; None to ask whether there is one.
    """
    schema: Any = schema_of(node, opsets)
    if schema is None:
        return None
    version, body = opsets[domain_of(node)], None
    if schema.has_function:
        versions = [v for v in schema.function_opset_versions if v <= version]
        body = schema.get_function_with_opset_version(max(versions)) if versions else None
    elif schema.has_context_dependent_function:
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= version]
        if versions and inputs is None:
            return FunctionProto()
        if versions and inputs is not None:
            types = [_type_of(given).SerializeToString() for given in inputs]
            asked = node.SerializeToString()
            try:
                body = schema.get_context_dependent_function_with_opset_version(max(versions), asked, types)
            except Exception as error:  # ONNX's own code, with errors of many kinds
                why = " ".join(str(error).split())[:200]
                raise FileError(f"node {label(node)} does not fit the definition of its operator: {why}.") from None
    if not body:
        return None
    made = FunctionProto()
    made.ParseFromString(body)
    return made


def _type_of(given: Given) -> TypeProto:
    """The type of an input, as ONNX says it."""
    if given is None:
        return TypeProto()
    if isinstance(given, Value):
        dtype, sizes = given.dtype, given.shape
    else:
        dtype, sizes = "int64" if given.dtype == object else given.dtype.name, given.shape
    shape = [str(s) if isinstance(s, Dim) else s for s in sizes]
    made: TypeProto = helper.make_tensor_type_proto(onnx_dtype(dtype), shape)
    return made
