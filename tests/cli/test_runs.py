"""Run directories: killed, stopped, full, damaged, held by another; and how they are listed."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.data.holding import try_lock
from millrace.training.checkpoint import load_arrays, save_arrays
from millrace.training.checkpoints import Checkpoints
from millrace.training.run import Run

MILLRACE = [sys.executable, "-c", "from millrace.cli.main import main; main()"]
STEPS = 23  # of an epoch of digits in batches of 64

posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and SIGSTOP")


def environment():
    return {**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}


def millrace(*arguments, cwd, code=0):
    ran = subprocess.run(
        [*MILLRACE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, env=environment(), timeout=300
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    return ran


def started(*arguments, cwd):
    return subprocess.Popen(
        [*MILLRACE, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(),
    )  # fmt: skip


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def killed(*arguments, cwd, when):
    """A run that is murdered as soon as `when()` is true."""
    process = started(*arguments, cwd=cwd)
    try:
        until(when)
    finally:
        process.kill()
        process.communicate()


def newest(run):
    return load_arrays(Run(run).weights)


def same_weights(one, other):
    (a, about), (b, about_b) = newest(one), newest(other)
    assert about["progress"] == about_b["progress"]
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def epochs(run):
    return [line["epoch"] for line in Run(run).metrics()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of four epochs that nothing happened to; others are copies of it, or compared with it."""
    place = tmp_path_factory.mktemp("whole")
    millrace("train", "--epochs", 4, cwd=place)
    return place / "runs" / "digits-1"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Another one, of a smaller network in the interpreter."""
    place = tmp_path_factory.mktemp("quick")
    millrace("train", "perceptron", "--engine", "numpy", "--epochs", 4, cwd=place)
    return place / "runs" / "perceptron-1"


@pytest.fixture
def copy(quick, tmp_path):
    return shutil.copytree(quick, tmp_path / "runs" / "perceptron-1")


def listed(place, directory="runs"):
    """The table by run, and what is said below it."""
    out = millrace("runs", directory, cwd=place).stdout
    assert max(map(len, out.splitlines())) <= 80
    table, _, below = out.partition("\n\n")
    return {row.split()[0]: row for row in table.splitlines()[1:]}, below


# ---- killed


@posix
def test_a_run_killed_before_its_first_checkpoint_starts_again_with_resume(whole, tmp_path):
    run = tmp_path / "runs" / "digits-1"
    killed("train", "--epochs", 4, cwd=tmp_path, when=lambda: (run / "words.json").exists())
    assert not Run(run).checkpoints.files
    assert " killed " in listed(tmp_path)[0]["digits-1"] and " 0/4 " in listed(tmp_path)[0]["digits-1"]
    ran = millrace("predict", run, "x.png", cwd=tmp_path, code=2)
    assert "has no checkpoint yet" in ran.stderr and f"millrace train --resume {run}" in ran.stderr
    ran = millrace("train", "--resume", run, cwd=tmp_path)
    assert "has no checkpoint yet: it starts from the first step" in ran.stdout and "at epoch 1." in ran.stdout
    same_weights(run, whole)
    assert epochs(run) == [1, 2, 3, 4]


@posix
@pytest.mark.parametrize(("epoch", "step"), [(0, 5), (2, 15)])
def test_a_killed_run_goes_on_to_the_same_bits(whole, epoch, step, tmp_path):
    run = tmp_path / "runs" / "digits-1"
    place = Checkpoints(run / "checkpoints").path(epoch, step)
    killed("train", "--epochs", 4, "--save-every", 5, "--keep", 2, cwd=tmp_path, when=place.exists)
    (run / f".{place.name}.0123.partial").write_text("half")
    ran = millrace("train", "--resume", run, cwd=tmp_path)
    assert re.search(r"Going on with .* at epoch \d", ran.stdout)
    same_weights(run, whole)
    assert epochs(run) == [1, 2, 3, 4]
    assert not list(run.rglob(".*.partial"))
    assert sorted(Checkpoints(run / "checkpoints").positions()) == [(3, 20), (4, 0)]
    assert " finished " in listed(tmp_path)[0]["digits-1"]


def test_a_run_killed_before_its_report_gets_one_with_resume(copy, tmp_path):
    (copy / "report.html").unlink()
    (copy / "state.json").write_text(json.dumps({"state": "running", "message": "", "time": 0}))
    assert " killed " in listed(tmp_path)[0]["perceptron-1"]
    assert "the report follows" in millrace("train", "--resume", copy, cwd=tmp_path).stdout
    assert (copy / "report.html").is_file() and " finished " in listed(tmp_path)[0]["perceptron-1"]
    ran = millrace("train", "--resume", copy, cwd=tmp_path, code=2)
    assert "has finished its 4 epochs. Give --epochs 8" in ran.stderr
    assert " finished " in listed(tmp_path)[0]["perceptron-1"]


# ---- damaged


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(copy, quick, tmp_path):
    file = Run(copy).weights
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    before = "checkpoint-00003-0000000.safetensors is used, the one before it"
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "x.png")
    ran = millrace("predict", copy, tmp_path / "x.png", "--engine", "numpy", cwd=tmp_path)
    assert f"{file.name} is damaged" in ran.stderr and before in ran.stderr and file.exists()
    ran = millrace("train", "--resume", copy, "--epochs", 4, cwd=tmp_path)
    assert f"{file.name} is damaged, kept as *.damaged: {before}" in ran.stdout
    assert "at epoch 4." in ran.stdout
    assert file.with_name(file.name + ".damaged").read_bytes() == bytes(content)
    same_weights(copy, quick)
    assert epochs(copy) == [1, 2, 3, 4]


def test_where_no_checkpoint_is_whole_resume_says_so_and_changes_nothing(copy, tmp_path):
    files = Run(copy).checkpoints.files
    assert len(files) == 4  # three and the best
    for file in files:
        file.write_bytes(file.read_bytes()[:-100])
    for _ in range(2):
        ran = millrace("train", "--resume", copy, cwd=tmp_path, code=2)
        assert "no checkpoint in" in ran.stderr and all(file.name in ran.stderr for file in files)
        assert Run(copy).checkpoints.files == files and len(epochs(copy)) == 4
    assert " finished " in listed(tmp_path)[0]["perceptron-1"]


def test_a_run_of_the_old_layout_opens_and_goes_on(copy, quick, tmp_path):
    """One file in the run's directory, no state, no checkpoints; stopped after two epochs."""
    arrays, about = load_arrays(quick / "checkpoints" / "checkpoint-00002-0000000.safetensors")
    save_arrays(copy / "weights.safetensors", arrays, about)
    shutil.rmtree(copy / "checkpoints")
    (copy / "state.json").unlink()
    (copy / "run.lock").unlink()
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:2]))
    row = listed(tmp_path)[0]["perceptron-1"]
    assert " stopped " in row and " 2/4 " in row
    assert Run.open(copy).weights == copy / "weights.safetensors"
    assert "at epoch 3." in millrace("train", "--resume", copy, cwd=tmp_path).stdout
    same_weights(copy, quick)
    assert Run.open(copy).weights.name == "checkpoint-00004-0000000.safetensors"


