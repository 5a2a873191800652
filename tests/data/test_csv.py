"""CSV files: how they are written in the wild, what is missing in them, and lines that are damaged."""

import os
from pathlib import Path

import numpy as np
import pytest

from millrace.data.csv_file import CSVSource
from millrace.ir.errors import ArgumentError, DataError, FileError


@pytest.fixture
def csv(tmp_path):
    """A source from text (or bytes) and arguments."""

    def make(text, *args, **options):
        raw = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "a.csv").write_bytes(raw)
        return CSVSource(tmp_path / "a.csv", *args, **options)

    return make


def rows(source):
    return [column.tolist() for column in source.take(np.arange(source.count)).columns]


def test_numbers_and_a_class(csv):
    source = csv("a,b,kind\n1,2.5,dog\n-3,4e1,cat\n.5,6,dog\n", "kind")
    assert [str(e) for e in source.elements] == ["float32[2]", "int32[]"]
    assert source.classes == ("cat", "dog") and source.columns == ("a", "b") and source.target == "kind"
    assert rows(source) == [[[1, 2.5], [-3, 40], [0.5, 6]], [1, 0, 1]]
    assert (source.name, source.record(2)) == ("a.csv", "line 4")


def test_a_number_to_learn(csv):
    source = csv("a,y\n1,0.5\n2,10\n", "y")
    assert [str(e) for e in source.elements] == ["float32[1]", "float32[]"] and source.classes == ()
    assert rows(source) == [[[1], [2]], [0.5, 10]]
    assert rows(csv("1,2\n3,4\n")) == [[[1, 2], [3, 4]]]


def test_numbers_that_are_classes_are_sorted_as_numbers(csv):
    source = csv("a,y\n1,10\n2,9\n3,10\n", "y", categorical=True)
    assert source.classes == ("9", "10") and rows(source)[1] == [1, 0, 1]
    assert csv("a,y\n1,10\n2,9\n3,none\n", "y").classes == ("10", "9", "none")  # as text, with a name among them


@pytest.mark.parametrize("target", [1, -2, "y"])
def test_columns_by_name_and_number(csv, target):
    source = csv("a,y,b\n1,2,3\n4,5,6\n", target, columns=["b", 0] if target == "y" else [2, 0])
    assert source.columns == ("b", "a") and rows(source) == [[[3, 1], [6, 4]], [2, 5]]


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("1,2\n3,4\n", ("0", "1"), [[1, 2], [3, 4]]),
        ("a,b\n1,2\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        (",a\n0,2\n1,4\n", ("0", "a"), [[0, 2], [1, 4]]),  # a column without a name
        ("a,b\n1,NA\n?,4\n", ("a", "b"), [[1, 0], [0, 4]]),
        ("NA,2\n3,4\n", ("0", "1"), [[0, 2], [3, 4]]),
    ],
)
def test_a_header_is_recognized(csv, text, columns, expected):
    source = csv(text, missing=0)
    assert source.columns == columns and rows(source) == [expected]


def test_a_header_of_numbers_is_asked_for(csv):
    assert rows(csv("1990,1991\n1,2\n", header=True)) == [[[1, 2]]]
    assert csv("1990,1991\n1,2\n", header=True).columns == ("1990", "1991")
    assert csv("1990,1991\n1,2\n").count == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;2\n-0,25;1,0e1\n", [[1.5, 2], [-0.25, 10]]),  # as spreadsheets write in half of Europe
        ("a;b\n1;2\n3;4,5\n", [[1, 2], [3, 4.5]]),
        ("a;b\n1.5;2\n3;4\n", [[1.5, 2], [3, 4]]),
        ("1,5;2,5\n3,5;4,5\n", [[1.5, 2.5], [3.5, 4.5]]),  # commas would cut each line into three, too
        ("a\tb\n1,5\t2\n3\t4\n", [[1.5, 2], [3, 4]]),
        ("a|b\n1|2\n3|4\n", [[1, 2], [3, 4]]),
        ("a,b\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a\n1\n3\n", [[1], [3]]),
        (" a , b \n 1 , 2 \n 3 , 4 \n", [[1, 2], [3, 4]]),
        ("a,b\r\n1,2\r\n\r\n3,4", [[1, 2], [3, 4]]),  # a blank line, and none to end with
    ],
)
def test_separators_and_decimal_marks_are_recognized(csv, text, expected):
    assert rows(csv(text)) == [expected]


