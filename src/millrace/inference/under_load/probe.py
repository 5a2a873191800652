"""Requests with the answers that they have to get."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from millrace.inference.predictor import Predictor
from millrace.inference.server.tensors import DATATYPES
from millrace.inference.under_load.client import Answer, Connection, request
from millrace.ir.errors import DataError, FileError
from millrace.layers.calls import limit_of

EXAMPLES = 64  # different ones; the requests take turns with them
CLOSE = 1e-4  # of answers: batches of other sizes are summed in another order
NUMPY = {datatype: dtype for dtype, datatype in DATATYPES.items()} | {"BF16": "float32"}


@dataclass(frozen=True)
class Target:
    """A model on a server: what its metadata say."""

    name: str
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]

    @property
    def path(self) -> str:
        return f"/v2/models/{quote(self.name)}/infer"

    @property
    def takes_pictures(self) -> bool:
        return any(entry.get("parameters", {}).get("bytes") == "picture" for entry in self.inputs)


@dataclass(frozen=True)
class Probe:
    """A request's JSON but for its id, and its right answer: one array for each output."""

    target: Target
    text: str
    right: tuple[np.ndarray, ...]

    def request(self, id: str) -> bytes:
        return request("POST", self.target.path, f'{{"id":"{id}",{self.text}'.encode())

    def is_right(self, answer: Answer, id: str) -> bool:
        """Whether an answer is this request's: its id, and its numbers but for rounding."""
        try:
            told = answer.json()
            found = [np.array(entry["data"], np.float64) for entry in told["outputs"]]
        except (ValueError, KeyError, TypeError):
            return False
        return told.get("id") == id and len(found) == len(self.right) and all(
            one.shape == other.shape and np.allclose(one, other, rtol=CLOSE, atol=CLOSE)
            for one, other in zip(found, self.right, strict=True)
        )  # fmt: skip


async def target_at(connection: Connection, name: str | None) -> Target:
    """A server's model; without a name the first that it names.  Raises DataError where there is none."""
    try:
        return await _target_at(connection, name)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"what answers at {connection.address} is no server of the Open Inference Protocol.") from None


async def _target_at(connection: Connection, name: str | None) -> Target:
    if name is None:
        told = (await connection.ask(request("GET", "/v2"))).json()
        if not told.get("models"):  # which the protocol does not ask for
            raise DataError(
                f"{connection.address} does not say what its models are called: give the address of one, such as "
                f"{connection.address}/v2/models/digits."
            )
        name = str(told["models"][0])
    answer = await connection.ask(request("GET", f"/v2/models/{quote(name)}"))
    if answer.status != 200:
        raise DataError(
            f"{connection.address} answers {answer.status} for the metadata of {name!r}: which is its model?"
        )
    told = answer.json()
    unknown = next((entry for entry in told["inputs"] if entry["datatype"] not in NUMPY), None)
    if unknown is not None:
        raise DataError(f"input {unknown['name']!r} is {unknown['datatype']}: examples are made of numbers alone.")
    return Target(told["name"], told["inputs"], told["outputs"])


def examples(target: Target, seed: int, predictor: Predictor | None) -> list[list[np.ndarray]]:
    """Random examples, each an array [1, ...] for every input: numbers from 0 to 1, bytes, or whole numbers below what
    the network has rows for (below 10 where nobody knows).
    """
    rng = np.random.default_rng(seed)
    limits = [limit_of(value) for value in predictor.graph.inputs] if predictor else [None] * len(target.inputs)
    made = []
    for _ in range(EXAMPLES):
        arrays = []
        for entry, limit in zip(target.inputs, limits, strict=True):
            shape = [1, *(abs(n) for n in entry["shape"][1:])]  # an open size is 1
            dtype = NUMPY[entry["datatype"]]
            if np.dtype(dtype).kind == "f" and limit is None:
                arrays.append(rng.random(shape).astype(dtype))
            else:
                most = limit[0] if limit else 2 if dtype == "bool" else 256 if dtype == "uint8" else 10
                arrays.append(rng.integers(0, most, shape).astype(dtype))
        made.append(arrays)
    return made


def as_text(target: Target, arrays: Sequence[np.ndarray]) -> str:
    """The JSON of a request behind its id."""
    entries = [
        {"name": entry["name"], "shape": array.shape, "datatype": entry["datatype"], "data": array.ravel().tolist()}
        for entry, array in zip(target.inputs, arrays, strict=True)
    ]
    return f'"inputs":{json.dumps(entries)}}}'


async def probes_for(target: Target, seed: int, connection: Connection, predictor: Predictor | None) -> list[Probe]:
    """Examples with their right answers: the predictor's own where it is given, else the server's without any load.

    Raises FileError where the server does not answer one, DataError where all have the same answer, so that nobody
    could tell them apart.
    """
    made = []
    for arrays in examples(target, seed, predictor):
        text = as_text(target, arrays)
        if predictor is not None:
            right = [np.asarray(output, np.float64).ravel() for output in predictor(*arrays)]
        else:
            answer = await connection.ask(request("POST", target.path, b"{" + text.encode()))
            if answer.status != 200:
                raise FileError(
                    f"{connection.address} answers {answer.status}: {answer.body[:200].decode(errors='replace')}"
                )
            right = [np.array(entry["data"], np.float64) for entry in answer.json()["outputs"]]
        made.append(Probe(target, text, tuple(right)))
    same = all(np.allclose(a, b, rtol=CLOSE, atol=CLOSE) for a, b in zip(made[0].right, made[1].right, strict=True))
    if same:
        raise DataError(f"{target.name} gives two random examples the same answer: mixed-up answers could not be told.")
    return made
