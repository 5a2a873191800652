"""Several processes as one: each has devices of its own, and a mesh may lie over those of all.

What starts them does not matter: `millrace train --processes 2` on one machine, or one command a machine with

    MILLRACE_COORDINATOR=host:port   where the first process listens, the same for all
    MILLRACE_PROCESSES=4             how many there are
    MILLRACE_PROCESS=0               which one this is, from 0

Where these are not set and Slurm, Open MPI or another starter that JAX knows has started them, MILLRACE_PROCESSES=auto
takes the numbers from there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millrace.ir.errors import ArgumentError, MillraceError

COORDINATOR, COUNT, NUMBER = "MILLRACE_COORDINATOR", "MILLRACE_PROCESSES", "MILLRACE_PROCESS"
WAIT = 300  # seconds to wait for the others at the start


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


def processes() -> Processes:
    """The processes that work together; one, where none have joined."""
    return _joined or Processes()


def join(environment: Mapping[str, str] | None = None) -> Processes:
    """Join the processes that the environment names; call it before anything is compiled.

    Raises ArgumentError for variables that are missing or no numbers, MillraceError where the others cannot be reached.
    """
    global _joined
    said = os.environ if environment is None else environment
    if _joined is not None or COUNT not in said:
        return processes()
    from millrace.engines.xla import jax

    if said[COUNT] == "auto":
        arguments: dict[str, Any] = {}
    else:
        count, number = (_number(said, name) for name in (COUNT, NUMBER))
        if count < 1 or not 0 <= number < count:
            raise ArgumentError(f"{NUMBER}={number} must be from 0 to {count - 1}, since {COUNT}={count}.")
        if count == 1:
            return processes()
        if COORDINATOR not in said:
            raise ArgumentError(f"{COORDINATOR} is not set: say where process 0 listens, such as 10.0.0.1:12345.")
        arguments = {"coordinator_address": said[COORDINATOR], "num_processes": count, "process_id": number}
    try:
        jax.distributed.initialize(**arguments, initialization_timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        raise MillraceError(f"the other processes cannot be joined: {str(error).splitlines()[0]}") from None
    _joined = Processes(jax.process_count(), jax.process_index())
    return _joined


def _number(said: Mapping[str, str], name: str) -> int:
    text = said.get(name, "")
    if not text.isdecimal():
        raise ArgumentError(f"{name} must be a whole number, got {text!r}.")
    return int(text)
