"""Other networks than the digits', trained and asked through the command as their users do."""

import json

import pytest


@pytest.fixture
def command(millrace, monkeypatch, tmp_path):
    """Run the command in a directory of the test's own: all that it printed."""

    def run(*arguments, code=0):
        monkeypatch.chdir(tmp_path)
        out, error, ended = millrace(*arguments)
        assert ended == code, out + error
        return out + error

    return run


def test_a_memory_network_says_what_it_looked_at_and_its_report_reads_stories(command, tmp_path):
    printed = command("train", "memory_network", "--epochs", 2)
    assert "hop 3" in printed and "A bag of words" in printed and "Validation accuracy" in printed
    report = (tmp_path / "runs" / "memory_network-1" / "report.html").read_text()
    assert "went to the" in report and "where is the" in report and "input_dim=25" in report
    refused = command("predict", "runs/memory_network-1", "x", code=2)
    assert "takes neither pictures nor sentences" in refused
    words = json.loads((tmp_path / "runs" / "memory_network-1" / "words.json").read_text())
    assert len(words["classes"]) == 8 and "kitchen" in words["vocabulary"]


def test_one_neuron_reads_odd_digits_from_pictures(command, tmp_path):
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    printed = command("train", "perceptron", "--epochs", 30)
    assert "65 parameters" in printed
    raw = load_digits()
    for n in (3, 4):
        Image.fromarray((255 - raw.images[n] * 15).astype(np.uint8)).save(tmp_path / f"{raw.target[n]}.png")
    answers = command("predict", "runs/perceptron-1", "3.png", "4.png")
    assert "odd" in answers.splitlines()[3] and "even" in answers.splitlines()[4]


def test_reviews_are_judged_by_a_run_that_went_on_with_its_early_stopping(command, tmp_path, real_data):
    real_data("rt_polarity")
    command("train", "sentiment", "--epochs", 1)
    printed = command("train", "--resume", "runs/sentiment-1", "--epochs", 2)
    assert "Going on with runs/sentiment-1 at epoch 2" in printed
    answers = command("predict", "runs/sentiment-1", "a moving , wonderful film", "dull and stupid")
    rows = [line for line in answers.splitlines() if "film" in line or "stupid" in line]
    assert "positive" in rows[0].split("│")[2] and "negative" in rows[1].split("│")[2]
    refused = command("predict", "runs/sentiment-1", "qwxyz", code=2)
    assert "knows none of these words" in refused


def test_ten_digits_are_recalled_and_hebbs_failure_is_explained(command, tmp_path, real_data):
    real_data("mnist")
    printed = command("train", "hopfield")
    assert "pseudo_inverse   100.0%" in printed and "hebb               0.0%" in printed
    assert "Hebb's rule fails because" in printed
    assert (tmp_path / "runs" / "hopfield-1" / "recall.png").is_file()
    assert "not trained step by step" in command("train", "hopfield", "--epochs", 3, code=2)


@pytest.mark.parametrize("name", ["lenet", "fashion", "cifar_quick", "resnet18", "char_rnn", "sentiment", "hopfield"])
def test_without_data_it_says_which_files_belong_where_and_makes_no_run(command, tmp_path, monkeypatch, name):
    monkeypatch.setenv("MILLRACE_DATA", "")
    refused = command("train", name, code=2)
    assert "MILLRACE_DATA" in refused
    runs = tmp_path / "runs"
    assert not runs.exists() or not any(runs.iterdir())
