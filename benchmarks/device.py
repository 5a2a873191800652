"""What a framework finds to compute on, and the best matrix product that it does there.

    python -m benchmarks.device '{"peer": "torch", "products": ["float32", "bfloat16"], "toy": false}'

It writes one line of JSON: {"platform": "gpu" or "cpu", "name": ..., "products": {"float32": operations a second,
...}}. Run it with the variables of a contender's process, by the interpreter that has the framework.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.live import Live
from benchmarks.serve import private_output

SIDES, TOY = (8192, 16384), 128  # of square matrices: on a GPU, and to see that it runs
SECONDS = 0.4  # of calls with each


def of_jax(dtypes: Sequence[str], toy: bool) -> dict[str, Any]:
    """What plain JAX finds; Millrace computes with the same."""
    import jax

    device = jax.devices()[0]
    return {"platform": device.platform, "name": device.device_kind, "products": {}}


def of_millrace(dtypes: Sequence[str], toy: bool) -> dict[str, Any]:
    import millrace.functional  # noqa: F401 - what a graph is made of
    from millrace.engines.peak import best_product, product

    def best(dtype: str) -> float:
        return product((TOY, TOY, TOY), dtype) if toy else best_product(dtype)

    return of_jax((), toy) | {"products": {dtype: best(dtype) for dtype in dtypes}}


def of_torch(dtypes: Sequence[str], toy: bool) -> dict[str, Any]:
    import torch

    from benchmarks.contenders.torch import DEVICE, arithmetic, finish

    arithmetic(tf32=False)

    def product(side: int, dtype: str) -> float:
        x, y = (torch.rand(side, side, device=DEVICE).to(getattr(torch, dtype)) for _ in range(2))

        def call() -> None:
            torch.matmul(x, y)
            finish()

        return 2.0 * side**3 / fastest(call)

    found: dict[str, Any] = {"platform": "cpu", "name": "cpu", "version": torch.__version__}
    if DEVICE.type == "cuda":
        found = {
            "platform": "gpu", "name": torch.cuda.get_device_name(0), "version": torch.__version__,
            "cuda": torch.version.cuda or "none", "cudnn": str(torch.backends.cudnn.version()),
        }  # fmt: skip
    sides = (TOY,) if toy else SIDES
    return found | {"products": {dtype: max(product(side, dtype) for side in sides) for dtype in dtypes}}


def fastest(call: Callable[[], None]) -> float:
    """The seconds of the fastest of many calls, the first one left out."""
    call()
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


FRAMEWORKS = {"millrace": of_millrace, "jax": of_jax, "torch": of_torch}


def asked(
    python: str, peer: str, environment: Mapping[str, str], dtypes: Sequence[str] = (), toy: bool = False
) -> dict[str, Any]:
    """What a framework of an interpreter finds, asked in a process of its own.  Raises Died where it fails."""
    options = json.dumps({"peer": peer, "products": list(dtypes), "toy": toy})
    process = Live([python, "-m", "benchmarks.device", options], environment)
    try:
        return process.answer()
    finally:
        process.stop()


if __name__ == "__main__":
    output, given = private_output(), json.loads(sys.argv[1])
    print(json.dumps(FRAMEWORKS[given["peer"]](given["products"], given["toy"])), file=output, flush=True)
