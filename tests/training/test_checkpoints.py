"""The checkpoints of a run: which are kept, which is used, and that each holds the state of its moment."""

import contextlib
import errno
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, FileError, NonFiniteError
from millrace.training import checkpoint as writing
from millrace.training.checkpoint import DamagedError, load_arrays, save_arrays
from millrace.training.checkpoints import Checkpoints

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
RNG = np.random.default_rng(5)
X = RNG.standard_normal((24, 3)).astype(np.float32)
Y = (np.arange(24) % 2).astype(np.int32)
STEPS = 12


def compiled(engine="numpy", optimizer="adam"):
    model = mr.Sequential(
        [
            mr.Input((3,), name="x"),
            layers.Dense(4, "tanh", name="hidden"),
            layers.Dropout(0.3, name="drop"),
            layers.Dense(2, "softmax", name="out"),
        ],
        name="net",
    )
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.standard_normal(w.shape).astype(w.dtype) if w.type.is_float else w.numpy() for w in model.weights]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], engine=engine)
    return model


def fit(model, epochs, *callbacks, **options):
    return model.fit(
        X, Y, **{"batch_size": 2, "seed": 1, "verbose": 0, "epochs": epochs, "callbacks": callbacks, **options}
    )


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def positions(directory):
    return sorted(Checkpoints(directory).positions())


