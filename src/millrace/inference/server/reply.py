"""The answer to an inference request, as JSON and the binary data behind it.

Source: Open Inference Protocol (REST), inference response; Triton's extensions for binary tensor data and for
classification.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.inference.server.request import Asked, Wanted
from millrace.inference.server.served import VERSION, Served
from millrace.inference.server.tensors import DATATYPES, TEXT, texts_to_binary, to_binary, to_json
from millrace.ir.types import widened


def reply(asked: Asked, outputs: Sequence[np.ndarray], served: Served) -> tuple[bytes, int | None]:
    """The body, and how many of its bytes are JSON; None where all are.  Raises Refusal for NaN in JSON."""
    told: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for wanted in asked.outputs:
        entry, raw = output(wanted, outputs[wanted.place], served)
        told.append(entry)
        if raw is not None:
            binary.append(raw)
    whole: dict[str, Any] = {"model_name": served.name, "model_version": VERSION}
    if asked.id is not None:
        whole["id"] = asked.id
    text = json.dumps({**whole, "outputs": told}, separators=(",", ":"), allow_nan=False).encode()
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def output(wanted: Wanted, array: np.ndarray, served: Served) -> tuple[dict[str, Any], bytes | None]:
    """An output's entry in the JSON, and its binary data."""
    port = served.outputs[wanted.place]
    if wanted.classes:
        data: list[Any] = ranked(array, wanted.classes, served.predictor.about.classes, port.name)
        entry = {"name": port.name, "datatype": TEXT, "shape": [len(array), wanted.classes]}
        raw = texts_to_binary(data) if wanted.binary else None
    else:
        entry = {"name": port.name, "datatype": DATATYPES[array.dtype.name], "shape": list(array.shape)}
        raw = to_binary(array) if wanted.binary else None
        data = to_json(array, port.name) if raw is None else []
    return ({**entry, "data": data}, None) if raw is None else (
        {**entry, "parameters": {"binary_data_size": len(raw)}}, raw)  # fmt: skip


def ranked(array: np.ndarray, count: int, classes: Sequence[str], name: str) -> list[str]:
    """For each example its highest values, as "value:index:label", or "value:index" where classes have no names.

    Source: Triton's classification extension.
    """
    to_json(array, name)  # NaN has no rank
    scores = widened(array)
    named = len(classes) == array.shape[1]
    order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]
    return [
        f"{scores[row, n]!s}:{n}:{classes[n]}" if named else f"{scores[row, n]!s}:{n}"
        for row, best in enumerate(order)
        for n in best
    ]
