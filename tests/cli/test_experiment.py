"""`millrace experiment`, as its users call it."""

import json
from dataclasses import replace

import pytest

from millrace.experiments import EXPERIMENTS, Experiment, Outcome, Scale
from millrace.training.checkpoint import write_whole


@pytest.fixture
def coin(monkeypatch, tmp_path):
    """An experiment that takes no time, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run(setting):
        setting.say("a line that is far too long for a terminal of eighty columns: " + "tossing " * 6)
        write_whole(setting.out / "coin.svg", b"<svg/>")
        return Outcome(
            ["Side of the coin that was tossed", "Paper", "Measured", "Each seed", "Something else to know"],
            [["heads, as long as it lies flat", "50%", "48.1 ± 2.2%", ", ".join(["47.3"] * 12), "nothing at all here"]],
            "half of them", f"the {setting.form} form of {len(setting.seeds)}, {setting.scale.images} tosses.",
            [setting.out / "coin.svg"], {"heads": [0.4, 0.5]}, ["A note on how it was measured. " * 4],
        )  # fmt: skip

    one = Experiment(
        "coin", "a coin shows heads half the time", "section 0", "ten tosses", "all tosses", run,
        Scale(10, 0, 1, 1), Scale(1000, 0, 1, 1), seeds=4,
    )  # fmt: skip
    monkeypatch.setitem(EXPERIMENTS, "coin", one)
    return one


def test_without_a_name_all_are_listed(millrace):
    out, _, code = millrace("experiment")
    assert code == 0 and all(name in out for name in EXPERIMENTS)
    assert "local response normalization" in out and "section 3.3" in out


def test_a_run_prints_and_keeps_what_it_found(millrace, coin, tmp_path):
    out, _, code = millrace("experiment", "coin", "--out", "o")
    assert code == 0 and "the paper says that a coin shows heads" in out and "seeds 0 to 3" in out
    assert "ten tosses" in out and "48.1 ± 2.2%" in out and "Here: the quick form of 4, 10 tosses." in out
    place = tmp_path / "o" / "coin"
    assert sorted(path.name for path in place.iterdir()) == ["coin.svg", "numbers.json", "table.txt"]
    table = (place / "table.txt").read_text()
    assert max(map(len, table.splitlines())) <= 80 and "50%" in table and "half of them" in table
    kept = json.loads((place / "numbers.json").read_text())
    assert kept["numbers"] == {"heads": [0.4, 0.5]} and kept["seeds"] == [0, 1, 2, 3] and kept["form"] == "quick"
    assert kept["scale"]["images"] == 10 and kept["figures"] == ["coin.svg"]
    assert "coin.svg" in out.splitlines()[-3]


def test_the_full_form_and_the_number_of_seeds(millrace, coin):
    out, _, _ = millrace("experiment", "coin", "--full", "--seeds", 1)
    assert "Here: the full form of 1, 1000 tosses." in out and "all tosses" in out and "1 seed" in out


def test_a_form_may_have_other_numbers_and_says_so(millrace, coin, tmp_path):
    out, _, _ = millrace("experiment", "coin", "--images", 2000, "--epochs", 3)
    assert "Here: the quick form of 4, 2000 tosses." in out
    assert "ten tosses. But, as asked: 2,000 images, 3 epochs at most." in " ".join(out.split())
    assert json.loads((tmp_path / "experiments" / "coin" / "numbers.json").read_text())["scale"]["epochs"] == 3
    _, err, code = millrace("experiment", "coin", "--images", 0)
    assert code == 2 and "--images must be at least 1, got 0" in err


def test_what_cannot_be_done_is_said(millrace, coin, tmp_path, monkeypatch):
    _, err, code = millrace("experiment", "relu-vs-tahn")
    assert code == 2 and "Did you mean 'relu-vs-tanh'" in err
    _, err, code = millrace("experiment", "coin", "--seeds", 0, "--out", tmp_path)
    assert code == 2 and "--seeds must be at least 1, got 0" in err
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path / "none"))
    out, err, code = millrace("experiment", "lrn", "--out", tmp_path / "o")
    assert (
        out == "" and code == 2 and "cifar10" in err and "Put data_batch_1.bin" in err and not (tmp_path / "o").exists()
    )
    _, err, code = millrace("experiment", "coin", "--run", tmp_path, "--out", tmp_path)
    assert code == 2 and "trains its own" in err


def test_ctrl_c_leaves_what_was_there(millrace, coin, tmp_path, monkeypatch):
    millrace("experiment", "coin")
    before = (tmp_path / "experiments" / "coin" / "numbers.json").read_bytes()

    def stopped(setting):
        raise KeyboardInterrupt

    monkeypatch.setitem(EXPERIMENTS, "coin", replace(coin, run=stopped))
    _, err, code = millrace("experiment", "coin")
    kept = (tmp_path / "experiments" / "coin" / "numbers.json").read_bytes()
    assert code == 130 and "stopped" in err and kept == before


def test_where_nothing_can_be_written_it_says_so(millrace, coin, tmp_path):
    (tmp_path / "o").write_text("a file")
    _, err, code = millrace("experiment", "coin", "--out", tmp_path / "o")
    assert code == 2 and "cannot write" in err
