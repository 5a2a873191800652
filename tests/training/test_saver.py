"""The thread that saves: one write at a time, nothing lost, and what goes wrong is said where the steps are."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import millrace as mr
from millrace.ir import state
from millrace.ir.errors import FileError
from millrace.training.checkpoint import load_arrays
from millrace.training.saver import Saver


def test_writes_happen_in_order_and_never_two_at_once():
    saver, running, order = Saver(), [], []

    def write(n):
        running.append(n)
        assert len(running) == 1
        time.sleep(0.01)
        order.append(n)
        running.clear()

    for n in range(5):
        saver.submit(lambda n=n: write(n))
    saver.close()
    assert order == [0, 1, 2, 3, 4]


def test_submitting_does_not_wait_but_a_second_time_it_does_and_counts():
    saver, go = Saver(), threading.Event()
    saver.submit(lambda: go.wait(10))
    assert saver.waits == 0
    threading.Timer(0.05, go.set).start()
    saver.submit(lambda: None)
    assert saver.waits == 1 and 0.02 < saver.waited < 5
    saver.close()


def failing():
    raise FileError("cannot write m.safetensors: No space left on device.")


@pytest.mark.parametrize("turn", ["check", "ready", "close", "submit"])
def test_an_error_is_raised_at_the_next_turn_once_and_named(turn):
    saver, ran = Saver(), []
    saver.submit(failing)
    saver._idle.wait()
    with pytest.raises(FileError, match=r"^the region 'save' failed: cannot write m\.safetensors: No space left"):
        getattr(saver, turn)(*([lambda: ran.append(1)] if turn == "submit" else []))
    assert not ran
    saver.check()
    saver.close()


def test_a_fault_of_another_kind_is_not_swallowed():
    saver = Saver()
    saver.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        saver.close()


def run(program, **options):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **options)


def test_a_process_that_ends_without_closing_still_writes(tmp_path):
    ran = run(f"""
import time
from pathlib import Path
from millrace.training.saver import Saver
Saver().submit(lambda: (time.sleep(0.3), Path({str(tmp_path / "done")!r}).write_text("yes")))
""")
    assert (tmp_path / "done").read_text() == "yes" and not ran.stderr


def test_an_error_that_nobody_asks_for_is_said_at_the_end():
    ran = run("""
import time
from millrace.ir.errors import FileError
from millrace.training.saver import Saver
def write():
    time.sleep(0.2)
    raise FileError("cannot write: no space.")
