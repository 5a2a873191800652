"""A contender as a live process: started once, then asked line by line."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.roster import Contender
from benchmarks.workloads import Workload

ROOT = Path(__file__).parent.parent
LIMIT = 900.0  # seconds to wait for one answer
LONG = 300  # characters of an error that are kept

# What would change how a framework runs: each is measured as it comes.
SETTINGS = (
    "XLA_", "JAX_", "TF_", "KERAS_", "TORCH", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "GLIBC_TUNABLES",
    "LD_PRELOAD", "PYTHONPATH", "MILLRACE_ALLOCATOR",
)  # fmt: skip


class Died(Exception):
    """A contender that ended, or did not answer; the text says why."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of frameworks, and with what a contender needs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**kept, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", **extra}


def command(contender: Contender, workload: Workload, peers: str) -> list[str]:
    """How a contender's process is started: Millrace, and what it exports, in this interpreter, peers in theirs."""
    options = {"peer": contender.peer, "workload": workload.name, **contender.options}
    elsewhere = contender.is_peer and not contender.exported
    return [peers if elsewhere else sys.executable, "-m", "benchmarks.serve", json.dumps(options)]


def what_happened(written: str, code: int) -> str:
    """Why a process ended: the last error that it wrote, else its last line; or the signal that ended it."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    text = (errors or lines or [f"ended with code {code}"])[-1]
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


class Live:
    """A process that answers each line with a line of JSON."""

    def __init__(self, arguments: Sequence[str], extra: Mapping[str, str], limit: float = LIMIT):
        self.limit, self.waiting = limit, b""
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (read when the process has ended)
        self.started = time.perf_counter()
        try:
            self.process = subprocess.Popen(
                arguments, cwd=ROOT, env=environment(extra), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self.errors, bufsize=0, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.errors.close()
            raise Died(f"{arguments[0]}: {error.strerror}") from None

    @property
    def pid(self) -> int:
        return self.process.pid

    def age(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self.started

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to a line.  Raises Died where there is none."""
        try:
            self.process.stdin.write(f"{line}\n".encode())  # type: ignore[union-attr]
        except OSError:
            raise Died(self.last_words()) from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next line that the process writes.  Raises Died where it ends first, or takes too long."""
        output: Any = self.process.stdout
        until = time.monotonic() + self.limit
        with selectors.DefaultSelector() as ready:
            ready.register(output, selectors.EVENT_READ)
            while b"\n" not in self.waiting:
                if not ready.select(max(0.0, until - time.monotonic())):
                    self.stop()
                    raise Died(f"no answer in {self.limit:.0f} s")
                read = os.read(output.fileno(), 65536)
                if not read:
                    raise Died(self.last_words())
                self.waiting += read
        line, _, self.waiting = self.waiting.partition(b"\n")
        return json.loads(line)

    def last_words(self) -> str:
        """What the process said of its end."""
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.stop()
            return "closed its output"
        self.errors.seek(0)
        return what_happened(self.errors.read().decode(errors="replace"), code)

    def stop(self) -> None:
        """End the process, and those that it has started to compile for it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with suppress(OSError):  # what was not read to the end cannot be flushed either
                stream.close()  # type: ignore[union-attr]
