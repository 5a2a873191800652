"""`python -m benchmarks.gpu`: AlexNet's training step on a GPU beside PyTorch: images/s, and the share of the peak."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.command import INTERVAL, command_line, console, need_peers, options, read
from benchmarks.device import asked
from benchmarks.gpu_table import contenders_table, summary_table, write
from benchmarks.live import Died
from benchmarks.machine import everything, first_line
from benchmarks.measure import measure
from benchmarks.results import new_path
from benchmarks.roster import GPU_ROSTER, Contender, chosen, gpu_environment
from benchmarks.table import show
from benchmarks.workloads import DTYPES, GPU, TOYS, Workload, among

TARGET = "make bench-gpu"
WAYS_OUT = "--cpu runs all of it on the processor, at sizes that show that it works and say nothing of speed."
ADVICE = {
    "millrace": "`pip install 'jax[cuda12]'` in Millrace's environment brings JAX for NVIDIA's GPUs",
    "jax": "`pip install 'jax[cuda12]'` there brings JAX for NVIDIA's GPUs, --contenders millrace,torch* does without",
    "torch": "--python names a Python whose PyTorch is built for CUDA, --contenders millrace does without",
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, read and checked, with what each framework finds; ends the program with a message for wrong ones.

    Without a GPU it ends, too, unless the processor is asked for.
    """
    parser = options(
        TARGET, "AlexNet's training step on a GPU beside PyTorch and plain JAX, interleaved.",
        "workloads, comma-separated, * allowed: alexnet128*,*bfloat16", "torch-compile*,jax",
    )  # fmt: skip
    parser.add_argument("--cpu", action="store_true", help="toy sizes on the processor, to see that everything runs")
    found = read(parser, given, partial(chosen, roster=GPU_ROSTER), lambda patterns: patterns)
    try:
        found.only = among(TOYS if found.cpu else GPU, found.only, {})
    except ValueError as error:
        parser.error(str(error))
    need_peers(parser, found, "PyTorch and JAX", TARGET)
    found.devices = devices(parser, found)
    if not found.cpu:
        environment = gpu_environment(os.environ)
        found.contenders = [replace(c, environment={**environment, **c.environment}) for c in found.contenders]
    return found


def interpreter(peer: str, peers: str) -> str:
    return sys.executable if peer == "millrace" else peers


def devices(parser: argparse.ArgumentParser, found: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What each framework that takes part computes on; ends the program where one lacks the GPU that is asked for."""
    looking = {} if found.cpu else {**gpu_environment(os.environ), "JAX_PLATFORMS": ""}
    seen: dict[str, dict[str, Any]] = {}
    for peer in dict.fromkeys(contender.peer for contender in found.contenders):
        python = interpreter(peer, found.python)
        try:
            seen[peer] = asked(python, peer, looking)
        except Died as error:
            parser.error(f"{peer} of {python} does not start: {error}")
        if not found.cpu and seen[peer]["platform"] == "cpu":
            parser.error(f"{peer} of {python} finds no GPU here: {ADVICE[peer]}, and {WAYS_OUT}")
    return seen


def peaks(found: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """For each dtype the best matrix product, of Millrace's and PyTorch's: operations a second, and whose it is."""
    environment = {} if found.cpu else gpu_environment(os.environ)
    dtypes = [dtype for dtype in DTYPES if any(one.dtype == dtype for one in found.only)]
    best: dict[str, dict[str, Any]] = {}
    for peer in (peer for peer in found.devices if peer != "jax"):
        try:
            products = asked(interpreter(peer, found.python), peer, environment, dtypes, found.cpu)["products"]
        except Died as error:
            sys.exit(f"{peer} cannot measure its matrix product: {error}")
        for dtype, flops in products.items():
            if flops > best.get(dtype, {"flops": 0.0})["flops"]:
                best[dtype] = {"flops": flops, "of": peer}
    return best


def result_of(one: Workload, found: argparse.Namespace, peak: float) -> dict[str, Any]:
    """One workload, with a line on a terminal that says what runs."""
    able: list[Contender] = [contender for contender in found.contenders if contender.takes(one)]
    with console(stderr=True).status(one.name) as status:

        def say(text: str) -> None:
            status.update(f"{one.name}: {text}")

        return measure(one, able, found.python, found.rounds, found.seed, say) | {"dtype": one.dtype, "peak": peak}


def main() -> None:
    found = arguments()
    shown = console()
    when = datetime.now()
    path = new_path(when, Path(mkdtemp())) if found.cpu else new_path(when)  # what says nothing is not kept for long
    path = path.with_name(f"{path.name}-gpu")
    best = peaks(found)
    report: dict[str, Any] = {
        "date": when.isoformat(" ", "seconds"),
        "command": command_line(TARGET, sys.argv[1:]),
        "rounds": found.rounds,
        "interval": INTERVAL,
        **everything(found.python),
        "devices": found.devices,
        "toy": found.cpu,
        "driver": first_line("/proc/driver/nvidia/version", "NVRM version"),
        "peak": best,
        "workloads": [],
    }
    for one in found.only:
        result = result_of(one, found, best[one.dtype]["flops"])
        report["workloads"].append(result)
        write(path, report)
        show(result, contenders_table(result), shown)
    shown.print("All workloads")
    shown.print(summary_table(report["workloads"]))
    shown.print(f"\nKept in {path if found.cpu else os.path.relpath(path)}.json and .md")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # contenders are ended on the way out
    main()
