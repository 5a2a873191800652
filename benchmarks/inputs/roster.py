"""Who takes part: Millrace's input as `fit` has it, and each peer in each of the ways in which it is used."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.inputs.workloads import FOLDER, MEMORY, PACKED, InputWorkload
from benchmarks.workloads import split

REFERENCE = "millrace"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}
DECODED = (FOLDER, PACKED)
ACCURATE = {"dct": "INTEGER_ACCURATE"}  # tf.data's own choice is 1 off on average, and no faster


@dataclass(frozen=True)
class Reader:
    """A way to read input.

    peer: a module of `benchmarks.inputs`. kinds: of the workloads that it is for. by_hand: whether the user's own code
    shuffles and gathers, without a loader or with one that only calls it; shown apart.
    """

    name: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = (MEMORY, *DECODED)
    by_hand: bool = False

    @property
    def is_peer(self) -> bool:
        return self.peer != "millrace_fit"

    def command(self, workload: InputWorkload, root: Path, peers: str) -> list[str]:
        """How its process is started: Millrace in this interpreter, peers in theirs."""
        options = {"peer": self.peer, "workload": workload.name, "root": str(root), **self.options}
        return [peers if self.is_peer else sys.executable, "-m", "benchmarks.inputs.serve", json.dumps(options)]


ROSTER = [
    Reader("millrace", "millrace_fit"),
    *(Reader(f"torch-w{n}", "torch_loader", {"workers": n}) for n in (0, 1, 2)),
    Reader("torch-getitems", "torch_loader", {"mode": "getitems"}, (MEMORY,)),
    Reader("torch-sampler", "torch_loader", {"mode": "sampler"}, (MEMORY,)),
    Reader("torch-permutation", "torch_loader", {"mode": "permutation"}, (MEMORY,)),
    Reader("torch-no-loader", "torch_loader", {"mode": "hand"}, (MEMORY,), by_hand=True),
    *(Reader(f"torch-v2-w{n}", "torch_loader", {"workers": n, "resize": "tensor"}, DECODED) for n in (0, 1, 2)),
    Reader("tfdata", "tf_data", {"mode": "slices", **ACCURATE}),
    Reader("tfdata-gather", "tf_data", {"mode": "gather"}, (MEMORY,)),
    Reader("tfdata-permutation", "tf_data", {"mode": "permutation"}, (MEMORY,)),
    Reader("tfdata-crop", "tf_data", {"crop": True, **ACCURATE}, DECODED),
    Reader("tfdata-crop-aliased", "tf_data", {"crop": True, "antialias": False, **ACCURATE}, DECODED),
    Reader("tfdata-crop-rough", "tf_data", {"crop": True, "antialias": False}, DECODED),
    Reader("grain", "grain_reader", {"mode": "items"}, (MEMORY,)),
    Reader("grain-gather", "grain_reader", {"mode": "gather"}, (MEMORY,)),
    Reader("grain-permutation", "grain_reader", {"mode": "permutation"}, (MEMORY,), by_hand=True),
    *(Reader(f"grain-t{n}", "grain_reader", {"threads": n}, DECODED) for n in (0, 2)),
    Reader("grain-p2", "grain_reader", {"processes": 2}, DECODED),
]
NAMES = {reader.name: reader for reader in ROSTER}


def chosen(patterns: str | None) -> list[Reader]:
    """The readers that patterns such as "millrace,torch*" name; the reference is always among them.

    Raises ValueError for a pattern that names nobody.
    """
    parts = split(patterns or "*")
    for pattern in parts:
        if not any(fnmatchcase(name, pattern) for name in NAMES):
            raise ValueError(f"no contender is called {pattern!r}. There are: {', '.join(NAMES)}.")
    return [one for one in ROSTER if one.name == REFERENCE or any(fnmatchcase(one.name, p) for p in parts)]
