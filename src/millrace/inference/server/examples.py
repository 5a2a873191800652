"""Arrays of what a request sent: numbers as they are, pictures and sentences as the network's recipe reads them.

A picture in JSON is its file in base64; in binary data it is the file itself. A sentence is UTF-8.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

import numpy as np

from millrace.data.decode import image_size
from millrace.inference.server.limits import Limits, Refusal, Share, malformed
from millrace.inference.server.request import Asked, Tensor
from millrace.inference.server.served import Served
from millrace.inference.server.tensors import TEXT, from_binary, numbers, texts, texts_from_binary
from millrace.ir.errors import DataError, FileError
from millrace.ir.types import is_float_array
from millrace.training.examples import check_limit


def arrays_of(
    asked: Asked, served: Served, limits: Limits, share: Share, given_up: Callable[[], bool]
) -> list[np.ndarray]:
    """One array for each input of the model; what is decoded is counted to the request's share of memory first.

    given_up: whether nobody waits for the answer any more; asked between pictures.

    Raises Refusal for what the model does not take.
    """
    sent = [as_sent(one) for one in asked.inputs]
    share.take(asked.count * served.bytes_of_an_example([one.shape for one in asked.inputs]))
    made = [
        decoded(content, one, served, limits, given_up) if isinstance(content, list) else content
        for content, one in zip(sent, asked.inputs, strict=True)
    ]
    return [checked(one, array, served) for one, array in zip(asked.inputs, made, strict=True)]


def as_sent(one: Tensor) -> np.ndarray | list[str] | list[bytes]:
    """An input's numbers, or the elements of a BYTES tensor: no more than the request has room for."""
    name, dtype = one.port.name, one.port.type.dtype
    if one.datatype == TEXT:
        read = texts_from_binary if one.is_binary else texts
        return read(one.data, one.shape, name)
    return from_binary(one.data, one.shape, dtype, name) if one.is_binary else numbers(one.data, one.shape, dtype, name)


def decoded(
    elements: Sequence[str | bytes], one: Tensor, served: Served, limits: Limits, given_up: Callable[[], bool]
) -> np.ndarray:
    """An example of each picture or sentence."""
    made = []
    for place, element in enumerate(elements):
        if given_up():
            raise Refusal(504, "late", "the time to answer was over while the examples were read.")
        content = content_of(element, place, one.port.name, served.takes)
        if served.takes == "picture":
            check_pixels(content, place, limits)
        try:
            made.append(np.asarray(served.example(content)))
        except (DataError, FileError) as error:
            raise malformed(f"input {one.port.name!r}, example {place}: {error}") from None
    return np.stack(made).astype(one.port.type.dtype, copy=False)


def content_of(element: str | bytes, place: int, name: str, takes: str) -> bytes:
    """A sentence's or a picture file's bytes.  Raises Refusal for what is not base64, or not UTF-8."""
    if takes == "sentence":
        try:
            return element.encode() if isinstance(element, str) else element.decode().encode()
        except UnicodeError:
            raise malformed(f"input {name!r}, example {place}: the sentence is not UTF-8.") from None
    if isinstance(element, bytes):
        return element
    try:
        return base64.b64decode(element, validate=True)
    except (binascii.Error, ValueError):
        raise malformed(
            f"input {name!r}, example {place} is not base64: in JSON a picture is its file in base64."
        ) from None


def check_pixels(content: bytes, place: int, limits: Limits) -> None:
    """Raises Refusal (413) for a picture whose header says more pixels than the limit; nothing is decoded for it."""
    try:
        height, width = image_size(content)
    except DataError as error:
        if "too large" in str(error):
            raise Refusal(413, "too_large", f"example {place}: {error}.") from None
        raise malformed(f"example {place} cannot be read as a picture: {error}.") from None
    if height * width > limits.max_pixels:
        raise Refusal(
            413, "too_large",
            f"example {place}: a picture of {height:,} x {width:,} pixels; the limit is {limits.max_pixels:,} in all.",
        )  # fmt: skip


def checked(one: Tensor, array: np.ndarray, served: Served) -> np.ndarray:
    """The array, where it is finite and the network has a row for each number that it looks up.  Raises Refusal."""
    name = one.port.name
    if one.datatype == TEXT and array.shape[1:] != one.port.type.shape[1:]:
        raise Refusal(
            500, "failed", f"input {name!r}: the {served.takes} became an example of shape {array.shape[1:]}."
        )
    if is_float_array(array) and not np.isfinite(array).all():
        example = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise malformed(f"input {name!r} is NaN, infinite or too large for {one.port.type.dtype} in example {example}.")
    try:
        value = next(
            v for v, port in zip(served.predictor.graph.inputs, served.inputs, strict=True) if port is one.port
        )
        check_limit(array, value, f"input {name!r}")
    except DataError as error:
        raise malformed(str(error)) from None
    return array
