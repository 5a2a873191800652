"""A server of its own process, to be put under load."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from millrace.inference.under_load.client import Address
from millrace.ir.errors import FileError

ADDRESS = re.compile(r"^Serving .+ at (\S+)$")
READY = "Ready."
PATIENCE = 30.0  # seconds for it to end


@contextmanager
def serving(model: Path, options: Sequence[str] = ()) -> Iterator[Address]:
    """`millrace serve MODEL` on a free port of this machine, ready; ended with SIGTERM.

    Raises FileError with what it said, where it does not become ready or does not end well.
    """
    command = [sys.executable, "-m", "millrace", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    try:
        yield ready(process, said)
        process.terminate()
        rest, _ = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise FileError(f"the server ended with exit code {process.returncode}:\n{rest[-2000:]}")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def ready(process: subprocess.Popen[str], said: list[str]) -> Address:
    """The server's address, once it is ready."""
    address = None
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        found = ADDRESS.match(line)
        if found:
            address = Address.of(found[1])
        if line.startswith(READY) and address is not None:
            return address
    raise FileError(f"the server did not start: {''.join(said[-10:]).strip().removeprefix('millrace: ')}")