def test_one_damaged_line_does_not_change_the_separator(csv):
    source = csv("1,5;2,5\n" * 19 + "1,5,2\n")  # into three fields, a comma cuts all lines
    assert source.separator == ";" and list(source.take(np.arange(20)).broken) == [19]


def test_separators_and_decimal_marks_are_asked_for(csv):
    assert rows(csv("1:2\n3:4\n", separator=":")) == [[[1, 2], [3, 4]]]
    assert rows(csv('"1,5",2\n"2,5",3\n', decimal=",")) == [[[1.5, 2], [2.5, 3]]]
    with pytest.raises(DataError, match=r"line 2, column 'a': '1,234' is no number"):
        csv('a,b\n"1,234",2\n5,6\n')
    with pytest.raises(DataError, match=r"writes 1,234 in line 2 and 1.5 in line 3: say with decimal="):
        csv("a;b\n1,234;1\n1.5;2\n")
    with pytest.raises(DataError, match=r"line 3, column 'a': '1.5' is no number; 1 other field"):
        csv("a;b\n1,234;1\n1.5;2\n", decimal=",")


def test_quoted_fields(csv):
    source = csv('"a, or so","the ""kind"""\n"1","x, y"\n2,"x\ny"\n"3",x\n', 'the "kind"')
    assert source.columns == ("a, or so",) and source.classes == ("x", "x\ny", "x, y")
    assert rows(source) == [[[1], [2], [3]], [2, 1, 0]]
    assert [source.record(n) for n in range(3)] == ["line 2", "line 3", "line 5"]  # the second takes two lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(csv, encoding):
    source = csv("größe,art\n1,Bär\n2,Öl\n".encode(encoding), "art")
    assert source.columns == ("größe",) and source.classes == ("Bär", "Öl") and rows(source)[1] == [0, 1]


@pytest.mark.parametrize("mark", ["", "NA", "NaN", "?", "n/a", "null", " "])
def test_missing_numbers(csv, mark):
    text = f"a,b\n1,2\n3,{mark}\n{mark},4\n"
    with pytest.raises(DataError, match=r"a.csv, line 3, column 'b' holds no number \(2 fields are like this\). Say"):
        csv(text)
    assert rows(csv(text, missing=-1.5)) == [[[1, 2], [3, -1.5], [-1.5, 4]]]


def test_a_missing_target(csv):
    text = "a,y\n1,x\n2,\n3,z\n"
    with pytest.raises(DataError, match="line 3: the target 'y' is missing"):
        csv(text, "y")
    source = csv(text, "y", missing=0)
    found = source.take(np.array([2, 1, 0]))
    assert found.broken == {1: "the target 'y' is missing"} and source.classes == ("x", "z")
    assert found.columns[1].tolist()[::2] == [1, 0]


def test_a_damaged_line_is_a_broken_record(csv):
    source = csv('a,b,y\n1,2,3\n4,5\n6,7,8,9\n"1"0,2,3\n10,11,12\n', "y")
    found = source.take(np.arange(5))
    assert found.broken == {
        1: "it has 2 fields, expected 3",
        2: "it has 4 fields, expected 3",
        3: "its quotation marks are not in order (',' expected after '\"')",
    }
    assert [source.record(n) for n in found.broken] == ["line 3", "line 4", "line 5"]
    assert found.columns[0][[0, 4]].tolist() == [[1, 2], [10, 11]] and found.columns[1][[0, 4]].tolist() == [3, 12]
    assert source.take(np.array([4, 0])).broken == {}


