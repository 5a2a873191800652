"""Input speed: what can be asked for, whether contenders deliver the same, and the words of the tables."""

import gzip
import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from benchmarks.input import TARGET, arguments, command_line
from benchmarks.inputs.agreement import Expected, difference, doubts, expected
from benchmarks.inputs.measure import Metered, computed, row
from benchmarks.inputs.millrace_fit import build
from benchmarks.inputs.pixels import exact_middle, middle, picture, scaled_sides
from benchmarks.inputs.places import prepared
from benchmarks.inputs.roster import NAMES, ROSTER, chosen
from benchmarks.inputs.serve import computed as computed_seconds
from benchmarks.inputs.serve import save_first, turn
from benchmarks.inputs.table import SUMMARY, best, cells, markdown, summary_cells
from benchmarks.inputs.workloads import FOLDER, MEMORY, PACKED, REPEATS, WORKLOADS, InputWorkload, Task, wanted
from benchmarks.interleave import Entrant
from PIL import Image


def idx_file(path, array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def data(tmp_path):
    """Nine examples in idx files, a folder of three classes, and a flat one: wide, tall and grey pictures."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    (root / "fashion_mnist").mkdir(parents=True)
    idx_file(root / "fashion_mnist" / "train-images-idx3-ubyte.gz", rng.integers(0, 256, (9, 4, 6), np.uint8))
    idx_file(root / "fashion_mnist" / "train-labels-idx1-ubyte.gz", np.arange(9, dtype=np.uint8))
    for label, (name, sides) in enumerate((("a", (40, 30)), ("b", (30, 50)), ("c", (64, 64)))):
        inner = root / "classes" / name
        inner.mkdir(parents=True)
        (root / "flat").mkdir(exist_ok=True)
        for n in range(2):
            smooth = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(sides, Image.Resampling.BICUBIC)
            for target in (inner / f"{n}.JPEG", root / "flat" / f"{name}{n}.JPEG"):
                (smooth.convert("L") if label == 1 and n else smooth).save(target, quality=95)
    return root


SMALL = InputWorkload("memory", MEMORY, "fashion_mnist", 4)
PICTURES = InputWorkload("classes", FOLDER, "classes", 4, 24)
FLAT = InputWorkload("flat", FOLDER, "flat", 8, 24, flat=True)
PACK = InputWorkload("pack", PACKED, "flat", 8, 24, flat=True)


@pytest.mark.parametrize("workload", [SMALL, PICTURES, FLAT, PACK], ids=lambda w: w.name)
def test_what_fit_reads_is_the_same_as_pillow_makes_of_it(data, tmp_path, workload):
    places = prepared(workload, data, tmp_path / "made")
    wanted = expected(workload, places.peers)
    region = build(Task(workload, places.own, {}))
    assert region.run(1) == region.run(1) == wanted.count and region.run(3) == 3 * wanted.count
    assert save_first(region, tmp_path / "first.npz") == len(wanted.labels)
    with np.load(tmp_path / "first.npz") as found:
        away, said = doubts("millrace", found, wanted, [wanted.count], workload.kind == MEMORY)
    assert not said and away < 1 and wanted.images[0].shape[1:3] == ((4, 6) if workload is SMALL else (24, 24))


def test_an_epoch_of_what_fit_reads_is_shuffled(data):
    region = build(Task(SMALL, data / "fashion_mnist", {}))
    order = [
        [int(n) for _ in range(3) for batch in [feed.take()] for n in batch.arrays[1][: batch.count]]
        for feed in (region.shuffled.start(0, 0, 1), region.shuffled.start(1, 0, 2), region.ordinary.start())
    ]
    assert [sorted(one) for one in order] == [list(range(9))] * 3
    assert order[0] != order[1] != order[2] and order[2] == list(range(9))


def test_a_flat_folder_becomes_a_class_a_picture_several_times(data, tmp_path):
    places = prepared(FLAT, data, tmp_path)
    wanted = expected(FLAT, places.peers)
    assert places.own == places.peers and wanted.count == 6 * REPEATS
    assert wanted.labels.tolist() == [n for n in range(6) for _ in range(REPEATS)]


def test_peers_of_a_pack_get_its_pictures_as_files(data, tmp_path):
    places = prepared(PACK, data, tmp_path)
    sides = {min(Image.open(path).size) for path in places.peers.glob("*/*")}
    assert places.own != places.peers and sides == {24}


def test_missing_data_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"fashion_mnist is missing: memory reads it"):
        prepared(SMALL, tmp_path, tmp_path)


def test_the_shorter_side_is_scaled_and_the_middle_kept(tmp_path):
    assert scaled_sides(500, 375, 256) == (341, 256) and scaled_sides(333, 500, 256) == (256, 384)
    assert middle(341, 256, 256) == (42, 0) and middle(256, 384, 256) == (0, 64)
    bands = np.zeros((10, 30, 3), np.uint8)
    bands[:, 10:20] = 200
    Image.fromarray(bands).save(tmp_path / "bands.png")
    assert (picture(tmp_path / "bands.png", 10) == 200).all() and (
        exact_middle(tmp_path / "bands.png", 10) == 200
    ).all()


def test_pixels_labels_and_counts_that_differ_are_told():
    images = np.full((3, 2, 2, 1), 100, np.uint8)
    wanted = Expected(60, (images,), np.arange(3))
    near, far = {"images": images + 1, "labels": np.arange(3)}, {"images": images + 3, "labels": np.arange(3)[::-1]}
    assert doubts("x", near, wanted, [60.0], exact=False) == (1.0, [])
    assert doubts("x", near, wanted, [60.0], exact=True)[1] == ["x: pixels differ by 1.00 on average"]
    assert doubts("x", far, wanted, [60.0, 59.0], exact=False)[1] == [
        "x: pixels differ by 3.00 on average", "x: other labels", "x: 59 images in an epoch, expected 60",
    ]  # fmt: skip
    assert difference(images[:2], images) == difference(images.astype(float), images) == float("inf")
    assert difference(np.zeros_like(images), np.full_like(images, 255)) == 255  # no wrapping round


def test_the_seconds_computed_are_those_of_living_children_too():
    started = computed_seconds()
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until = time.monotonic() + 10
        while computed_seconds() - started < 0.2 and time.monotonic() < until:
            time.sleep(0.02)
        assert 0.2 <= computed_seconds() - started < 2
    finally:
        child.kill()
        child.wait()


def test_a_turn_is_given_for_an_epoch():
    class Sleeper:
        def run(self, epochs):
            time.sleep(0.02 * epochs)
            return 10 * epochs

    found = turn(Sleeper(), 4)
    assert found["images"] == 10 and 0.02 <= found["seconds"] < 0.06 and found["cpu"] < 0.02


class Scripted:
    def __init__(self, answers):
        self.answers = iter(answers)

    def ask(self, line):
        return next(self.answers)


def entrant(name, times, cpu):
    """One that ran a first round, which is not counted, and then those of `times` that are not None."""
    process = Metered(Scripted([{"cpu": 99.0}, *({"cpu": c} for c in cpu)]))
    for _ in range(len(cpu) + 1):
        process.ask("go 1")
    return Entrant(name, process, list(times))


def test_processor_time_belongs_to_the_rounds_that_count():
    slow = entrant("slow", [2.0, None, 4.0], [3.0, 5.0])
    assert computed(slow) == [3.0, None, 5.0] and computed(entrant("none", [None], [])) == [None]
    made = row(slow, entrant("millrace", [1.0, 1.0, 1.0], [0.5, 0.5, 1.0]), 80, 0.25)
    assert made["ratio"]["median"] == 3.0 and made["core_ratio"]["median"] == 5.5  # of 2 and 4; of 6 and 5
    assert made["per_second"] == 80 / 3 and made["per_core"] == 80 / 4


def shown(name, ratio, core, pixels=0.0):
    spread = [{"median": x, "low": x - 0.1, "high": x + 0.1, "count": 9} for x in (ratio, core)]
    return {
        "name": name, "error": "", "seconds": [1.0], "median": ratio, "per_second": 1200 / ratio, "per_core": 50.0,
        "pixels": pixels, "ratio": spread[0], "core_ratio": spread[1], "memory": {"steps": 321.4},
    }  # fmt: skip


RESULT = {
    "name": "originals256", "kind": FOLDER, "about": "pictures", "far": 2.0, "doubts": ["tfdata: other labels"],
    "contenders": [
        shown("millrace", 1.0, 1.0), shown("torch-w2", 1.4, 2.0, 0.5), shown("torch-w0", 2.5, 1.6),
        shown("tfdata-crop-rough", 0.9, 0.8, 2.5),
    ],
}  # fmt: skip


def test_the_best_peer_is_the_closest_among_those_with_the_same_pixels():
    assert best(RESULT, "ratio")["name"] == "torch-w2" and best(RESULT, "core_ratio")["name"] == "torch-w0"
    assert dict(zip(SUMMARY, summary_cells(RESULT), strict=True)) == {
        "workload": "originals256", "Millrace/s": "1,200", "best peer": "torch-w2", "Millrace x": "1.40 [1.30, 1.50]",
        "best peer a core": "torch-w0", "Millrace x a core": "1.60 [1.50, 1.70]", "by hand": "", "n": "9",
    }  # fmt: skip


def test_where_nothing_is_decoded_pixels_must_be_the_same_and_what_is_by_hand_stands_apart():
    rows = [shown("millrace", 1.0, 1.0), shown("tfdata", 1.1, 1.1, 0.1), shown("torch-no-loader", 0.7, 0.6),
            shown("torch-sampler", 3.0, 4.0)]  # fmt: skip
    result = {**RESULT, "kind": MEMORY, "contenders": rows}
    assert best(result, "ratio")["name"] == "torch-sampler"
    assert summary_cells(result)[-2] == "0.60"
    assert [cells(result, one)[0] for one in rows] == ["millrace", "tfdata *", "torch-no-loader +", "torch-sampler"]


def test_a_contender_has_both_rates_with_ratios():
    assert cells(RESULT, RESULT["contenders"][1]) == (
        "torch-w2", "857", "1.40 [1.30, 1.50]", "50.0", "2.00 [1.90, 2.10]", "9", "0.50", "321",
    )  # fmt: skip
    assert cells(RESULT, RESULT["contenders"][0])[2] == ""  # Millrace is not compared with itself


def test_a_kept_run_says_what_it_depends_on_and_what_was_odd():
    text = markdown(
        {
            "date": str(datetime(2026, 1, 2)), "command": "make bench-input", "revision": "abc", "rounds": 9,
            "interval": "95%", "versions": {"peers": {"torch": "2.13.0"}}, "workloads": [RESULT],
            "machine": {"processor": "P", "cores": 2, "memory_gib": 9, "system": "S", "governor": "g", "load": [1]},
        }
    )  # fmt: skip
    for part in ("`make bench-input`, revision abc", "P, 2 cores", "torch 2.13.0", "| torch-w2 |", "- CHECK tfdata: o"):
        assert part in text


def test_contenders_and_workloads_are_named_by_patterns():
    assert [one.name for one in wanted("imagenette*,memory")] == ["memory", "imagenette256", "imagenette224"]
    assert [one.name for one in chosen("grain-p*")] == ["millrace", "grain-permutation", "grain-p2"]
    assert chosen(None) == ROSTER and len(NAMES) == len(ROSTER)
    for asked, pick in (("cifar", wanted), ("torch-w9", chosen)):
        with pytest.raises(ValueError, match=f"is called '{asked}'"):
            pick(asked)


def test_every_workload_has_contenders_of_each_peer():
    for workload in WORKLOADS.values():
        peers = {reader.peer for reader in ROSTER if workload.kind in reader.kinds}
        assert peers == {"millrace_fit", "torch_loader", "tf_data", "grain_reader"}


def test_peers_run_in_their_own_environment():
    command = NAMES["torch-w2"].command(WORKLOADS["memory"], Path("/there"), "other/python")
    assert command[:3] == ["other/python", "-m", "benchmarks.inputs.serve"]
    assert json.loads(command[3]) == {"peer": "torch_loader", "workload": "memory", "root": "/there", "workers": 2}
    assert NAMES["millrace"].command(WORKLOADS["memory"], Path("/there"), "other/python")[0] == sys.executable


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--only", "nothing"], "no workload is called 'nothing'"),
        (["--contenders", "nobody"], "no contender is called 'nobody'"),
        (["--python", "no/python"], "no/python does not run"),
    ],
)
def test_wrong_arguments_are_told(capsys, given, said):
    with pytest.raises(SystemExit):
        arguments(["--data", "there", *given])
    assert said in capsys.readouterr().err


def test_without_a_place_of_data_it_says_so(capsys, monkeypatch):
    monkeypatch.delenv("MILLRACE_DATA", raising=False)
    with pytest.raises(SystemExit):
        arguments(["--contenders", "millrace"])
    assert "where do the data sets lie" in capsys.readouterr().err


def test_the_command_is_kept_without_the_places_of_this_machine():
    given = ["--only", "memory", "--python", "a/b", "--data=/x", "--rounds", "3"]
    assert command_line(TARGET, given) == "make bench-input ARGS='--only memory --rounds 3'"
    assert command_line(TARGET, []) == "make bench-input"
