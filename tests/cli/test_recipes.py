"""Other networks than the digits', trained and asked through the command as their users do."""

import json
import os
import subprocess
import sys

import pytest

MILLRACE = [sys.executable, "-c", "from millrace.cli.main import main; main()"]


def millrace(*arguments, cwd, code=0, **environment):
    ran = subprocess.run(
        [*MILLRACE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "80", **environment}, timeout=300,
    )  # fmt: skip
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert max((len(line) for line in ran.stdout.splitlines()), default=0) <= 80
    return ran.stdout + ran.stderr


def test_a_memory_network_says_what_it_looked_at_and_its_report_reads_stories(tmp_path):
    printed = millrace("train", "memory_network", "--epochs", 2, cwd=tmp_path)
    assert "hop 3" in printed and "A bag of words" in printed and "Validation accuracy" in printed
    report = (tmp_path / "runs" / "memory_network-1" / "report.html").read_text()
    assert "went to the" in report and "where is the" in report and "input_dim=25" in report
    refused = millrace("predict", "runs/memory_network-1", "x", cwd=tmp_path, code=2)
    assert "takes neither pictures nor sentences" in refused
    words = json.loads((tmp_path / "runs" / "memory_network-1" / "words.json").read_text())
    assert len(words["classes"]) == 8 and "kitchen" in words["vocabulary"]


def test_one_neuron_reads_odd_digits_from_pictures(tmp_path):
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    printed = millrace("train", "perceptron", "--epochs", 30, cwd=tmp_path)
    assert "65 parameters" in printed
    raw = load_digits()
    for n in (3, 4):
        Image.fromarray((255 - raw.images[n] * 15).astype(np.uint8)).save(tmp_path / f"{raw.target[n]}.png")
    answers = millrace("predict", "runs/perceptron-1", "3.png", "4.png", cwd=tmp_path)
    assert "odd" in answers.splitlines()[3] and "even" in answers.splitlines()[4]


def test_reviews_are_judged_by_a_run_that_went_on_with_its_early_stopping(tmp_path, real_data):
    real_data("rt_polarity")
    millrace("train", "sentiment", "--epochs", 1, cwd=tmp_path)
    printed = millrace("train", "--resume", "runs/sentiment-1", "--epochs", 2, cwd=tmp_path)
    assert "Going on with runs/sentiment-1 at epoch 2" in printed
    answers = millrace("predict", "runs/sentiment-1", "a moving , wonderful film", "dull and stupid", cwd=tmp_path)
    rows = [line for line in answers.splitlines() if "film" in line or "stupid" in line]
    assert "positive" in rows[0].split("│")[2] and "negative" in rows[1].split("│")[2]
    refused = millrace("predict", "runs/sentiment-1", "qwxyz", cwd=tmp_path, code=2)
    assert "knows none of these words" in refused


def test_ten_digits_are_recalled_and_hebbs_failure_is_explained(tmp_path, real_data):
    real_data("mnist")
    printed = millrace("train", "hopfield", cwd=tmp_path)
    assert "pseudo_inverse   100.0%" in printed and "hebb               0.0%" in printed
    assert "Hebb's rule fails because" in printed
    assert (tmp_path / "runs" / "hopfield-1" / "recall.png").is_file()
    assert "not trained step by step" in millrace("train", "hopfield", "--epochs", 3, cwd=tmp_path, code=2)


@pytest.mark.parametrize("name", ["lenet", "fashion", "cifar_quick", "resnet18", "char_rnn", "sentiment", "hopfield"])
def test_without_data_it_says_which_files_belong_where_and_makes_no_run(tmp_path, name):
    refused = millrace("train", name, cwd=tmp_path, code=2, MILLRACE_DATA="")
    assert "MILLRACE_DATA" in refused
    runs = tmp_path / "runs"
    assert not runs.exists() or not any(runs.iterdir())