# ---- two at once


@posix
def test_two_runs_in_one_directory_are_refused(whole, tmp_path):
    run = tmp_path / "runs" / "digits-1"
    first = started("train", "--epochs", 400, cwd=tmp_path)
    try:
        until(lambda: (run / "checkpoints").exists())
        ran = millrace("train", "--resume", run, cwd=tmp_path, code=2)
        assert (
            f"is being trained in by process {first.pid}:" in ran.stderr and "two runs in one directory" in ran.stderr
        )
        row = listed(tmp_path)[0]["digits-1"]
        assert " running " in row and re.search(r" \d+/400 ", row)
        first.send_signal(signal.SIGSTOP)  # also one that sleeps holds it
        assert "is being trained in by process" in millrace("train", "--resume", run, cwd=tmp_path, code=2).stderr
    finally:
        first.kill()
        first.communicate()
    assert " killed " in listed(tmp_path)[0]["digits-1"]
    done = newest(run)[1]["progress"]["epoch"]
    millrace("train", "--resume", run, "--epochs", done + 1, cwd=tmp_path)  # the lock went with the process


def test_the_lock_holds_within_a_process_too_and_is_given_back(copy):
    run = Run(copy)
    with run.lock():
        assert run.state.name == "running"
        with pytest.raises(mr.layers.base.MillraceError, match=f"by process {os.getpid()}"), run.lock():
            pass
    assert run.state.name == "finished"
    with run.lock():
        pass


