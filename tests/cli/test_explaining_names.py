"""`millrace explain NAME` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.cli.explain_name import columns, explain_name, list_names
from millrace.ir.errors import ArgumentError


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_page_is_printed_and_other_kinds_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("Softmax", None, None, "en")
    text = capsys.readouterr().out
    assert text.startswith("Softmax  layer") and "dL/dx = a * (g - " in text
    assert "Also: the operation Softmax (--kind operation)." in text
    assert "Also: the function softmax (--kind function)." in text


def test_kind_chooses(capsys: pytest.CaptureFixture[str]) -> None:
    explain_name("softmax", "operation", None, "zh")
    text = capsys.readouterr().out
    assert text.startswith("Softmax  运算") and "还有" not in text


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
