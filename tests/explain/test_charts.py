"""Charts on a page as narrow as a telephone: letters are larger there beside the chart, and nothing may be cut."""

import re
from itertools import pairwise

import pytest

from millrace.explain.charts import Line, chart

PLACE, HIGH = 10.2, 17  # pixels of a letter where `style.css` makes them larger; a usual letter is 0.6 of its height
TEXT = re.compile(r'<text x="([\d.-]+)" y="([\d.-]+)"([^>]*)>([^<]*)</text>')


def box(x, y, rest, text):
    """Left, right, top and bottom of a text."""
    wide = PLACE * sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
    if "rotate" in rest:
        return x - HIGH, x, y - wide / 2, y + wide / 2
    left = x - wide if 'anchor="end"' in rest else x - wide / 2 if 'anchor="middle"' in rest else x
    return left, left + wide, y - HIGH * 0.75, y


def texts(svg):
    return [(text, box(float(x), float(y), rest, text)) for x, y, rest, text in TEXT.findall(svg)]


@pytest.mark.parametrize("log", ["", "y", "xy"])
@pytest.mark.parametrize(
    "names", [["training", "validation"], [f"hidden_layer_{n}" for n in range(6)], ["训练损失"] * 1]
)
def test_no_text_of_a_chart_is_cut_or_lies_on_another(log, names):
    lines = [
        Line(name, list(range(1, 61)), [10.0 ** (-n - k / 60) for k in range(60)], n) for n, name in enumerate(names)
    ]
    svg = chart("a chart", lines, "epoch", "ratio", log=log)
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    found = texts(svg)
    assert {name for name, _ in found} >= set(names) | {"epoch", "ratio"}
    for text, (left, right, top, bottom) in found:
        assert left >= 0 and right <= width and top >= 0 and bottom <= height, text
    for n, (text, one) in enumerate(found):
        for other, two in found[:n]:
            apart = one[1] <= two[0] or two[1] <= one[0] or one[3] <= two[2] or two[3] <= one[2]
            assert apart, f"{text} lies on {other}"


def test_a_name_that_is_longer_than_a_row_is_shortened():
    svg = chart("a chart", [Line("a_layer_" * 12, [1, 2], [1.0, 2.0])], "epoch")
    (name,) = [text for text, _ in texts(svg) if text.startswith("a_layer_")]
    assert name.endswith("...") and box(40, 0, "", name)[1] <= 460


def test_more_rows_of_the_legend_leave_the_curves_their_height():
    heights = []
    for count in (2, 6):
        lines = [Line(f"hidden_layer_{n}", [1, 2], [0.0, 1.0], n) for n in range(count)]
        grid = re.findall(r'class="grid" [^>]*y1="([\d.]+)"', chart("a chart", lines, "epoch"))
        heights.append(float(grid[0]) - float(grid[-1]))
        assert all(float(a) > float(b) for a, b in pairwise(grid))
    assert heights[0] == pytest.approx(heights[1], abs=0.2)


def test_numbers_along_the_axis_that_have_no_room_are_left_out():
    svg = chart("a chart", [Line("f", [-8000, 8000], [0.0, 1.0])], "x")
    along = sorted((left, right) for text, (left, right, _, _) in texts(svg) if re.fullmatch(r"-?\d+000|0", text))
    assert len(along) >= 4 and all(a[1] < b[0] for a, b in pairwise(along[1:]))  # the first is the 0 of the y axis
