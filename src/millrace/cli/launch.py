"""Several processes of one command on this machine: `millrace train --processes 2`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from millrace.cli.train import positive
from millrace.engines.processes import COORDINATOR, COUNT, NUMBER
from millrace.ir.errors import MillraceError

GRACE = 5  # seconds that the others have to end by themselves, once one has
TOLD = 12  # lines of what a process said before it failed


def launched(count: int, arguments: Sequence[str]) -> int:
    """Run the command in so many processes that know of each other, and give the first one's exit code.

    The first speaks for all. Ctrl-C reaches it alone: it saves and ends, and then the others are ended.
    Raises ArgumentError for a count below 1, MillraceError where another process fails.
    """
    positive(count, "--processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as ends:
        said = [ends.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(count - 1)]
        started = [started_process(arguments, port, count, 0, None)]
        ends.callback(ended, started)
        started += [started_process(arguments, port, count, number + 1, said[number]) for number in range(count - 1)]
        first, others = started[0], started[1:]
        while True:
            try:
                while first.poll() is None and not any(other.poll() for other in others):
                    time.sleep(0.1)
                break
            except KeyboardInterrupt:
                continue  # the first has got it, too, and says what it saved
        with suppress(subprocess.TimeoutExpired):  # where the first has failed, others fail because of it
            first.wait(GRACE if any(other.poll() for other in others) else None)
        if first.poll() is not None:
            return first.returncode
        number = next(n for n, other in enumerate(others) if other.poll())
        said[number].seek(0)
        lines = said[number].read().splitlines()[-TOLD:]
        raise MillraceError(
            f"process {number + 1} of {count} failed (exit code {others[number].returncode}), so all were ended."
            + "".join(f"\n  {line}" for line in lines)
            + "\n  What was saved stays: `millrace runs` shows it, `millrace train --resume RUN --processes "
            f"{count}` goes on."
        )


def started_process(
    arguments: Sequence[str], port: int, count: int, number: int, said: object
) -> subprocess.Popen[str]:  # fmt: skip
    """One of them. The others' standard output is nobody's, what they say of errors is kept."""
    environment = {
        **os.environ, COORDINATOR: f"127.0.0.1:{port}", COUNT: str(count), NUMBER: str(number), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    quiet = {} if said is None else {"stdout": subprocess.DEVNULL, "stderr": said, "stdin": subprocess.DEVNULL}
    command = [sys.executable, "-c", "from millrace.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, env=environment, text=True, **quiet)  # type: ignore[call-overload]


def ended(started: list[subprocess.Popen[str]]) -> None:
    """End all that still run: they wait for somebody who has left."""
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
