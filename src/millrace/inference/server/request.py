"""What an inference request asks for, read from its JSON and the binary data behind it, and checked against the model.

Source: Open Inference Protocol (REST), inference request; Triton's extensions for binary tensor data and for
classification.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.inference.predictor import Port
from millrace.inference.server.limits import Refusal, malformed, shown
from millrace.inference.server.served import Served, rest
from millrace.inference.server.tensors import DATATYPES, TEXT

LONGEST_ID = 1000  # characters


@dataclass(frozen=True)
class Tensor:
    """An input as it was sent: `data` is a list from JSON, or the bytes that belong to it."""

    port: Port
    datatype: str
    shape: tuple[int, ...]
    data: Any

    @property
    def is_binary(self) -> bool:
        return isinstance(self.data, memoryview)


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for: its place, as binary data or in JSON, and how many of its classes; 0 for numbers."""

    place: int
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True)
class Asked:
    """id: what the answer repeats, None for nothing. inputs: in the model's order. count: how many examples."""

    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Wanted, ...]
    count: int


def read_request(body: bytes, header: int | None, served: Served) -> Asked:
    """A request's body, of which the first `header` bytes are JSON; None for all of them.  Raises Refusal."""
    if header is not None and not 0 < header <= len(body):
        raise malformed(f"Inference-Header-Content-Length is {header:,}, the request has {len(body):,} bytes.")
    told = parsed(body if header is None else body[:header])
    if not isinstance(told, dict):
        raise malformed(f"an inference request is a JSON object, got {shown(told)}.")
    binary = memoryview(body)[len(body) if header is None else header :]
    parameters = mapping(told, "parameters", "the request")
    inputs = read_inputs(entries(told, "inputs"), binary, served)
    outputs = read_outputs(entries(told, "outputs"), flag(parameters, "binary_data_output", False), served)
    return Asked(read_id(told), inputs, outputs, 1 if served.batch is None else inputs[0].shape[0])


def parsed(text: bytes) -> Any:
    """JSON as RFC 8259 has it, in UTF-8.  Raises Refusal, also for NaN, a key twice, and lists too deep or numbers too
    long for Python's reader.
    """
    try:
        return json.loads(text.decode(), object_pairs_hook=once, parse_constant=no_number)
    except UnicodeDecodeError as error:
        raise malformed(f"the request is no JSON in UTF-8: byte {error.start:,} is not.") from None
    except RecursionError:
        raise malformed("the request's lists or objects lie too deep in each other.") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the request is no JSON: {error.msg} at character {error.pos:,}.") from None
    except ValueError:  # an integer of more digits than Python reads
        raise malformed("the request has a number with thousands of digits.") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise malformed(f"the key {shown(twice)} stands twice in an object.")
    return made


def no_number(text: str) -> Any:
    raise malformed(f"{text} is no number in JSON: send finite numbers.")


def read_id(told: Mapping[str, Any]) -> str | None:
    given = told.get("id")
    if given is not None and (not isinstance(given, str) or len(given) > LONGEST_ID):
        raise malformed(f"id must be a string of at most {LONGEST_ID:,} characters, got {shown(given)}.")
    return given


def read_inputs(given: Sequence[Mapping[str, Any]], binary: memoryview, served: Served) -> tuple[Tensor, ...]:
    """All inputs in the model's order, each with its data.  Raises Refusal."""
    found: dict[str, Tensor] = {}
    for entry in given:
        port = port_named(entry, served.inputs, "input")
        if port.name in found:
            raise malformed(f"input {port.name!r} is given twice.")
        parameters = mapping(entry, "parameters", f"input {port.name!r}")
        size = parameters.get("binary_data_size")
        if size is None:
            if "data" not in entry:
                raise malformed(f"input {port.name!r} has no data.")
            data = entry["data"]
        else:
            if type(size) is not int or not 0 <= size <= len(binary):
                raise malformed(
                    f"input {port.name!r}: binary_data_size is {shown(size)}, {len(binary):,} bytes are left."
                )
            data, binary = binary[:size], binary[size:]
        found[port.name] = tensor(port, entry, data, served)
    missing = next((port.name for port in served.inputs if port.name not in found), None)
    if missing is not None:
        raise malformed(f"input {missing!r} is missing.")
    if len(binary):
        raise malformed(f"{len(binary):,} bytes after the JSON belong to no input: give each its binary_data_size.")
    inputs = tuple(found[port.name] for port in served.inputs)
    if served.batch is not None and len({one.shape[0] for one in inputs}) > 1:
        counts = ", ".join(f"{one.port.name} {one.shape[0]:,}" for one in inputs)
        raise malformed(f"the inputs have different numbers of examples: {counts}.")
    return inputs