def test_text_among_numbers_is_named_and_columns_of_text_are_left_out(csv):
    with pytest.raises(DataError, match=r"line 3, column 'b': 'x' is no number; 2 other fields of the column are numb"):
        csv("a,b\n1,2\n3,x\n4,5\n")
    source = csv("day,a,note\n2020-01-01,1,\ndamaged\n2020-01-02,2,\n")
    assert source.columns == ("a",) and source.left_out == ("day", "note")
    with pytest.raises(DataError, match=r"line 2, column 'day': '2020-01-01' is no number\. Mend it"):
        csv("day,a\n2020-01-01,1\n", columns=["day", "a"], header=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,inf\n2,3\n", "line 2, column 'b' is infinite"),
        ("a,b\n1,2\n1e999,3\n", "line 3, column 'a' is infinite"),
        ("a,b\n1,2\n3,-1e39\n", "line 3, column 'b' is too large for float32"),
        ("a,b\n1,2\n3,1_000\n", "line 3, column 'b': '1_000' is no number"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no column of .*a.csv holds numbers"),
        ("a,b\nx,y\n", "no column of .*a.csv holds numbers, read with the separator ',' and no header"),
        ("a,b,c\n1,2\n3,4\n", "names 3 columns, but most lines have 2 fields"),
    ],
)
def test_files_that_cannot_be_learned_from(csv, text, says):
    with pytest.raises(DataError, match=says):
        csv(text)


def test_a_quotation_mark_that_stays_open(csv):
    for text in ('a,b\n1,2\n3,"4\n5,6\n', 'a,b\n1,2\n3,"4\n' + "5,6\n" * 60_000):
        with pytest.raises(FileError, match=r"line 3: a quotation mark opens a field there, and none closes it"):
            csv(text)


def test_files_that_are_no_text(csv, tmp_path):
    for raw in (b"\x89PNG\r\n\x1a\n\0\0", b"a,b\n\x81\x8d,1\n"):
        with pytest.raises(FileError, match="is no text"):
            csv(raw)
    with pytest.raises(FileError, match="does not exist"):
        CSVSource(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "c"}, r"has no column 'c', but 'a', 'b'"),
        ({"target": 2}, "has the columns 0 to 1, not 2"),
        ({"target": "a", "columns": ["a", "b"]}, "each column once, and not the target"),
        ({"columns": "a"}, "must be a list"),
        ({"columns": []}, "must be a list"),
        ({"missing": float("nan")}, "missing must be 'error' or the number"),
        ({"missing": "mean"}, "missing must be"),
        ({"separator": ", "}, "separator must be one character"),
        ({"decimal": ";"}, "decimal must be"),
        ({"dtype": "int32"}, "dtype must be one of"),
    ],
)
def test_arguments_that_do_not_fit(csv, options, says):
    with pytest.raises(ArgumentError, match=says):
        csv("a,b\n1,2\n3,4\n", **options)
    with pytest.raises(ArgumentError, match="2 columns 'a': give its number"):
        csv("a,a\n1,2\n3,4\n", "a")
    with pytest.raises(ArgumentError, match="no column 'a', and no header"):
        csv("1,2\n3,4\n", "a")


def test_other_dtypes(csv):
    source = csv("a,y\n0.1,0.1\n", "y", dtype="float64")
    assert [str(e) for e in source.elements] == ["float64[1]", "float64[]"] and rows(source) == [[[0.1]], [0.1]]


def test_the_real_series():
    folder = Path(os.environ.get("MILLRACE_DATA") or "nowhere") / "timeseries"
    if not folder.is_dir():
        pytest.skip("needs the real timeseries/*.csv in MILLRACE_DATA")
    for name, column, count, total in (
        ("daily-min-temperatures.csv", "Temp", 3650, 3650 * 11.17775),
        ("monthly-sunspots.csv", "Sunspots", 2820, 2820 * 51.26596),
    ):
        source = CSVSource(folder / name)
        assert (source.count, source.columns, len(source.left_out)) == (count, (column,), 1)
        (x,) = source.take(np.arange(count)).columns
        assert x.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)  # pandas' describe() prints these means
