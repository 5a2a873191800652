"""Training in several processes that share a mesh: what one process sees, all see together."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.data.rows import Rows, batches
from millrace.data.source import Taken
from millrace.engines.processes import Processes, join_processes
from millrace.ir.errors import ArgumentError, FileError, MillraceError
from millrace.ops.stages import Batch
from millrace.training.checkpoint import DamagedError
from millrace.training.checkpoints import Checkpoints
from millrace.training.sharded import load_sharded, save_sharded

SCRIPT = Path(__file__).with_name("together.py")


def together(directory, mesh, count):
    """Run the script in so many processes at once; what each of them saw."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu", "MILLRACE_CACHE": str(directory.parent / "cache")}
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, str(port), str(count), str(number), mesh, str(directory)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )
        for number in range(count)
    ]  # fmt: skip
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count, "\n".join(said)
    return [json.loads((directory / f"seen-{number}.json").read_text()) for number in range(count)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (seen,) = together(tmp_path_factory.mktemp("one") / "run", "", 1)
    return seen


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`runs(mesh)`: the directory of the checkpoints of a run in two processes, and what both saw; made once."""
    made = {}

    def run(mesh):
        if mesh not in made:
            directory = tmp_path_factory.mktemp("two") / "run"
            made[mesh] = directory / "kept", together(directory, mesh, 2)
        return made[mesh]

    return run


@pytest.fixture(scope="module", params=["data=2", "tower=2"])
def pair(request, runs):
    return request.param, *runs(request.param)


@pytest.fixture
def parts(runs, tmp_path):
    """A copy of the newest checkpoint, of which each of two processes has written its parts."""
    directory = tmp_path / "kept"
    shutil.copytree(runs("tower=2")[0], directory)
    return directory / "checkpoint-00004-0000000.sharded"


def test_two_processes_learn_what_one_does(pair, alone):
    _, _, seen = pair
    assert [(one["count"], one["first"]) for one in seen] == [(2, True), (2, False)]
    for one in seen:
        assert one["at"] == {"initial_epoch": 2, "initial_step": 0}
        for what in ("before", "after"):
            np.testing.assert_allclose(one[what], alone[what], rtol=1e-5)
        np.testing.assert_allclose(one["predicted"], alone["predicted"], rtol=1e-4, atol=1e-6)
        assert one["held"] == pytest.approx(alone["held"], rel=1e-5)


def test_both_processes_have_the_same_numbers_to_the_bit(pair):
    _, _, (one, other) = pair
    mine, theirs = ({k: v for k, v in seen.items() if k not in ("first", "asked")} for seen in (one, other))
    assert mine == theirs


def test_a_batch_of_which_one_process_can_read_nothing_stops_nobody(pair, alone):
    mesh, _, (one, other) = pair
    assert np.isfinite(one["torn"][0]).all() and one["torn"] == other["torn"]
    assert one["torn"][0] == pytest.approx(alone["torn"][0], rel=1e-5)
    if mesh == "data=2":  # each reads its own half of a batch, and one record where its half is empty
        assert (one["asked"], other["asked"]) == ([0, 1, 2, 3, 8, 9, 10], [4, 5, 6, 7, 8])


def test_who_has_it_all_writes_one_file_and_parts_go_into_a_directory(pair):
    mesh, kept, _ = pair
    ending = ".safetensors" if mesh == "data=2" else ".sharded"
    assert {path.name for path in kept.iterdir()} == {f"checkpoint-00004-0000000{ending}", f"best{ending}"}


def test_one_process_goes_on_from_what_two_have_written(pair, alone):
    _, kept, _ = pair
    model = mr.Sequential(
        [
            mr.layers.Input((6, 6, 2)),
            mr.layers.Conv2D(4, 3, activation="relu"),
            mr.layers.Conv2D(4, 3, padding="same", groups=2, activation="relu"),
            mr.layers.Flatten(),
            mr.layers.Dense(8, activation="relu"),
            mr.layers.Dropout(0.5),
            mr.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(mr.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", ["accuracy"])
    assert model.resume(kept) == {"initial_epoch": 4, "initial_step": 0}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(22, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, batch_size=8), alone["predicted"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("what", ["the description", "an array", "everything"])
def test_damage_to_a_directory_of_parts_is_noticed(parts, what):
    assert load_sharded(parts)[1]["progress"]["epoch"] == 4
    if what == "the description":
        (parts / "about.safetensors").unlink()
    elif what == "an array":
        file = next(parts.glob("arrays/ocdbt.process_1/d/*"))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    else:
        shutil.rmtree(parts / "arrays")
    with pytest.raises(DamagedError, match="Take an earlier"):
        load_sharded(parts)
    found = Checkpoints(parts.parent).latest_good(load_sharded, set_aside=True)
    assert found.path.name == "best.sharded" and "is damaged" in found.messages[0]


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"MILLRACE_PROCESSES": "two"}, "MILLRACE_PROCESSES must be a whole number, at least 1, got 'two'"),
        ({"MILLRACE_PROCESSES": "0"}, "at least 1"),
        ({"MILLRACE_PROCESSES": "2"}, "MILLRACE_PROCESS must be a whole number, got ''"),
        ({"MILLRACE_PROCESSES": "2", "MILLRACE_PROCESS": "2"}, "from 0 to 1, since MILLRACE_PROCESSES=2"),
        ({"MILLRACE_PROCESSES": "2", "MILLRACE_PROCESS": "1"}, "MILLRACE_COORDINATOR must say where"),
        ({"MILLRACE_PROCESSES": "2", "MILLRACE_PROCESS": "1", "MILLRACE_COORDINATOR": "here"}, "such as 10.0.0.1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_environment_is_said(environment, says):
    with pytest.raises(ArgumentError, match=says):
        join_processes(environment)


def test_a_single_process_needs_nobody():
    assert join_processes({}) == join_processes({"MILLRACE_PROCESSES": "1", "MILLRACE_PROCESS": "0"}) == Processes()


@pytest.mark.parametrize("torn", [9, 13])
@pytest.mark.parametrize("count", [20, 21, 3])
def test_shares_of_a_batch_make_up_the_whole_and_read_no_more(count, torn):
    asked = []

    def take(epoch, numbers):
        asked.append(set(np.asarray(numbers).tolist()))
        return Taken((np.asarray(numbers) * 10,), {n: "torn" for n, one in enumerate(numbers) if one == torn})

    rows = Rows(count, take, lambda epoch, number: f"record {number}")
    whole = batches(Batch(8), rows)
    parts = [batches(Batch(8), rows, share) for share in (range(4), range(4, 8))]
    for number in range(whole.count):
        want = whole.make(0, number)
        asked.clear()
        first, second = (part.make(0, number) for part in parts)
        assert sum(map(len, asked)) <= 9 and all(len(one) <= 4 for one in asked)
        real = want.weights > 0
        both = np.concatenate([first.arrays[0][:4], second.arrays[0][4:]])
        weights = np.concatenate([first.weights[:4], second.weights[4:]])
        np.testing.assert_array_equal(weights, want.weights)
        np.testing.assert_array_equal(both[real], want.arrays[0][real])
        assert {**first.broken, **second.broken} == want.broken
        assert first.count == second.count == want.count


def test_a_new_form_of_a_checkpoint_takes_the_place_of_the_other(tmp_path):
    kept = Checkpoints(tmp_path / "kept")
    for path in (kept.path(1, 0), kept.best):
        directory = path.with_suffix(".sharded")
        directory.mkdir(parents=True)
        (directory / "about.safetensors").write_bytes(b"old")
    kept.write(1, 0, {"w": np.ones(2, np.float32)}, {"progress": {}}, best=True)
    assert {path.name for path in kept.directory.iterdir()} == {kept.path(1, 0).name, "best.safetensors"}


def test_one_file_that_has_become_a_directory_is_found(tmp_path):
    kept = Checkpoints(tmp_path / "kept.safetensors")
    (tmp_path / "kept.sharded").mkdir()
    assert kept.files == [tmp_path / "kept.sharded"]


def test_what_a_kill_left_does_not_get_into_the_next(tmp_path):
    import jax.numpy as jnp

    left = tmp_path / "best.sharded.partial"
    left.mkdir()
    (left / "arrays").mkdir()
    (left / "arrays" / "left").write_bytes(b"half")
    finish = save_sharded(tmp_path / "one.sharded", {"w": jnp.ones(3)}, {"progress": {}}, tmp_path / "best.sharded")
    finish()
    for path in (tmp_path / "one.sharded", tmp_path / "best.sharded"):
        np.testing.assert_array_equal(load_sharded(path)[0]["w"], np.ones(3))
    assert not list(tmp_path.glob("*.partial"))


def test_a_directory_that_is_removed_while_it_is_read_is_no_damage(parts, monkeypatch):
    from millrace.training import sharded

    def removed(path):
        shutil.rmtree(parts)
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(sharded, "sums", removed)
    with pytest.raises(FileError, match="has been removed") as caught:
        load_sharded(parts)
    assert not isinstance(caught.value, DamagedError)


def test_what_lies_with_others_is_refused_in_words(tmp_path):
    class Elsewhere:
        is_fully_addressable = is_fully_replicated = False

    w = mr.Variable(np.ones(3, np.float32), name="w")
    w._buffer = Elsewhere()
    with pytest.raises(MillraceError, match="'w' lies in parts with several processes"):
        w.numpy()


def test_only_the_first_process_records(monkeypatch, tmp_path):
    monkeypatch.setattr("millrace.training.trainer.processes", lambda: Processes(2, 1))
    model = mr.Sequential([mr.layers.Input((2,)), mr.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []

    class Mine(mr.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(epoch)

    recorders = [mr.callbacks.JsonLines(tmp_path / "m.jsonl"), mr.callbacks.CSVLogger(tmp_path / "m.csv"), Mine()]
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, callbacks=recorders)
    assert seen == [0, 1] and not list(tmp_path.iterdir())
