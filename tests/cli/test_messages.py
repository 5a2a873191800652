"""How the command says what is wrong with what was typed."""

from __future__ import annotations

import sys

import pytest

from millrace.cli.paragraphs import folded


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["look"], "look needs MODEL: a network that `millrace train` knows, a run directory, or a saved model."),
        (["show"], "show needs RUN: a run directory that `millrace train` made."),
        (["predict", "runs/a"], "predict needs EXAMPLES: picture files (PNG, JPEG, WebP ...), sentences in quotes"),
        (["look", "digits", "--port"], "--port requires an argument"),
        (["explain", "Dense", "--hmtl", "a.html"], "--hmtl"),
    ],
)
def test_a_value_that_is_missing_is_named_as_the_help_names_it(millrace, typed, said):
    _, err, code = millrace(*typed)
    assert code == 2 and err.startswith("millrace: ") and said in err


def test_long_lines_are_broken_at_spaces_alone(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = "/somewhere/" + "deep/" * 30
    long = "millrace: " + "a few words and more " * 9 + path + "\n    indented " + "words of it " * 12
    lines = folded(long).splitlines()
    assert all(len(line) <= 80 or line.strip() == path for line in lines)
    assert " ".join(folded(long).split()) == " ".join(long.split())
    assert lines[1].startswith("  words") and lines[-1].startswith("    ") and lines[-1][4] != " "
    assert folded("short\n  lines\n\nstay") == "short\n  lines\n\nstay"
    marked = "  " + "x + " * 40 + "\n" + " " * 100 + "^^^"
    assert folded(marked) == marked


def test_a_terminal_gets_broken_lines_and_a_file_gets_whole_ones(millrace, monkeypatch):
    whole = millrace("explain", "runs/nope", "--kind", "layer")[1]
    assert len(whole.splitlines()[0]) > 80
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    broken = millrace("explain", "runs/nope", "--kind", "layer")[1]
    assert max(map(len, broken.splitlines())) <= 80 and broken.split() == whole.split()


@pytest.mark.parametrize("typed", [["explain", "Dense"], ["explain", "--gradient", "sum(x**2)"]])
def test_a_folder_is_no_file_for_a_page(millrace, tmp_path, typed):
    _, err, code = millrace(*typed, "--html", tmp_path)
    assert code == 2 and f"{tmp_path} is a folder: give a file in it, such as {tmp_path / 'page.html'}" in err
    assert not list(tmp_path.iterdir())


def test_folders_on_the_way_to_a_page_are_made(millrace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, code = millrace("explain", "--gradient", "sum(x**2)", "--html", "new/page.html")
    assert code == 0 and (tmp_path / "new" / "page.html").read_text("utf-8").rstrip().endswith("</html>")
