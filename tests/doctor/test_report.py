"""How findings read, in both languages; and that the room keeps to the standard library."""

import ast
import re
import string
import sys

import pytest
from scratch_environment import SOURCE

from millrace.doctor import advice, chinese, english
from millrace.doctor.finding import error, note, warning
from millrace.doctor.report import columns_of, command_lines, report, wrapped

ROOM = sorted((SOURCE / "millrace" / "doctor").glob("*.py"))


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_every_finding_with_the_same_facts():
    assert set(english.TEXTS) == set(chinese.TEXTS) and set(english.HEADS) == set(chinese.HEADS)
    for code, texts in english.TEXTS.items():
        for mine, other in zip(texts, chinese.TEXTS[code], strict=True):
            assert fields(other) <= fields("".join(texts)), code
            assert fields(mine) <= fields("".join(chinese.TEXTS[code])) | {"by", "by_other"}, code


def test_both_languages_tell_the_same_facts():
    assert list(english.FACTS) == list(chinese.FACTS)
    for key, text in english.FACTS.items():
        assert fields(text) == fields(chinese.FACTS[key]), key


def test_every_finding_has_its_text_and_every_text_its_finding():
    told = set()
    for path in ROOM:
        if path.stem in ("english", "chinese"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in english.TEXTS:
                told.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("error", "warning", "note", "level"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    assert first.value in english.TEXTS, (path.name, first.value)
    assert told == set(english.TEXTS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_finding_fits_into_80_columns(language):
    long = "/home/somebody/" + "a_long_folder/" * 8
    for code, texts in english.TEXTS.items():
        about = dict.fromkeys(fields("".join(texts)), long)
        told = report([error(code, "", (f"mv {long} {long}",), **about)], language, 80)
        for line in told.splitlines():
            assert columns_of(line) <= 80 or line.strip().strip("\\ ") in (long, f"mv {long}"), (code, line)
        assert "{" not in told


def test_findings_are_counted_and_a_note_is_nothing_wrong():
    several = [error("musl"), warning("no-avx"), note("python-store")]
    assert report(several).endswith("\n\n1 to mend, 1 to look at, 1 to know.")
    assert report([note("python-store")]).endswith("Nothing wrong found.") and report([]) == "Nothing wrong found."
    assert report([], "zh") == "没有发现问题。"


def test_a_long_command_can_still_be_copied():
    words = 'python -m pip install "a b>=1" ' + " ".join(f"package{n}" for n in range(12))
    lines = command_lines(words, 60)
    assert all(len(line) <= 60 for line in lines) and all(line.endswith(" \\") for line in lines[:-1])
    assert " ".join("\n".join(lines).replace("\\\n", " ").split()) == words
    assert '"a b>=1"' in "\n".join(lines)


def test_chinese_is_parted_anywhere_but_before_a_comma():
    lines = wrapped("一二三四五，六七八九十", 10)
    assert lines == ["一二三四", "五，六七八", "九十"] and max(map(columns_of, lines)) <= 10
    assert wrapped("用 numpy 的人", 9) == ["用 numpy", "的人"]


def test_the_room_imports_the_standard_library_alone_and_reads_on_python_3_8():
    for path in [*ROOM, SOURCE / "millrace" / "__main__.py", SOURCE / "millrace" / "__init__.py"]:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                ours = name.startswith("millrace.doctor") or (path not in ROOM and name.startswith("millrace."))
                assert ours or name.split(".")[0] in {*sys.stdlib_module_names, "__future__"}, (path.name, name)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)] or path.stem not in ("reading",)


def test_chinese_is_spoken_where_it_is_asked_for(scratch):
    said = scratch.doctor("--lang", "zh")
    assert said.code == 1 and said.out.startswith("错误：未安装：numpy, ml_dtypes, jax,")
    assert re.search(r"Python 3\.\d+\.\d+（", said.out)


def test_a_fault_of_millraces_own_is_not_laid_at_a_packages_door():
    own = ImportError("cannot import name 'x' from 'millrace.layers'", name="millrace.layers")
    assert not advice.foreign(own)
    assert advice.foreign(ModuleNotFoundError("No module named 'rich'", name="rich"))


def test_where_the_doctor_cannot_look_it_says_what_python_said(monkeypatch):
    def broken(path):
        raise OSError

    monkeypatch.setattr("millrace.doctor.likely.surroundings", broken)
    told = advice.advice(ImportError("what is this?"))
    assert told == "ImportError: what is this?. `python -m millrace doctor` looks for the cause."


def test_the_command_says_which_languages_there_are(scratch):
    from millrace.cli.main import main

    with pytest.raises(SystemExit) as stopped:
        main(["doctor", "--lang", "xx"])
    assert stopped.value.code == 2


def test_the_page_on_installing_has_every_finding():
    page = (SOURCE.parent / "docs" / "install.md").read_text(encoding="utf-8")
    for code, (says, _) in english.TEXTS.items():
        assert (
            "| "
            + re.sub(
                r"\{(\w+)\}", lambda field: {"have": "VERSION", "found": "WHAT"}.get(field[1], field[1].upper()), says
            )
            + " |"
            in page
        ), code