class Curve(mr.callbacks.Callback):
    """Puts chosen numbers into the logs, as `score`."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["score"] = self.values[epoch]


class Keep(mr.callbacks.Callback):
    """Copies of the whole state after each step, by (epoch, step)."""

    def __init__(self):
        self.states = {}

    def on_step_end(self, epoch, step):
        self.states[epoch, step] = {v.name: v.numpy() for v in self.model.state}


# ---- which are kept


def test_the_last_three_and_the_best_are_kept(tmp_path):
    checkpoint = mr.callbacks.Checkpoint(tmp_path, best="score", mode="min")
    fit(compiled(), 7, Curve([5.0, 2.0, 1.0, 3.0, 4.0, 1.0, 2.0]), checkpoint)
    assert names(tmp_path) == [
        "best.safetensors", "checkpoint-00005-0000000.safetensors", "checkpoint-00006-0000000.safetensors",
        "checkpoint-00007-0000000.safetensors",
    ]  # fmt: skip
    assert load_arrays(tmp_path / "best.safetensors")[1]["progress"]["epoch"] == 3


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", 3), ("loss", 2)])
def test_which_is_best_depends_on_the_metric(metric, expected, tmp_path):
    class Script(mr.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            logs |= {"accuracy": [0.5, 0.2, 0.9, 0.7][epoch], "loss": [0.5, 0.2, 0.9, 0.7][epoch]}

    fit(compiled(), 4, Script(), mr.callbacks.Checkpoint(tmp_path, best=metric, keep=1))
    assert load_arrays(tmp_path / "best.safetensors")[1]["progress"]["epoch"] == expected


def test_what_is_not_a_number_is_never_the_best(tmp_path):
    checkpoint = mr.callbacks.Checkpoint(tmp_path, best="score", mode="max")
    fit(compiled(), 3, Curve([float("nan"), 1.0, float("nan")]), checkpoint)
    assert load_arrays(tmp_path / "best.safetensors")[1]["progress"]["epoch"] == 2


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_run_cut_in_two_keeps_the_same_files_to_the_byte(cut, tmp_path):
    curve = [5.0, 2.0, 3.0, 2.5, 4.0]

    def watching(directory):
        return Curve(curve), mr.callbacks.Checkpoint(directory, best="score", mode="min", keep=2)

    fit(compiled(), 5, *watching(tmp_path / "whole"))
    fit(compiled(), cut, *watching(tmp_path / "parts"))
    model = compiled()
    found = Checkpoints(tmp_path / "parts").latest_good(model.load_weights)
    assert found.content["epoch"] == cut and not found.messages
    fit(model, 5, *watching(tmp_path / "parts"), initial_epoch=cut)
    assert names(tmp_path / "parts") == names(tmp_path / "whole")
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_one_file_is_replaced_each_time(tmp_path):
    fit(compiled(), 3, mr.callbacks.Checkpoint(tmp_path / "m.safetensors"))
    assert names(tmp_path) == ["m.safetensors"]
    assert {"epoch": 3, "step": 0}.items() <= load_arrays(tmp_path / "m.safetensors")[1]["progress"].items()


def test_other_files_in_the_directory_are_left_alone(tmp_path):
    others = ["notes.txt", "checkpoint-last.safetensors", "checkpoint-00001-0000000.safetensors.damaged"]
    for name in others:
        (tmp_path / name).write_text("mine")
    fit(compiled(), 3, mr.callbacks.Checkpoint(tmp_path, keep=1))
    assert names(tmp_path) == sorted([*others, "checkpoint-00003-0000000.safetensors"])
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def test_a_new_run_does_not_mix_with_the_checkpoints_of_another(tmp_path):
    fit(compiled(), 3, mr.callbacks.Checkpoint(tmp_path))
    before = names(tmp_path)
    with pytest.raises(
        ArgumentError, match=r"checkpoint-00003-0000000\.safetensors, which is later.*another directory"
    ):
        fit(compiled(), 2, mr.callbacks.Checkpoint(tmp_path))
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"), [({"keep": 0}, "keep"), ({"save_every": 0}, "save_every"), ({"mode": "up"}, "mode")]
)
def test_settings_that_make_no_sense_are_refused(options, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        mr.callbacks.Checkpoint(tmp_path, **options)


# ---- within an epoch


@both
def test_each_file_holds_the_state_of_its_step_to_the_bit_while_training_goes_on(engine, tmp_path, monkeypatch):
    """Writing takes longer than a step, so that steps run while files are written."""
    really = writing.write_whole

    def slowly(path, *parts):
        time.sleep(0.02)
        really(path, *parts)

    monkeypatch.setattr("millrace.training.checkpoints.write_whole", slowly)
    keep, checkpoint = Keep(), mr.callbacks.Checkpoint(tmp_path, save_every=3, keep=100)
    fit(compiled(engine), 2, keep, checkpoint)
    assert positions(tmp_path) == [(0, 3), (0, 6), (0, 9), (1, 0), (1, 3), (1, 6), (1, 9), (2, 0)]
    for (epoch, step), path in Checkpoints(tmp_path).positions().items():
        arrays, about = load_arrays(path)
        assert (about["progress"]["epoch"], about["progress"]["step"]) == (epoch, step)
        state = keep.states[(epoch, step) if step else (epoch - 1, STEPS)]
        assert arrays.keys() == state.keys()
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], state[name], err_msg=f"{path.name} {name}", strict=True)


@both
@pytest.mark.parametrize("place", [(0, 5), (1, 0), (1, 10)])
def test_going_on_from_any_checkpoint_gives_the_bits_of_a_run_never_stopped(engine, place, tmp_path):
    straight = compiled(engine)
    whole = fit(straight, 2)
    fit(compiled(engine), 2, mr.callbacks.Checkpoint(tmp_path, save_every=5, keep=100))
    model = compiled(engine)
    progress = model.load_weights(Checkpoints(tmp_path).path(*place))
    rest = fit(model, 2, initial_epoch=progress["epoch"], initial_step=progress["step"])
    assert rest.history["loss"] == whole.history["loss"][place[0] :]
    for a, b in zip(straight.state, model.state, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.name)


@both
def test_no_file_claims_steps_that_a_bad_one_undid(engine, tmp_path):
    """What is infinite is found some steps later: meanwhile the state is that before it, whatever the count says."""
    model = compiled(engine, mr.optimizers.SGD(mr.schedules.PiecewiseConstantDecay([5], [0.1, float("3e38")])))
    with pytest.raises(NonFiniteError):
        fit(model, 20, mr.callbacks.Checkpoint(tmp_path, save_every=1, keep=100))
    kept = positions(tmp_path)
    assert kept and kept == [(0, n + 1) for n in range(len(kept))]
    straight = compiled(engine, mr.optimizers.SGD(mr.schedules.PiecewiseConstantDecay([5], [0.1, float("3e38")])))
    states = Keep()
    with pytest.raises(NonFiniteError) as caught:
        fit(straight, 20, states)
    assert f"step {len(kept) + 1} of" in str(caught.value)
    for position, path in Checkpoints(tmp_path).positions().items():
        np.testing.assert_array_equal(load_arrays(path)[0]["out/kernel"], states.states[position]["out/kernel"])


def test_callbacks_are_saved_as_they_were_at_that_moment(tmp_path, monkeypatch):
    class Counter(mr.callbacks.Callback):
        """Remembers an array and a list that it changes in place."""

        def __init__(self):
            self.seen, self.order = np.zeros(1), []

        def on_step_end(self, epoch, step):
            self.seen += 1
            self.order.append(step)

        def state(self):
            return {"seen": self.seen, "order": self.order}

    really = writing.write_whole
    monkeypatch.setattr("millrace.training.checkpoints.write_whole", lambda *a: (time.sleep(0.03), really(*a)))
    fit(compiled(), 1, Counter(), mr.callbacks.Checkpoint(tmp_path, save_every=4, keep=100))
    for (_, step), path in Checkpoints(tmp_path).positions().items():
        arrays, about = load_arrays(path)
        assert arrays["callbacks/Counter/seen"] == (step or STEPS)
        assert len(about["progress"]["callbacks"]["Counter"]["order"]) == (step or STEPS)


# ---- damage


@pytest.fixture
def three(tmp_path):
    """Checkpoints of epochs 1 to 3, with the files' arrays all alike but for one number."""
    checkpoints = Checkpoints(tmp_path / "c")
    for epoch in (1, 2, 3):
        arrays = {"a": np.full((3, 5), epoch, np.float32), "b": np.arange(7), "empty": np.zeros((0,), np.float32)}
        checkpoints.write(epoch, 0, arrays, {"progress": {"epoch": epoch, "step": 0}, "note": "ä", "rate": 0.1})
    return checkpoints


