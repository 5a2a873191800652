"""`millrace train --processes 2`: one run, made by two processes of this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millrace.training.run import Run

COMMAND = [sys.executable, "-c", "from millrace.cli.main import main; main()", "train"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return {**os.environ, "MILLRACE_CACHE": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "80"}


def losses(run):
    return [json.loads(line)["val_loss"] for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]


def children(process):
    """The process numbers of a command's own processes, the first of them first."""
    return [int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def started(out, environment, *more):
    command = [*COMMAND, "mlp", "--epochs", "400", "--save-every", "5", "--processes", "2", "--out", str(out), *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    for _ in range(1200):
        if list(out.glob("mlp-1/checkpoints/checkpoint-0000[1-9]*")):
            return process
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(process.communicate())


def all_ended(numbers):
    def runs(number):
        try:
            return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
        except OSError:
            return False

    for _ in range(300):
        if not any(map(runs, numbers)):
            return True
        time.sleep(0.1)
    return False


def test_two_processes_train_what_one_does(tmp_path, environment):
    for count in ("1", "2"):
        out = ["--processes", count, "--out", str(tmp_path / count)]
        done = subprocess.run(
            [*COMMAND, "mlp", "--epochs", "1", *out], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Validation accuracy") == 1, "the first speaks for all"
    assert losses(tmp_path / "2" / "mlp-1") == pytest.approx(losses(tmp_path / "1" / "mlp-1"), rel=1e-4)
    assert (tmp_path / "2" / "mlp-1" / "report.html").is_file()
    assert [path.name for path in (tmp_path / "2").iterdir()] == ["mlp-1"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes where Linux shows them")
def test_ctrl_c_saves_and_one_process_goes_on(tmp_path, environment):
    process = started(tmp_path, environment)
    numbers = children(process)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "everything is saved" in said, said
    assert "Traceback" not in said
    assert all_ended(numbers)
    run = Run.open(tmp_path / "mlp-1")
    assert run.state.name == "stopped"
    reached = len(losses(run.path))
    more = ["--resume", str(run.path), "--epochs", str(reached + 2)]
    done = subprocess.run([*COMMAND, *more], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(losses(run.path)) == reached + 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes where Linux shows them")
def test_a_process_that_dies_ends_the_others_and_is_named(tmp_path, environment):
    process = started(tmp_path, environment)
    numbers = children(process)
    os.kill(numbers[1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "process 1 of 2 was ended by signal 9" in said and "--resume" in said
    assert all_ended(numbers)
    assert Run.open(tmp_path / "mlp-1").state.name in ("killed", "failed")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--processes", "0"], "--processes must be at least 1"),
        (["--mesh", "two"], "a mesh is said as data=2,tower=2"),
        (["--mesh", "data=3", "--processes", "2"], "2 processes cannot share evenly"),
        (["--mesh", "data=3", "--batch-size", "32"], "cannot be divided over the 3 devices"),
        (["--engine", "numpy", "--processes", "2"], "nothing to share"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(arguments, says, tmp_path, environment):
    command = [*COMMAND, "mlp", "--epochs", "1", "--out", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and says in " ".join(done.stderr.split()), done.stderr


def test_a_demonstration_is_made_by_one(tmp_path, environment):
    command = [*COMMAND, "hopfield", "--processes", "2", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and "shown by one process" in done.stderr
    assert not list(tmp_path.glob("hopfield*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes where Linux shows them")
def test_who_is_asked_to_end_takes_its_processes_along(tmp_path, environment):
    process = started(tmp_path, environment)
    numbers = children(process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert all_ended(numbers)
