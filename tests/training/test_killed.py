"""A run that is killed at any moment and resumed reaches the same weights to the bit as one that never was.

MILLRACE_KILLS says at how many moments (`make soak`: 100); three unless given.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millrace.training.checkpoint import load_arrays
from millrace.training.records import read_lines
from millrace.training.run import FINISHED, Run

MOMENTS = int(os.environ.get("MILLRACE_KILLS", "3"))
SCRIPT = Path(__file__).with_name("run_of_pictures.py")


def started(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def finished(command):
    """Run a command to its end; what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    return done.stdout


def killed(command, moment):
    """Start a command and kill it after `moment` seconds; whether it still ran."""
    process = started(command)
    time.sleep(moment)
    ran = process.poll() is None
    if ran:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return ran


def same(one, other):
    """Whether two runs hold the same arrays, bit for bit, and tell the same of their epochs."""
    a, b = (load_arrays(run.weights)[0] for run in (one, other))
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"
    lines = [[{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()] for run in (one, other)]
    assert lines[0] == lines[1]
    return True


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Forty small JPEGs of three classes, two of them no pictures at all."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for n in range(40):
        path = folder / "abc"[n % 3] / f"{n:02d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (14 + n % 5, 16, 3), np.uint8)).save(path)
    (folder / "b" / "04.jpg").write_bytes(b"no picture")
    (folder / "c" / "11.jpg").write_bytes((folder / "c" / "11.jpg").read_bytes()[:200])
    return folder


def test_a_run_on_files_that_is_killed_goes_on_to_the_same_bits(pictures, tmp_path):
    """With other numbers of workers each time, and with broken pictures among them."""

    def command(run, workers):
        return [sys.executable, str(SCRIPT), str(pictures), str(tmp_path / run), str(workers), "40"]

    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    began = time.perf_counter()
    finished(command("whole", 2))
    lasted = time.perf_counter() - began
    moments = random.Random(1)
    hits = sum(
        killed(command("parts", n % 4), moments.uniform(0.3, 1.0) * lasted) for n in range((MOMENTS + 1) // 2)
    )  # fmt: skip
    finished(command("parts", 3))
    assert hits, "no kill came before the run's end"
    assert same(whole, parts)
    assert len(read_lines(parts.path / "metrics.jsonl")) == 40
    assert not list((tmp_path / "parts").rglob("*.partial"))


def test_the_command_goes_on_to_the_same_bits(tmp_path):
    """`millrace train` and `millrace train --resume`, killed anywhere: in starting, in a step, in saving."""
    base = [str(Path(sys.executable).with_name("millrace")), "train"]

    def fresh(out):
        settings = ["--epochs", "20", "--save-every", "3", "--seed", "5"]
        return [*base, "mlp", *settings, "--out", str(tmp_path / out)]

    finished(fresh("whole"))
    began = time.perf_counter()
    finished(fresh("again"))  # compiled programs are kept: only now it lasts as long as those that are killed
    lasted = time.perf_counter() - began
    moments = random.Random(2)
    hits = int(killed(fresh("parts"), 0.6 * lasted))
    path = tmp_path / "parts" / "mlp-1"
    resume = [*base, "--resume", str(path)]
    for n in range(MOMENTS // 2 - 1):
        if Run(path).state.name != FINISHED:
            hits += killed([*resume, "--workers", str(n % 3)], moments.uniform(0.3, 0.9) * lasted)
    if Run(path).state.name != FINISHED:
        said = finished(resume)
        assert "Going on" in said or "starts from the first step" in said or "report follows" in said
    assert hits, "no kill came before the run's end"
    assert same(Run(tmp_path / "whole" / "mlp-1"), Run(path))
    assert (path / "report.html").is_file()
