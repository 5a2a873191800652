"""A contender's process: it makes its network, does a first step, and then as many as each line asks for.

    python -m benchmarks.serve '{"peer": "torch", "workload": "lstm", "compile": true}'

It writes one line of JSON for each step of the way: {"first": ..., "parameters": ...} after the first step; then, for
"warm", {"seconds": ...} once its speed has settled; for "go 12", {"seconds": ...} for each of 12 steps; for "memory",
{"peak": ..., "steps": ...} in MiB. It ends when its input does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, TextIO

from benchmarks import allocator
from benchmarks.workloads import WORKLOADS, Workload

SETTLED = 0.2  # seconds of steps in one go, from which on the time of a step is believed
LONG = 1.0  # seconds of a second step, from which on it is believed at once


@dataclass(frozen=True)
class Task:
    """What a contender is asked to do: a workload, and the options of its roster entry."""

    workload: Workload
    options: dict[str, Any]

    def option(self, name: str) -> bool:
        return bool(self.options.get(name))


def private_output() -> TextIO:
    """Standard output for the protocol alone; what a framework prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


def seconds(contender: Any, steps: int) -> float:
    """The time of one of so many steps, from the start of the first to the result of the last."""
    started = time.perf_counter()
    contender.run(steps)
    return (time.perf_counter() - started) / steps


def settle(contender: Any) -> float:
    """Run until the time of a step can be believed, and give it."""
    if (each := seconds(contender, 1)) > LONG:
        return each
    steps = 1
    while (each := seconds(contender, steps)) * steps < SETTLED:
        steps *= 2
    return each


def peak() -> dict[str, float]:
    """The most memory that was resident, in MiB: since the process began, and since `forget_peak`."""
    since_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    found = {"peak": since_start}
    try:
        with open("/proc/self/status") as status:
            found["steps"] = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass  # not Linux
    return found


def forget_peak() -> None:
    """From here on, `steps` is the most memory of the steps alone, without importing and compiling."""
    try:
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")
    except OSError:
        pass  # not Linux, or not allowed: then it is the same as the other


def main(argument: str) -> None:
    answers = private_output()

    def answer(**found: Any) -> None:
        print(json.dumps(found), file=answers, flush=True)

    options = json.loads(argument)
    if options.get("tuned"):
        allocator.tune()
    task = Task(WORKLOADS[options["workload"]], options)
    contender = importlib.import_module(f"benchmarks.contenders.{options['peer']}").build(task)
    answer(first=contender.run(1), parameters=contender.parameters)
    for line in sys.stdin:
        match line.split():
            case ["warm"]:
                answer(seconds=settle(contender))
                forget_peak()
            case ["go", steps]:
                answer(seconds=seconds(contender, int(steps)))
            case ["memory"]:
                answer(**peak())
    os._exit(0)  # some frameworks take seconds to tidy up


if __name__ == "__main__":
    main(sys.argv[1])
