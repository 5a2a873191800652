"""A contender's process: it makes its pipeline, and takes as many epochs as each line asks for.

    python -m benchmarks.inputs.serve '{"peer": "torch_loader", "workload": "memory", "root": "data/fashion_mnist"}'

It writes one line of JSON for each step of the way: {"images": ...} after a first epoch; then, for "warm",
{"seconds": ...} of an epoch once its speed has settled; for "go 3", {"seconds": ..., "cpu": ..., "images": ...} of each
of 3 epochs; for "check PATH", {"images": ...} once the first ones, in the order of the data, lie in an .npz file; for
"memory", {"peak": ..., "steps": ...} in MiB. It ends when its input does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.workloads import WORKLOADS, Task
from benchmarks.serve import forget_peak, peak, private_output, settle

CHECKED = 512  # images that are compared


def descendants(pid: int) -> list[int]:
    """The processes that a process started and that still run, and theirs; none where the system does not say."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def clock_of(pid: int) -> float:
    """Seconds that a running process has computed, all its threads together; 0 for one that has just ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # the clock's number as clock_getcpuclockid gives it on Linux
    except OSError:
        return 0.0


def computed() -> float:
    """Seconds that this process, and all that it started, have computed so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(clock_of, descendants(os.getpid())))


def turn(contender: Any, epochs: int) -> dict[str, float]:
    """What one of so many epochs took, and how many images it had."""
    started, before = time.perf_counter(), computed()
    images = contender.run(epochs)
    found = {"seconds": time.perf_counter() - started, "cpu": computed() - before, "images": images}
    return {name: value / epochs for name, value in found.items()}


def save_first(contender: Any, path: str) -> int:
    """Keep the first images and labels, and give how many they are."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for some, theirs in contender.ordered():
        images.append(np.array(some))
        labels.append(np.array(theirs))
        if sum(map(len, images)) >= CHECKED:
            break
    kept = np.concatenate(images)[:CHECKED], np.concatenate(labels)[:CHECKED]
    np.savez(path, images=kept[0], labels=kept[1])
    return len(kept[0])


def main(argument: str) -> None:
    answers = private_output()

    def answer(**found: Any) -> None:
        print(json.dumps(found), file=answers, flush=True)

    options = json.loads(argument)
    task = Task(WORKLOADS[options["workload"]], Path(options["root"]), options)
    contender = importlib.import_module(f"benchmarks.inputs.{options['peer']}").build(task)
    answer(images=contender.run(1))
    for line in sys.stdin:
        match line.split(maxsplit=1):
            case ["warm"]:
                answer(seconds=settle(contender))
                forget_peak()
            case ["go", epochs]:
                answer(**turn(contender, int(epochs)))
            case ["check", path]:
                answer(images=save_first(contender, path.strip()))
            case ["memory"]:
                answer(**peak())
    os._exit(0)  # some frameworks take seconds to tidy up


if __name__ == "__main__":
    main(sys.argv[1])
