"""Tensors as the protocol writes them: lists of numbers in JSON, or bytes after it.

Source: Open Inference Protocol (REST), tensor data types and tensor data; Triton's binary tensor data extension.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import ml_dtypes  # registers bfloat16 with NumPy
import numpy as np

from millrace.inference.server.limits import Refusal, malformed, shown
from millrace.ir.types import is_float_array, widened

DATATYPES = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)},
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
}
TEXT = "BYTES"
LENGTH = struct.Struct("<I")  # before each element of a BYTES tensor in binary


def flattened(data: Any, shape: Sequence[int], name: str) -> list[Any]:
    """The elements of a tensor in JSON, row by row; it is one list, or lists in lists as its shape says.

    Every list is counted before it is opened, so what is too large is never unfolded.  Raises Refusal.
    """
    if not isinstance(data, list):
        raise malformed(f"input {name!r}: data must be a list, got {shown(data)}.")
    total = math.prod(shape)
    if not (data and isinstance(data[0], list)):
        if len(data) != total:
            raise malformed(f"input {name!r}: shape {list(shape)} has {total:,} elements, data has {len(data):,}.")
        return data
    level = data
    for depth, size in enumerate(shape):
        if depth > 0:
            for part in level:
                if not isinstance(part, list) or len(part) != size:
                    what = f"{len(part):,}" if isinstance(part, list) else "no list"
                    raise malformed(f"input {name!r}: axis {depth} of shape {list(shape)} is {size}, data has {what}.")
            level = list(chain.from_iterable(level))
        elif len(level) != size:
            raise malformed(f"input {name!r}: axis 0 of shape {list(shape)} is {size}, data has {len(level):,}.")
    return level


def numbers(data: Any, shape: Sequence[int], dtype: str, name: str) -> np.ndarray:
    """An array of a tensor in JSON.  Raises Refusal for what is no number of the dtype, or does not fit the shape."""
    flat = flattened(data, shape, name)
    kinds = set(map(type, flat))
    allowed = {bool} if dtype == "bool" else {int, float} if _is_float(dtype) else {int}
    if not kinds <= allowed:
        place = next(n for n, x in enumerate(flat) if type(x) not in allowed)
        what = "true or false" if dtype == "bool" else "a number" if _is_float(dtype) else "a whole number"
        raise malformed(f"input {name!r}: {DATATYPES[dtype]} takes {what}, element {place} is {shown(flat[place])}.")
    if allowed == {int}:
        info = np.iinfo(dtype)
        if min(flat) < info.min or max(flat) > info.max:
            raise malformed(f"input {name!r}: {DATATYPES[dtype]} goes from {info.min} to {info.max}: a number is not.")
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused with its place
            return np.array(flat, np.float64).astype(dtype).reshape(shape) if _is_float(dtype) else (
                np.array(flat, dtype).reshape(shape))  # fmt: skip
    except OverflowError:
        raise malformed(f"input {name!r}: a number is too large for {DATATYPES[dtype]}.") from None


def from_binary(raw: memoryview, shape: Sequence[int], dtype: str, name: str) -> np.ndarray:
    """An array of a tensor in binary: little-endian, row by row.  Raises Refusal where its length does not fit."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if len(raw) != size:
        raise malformed(f"input {name!r}: {DATATYPES[dtype]} {list(shape)} has {size:,} bytes, got {len(raw):,}.")
    if dtype == "bool" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise malformed(f"input {name!r}: BOOL is a byte of 0 or 1 for each element.")
    return np.frombuffer(raw, kind.newbyteorder("<") if kind.kind != "V" else kind).astype(kind).reshape(shape)


def texts(data: Any, shape: Sequence[int], name: str) -> list[str]:
    """The strings of a BYTES tensor in JSON.  Raises Refusal."""
    flat = flattened(data, shape, name)
    for place, text in enumerate(flat):
        if not isinstance(text, str):
            raise malformed(f"input {name!r}: BYTES takes strings, element {place} is {shown(text)}.")
    return flat


def texts_from_binary(raw: memoryview, shape: Sequence[int], name: str) -> list[bytes]:
    """The elements of a BYTES tensor in binary, each after its length in four bytes.  Raises Refusal."""
    total, place = math.prod(shape), 0
    found: list[bytes] = []
    while place < len(raw) and len(found) <= total:
        if place + LENGTH.size > len(raw):
            break
        (length,) = LENGTH.unpack_from(raw, place)
        place += LENGTH.size
        if length > len(raw) - place:
            raise malformed(
                f"input {name!r}: element {len(found)} says {length:,} bytes, {len(raw) - place:,} are left."
            )
        found.append(bytes(raw[place : place + length]))
        place += length
    if len(found) != total or place != len(raw):
        raise malformed(f"input {name!r}: shape {list(shape)} has {total:,} elements, its binary data has not.")
    return found


def to_json(array: np.ndarray, name: str) -> list[Any]:
    """The elements of an answer, row by row.  Raises Refusal (500) for NaN or infinity, which JSON does not have."""
    if is_float_array(array) and not np.isfinite(array).all():
        example = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise Refusal(
            500, "not_finite",
            f"output {name!r} is NaN or infinite for example {example}, for which JSON has no number: ask for it with "
            'the parameter "binary_data": true.',
        )  # fmt: skip
    return widened(array).ravel().tolist()


def to_binary(array: np.ndarray) -> bytes:
    """The elements of an answer, little-endian, row by row."""
    kind = array.dtype
    return np.ascontiguousarray(array, kind if kind == ml_dtypes.bfloat16 else kind.newbyteorder("<")).tobytes()


def texts_to_binary(elements: Sequence[str]) -> bytes:
    """A BYTES tensor: each element after its length in four bytes."""
    encoded = [text.encode() for text in elements]
    return b"".join(LENGTH.pack(len(one)) + one for one in encoded)


def _is_float(dtype: str) -> bool:
    return dtype in ("float16", "bfloat16", "float32", "float64")