def tensor(port: Port, entry: Mapping[str, Any], data: Any, served: Served) -> Tensor:
    """An input whose datatype and shape fit the model.  Raises Refusal."""
    datatype, shape = entry.get("datatype"), entry.get("shape")
    wanted = DATATYPES[port.type.dtype]
    if datatype != wanted and not (datatype == TEXT and served.takes):
        also = f", or {TEXT} for a {served.takes}" if served.takes else ""
        raise malformed(f"input {port.name!r} is {wanted}{also}, got datatype {shown(datatype)}.")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise malformed(f"input {port.name!r}: shape must be a list of whole numbers, got {shown(shape)}.")
    takes = [n if isinstance(n, int) else -1 for n in rest(served, port)]
    if served.batch is not None:
        takes.insert(0, -1)
    if datatype == TEXT:
        takes = [-1]
        shape = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape  # as clients send a batch of one string each
    if len(shape) != len(takes) or not all(
        n in (want, n if want < 0 else want) for n, want in zip(shape, takes, strict=True)
    ):
        raise malformed(f"input {port.name!r} takes shape {takes}, -1 for any size; got {shown(shape)}.")
    if not math.prod(shape):
        raise malformed(f"input {port.name!r} of shape {shown(shape)} is empty.")
    return Tensor(port, str(datatype), tuple(shape), data)


def read_outputs(given: Sequence[Mapping[str, Any]], binary: bool, served: Served) -> tuple[Wanted, ...]:
    """What is asked for: all outputs where nothing is said.  Raises Refusal."""
    if not given:
        return tuple(Wanted(place, binary) for place in range(len(served.outputs)))
    made: dict[int, Wanted] = {}
    for entry in given:
        port = port_named(entry, served.outputs, "output")
        place = served.outputs.index(port)
        if place in made:
            raise malformed(f"output {port.name!r} is asked for twice.")
        parameters = mapping(entry, "parameters", f"output {port.name!r}")
        classes = parameters.get("classification", 0)
        if classes != 0:
            check_classes(classes, port, served)
        made[place] = Wanted(place, flag(parameters, "binary_data", binary), classes)
    return tuple(made.values())


def check_classes(classes: Any, port: Port, served: Served) -> None:
    """Raises Refusal where an output has no classes, or fewer than are asked for."""
    sizes = rest(served, port)
    if served.batch is None or len(sizes) != 1 or not isinstance(sizes[0], int):
        raise malformed(f"output {port.name!r} is no list of classes for each example: leave classification out.")
    if type(classes) is not int or not 1 <= classes <= sizes[0]:
        raise malformed(f"classification must be from 1 to {sizes[0]}, got {shown(classes)}.")


def entries(told: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects; an absent one is empty.  Raises Refusal."""
    found = told.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise malformed(f"{key} must be a list of objects, got {shown(found)}.")
    return found


def mapping(told: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """An object within another; an absent one is empty.  Raises Refusal."""
    found = told.get(key, {})
    if not isinstance(found, dict):
        raise malformed(f"{key} of {where} must be an object, got {shown(found)}.")
    return found


def flag(parameters: Mapping[str, Any], key: str, otherwise: bool) -> bool:
    found = parameters.get(key, otherwise)
    if not isinstance(found, bool):
        raise malformed(f"{key} must be true or false, got {shown(found)}.")
    return found


def port_named(entry: Mapping[str, Any], ports: Sequence[Port], kind: str) -> Port:
    name = entry.get("name")
    for port in ports:
        if port.name == name:
            return port
    known = ", ".join(port.name for port in ports)
    raise malformed(f"there is no {kind} {shown(name)}: the model's {kind}s are {known}.")


def header_length(text: str | None) -> int | None:
    """What Inference-Header-Content-Length says.  Raises Refusal for what is no number."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise malformed(f"Inference-Header-Content-Length must be a number of bytes, got {shown(text)}.")
    return int(text)


def check_content_type(content_type: str | None, coding: str | None, header: int | None) -> None:
    """Raises Refusal (415) for a body that is neither JSON nor JSON with binary data, or that is compressed."""
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        raise Refusal(415, "media_type", f"Content-Encoding {shown(coding)} is not taken: send the body as it is.")
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in ("", "application/json") or (kind == "application/octet-stream" and header is not None):
        return
    if kind == "application/octet-stream":
        raise Refusal(
            415, "media_type", "binary data come after JSON, whose length Inference-Header-Content-Length tells."
        )
    raise Refusal(415, "media_type", f"Content-Type must be application/json, got {shown(kind)}.")
