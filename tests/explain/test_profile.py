"""A profile as a reader meets it: rows, sums, and the largest gap in words."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import millrace as mr
from millrace.engines.peak import Peak
from millrace.explain.passes import Place, owners, places
from millrace.explain.profile import gap_in_words, profile, quantity, show

BEST = Peak(100e9, 10e9)


@pytest.fixture(scope="module")
def model():
    made = mr.Sequential([mr.Input((1000,)), mr.layers.Dense(500, name="wide"), mr.layers.Dense(10, name="narrow")])
    made.compile(mr.optimizers.SGD(0.1, momentum=0.9), "mse")
    return made


def measured(model, notes=(), idle=0.0, elsewhere=0.0, **seconds):
    """Times for the first product of each place, given as layer_pass=seconds."""
    graph = model.training_steps.train.simplified.bind({"batch": 64})
    found = places(graph, owners(model))
    nodes = {}
    for name, spent in seconds.items():
        place = Place(*name.split("_"))
        kinds = ("Dot",) if place.kind != "update" else ("Subtract", "Select", "Add")
        number = next(n for n, x in enumerate(graph.nodes) if found.get(x) == place and x.op.name in kinds)
        nodes[number] = spent
    whole = sum(seconds.values()) + idle + elsewhere
    noted = [(graph.nodes[next(iter(nodes))], *note) for note in notes]
    return SimpleNamespace(
        graph=graph, notes=noted, nodes=nodes, elsewhere=elsewhere, idle=idle, watched=whole, alone=whole
    )


def printed(made, width=80):
    out = io.StringIO()
    show(made, Console(file=out, width=width, highlight=False, markup=False))
    return out.getvalue()


def test_the_largest_gap_is_where_most_time_could_be_gained_and_not_where_most_is_spent(model):
    # wide forward: 64 x 1000 x 500 x 2 = 64 MFLOP, 0.64 ms at 100 GFLOP/s
    made = profile(measured(model, wide_forward=1e-3, narrow_forward=0.9e-3), BEST, model)
    lines = {line.place: line for line in made.lines}
    assert lines[Place("wide", "forward")].least == pytest.approx(0.64e-3, rel=0.01)
    assert made.largest_gap.place == Place("narrow", "forward")
    words = gap_in_words(made)
    assert words.startswith("Largest gap: narrow forward. It takes 0.900 ms; the machine's best would be 0.0")
    assert "Dot 0.900 ms" in words and "float32[64, 500] and float32[500, 10]" in words


def test_an_update_is_held_to_the_memorys_speed(model):
    made = profile(measured(model, wide_update=10e-3), BEST, model)
    line = made.largest_gap
    # kernel 1000 x 500 and bias 500: weight, velocity and gradient read, weight and velocity written
    assert line.place == Place("wide", "update")
    assert line.work.size == pytest.approx(5 * 4 * 500_500, rel=1e-4)
    assert line.least == pytest.approx(5 * 4 * 500_500 / 10e9, rel=1e-4)
    assert "to move 10.0 MB" in gap_in_words(made)


def test_what_was_chosen_there_is_said(model):
    found = measured(model, notes=[("two halves", "so the cache holds them")], wide_backward=5e-3)
    assert "Chosen there: two halves (so the cache holds them)." in gap_in_words(profile(found, BEST, model))


def test_a_step_that_mostly_waits_is_said_to_be_too_small(model):
    made = profile(measured(model, idle=8e-3, wide_forward=1e-3), BEST, model)
    assert gap_in_words(made).startswith("Largest gap: for 8.00 ms, 89% of the step, nothing ran.")


def test_all_rows_add_up_to_the_step_and_fit_80_columns(model):
    found = measured(
        model, idle=1e-3, elsewhere=0.5e-3, wide_forward=1e-3, wide_backward=2e-3, wide_update=0.5e-3,
        narrow_forward=1e-6,
    )  # fmt: skip
    text = printed(profile(found, BEST, model))
    assert max(map(len, text.splitlines())) <= 80
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["wide"][1:3] == ["forward", "1.00"]
    assert re.search(r"^in no layer +0.500 +10.0% *$", text, re.M)
    assert re.search(r"^nothing ran +1.00 +20.0% *$", text, re.M)
    assert "Forward 1.00 ms (20%), backward 2.00 ms (40%), update 0.500 ms (10%)." in text
    assert "All rows: 5.00 ms. A step took 5.00 ms while it was watched" in text


def test_small_networks_are_counted_in_mflop(model):
    text = printed(profile(measured(model, wide_forward=1e-3), BEST, model))
    assert "MFLOP" in text and " GFLOP " not in text
    assert "for 64.0 MFLOP of arithmetic" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "-"), (0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.4, "1234")]
)
def test_numbers_have_three_digits_that_say_something(value, text):
    assert quantity(value) == text


def test_a_roofline_is_the_slower_of_arithmetic_and_memory():
    assert BEST.seconds(100e9, 0) == 1
    assert BEST.seconds(0, 20e9) == 2
    assert BEST.seconds(100e9, 20e9) == 2


def test_the_page_on_speed_shows_the_columns_and_commands_that_there_are(model, capsys):
    from millrace.cli.main import main

    page = (Path(__file__).parents[2] / "docs" / "speed.md").read_text()
    shown = next(line for line in page.splitlines() if re.match("layer +pass +ms", line))
    printed_head = printed(profile(measured(model, wide_forward=1e-3), BEST, model)).splitlines()[0]
    assert shown.replace("GFLOP ", "", 1).split() == printed_head.replace("MFLOP ", "", 1).split()
    for command in set(re.findall(r"millrace (explain|profile|doctor)", page)):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert not stop.value.code
        assert f"millrace {command}" in capsys.readouterr().out
