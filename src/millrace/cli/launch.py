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
from typing import Any

from millrace.cli.train import positive
from millrace.engines.processes import COORDINATOR, COUNT, NUMBER
from millrace.ir.errors import LostProcessError

GRACE = 5  # seconds that the others have to end by themselves, once one has
TOLD = 12  # lines of what a process said before it failed
KNOWN = (0, 2, 130)  # exit codes of a first process that has said itself what happened

Process = subprocess.Popen[str]


def launched(count: int, arguments: Sequence[str]) -> int:
    """Run the command in so many processes that know of each other, and give the first one's exit code.

    The first speaks for all. Ctrl-C is handed to it alone: it saves and ends, and then the others are ended, as they
    are when this process is asked to end.
    Raises ArgumentError for a count below 1, LostProcessError where one has failed, with what it said last.
    """
    positive(count, "--processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started: list[Process] = []
    try:
        with ExitStack() as ends:
            ends.callback(ended, started)
            said = [ends.enter_context(tempfile.TemporaryFile("w+", errors="replace")) for _ in range(count)]
            for number, place in enumerate(said):
                started.append(started_process(arguments, port, count, number, place))
            failed = watched(started)
            if failed is None:
                return int(started[0].returncode)
            said[failed].seek(0)
            lines = said[failed].read().splitlines()[-TOLD:] if failed else []
    finally:
        signal.signal(signal.SIGTERM, before)
    raise LostProcessError(
        f"process {failed} of {count} {how(started[failed].returncode)}, so all were ended."
        + "".join(f"\n  {line}" for line in lines)
        + "\n  What was saved stays: `millrace runs` shows it, and `millrace train --resume RUN --processes "
        f"{count}` goes on."
    )


def watched(started: Sequence[Process]) -> int | None:
    """Wait until it is over; the number of the process that is to blame, None where the first has said what it was."""
    while True:
        try:
            codes = [process.poll() for process in started]
            if codes[0] is not None or any(codes[1:]):
                break
            time.sleep(0.1)
        except KeyboardInterrupt:
            started[0].send_signal(signal.SIGINT)
    others = [n for n, code in enumerate(codes) if n and code]
    with suppress(subprocess.TimeoutExpired):  # where another one has failed, it may be because of the first
        started[0].wait(GRACE)
    if started[0].poll() in KNOWN:
        return None
    return others[0] if others else 0


def how(code: int | None) -> str:
    """How a process ended."""
    return f"was ended by signal {-code}" if code is not None and code < 0 else f"failed (exit code {code})"


def started_process(arguments: Sequence[str], port: int, count: int, number: int, said: Any) -> Process:
    """One of them, in a session of its own, so that a terminal's Ctrl-C does not reach it.

    Of the others' standard output nothing is shown, and what they say of errors is kept.
    """
    environment = {
        **os.environ, COORDINATOR: f"127.0.0.1:{port}", COUNT: str(count), NUMBER: str(number), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL}
    if number:
        streams |= {"stdout": subprocess.DEVNULL, "stderr": said}
    command = [sys.executable, "-c", "from millrace.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, env=environment, text=True, start_new_session=True, **streams)


def ended(started: Sequence[Process]) -> None:
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
