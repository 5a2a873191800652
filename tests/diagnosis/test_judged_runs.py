"""The runs on real data: what was said of them, and what must be; and a few of them live."""

import sys
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace.diagnosis.judge import NAMES
from millrace.training.run import Run as RunDirectory

sys.path.insert(0, str(Path(__file__).parent))
from make_table import END, PAGE, START, found_in, kept, lines, record_of, table, verdicts
from runs import runs

layers = mr.layers


@pytest.fixture(scope="module")
def numbers():
    return kept()


def test_every_run_of_the_table_is_kept(numbers):
    assert list(numbers) == [run.name for run in runs()]


@pytest.mark.parametrize("rule", NAMES)
def test_each_diagnosis_is_found_in_three_runs_at_least_and_in_none_that_is_not_so(numbers, rule):
    hits, must, missed, _, never, wrongly = verdicts(numbers, runs())[rule]
    assert must >= 3 and never >= 3
    assert not missed and hits == must
    assert not wrongly


def test_nothing_is_said_of_the_runs_that_nothing_is_wrong_with(numbers):
    well = [run for run in runs() if not run.wrong]
    assert len(well) >= 10
    assert {run.name: found_in(numbers[run.name]) for run in well} == {run.name: {} for run in well}


def test_the_page_has_the_table_that_the_numbers_give(numbers):
    text = PAGE.read_text("utf-8")
    assert text.split(START, 1)[1].split(END, 1)[0].strip() == table(numbers, runs()).strip()


@pytest.mark.slow
@pytest.mark.parametrize("run", runs(), ids=lambda run: run.name)
def test_what_is_said_live_is_what_is_kept(numbers, run):
    """On this machine, too: rounding differs from one processor to another, what is found does not."""
    found = found_in(lines(run.made()))
    assert set(run.wrong) <= set(found) <= {*run.wrong, *run.may}


@pytest.fixture(scope="module")
def digits():
    from millrace.data.datasets import digits

    return digits(0)


def saturated():
    mr.set_seed(0)
    start = mr.initializers.RandomNormal(stddev=3.0)
    model = mr.Sequential(
        [
            mr.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, "tanh", kernel_initializer=start, name="hidden"),
            layers.Dense(10, "softmax", name="output"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_a_run_that_saturates_is_told_once(digits, capsys):
    history = saturated().fit(digits.x_train[:256], digits.y_train[:256], epochs=4)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("advice:")]
    assert len(said) == 1 and "of hidden's outputs saturated since epoch 1" in said[0] and len(said[0]) <= 100
    assert [one.epoch for one in history.vitals] == [1, 2, 3, 4]


def test_a_silent_fit_says_nothing(digits, capsys):
    saturated().fit(digits.x_train[:256], digits.y_train[:256], epochs=3, verbose=0)
    assert capsys.readouterr().out == ""


def test_advice_can_be_had_in_chinese(digits, capsys):
    advice = mr.callbacks.Advice("zh")
    saturated().fit(digits.x_train[:256], digits.y_train[:256], epochs=3, verbose=0, callbacks=[advice])
    assert capsys.readouterr().out.startswith("建议：hidden 的输出")
    assert [one.rule for one in advice.findings] == ["saturation"]


def test_a_step_that_breaks_down_is_told(digits, capsys):
    model = mr.Sequential([mr.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile(mr.optimizers.SGD(100.0), "mse")
    with pytest.raises(mr.NonFiniteError if hasattr(mr, "NonFiniteError") else Exception):
        model.fit(digits.x_train[:256], digits.y_train[:256].astype(np.float32), epochs=3)
    assert "advice: a number became infinite in epoch 1" in capsys.readouterr().out


def test_doubles_are_told_before_the_first_step(digits, capsys):
    x, y = digits.x_train[:256], digits.y_train[:256]
    saturated().fit(x, y, epochs=1, validation_data=(x[:50], y[:50]))
    assert capsys.readouterr().out.startswith("advice: 100% of the held-out examples are among those to learn from")


def test_the_report_shows_evidence_and_remedy(digits, tmp_path):
    from millrace.explain.report import write_report

    model, run = saturated(), RunDirectory(tmp_path)
    run.write_config({"model": "digits", "engine": "xla", "seed": 0, "epochs": 3, "batch_size": 32})
    x, y = digits.x_train[:256], digits.y_train[:256]
    model.fit(x, y, epochs=3, validation_data=digits.validation, callbacks=run.callbacks(), verbose=0)
    write_report(run, model, digits)
    html = run.report.read_text("utf-8")
    assert "What the run says about itself" in html and "Saturated units" in html
    assert "Clear since epoch 2." in html and "lie where the slope is below 2% of its greatest" in html
    assert "put BatchNormalization before the activation" in html
    assert "Size of an update beside its weight" in html
    watched = html.split('<details class="watched">', 1)[1].split("</details>", 1)[0]
    assert watched.count("<dt>") == len(NAMES) and "<dt>Vanishing gradient</dt>" in watched
    write_report(run, model, digits, lang="zh")
    assert "这次训练说明了什么" in run.report.read_text("utf-8")
    for name in ("vitals.jsonl", "metrics.jsonl"):  # as after the first epoch
        kept_lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(kept_lines[: 2 if name == "vitals.jsonl" else 1]))
    write_report(run, model, digits)
    assert "Size of the gradients" in run.report.read_text("utf-8")
    (tmp_path / "vitals.jsonl").unlink()  # as of an older Millrace
    write_report(run, model, digits)
    html = run.report.read_text("utf-8")
    assert "The curves alone were kept" in html and "<h3>Saturated units</h3>" not in html


def test_a_run_with_nothing_wrong_is_told_how_much_was_looked_for(numbers):
    from millrace.explain.run_findings import run_findings

    record = record_of(numbers["digits, the digits network"])
    assert (
        run_findings(record).note == f"No sign of trouble: none of the {len(NAMES)} things that are watched was found."
    )
    assert len({title for title, _ in run_findings(record, "zh").watched}) == len(NAMES) == 16