def regions(content):
    """Every byte of the length and of the header, and a few of each array."""
    header = 8 + int.from_bytes(content[:8], "little")
    return [*range(header), *range(header, len(content), 5), len(content) - 1]


def test_a_flipped_bit_anywhere_leads_to_the_one_before(three):
    newest, before = three.files[:2]
    content = newest.read_bytes()
    missed = []
    for place in regions(content):
        bit = 1 << random.Random(place).randrange(8)
        newest.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        found = three.latest_good(load_arrays)
        if found.path != before or len(found.messages) != 1 or found.content[0]["a"][0, 0] != 2:
            missed.append(place)
    assert not missed, [content[max(place - 12, 0) : place + 12] for place in missed[:5]]


def test_a_file_cut_short_anywhere_leads_to_the_one_before(three):
    newest, before = three.files[:2]
    content = newest.read_bytes()
    for length in range(len(content)):
        newest.write_bytes(content[:length])
        assert three.latest_good(load_arrays).path == before, length


def test_whoever_holds_the_run_sets_damaged_files_aside_and_says_so(three):
    newest, middle, oldest = three.files
    newest.write_bytes(b"nothing")
    middle.write_bytes(middle.read_bytes()[:-1])
    found = three.latest_good(load_arrays, set_aside=True)
    assert found.path == oldest
    assert list(found.messages) == [
        f"{path.name} is damaged, kept as *.damaged: {oldest.name} is used, the one before it."
        for path in (newest, middle)
    ]
    assert names(three.directory) == [oldest.name, f"{middle.name}.damaged", f"{newest.name}.damaged"]
    assert not three.latest_good(load_arrays).messages


def test_who_only_reads_renames_nothing(three):
    three.files[0].write_bytes(b"nothing")
    before = names(three.directory)
    assert three.latest_good(load_arrays).messages
    assert names(three.directory) == before


def test_where_none_is_whole_all_are_named_and_kept(three):
    files = three.files
    for path in files:
        path.write_bytes(path.read_bytes()[:-2])
    for _ in range(2):  # the second time as the first
        with pytest.raises(FileError) as caught:
            three.latest_good(load_arrays, set_aside=True)
        assert not isinstance(caught.value, DamagedError)
        assert all(path.name in str(caught.value) for path in files) and "remove them all" in str(caught.value)
        assert three.files == files


def test_the_best_one_is_the_last_resort(three):
    save_arrays(three.best, {"a": np.ones(1)}, {"progress": {}})
    for path in three.files[:-1]:
        path.write_bytes(b"")
    assert three.latest_good(load_arrays).path == three.best


