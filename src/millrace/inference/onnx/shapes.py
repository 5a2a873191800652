"""Sizes of an ONNX model as dimensions: numbers stay, names become names that Millrace can write, others get one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Any

from onnx import ValueInfoProto

from millrace.inference.onnx.tensors import dtype_of
from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.dims import Size, dim
from millrace.ir.errors import FileError, one_of
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole


def input_types(inputs: Iterable[ValueInfoProto], fixed: Mapping[str, int]) -> dict[str, TensorType]:
    """The type of each input by its name.

    The open first dimension is called `batch` where all inputs that have one share it. fixed: numbers for open sizes.
    Raises ArgumentError for a number of a size that no input has, FileError for a negative size, UntranslatedError for
    an input that is no tensor or has no shape.
    """
    read = [
        (value.name, dtype_of(_tensor(value).elem_type, f"input {value.name!r}"), _sizes(value)) for value in inputs
    ]
    named = {size for _, _, sizes in read for size in sizes if isinstance(size, str) and not size.startswith("?")}
    for name, number in fixed.items():
        if name not in named:
            raise one_of("size", name, sorted(named))
        whole(number, f"size {name!r}")
    read = [(name, dtype, [fixed.get(size, size) for size in sizes]) for name, dtype, sizes in read]  # type: ignore[arg-type]
    firsts = {sizes[0] for _, _, sizes in read if sizes and isinstance(sizes[0], str)}
    taken: dict[str, str] = {}
    if len({first for first in firsts if not first.startswith("?")}) <= 1:
        taken = dict.fromkeys(firsts, "batch")
    return {
        name: TensorType(dtype, tuple(_named(size, taken) if isinstance(size, str) else size for size in sizes))
        for name, dtype, sizes in read
    }


def _tensor(value: ValueInfoProto) -> Any:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "nothing"
        raise UntranslatedError(
            f"input {value.name!r} is a {kind.removesuffix('_type')}: Millrace takes tensors alone."
        )
    return value.type.tensor_type


def _sizes(value: ValueInfoProto) -> list[int | str]:
    """Numbers, and what open sizes are called: their name in the model, or ?input.axis."""
    if not value.type.tensor_type.HasField("shape"):
        raise UntranslatedError(f"input {value.name!r} does not say how many axes it has.")
    sizes: list[int | str] = []
    for axis, size in enumerate(value.type.tensor_type.shape.dim):
        if size.HasField("dim_value"):
            if not 0 <= size.dim_value < 2**31:
                raise FileError(f"input {value.name!r} has the size {size.dim_value} along axis {axis}.")
            sizes.append(int(size.dim_value))
        elif not isinstance(size.dim_param, str):
            raise FileError(f"input {value.name!r} has a size whose name is no text: the model is damaged.")
        else:
            sizes.append(size.dim_param or f"?{value.name}_size{axis}")
    return sizes


def _named(label: str, taken: dict[str, str]) -> Size:
    """The dimension for a name of the model; two names never become one."""
    if label not in taken:
        stem = re.sub(r"\W", "_", label.lstrip("?"), flags=re.ASCII)[:60] or "size"
        stem = stem if stem[0].isalpha() and not iskeyword(stem) and stem not in ("inf", "nan") else f"size_{stem}"
        name, count = stem, 2
        while name in taken.values():
            name, count = f"{stem}_{count}", count + 1
        taken[label] = name
    return dim(taken[label])
