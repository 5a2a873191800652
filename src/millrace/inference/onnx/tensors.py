"""Tensors of an ONNX model as arrays: nothing is allocated before what is there has been measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from millrace.inference.onnx.translating import Call, UntranslatedError
from millrace.ir.dims import shape_text
from millrace.ir.errors import FileError
from millrace.ir.types import DTYPES

MOST_ELEMENTS = 2**31  # of one tensor or value: what is larger cannot be meant
FIELDS = {
    "float_data": (TensorProto.FLOAT,),
    "int32_data": (
        TensorProto.INT32, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT16, TensorProto.UINT8,
        TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.BFLOAT16,
    ),
    "int64_data": (TensorProto.INT64,),
    "double_data": (TensorProto.DOUBLE,),
    "uint64_data": (TensorProto.UINT32, TensorProto.UINT64),
}  # fmt: skip


def dtype_of(elem_type: int, what: str) -> str:
    """ONNX's number of a dtype as its name.  Raises UntranslatedError for one that Millrace lacks."""
    try:
        name = np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)).name
        label = TensorProto.DataType.Name(elem_type).lower()
    except (KeyError, TypeError, ValueError):
        name, label = "", f"number {elem_type}"
    if label == "string" or name not in DTYPES:
        raise UntranslatedError(f"{what} has dtype {label}, which Millrace lacks.")
    return name


def onnx_dtype(dtype: str) -> int:
    """ONNX's number for a dtype."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def dtype_asked(call: Call, name: str, default: str = "") -> str:
    """The dtype that an attribute of a node names; the default, where there is one, for a node without it."""
    number = call.attribute(name) or 0
    return default if default and not number else dtype_of(number, f"{name} of node {call.label}")


def array_of(tensor: TensorProto, folder: Path | None, what: str) -> np.ndarray:
    """A tensor as an array.

    folder: where external data lies, None where there can be none.
    Raises FileError for one whose content does not fit its shape, UntranslatedError for a dtype that Millrace lacks.
    """
    dtype = np.dtype(dtype_of(tensor.data_type, what))
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape) or len(shape) > 32:
        raise FileError(f"{what} has the shape {shape_text(shape[:33])}, which no tensor has: the model is damaged.")
    count = 1
    for size in shape:
        count *= size
    if count > MOST_ELEMENTS:
        raise FileError(f"{what} says that it is {shape_text(shape)}: that is more than {MOST_ELEMENTS} numbers.")
    if external_data_helper.uses_external_data(tensor):
        return _external(tensor, folder, shape, dtype, count * dtype.itemsize, what)
    if tensor.HasField("raw_data"):
        given, needed, unit = len(tensor.raw_data), count * dtype.itemsize, "bytes"
        if given == needed:
            return np.frombuffer(tensor.raw_data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    else:
        field = next(name for name, types in FIELDS.items() if tensor.data_type in types)
        given, needed, unit = len(getattr(tensor, field)), count, "numbers"
        if given == needed:
            try:
                return np.asarray(numpy_helper.to_array(tensor), dtype)
            except (ValueError, OverflowError):  # numbers that the dtype does not hold
                raise FileError(f"{what} holds numbers that are none of {dtype}: the model is damaged.") from None
    raise FileError(f"{what} is {dtype}{shape_text(shape)}, {needed} {unit}, but holds {given}: the model is damaged.")


def _external(
    tensor: TensorProto, folder: Path | None, shape: tuple[int, ...], dtype: np.dtype, needed: int, what: str
) -> np.ndarray:
    """A tensor whose content lies in a file of its own, in the model's folder."""
    pairs = {entry.key: entry.value for entry in tensor.external_data}
    entries: Mapping[str, str] = {key: text for key, text in pairs.items() if isinstance(text, str)}
    if folder is None:
        raise FileError(f"{what} lies in a file beside the model: give from_onnx the model's path.")
    path = _beside(folder, entries.get("location", ""), what)
    offset, length = (
        _whole(entries.get(key, ""), default, what) for key, default in (("offset", 0), ("length", needed))
    )
    try:
        size = path.stat().st_size
        if length != needed or offset + length > size:
            raise FileError(
                f"{what} is {dtype}{shape_text(shape)}, {needed} bytes, but {path.name} holds {size} bytes and "
                f"{length} from {offset} on are named: the model is damaged."
            )
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(needed)
    except OSError as error:
        raise FileError(f"{what} cannot be read: {error}.") from None
    if len(content) != needed:
        raise FileError(f"{what} cannot be read whole from {path.name}.")
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _beside(folder: Path, location: str, what: str) -> Path:
    """A file inside the model's folder: links are followed first, so that none leads out of it."""
    try:
        root = folder.resolve()
        path = (root / location).resolve()
        inside = bool(location) and "\0" not in location and root in path.parents
        is_there, is_file = inside and path.exists(), inside and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = is_there = is_file = False
    inside = inside and not Path(location).is_absolute() and ".." not in Path(location).parts
    if inside and not is_there:
        raise FileError(f"{what} lies in {location[:80]!r}, which is missing: copy it beside the model.")
    if not inside or not is_file:
        raise FileError(f"{what} lies in {location[:80]!r}: only a file inside the model's own folder is read.")
    return path


def _whole(text: str, default: int, what: str) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FileError(f"{what} has {text[:40]!r} where a number of bytes belongs: the model is damaged.")
    return int(text)