def test_asking_for_the_state_never_makes_a_run_fail(copy):
    """Who asks holds the lock for a moment: a run that starts then tries again."""
    file = copy / "run.lock"
    descriptor = os.open(file, os.O_RDWR)
    assert try_lock(descriptor)
    threading.Timer(0.06, lambda: os.close(descriptor)).start()
    with Run(copy).lock():
        assert Run(copy).state.name == "running"
    assert Run(copy).state.name == "finished"


# ---- how they end


@posix
def test_a_stopped_run_is_listed_as_stopped(tmp_path):
    process = started("train", "--epochs", 400, cwd=tmp_path)
    until(lambda: (tmp_path / "runs" / "digits-1" / "checkpoints").exists())
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "everything is saved" in said
    assert " stopped " in listed(tmp_path)[0]["digits-1"]


def test_a_run_that_breaks_down_is_listed_with_the_reason(tmp_path):
    millrace("train", "perceptron", "--learning-rate", "1e38", "--epochs", 2, cwd=tmp_path, code=2)
    table, below = listed(tmp_path)
    assert " failed " in table["perceptron-1"]
    assert "perceptron-1: training stopped at step" in below


@posix
def test_a_full_disk_stops_the_run_and_keeps_the_checkpoint_before(tmp_path):
    """The second checkpoint meets a file-size limit of the operating system, as a full disk would."""
    program = """
import resource, signal
from millrace.training import checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write = checkpoints.write_whole
def limited(path, *parts):
    if path.name.startswith("checkpoint-00002"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    write(path, *parts)
checkpoints.write_whole = limited
from millrace.cli.main import main
main(["train", "--epochs", "3"])
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert "the region 'save' failed: cannot write runs/digits-1/checkpoints/checkpoint-00002" in ran.stderr
    run = tmp_path / "runs" / "digits-1"
    assert not list(run.rglob(".*partial"))
    assert newest(run)[1]["progress"]["epoch"] == 1
    table, below = listed(tmp_path)
    assert " failed " in table["digits-1"] and "the region 'save' failed" in below
    millrace("train", "--resume", run, cwd=tmp_path)
    assert newest(run)[1]["progress"]["epoch"] == 3


# ---- the list


def made_up(place, name, state="finished", epochs=10, done=4, model="digits", when=0, **metrics):
    run = place / name
    run.mkdir(parents=True)
    config = {"model": model, "engine": "xla", "seed": 0, "epochs": epochs, "batch_size": 64}
    lines = [{"epoch": n + 1, "loss": 0.5, **metrics} for n in range(done)]
    files = {
        "config.json": json.dumps(config),
        "state.json": json.dumps({"state": state, "message": "no room", "time": when}),
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
    }
    for file, content in files.items():
        (run / file).write_text(content)
        os.utime(run / file, (when, when))
    return run


def test_runs_are_listed_with_the_last_one_first(tmp_path):
    now = time.time()
    made_up(tmp_path / "runs", "digits-1", when=now - 3 * 86400, val_loss=0.25, val_accuracy=0.875)
    made_up(tmp_path / "runs", "char_rnn-2", "failed", 3, 2, "char_rnn", now - 7300, val_loss=1.625)
    made_up(tmp_path / "runs", "memory_network-12", "running", 100, 0, "memory_network", now - 125)
    (tmp_path / "runs" / "pictures").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("")
    out = millrace("runs", cwd=tmp_path).stdout
    rows = [re.split(r"  +", row.strip()) for row in out.splitlines()[1:4]]
    assert rows == [
        ["memory_network-12", "killed", "memory_network", "0/100", "-", "2 min ago"],
        ["char_rnn-2", "failed", "char_rnn", "2/3", "val loss 1.6250", "2 h ago"],
        ["digits-1", "finished", "digits", "4/10", "val acc 0.875", "3 d ago"],
    ]
    assert out.splitlines()[-1] == "char_rnn-2: no room" and max(map(len, out.splitlines())) <= 80


DAMAGE = {
    "config.json": ("{", "config.json is damaged"),
    "state.json": ('{"state": "asleep", "message": ""}', "state.json is damaged"),
    "state.json ": ("[]", "state.json is damaged"),
    "config.json ": (None, "config.json is missing"),
}


@pytest.mark.parametrize("file", DAMAGE)
def test_a_damaged_directory_is_listed_as_such_beside_the_others(file, tmp_path):
    content, message = DAMAGE[file]
    bad = made_up(tmp_path / "runs", "bad-1")
    made_up(tmp_path / "runs", "good-1")
    if content is None:
        (bad / file.strip()).unlink()
    else:
        (bad / file.strip()).write_text(content)
    table, below = listed(tmp_path)
    assert " damaged " in table["bad-1"] and " finished " in table["good-1"]
    assert message in below.replace("\n", " ")


def test_metrics_that_are_no_text_do_not_stop_the_list(tmp_path):
    run = made_up(tmp_path / "runs", "bad-1")
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\x00{")
    assert " 4/10 " in listed(tmp_path)[0]["bad-1"]


def test_one_run_can_be_listed_and_what_is_none_is_said(tmp_path):
    made_up(tmp_path / "runs", "digits-1")
    assert list(listed(tmp_path, "runs/digits-1")[0]) == ["digits-1"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert "holds no runs" in millrace("runs", "empty", cwd=tmp_path, code=2).stderr
    assert "is a file" in millrace("runs", "file", cwd=tmp_path, code=2).stderr
    assert "does not exist" in millrace("runs", "gone", cwd=tmp_path, code=2).stderr


def test_the_list_comes_without_jax():
    program = "import sys, millrace.cli.runs; print('jax' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "False"


# ---- TensorBoard


def events(path):
    """The events of a file, by its format: length, its checksum, content, its checksum.

    Source: TensorFlow's TFRecord; the checksum is CRC-32C (RFC 3720), rotated and with a constant added.
    """
    from tensorboardX.proto.event_pb2 import Event

    def masked(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    content, found, place = path.read_bytes(), [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        assert struct.unpack_from("<I", content, place + 8)[0] == masked(content[place : place + 8])
        data = content[place + 12 : place + 12 + length]
        assert struct.unpack_from("<I", content, place + 12 + length)[0] == masked(data)
        found.append(Event.FromString(data))
        place += 16 + length
    return found


def shown(directory):
    """What TensorBoard shows of a directory: by tag, the steps with their values, after purges."""
    from tensorboardX.proto.event_pb2 import SessionLog

    curves = {}
    for path in sorted(directory.glob("events.out.tfevents.*")):
        for event in events(path):
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                for curve in curves.values():
                    curve[:] = [point for point in curve if point[0] < event.step]
            for value in event.summary.value:
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


@posix
def test_tensorboard_shows_a_resumed_run_as_one_that_was_never_stopped(whole, tmp_path):
    run = tmp_path / "runs" / "digits-1"
    third = Checkpoints(run / "checkpoints").path(3, 0)
    killed("train", "--epochs", 4, cwd=tmp_path, when=third.exists)
    for later in Run(run).checkpoints.files[:-1]:
        if later.name >= third.name and later.name.startswith("checkpoint"):
            later.unlink()  # so that epochs that were written down are made again
    millrace("train", "--resume", run, cwd=tmp_path)
    one, other = shown(run / "tensorboard"), shown(whole / "tensorboard")
    assert one == other
    assert [step for step, _ in one["loss/training"]] == [1, 2, 3, 4]
    assert [value for _, value in one["loss/validation"]] == pytest.approx([m["val_loss"] for m in Run(run).metrics()])


def test_two_files_of_one_second_are_two_files(tmp_path):
    x, y = np.zeros((8, 2), np.float32), np.zeros((8, 1), np.float32)
    model = mr.Sequential([mr.Input((2,)), mr.layers.Dense(1)])
    model.compile("sgd", "mse", engine="numpy")
    for epoch in range(3):
        board = mr.callbacks.TensorBoard(tmp_path)
        model.fit(x, y, epochs=epoch + 1, initial_epoch=epoch, verbose=0, callbacks=[board])
    assert len(list(tmp_path.iterdir())) == 3
    assert [step for step, _ in shown(tmp_path)["loss/training"]] == [1, 2, 3]


def test_every_epoch_is_on_the_disk_when_the_next_begins(tmp_path):
    """TensorBoard's own writers keep events back for minutes; a kill would lose them."""
    seen = []
    x, y = np.zeros((8, 2), np.float32), np.zeros((8, 1), np.float32)
    model = mr.Sequential([mr.Input((2,)), mr.layers.Dense(1)])
    model.compile("sgd", "mse", engine="numpy")
    read = mr.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(len(shown(tmp_path).get("loss/training", [])))
    )
    model.fit(x, y, epochs=3, verbose=0, callbacks=[mr.callbacks.TensorBoard(tmp_path), read])
    assert seen == [0, 1, 2]
