"""`millrace explain NAME` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.cli.explain import Question, settled
from millrace.cli.explain_name import columns, explain_name, known, list_names, unknown
from millrace.explain.pages import Page
from millrace.explain.subjects import CALLED, Subject, found
from millrace.ir.errors import ArgumentError, FileError


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_page_is_printed_and_other_kinds_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("Softmax", None, None, "en")
    text = capsys.readouterr().out
    assert text.startswith("Softmax (layer)") and "dL/dx = softmax(x) * (g - sum(g * softmax(x)))" in text
    assert "Also: the operation Softmax (--kind operation)." in text
    assert "Also: the function softmax (--kind function)." in text


def test_kind_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("softmax", "operation", None, "zh")
    text = capsys.readouterr().out
    assert text.startswith("Softmax（运算）") and "还有" not in text


def test_a_page_is_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("conv2d", None, tmp_path / "conv.html", "en")
    assert capsys.readouterr().out.strip() == f"Written to {tmp_path / 'conv.html'}"
    text = (tmp_path / "conv.html").read_text("utf-8")
    assert text.rstrip().endswith("</html>") and "3*3*1*2 + 2 = 20" in text
    assert [file.name for file in tmp_path.iterdir()] == ["conv.html"]


def test_an_unknown_name_is_told_near_ones() -> None:
    with pytest.raises(ArgumentError, match=r"nothing named 'Covn2D'.*Conv2D.*lists all names"):
        explain_name("Covn2D", None, None, "en")
    with pytest.raises(ArgumentError, match="There is a layer of that name: leave --kind loss out"):
        explain_name("Dense", "loss", None, "en")
    with pytest.raises(ArgumentError, match="unknown kind 'lair'"):
        explain_name("Dense", "lair", None, "en")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_all_names_are_listed(lang: str, capsys: pytest.CaptureFixture[str]) -> None:
    list_names(lang)
    text = capsys.readouterr().out
    assert {"Conv2D", "softmax", "Adam", "Huber", "ReadRecords"} <= set(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_columns_are_read_from_top_to_bottom() -> None:
    assert columns(["a", "bb", "c", "d"], 7) == ["a   c", "bb  d"]
    assert columns(["long" * 30], 80) == ["long" * 30]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("learning rate", "learning-rate"), ("lr", "learning-rate"), ("epoch", "batch-size"), ("batch", "batch-size"),
        ("cnn", "convolution"), ("stride", "convolution"), ("rnn", "RNN"), ("loss", "softmax-and-cross-entropy"),
        ("gradient", "symbolic-differentiation"), ("batch norm", "BatchNormalization"), ("conv", "conv"),
        ("lrn", "local-response-normalization"), ("activation", "activation"), ("activations", "why-relu"),
        ("fully connected", "Dense"), ("gradient descent", "SGD"), ("early stopping", "overfitting"), ("ln", "log"),
        ("Dropout", "Dropout"), ("softmax", "softmax-and-cross-entropy"), ("Softmax", "Softmax"),
    ],
)  # fmt: skip
def test_what_students_type_is_found(typed: str, meant: str) -> None:
    assert found(typed, known())[0].name == meant


def test_what_people_say_comes_after_what_is_so_called() -> None:
    there = known()
    names = {subject.name for subject in there}
    assert set(CALLED) <= names
    for name, said in CALLED.items():
        for one in said:
            assert any(s.name == name for s in found(one, there)), one
            assert (
                found(one, there)[0].name == name or any(one in (s.name.lower(), *s.also) for s in there) or " " in one
            )
    assert [s.name for s in found("conv", there)] == ["conv", "convolution", "Conv2D"]


def asked(*typed: str) -> Question:
    first, second, *more = typed
    return settled(Question(first, Path(second), tuple(more)))


def test_words_without_quotes_are_one_name() -> None:
    assert asked("learning", "rate").name == "learning rate" and asked("learning", "rate").image is None
    assert asked("local", "response", "normalization").name == "local response normalization"
    with pytest.raises(ArgumentError, match="nothing named 'no such thing'"):
        asked("no", "such", "thing")


def test_a_run_and_a_picture_stay_what_they_are(tmp_path: Path) -> None:
    assert asked(str(tmp_path), "seven.png") == Question(str(tmp_path), Path("seven.png"))
    with pytest.raises(ArgumentError, match=rf"seven.png is a picture: give the run first, as in .*explain {tmp_path}"):
        asked("seven.png", str(tmp_path))
    with pytest.raises(FileError, match=r"runs/nope does not exist.*`millrace runs` lists them"):
        asked("runs/nope", "seven.png")
    assert "`millrace runs` lists the runs" in str(unknown("runs/nope", None))
    assert "`millrace explain RUN PICTURE`" in str(unknown("seven.png", None))


def test_a_kind_lists_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("optimizers", None, None, "en")
    text = capsys.readouterr().out
    assert text.startswith("Optimizers\n") and {"Adam", "SGD"} <= set(text.split()) and "Dense" not in text


def test_loss_explains_the_usual_one_and_lists_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def page_of(subject: Subject, lang: str, say: object, whole: bool) -> Page:
        made.append(subject.name)
        return Page("the page", "idea", "Its lead.", [])

    monkeypatch.setattr("millrace.cli.explain_name.page_of", page_of)  # without its experiment
    explain_name("loss", None, None, "en")
    page, _, listed = capsys.readouterr().out.partition("\nLosses\n")
    assert made == ["softmax-and-cross-entropy"] and page.startswith("the page")
    assert {"Huber", "Hinge", "Poisson"} <= set(listed.split()) and "Adam" not in listed
