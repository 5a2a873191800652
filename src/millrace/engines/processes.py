"""Several processes as one: each has devices of its own, and a mesh may lie over those of all.

What starts them does not matter: `millrace train --processes 2` on one machine, or one command on each machine with

    MILLRACE_COORDINATOR=host:port   where the first process listens, the same for all
    MILLRACE_PROCESSES=4             how many there are
    MILLRACE_PROCESS=0               which one this is, from 0

Where Slurm, Open MPI or another starter that JAX knows has started them, MILLRACE_PROCESSES=auto asks it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from millrace.ir.errors import ArgumentError, MillraceError

T = TypeVar("T")
COORDINATOR, COUNT, NUMBER = "MILLRACE_COORDINATOR", "MILLRACE_PROCESSES", "MILLRACE_PROCESS"
START = 300  # seconds to wait for the others at the start
DAY = 86_400  # seconds: the first may compute statistics of a large set, or write its report, while others wait


@dataclass(frozen=True)
class Processes:
    """How many processes there are, and which this one is."""

    count: int = 1
    number: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks for all."""
        return self.number == 0


_joined: Processes | None = None
_meetings: dict[str, int] = {}


def processes() -> Processes:
    """The processes that work together; one, where none have joined."""
    return _joined or Processes()


def join_processes(environment: Mapping[str, str] | None = None) -> Processes:
    """Join the processes that the environment names; call it before anything is compiled.

    Raises ArgumentError for variables that are missing or no numbers, MillraceError where the others cannot be reached.
    """
    global _joined
    said = os.environ if environment is None else environment
    if _joined is not None or COUNT not in said:
        return processes()
    arguments: dict[str, Any] = {}
    if said[COUNT] != "auto":
        count, number = (_number(said, name) for name in (COUNT, NUMBER))
        if number >= count:
            raise ArgumentError(f"{NUMBER}={number} must be from 0 to {count - 1}, since {COUNT}={count}.")
        if count == 1:
            return processes()
        if ":" not in said.get(COORDINATOR, ""):
            raise ArgumentError(f"{COORDINATOR} must say where process 0 listens, such as 10.0.0.1:12345.")
        arguments = {"coordinator_address": said[COORDINATOR], "num_processes": count, "process_id": number}
    from millrace.engines.xla import jax, joined

    try:
        jax.distributed.initialize(**arguments, initialization_timeout=START, shutdown_timeout_seconds=DAY)
    except (RuntimeError, ValueError) as error:
        raise MillraceError(f"the other processes cannot be joined: {str(error).splitlines()[0]}") from None
    _joined = Processes(*joined())
    sys.excepthook = partial(_leave, sys.excepthook)
    with suppress(ValueError):  # on a thread of the user's own
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # JAX would have it wait for the others
    return _joined


def _leave(said: Callable[..., Any], *error: Any) -> None:
    """End at once after an error that nobody caught: an orderly end waits for the others, who wait for this one."""
    said(*error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def first_then_others(do: Callable[[], T], topic: str = "run") -> T:
    """`do()` in the first process, and in the others when that is over: what it wrote, they find.

    topic: one for each thread that meets those of the other processes.
    """
    here = processes()
    if here.count == 1:
        return do()
    from millrace.engines.xla import meet

    name = _next(topic)
    if here.first:
        done = do()
        meet(name, DAY)
        return done
    meet(name, DAY)
    return do()


def said_by_first(text: str) -> str:
    """What the first process says, in all of them."""
    if processes().count == 1:
        return text
    from millrace.engines.xla import said

    return said(_next("said"), text if processes().first else None, DAY)


def _next(topic: str) -> str:
    """A name that a meeting has in every process, and no other meeting has."""
    _meetings[topic] = _meetings.get(topic, 0) + 1
    return f"millrace {topic} {_meetings[topic]}"


def _number(said: Mapping[str, str], name: str) -> int:
    text = said.get(name, "")
    if not text.isdecimal() or (name == COUNT and int(text) < 1):
        raise ArgumentError(f"{name} must be a whole number{', at least 1' if name == COUNT else ''}, got {text!r}.")
    return int(text)