saver = Saver()
saver.submit(write)
""")
    assert ran.stderr == "millrace: the region 'save' failed: cannot write: no space.\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a signal that arrives in between")
def test_ctrl_c_while_waiting_loses_no_write():
    saver, done = Saver(), []
    saver.submit(lambda: (time.sleep(0.3), done.append(1)))
    threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        saver.close()
    assert not done
    saver.close()
    assert done


# ---- with steps beside it


def model(engine):
    made = mr.Sequential([mr.Input((3,)), mr.layers.Dense(2, name="out")], name="net")
    made.compile("adam", "mse", engine=engine)
    return made


X, Y = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32), np.ones((64, 2), np.float32)


def gated(monkeypatch):
    """Lets nothing be written before the event is set; also the list of what was."""
    from millrace.training import checkpoints

    really, go, written = checkpoints.write_whole, threading.Event(), []

    def write(path, *parts):
        assert go.wait(20)
        really(path, *parts)
        written.append(path.name)

    monkeypatch.setattr(checkpoints, "write_whole", write)
    return go, written


class AfterSteps(mr.callbacks.Callback):
    def __init__(self, action):
        self.action = action

    def on_step_end(self, epoch, step):
        self.action(epoch, step)


@pytest.mark.parametrize("engine", ["xla", "numpy"])
def test_steps_go_on_while_a_checkpoint_is_written(engine, tmp_path, monkeypatch):
    go, written = gated(monkeypatch)
    seen = []

    def watch(epoch, step):
        seen.append((step, len(written), len(state._leases)))
        if step == 5:
            go.set()

    checkpoint = mr.callbacks.Checkpoint(tmp_path, save_every=3, keep=9)
    model(engine).fit(X, Y, batch_size=8, verbose=0, callbacks=[checkpoint, AfterSteps(watch)])
    assert seen[:5] == [(1, 0, 0), (2, 0, 0), (3, 0, 1), (4, 0, 1), (5, 0, 1)]  # 4 and 5 before 3 was written
    assert len(written) == 3 and max(leases for _, _, leases in seen) == 1
    assert not state._leases


def test_a_save_that_is_due_too_early_waits_for_the_one_before(tmp_path, monkeypatch):
    """The gate in front of the first write opens only when somebody waits for that write."""
    go, written = gated(monkeypatch)
    checkpoint = mr.callbacks.Checkpoint(tmp_path, save_every=1, keep=99)
    idle = checkpoint.saver._idle
    really = idle.wait

    def wait(*limit):
        go.set()
        return really(*limit)

    monkeypatch.setattr(idle, "wait", wait)
    model("numpy").fit(X, Y, batch_size=8, verbose=0, callbacks=[checkpoint])
    assert len(written) == 8 and checkpoint.saver.waits >= 1 and checkpoint.saver.waited > 0


def test_a_full_disk_stops_the_run_and_gives_the_buffers_back(tmp_path, monkeypatch):
    from millrace.training import checkpoints

    calls, really = [], checkpoints.write_whole

    def write(path, *parts):
        calls.append(path.name)
        if len(calls) == 3:
            raise FileError(f"cannot write {path}: No space left on device.")
        really(path, *parts)

    monkeypatch.setattr(checkpoints, "write_whole", write)
    with pytest.raises(FileError, match=r"^the region 'save' failed: cannot write .*checkpoint-00000-0000006"):
        model("numpy").fit(
            X, Y, batch_size=4, epochs=9, verbose=0, callbacks=[mr.callbacks.Checkpoint(tmp_path, save_every=2)]
        )
    assert len(calls) == 3 and not state._leases
    found = checkpoints.Checkpoints(tmp_path).latest_good(load_arrays)
    assert {"epoch": 0, "step": 4}.items() <= found.content[1]["progress"].items()


def test_the_last_checkpoint_failing_is_not_overlooked(tmp_path, monkeypatch):
    from millrace.training import checkpoints

    def write(path, *parts):
        time.sleep(0.05)
        failing()

    monkeypatch.setattr(checkpoints, "write_whole", write)
    with pytest.raises(FileError, match="the region 'save' failed"):
        model("numpy").fit(X, Y, verbose=0, callbacks=[mr.callbacks.Checkpoint(tmp_path)])


def test_ctrl_c_whose_save_fails_says_so(tmp_path, monkeypatch):
    from millrace.training import checkpoints

    monkeypatch.setattr(checkpoints, "write_whole", lambda *args: failing())
    stop = AfterSteps(lambda epoch, step: signal.raise_signal(signal.SIGINT) if step == 2 else None)
    with pytest.raises(FileError, match="the region 'save' failed"):
        model("numpy").fit(X, Y, batch_size=4, verbose=0, callbacks=[stop, mr.callbacks.Checkpoint(tmp_path)])


def test_another_error_of_the_run_is_not_hidden_by_one_of_the_save(tmp_path, monkeypatch):
    from millrace.training import checkpoints

    def write(path, *parts):
        time.sleep(0.05)
        failing()

    def stumble(epoch, step):
        if step == 3:
            raise RuntimeError("stumbled")

    monkeypatch.setattr(checkpoints, "write_whole", write)
    used = [mr.callbacks.Checkpoint(tmp_path, save_every=2), AfterSteps(stumble)]
    with pytest.raises(RuntimeError, match="stumbled"), pytest.warns(UserWarning, match="the region 'save' failed"):
        model("numpy").fit(X, Y, batch_size=4, verbose=0, callbacks=used)
