"""`millrace serve`: a trained model behind an address."""

from __future__ import annotations

import ipaddress
import sys
import warnings
from pathlib import Path
from typing import Any

from millrace.cli.bar import printable
from millrace.inference.opening import opened
from millrace.inference.server.app import Service
from millrace.inference.server.command import try_it
from millrace.inference.server.limits import Limits
from millrace.inference.server.running import address_of, listening, run
from millrace.inference.server.served import Served


def serve_model(
    model: Path,
    host: str,
    port: int,
    name: str | None,
    max_batch: int,
    max_queue: int,
    max_bytes: int,
    max_pixels: int,
    timeout: float,
    engine: str | None,
) -> None:
    """Serve until Ctrl-C or a termination signal.

    Raises ArgumentError for an option that makes no sense or an address that cannot be had, FileError for a model that
    cannot be read.
    """
    limits = Limits(max_batch, max_queue, max_bytes, max_pixels, timeout)
    bound = listening(host, port)
    with bound, warnings.catch_warnings():
        warnings.showwarning = told
        service = Service(Served.of(opened(model, engine), name), limits)
        address = address_of(bound)
        print(printable(f"Serving {service.served.name} at {address}"), flush=True)
        if not is_local(bound.getsockname()[0]):
            print("There is no authentication: whoever reaches this address can use the model.", flush=True)
        run(service, bound, lambda: print(ready(service, address), flush=True))
    print("millrace: stopped, every request was answered.", flush=True)


def ready(service: Service, address: str) -> str:
    """What is printed once requests can be sent."""
    served, limits = service.served, service.limits
    told = served.metadata()
    rows = [("input", row) for row in told["inputs"]] + [("output", row) for row in told["outputs"]]
    lines = [f"{kind:8}{row['name']}: {row['datatype']} {row['shape']}{also(row)}" for kind, row in rows]
    sizes = service.batcher.sizes
    if len(sizes) > 1:
        lines.append(f"batch   up to {sizes[-1]} examples at once")
    elif sizes == (1,):
        lines.append("batch   of 1 example: requests are computed one after another")
    else:
        lines.append(f"batch   of {sizes[0]} examples, filled up" if sizes else "batch   none: each request by itself")
    if served.has_open_sizes:
        lines.append("        a program is compiled when a new size is asked for first")
    lines += [
        f"limits  {limits.max_queue:,} requests waiting, {limits.max_bytes:,} bytes a request,",
        f"        {limits.max_pixels:,} pixels a picture, {limits.timeout:g} s to arrive and as long to answer",
        "",
        "Try it:",
        try_it(served, address),
        "",
        "Ready. Ctrl-C stops.",
    ]
    return "\n".join(map(printable, lines))


def also(row: dict[str, Any]) -> str:
    kind = row.get("parameters", {}).get("bytes")
    return f", or BYTES [-1], each a {kind}" if kind else ""


def is_local(host: str) -> bool:
    """Whether an address is of this machine alone."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def told(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as the command says it."""
    print(printable(f"millrace: {message}"), file=sys.stderr, flush=True)