def test_an_empty_directory_says_that_it_is(tmp_path):
    with pytest.raises(FileError, match="holds no checkpoint yet"):
        Checkpoints(tmp_path).latest_good(load_arrays)
    assert Checkpoints(tmp_path / "nowhere").files == []


def test_a_file_of_another_model_is_not_taken_for_damage(three):
    before = names(three.directory)
    with pytest.raises(FileError, match=r"is of another model") as caught:
        three.latest_good(compiled().load_weights, set_aside=True)
    assert three.files[0].name in str(caught.value)
    assert names(three.directory) == before


def test_a_file_of_a_later_format_is_not_taken_for_damage(three, monkeypatch):
    monkeypatch.setattr(writing, "FORMAT", writing.FORMAT + 1)
    three.write(4, 0, {}, {})
    monkeypatch.undo()
    with pytest.raises(FileError, match="update Millrace"):
        three.latest_good(load_arrays, set_aside=True)
    assert len(three.files) == 3


def test_a_file_that_the_run_removes_while_it_is_read_is_no_error(three):
    newest, newer = three.files[0], three.path(4, 0)

    def load(path):
        if path == newest:
            three.write(4, 0, {"a": np.zeros(1)}, {})
            newest.unlink()
        return load_arrays(path)

    assert three.latest_good(load).path == newer


# ---- a full disk


def full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_removes_nothing(three, where, monkeypatch):
    before = {path: path.read_bytes() for path in three.files}
    with monkeypatch.context() as patch:
        patch.setattr(os, where, full)
        with pytest.raises(FileError, match="No space left"):
            three.write(4, 0, {"a": np.zeros(3)}, {}, best=True)
    assert {path: path.read_bytes() for path in three.files} == before
    assert sorted(three.directory.iterdir()) == sorted(before)


TRAINING = """
import sys
from pathlib import Path
import numpy as np
import millrace as mr
x = np.random.default_rng(0).standard_normal((64, 40)).astype(np.float32)
model = mr.Sequential([mr.Input((40,)), mr.layers.Dense(200), mr.layers.Dense(1)], name="net")
model.compile("adam", "mse", engine="numpy")
"""


def test_a_disk_that_really_fills_up_stops_the_run_and_keeps_what_there_was(tmp_path):
    """A file system of 600 kB: a checkpoint takes 105 kB, and 5 fit beside one that is written."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        program = f"""{TRAINING}
try:
    model.fit(x, x[:, :1], epochs=50, verbose=0, callbacks=[mr.callbacks.Checkpoint({str(disk / "c")!r}, keep=40)])
except mr.layers.base.MillraceError as error:
    print(error)
"""
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
        assert "the region 'save' failed: cannot write" in ran.stdout and "No space left" in ran.stdout, ran
        found = Checkpoints(disk / "c").latest_good(load_arrays)
        kept = positions(disk / "c")
        assert len(kept) >= 4 and kept == [(n + 1, 0) for n in range(len(kept))] and not found.messages
        assert found.content[1]["progress"]["epoch"] == len(kept)
        assert not list((disk / "c").glob(".*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---- a kill


WRITING = """
import itertools, sys
from pathlib import Path
import numpy as np
from millrace.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]))
start = max((epoch for epoch, _ in checkpoints.positions()), default=0)
for epoch in itertools.count(start + 1):
    arrays = {f"w{n}": np.full(400_000, epoch, np.float32) for n in range(6)}
    checkpoints.write(epoch, 0, arrays, {"progress": {"epoch": epoch}}, best=epoch % 2 == 0)
    print(epoch, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_after_a_kill_in_the_middle_of_writing_the_last_complete_one_is_there(tmp_path):
    checkpoints, rng, half = Checkpoints(tmp_path), random.Random(1), 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.06))
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        found = checkpoints.latest_good(load_arrays)
        arrays, about = found.content
        assert not found.messages and not list(tmp_path.glob("*.damaged"))
        assert about["progress"]["epoch"] >= int(rest[-1] if rest else 1)
        assert all((array == about["progress"]["epoch"]).all() for array in arrays.values())
        half += len(list(tmp_path.glob(".*.partial")))
        writing.remove_partial(tmp_path)
        assert not list(tmp_path.glob(".*"))
        if checkpoints.best.exists():
            with contextlib.suppress(KeyError):
                load_arrays(checkpoints.best)
    assert half, "no kill came in the middle of a write: the test shows nothing"
