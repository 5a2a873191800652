"""A request to try, as a command for a shell: the smallest that this model answers."""

from __future__ import annotations

import base64
import json
import math
import shlex
from io import BytesIO
from typing import Any
from urllib.parse import quote

import numpy as np

from millrace.inference.server.served import Served, rest
from millrace.inference.server.tensors import DATATYPES, TEXT

FEW = 200  # numbers that are written out; of more, zeros are made by the shell
BEST = 3  # classes that the answer names


def try_it(served: Served, address: str) -> str:
    """A command that runs as it is pasted into a shell."""
    url = f"{address}/v2/models/{quote(served.name)}/infer"
    request: dict[str, Any] = {"inputs": [sample(served)] if served.takes else zeros(served)}
    wanted = best(served)
    if wanted:
        request["outputs"] = wanted
    binary = sum(entry.get("parameters", {}).get("binary_data_size", 0) for entry in request["inputs"])
    text = json.dumps(request)
    if not binary:
        return f"curl {url} -H 'Content-Type: application/json' -d {shlex.quote(text)}"
    return (
        f"(printf %s {shlex.quote(text)}; head -c {binary} /dev/zero) | curl {url} --data-binary @- "
        f"-H 'Content-Type: application/octet-stream' -H 'Inference-Header-Content-Length: {len(text)}'"
    )


def sample(served: Served) -> dict[str, Any]:
    """A small picture of a stroke, or a sentence of a word that the network knows."""
    if served.takes == "picture":
        data = base64.b64encode(stroke()).decode()
    else:
        data = next((word for word in served.predictor.about.vocabulary[2:] if word.isalpha()), "good")
    return {"name": served.inputs[0].name, "shape": [1], "datatype": TEXT, "data": [data]}


def stroke() -> bytes:
    """A picture file: a dark stroke on light paper, 8 by 8 pixels."""
    from PIL import Image

    pixels = np.full((8, 8), 255, np.uint8)
    pixels[1:7, 3:5] = 0
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def zeros(served: Served) -> list[dict[str, Any]]:
    """Every input with zeros; each open size is 1."""
    made = []
    for port in served.inputs:
        shape = [n if isinstance(n, int) else 1 for n in rest(served, port)]
        shape = shape if served.batch is None else [1, *shape]
        entry: dict[str, Any] = {"name": port.name, "shape": shape, "datatype": DATATYPES[port.type.dtype]}
        made.append(entry)
    if sum(math.prod(entry["shape"]) for entry in made) <= FEW:
        for entry in made:
            entry["data"] = [False if entry["datatype"] == "BOOL" else 0] * math.prod(entry["shape"])
        return made
    for entry, port in zip(made, served.inputs, strict=True):
        size = math.prod(entry["shape"]) * np.dtype(port.type.dtype).itemsize
        entry["parameters"] = {"binary_data_size": size}
    return made


def best(served: Served) -> list[dict[str, Any]]:
    """The first output by its best classes, where it has classes with names; else [] for all as they are."""
    port, classes = served.outputs[0], served.predictor.about.classes
    sizes = rest(served, port)
    if served.batch is None or not classes or sizes != (len(classes),):
        return []
    return [{"name": port.name, "parameters": {"classification": min(BEST, len(classes))}}]
