"""`millrace explain NAME`: every public name has a page, in both languages; what it says is true."""

from __future__ import annotations

import io
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from millrace import functional as mr
from millrace.cli.explain_name import columns
from millrace.explain.at_work import real_inputs as real
from millrace.explain.at_work.functions import FUNCTION_CASES
from millrace.explain.at_work.layers import LAYER_CASES
from millrace.explain.at_work.losses import trial
from millrace.explain.at_work.optimizers import lowest, path, plain, problem
from millrace.explain.facts import facts, weights_of
from millrace.explain.formulas import together
from millrace.explain.page_html import html
from millrace.explain.page_terminal import show
from millrace.explain.pages import Listing, Math, Page, Picture, Pictures, Section
from millrace.explain.signs import tidied
from millrace.explain.subject_page import part_of, subject_page
from millrace.explain.subjects import Subject, found, nearest, subjects
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType
from millrace.layers import LSTM, BatchNormalization, Conv2D, Dense, Input, MultiHeadAttention
from millrace.training.optimizers import SGD, Adam
from millrace.words import LANGUAGES, words


def of(kind: str, name: str) -> Subject:
    return next(s for s in subjects() if (s.kind, s.name) == (kind, name))


def printed(page: Page, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=80, force_terminal=colour, color_system="truecolor" if colour else None, highlight=False,
        markup=False, legacy_windows=False,
    )  # fmt: skip
    show(page, console)
    return out.getvalue()


def numbers_in(page: Page, heading: int) -> str:
    return " ".join(getattr(part, "text", "") for part in page.sections[heading].parts)


# ---- every name


def test_every_public_name_has_a_whole_page_in_both_languages() -> None:
    """What a new layer, function, operation, loss or optimizer owes: a real use, and texts in each language.

    Every page in English, every third in Chinese: what differs are the texts, and the next test looks at all of those.
    """
    lacking = []
    for number, subject in enumerate(subjects()):
        for language in LANGUAGES if number % 3 == 0 else ["en"]:
            page = subject_page(subject, language)
            empty = [section.heading for section in page.sections if not section.parts]
            work = page.sections[3].parts
            if empty or not page.lead or len(work) < 2:
                lacking.append(f"{subject.kind} {subject.name} ({language}): nothing under {empty or 'at work'}")
    assert not lacking, "\n".join(lacking)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_public_name_has_texts(language: str) -> None:
    lacking = []
    for subject in subjects():
        part, name = part_of(subject)
        own = words(part, language).get(name, {})
        lacking += [f"{part} [{name}] {key}" for key in ("purpose", "use", "avoid") if not own.get(key)]
    assert not lacking, f"words/{language} lacks:\n" + "\n".join(lacking)


def test_the_two_languages_say_the_same_things() -> None:
    english, chinese = (words("page", language) for language in LANGUAGES)
    assert list(english) == list(chinese)
    for table in english:
        assert list(english[table]) == list(chinese[table]), table
        for key, text in english[table].items():
            holes = [set(re.findall(r"{(\w*)}", t)) for t in (text, chinese[table][key])]
            assert holes[0] == holes[1], (table, key)


def test_no_line_is_wider_than_80_columns() -> None:
    from rich.cells import cell_len

    shown = [s for n, s in enumerate(subjects()) if n % 7 == 0] + [of("layer", "MultiHeadAttention")]
    for subject in shown:
        for language in LANGUAGES:
            lines = printed(subject_page(subject, language)).splitlines()
            wide = [line for line in lines if cell_len(line.rstrip()) > 80]
            assert not wide, (subject.kind, subject.name, wide[:2])


def test_chinese_lines_do_not_begin_with_a_full_stop() -> None:
    for name in ("LSTM", "Conv2D", "Dense"):
        text = printed(subject_page(of("layer", name), "zh"))
        assert not [line for line in text.splitlines() if line.strip()[:1] in tuple("，。、；：！？）")]


def test_a_picture_is_half_blocks_in_colour_and_characters_without() -> None:
    page = subject_page(of("layer", "Conv2D"))
    assert "▀" in printed(page, colour=True) and "38;2;" in printed(page, colour=True)
    plain_text = printed(page)
    assert "▀" not in plain_text and "\x1b" not in plain_text
    assert "x: 1×64×64×1, from" in plain_text and "@@" in plain_text


@pytest.mark.parametrize("name", ["BatchNormalization", "LocalResponseNormalization"])
def test_pictures_side_by_side_are_at_least_six_lines_high(name: str) -> None:
    lines = printed(subject_page(of("layer", name))).split("At work")[1].split("deviation")[0].splitlines()
    ends = [n for n, line in enumerate(lines) if line.startswith(("x, before", "y, after", "what changed"))]
    assert len(ends) >= 2 and all(b - a >= 6 + 2 for a, b in pairwise(ends))


def test_numbers_close_together_are_told_apart_without_colours() -> None:
    text = printed(subject_page(of("layer", "MultiHeadAttention")))
    weights = text.split("weights, after")[0].splitlines()[-12:]
    assert len(set("".join(weights)) - {" "}) >= 5  # 0.115 to 0.133: all one character on a scale from 0 to 1


def test_chinese_pages_have_chinese_marks_and_words_within_formulas() -> None:
    page = subject_page(of("layer", "MultiHeadAttention"), "zh")
    text = printed(page)
    assert text.startswith("MultiHeadAttention（层）") and "query，之前" in text and "其中" in text
    for part in (p for section in page.sections for p in section.parts if isinstance(p, Math)):
        for shown in (part.text, part.latex):
            assert not re.search(r"where|steps|backwards|sum over|mathrm{over}|{else}", shown), shown
    gradient = subject_page(of("loss", "Huber"), "zh").sections[1].parts[1]
    assert isinstance(gradient, Math) and r"\text{否则}" in gradient.latex and "{else}" not in gradient.latex
    assert "8 步" in printed(subject_page(of("layer", "LSTM"), "zh"))
    text = printed(subject_page(of("optimizer", "Adam"), "zh"))
    assert "它为每个权重记住 2 个数：momentum、velocity。" in text


def test_one_number_is_no_numbers() -> None:
    text = " ".join(printed(subject_page(of("optimizer", "Adagrad"))).split())
    assert "For each weight it remembers 1 number: accumulator." in text


def test_what_is_chosen_twice_stands_under_one_brace_and_where_between() -> None:
    spelt = facts(of("loss", "Huber")).mathematics.gradient
    assert spelt is not None and spelt.latex.count(r"\begin{cases}") == 1 and spelt.text.count("where(") == 2
    text = html(subject_page(of("loss", "Huber")))
    assert text.count('<mtable class="cases"') == 1 and text.count("<mtext>where</mtext>") == 2


@pytest.mark.parametrize("name", ["GRU", "GRUCell", "SimpleRNN", "LSTMCell"])
def test_a_steps_gradient_names_what_arrives_as_its_words_do(name: str) -> None:
    text = gradient_of("layer", name)
    assert re.search(r"\bg_h\b", text) and not re.search(r"\bg\b", text)
    assert "g_h is what arrives" in numbers_in(subject_page(of("layer", name)), 1)


def test_lists_have_no_stump_of_a_last_column() -> None:
    for count in (17, 91, 40, 5):
        names = [f"Name{'x' * (n % 19)}{n}" for n in range(count)]
        lines = [line.split() for line in columns(names, 80)]
        assert sorted(name for line in lines for name in line) == sorted(names)
        across = len(lines[0])
        assert across == 1 or 2 * sum(len(line) == across for line in lines) >= len(lines)


# ---- the gradients are right, the numbers are right


def gradient_of(kind: str, name: str) -> str:
    spelt = facts(of(kind, name)).mathematics.gradient
    return "" if spelt is None else spelt.text


@pytest.mark.parametrize(
    "name", ["tanh", "sigmoid", "softplus", "silu", "gelu", "relu", "elu", "square", "log", "sqrt"]
)
def test_the_printed_gradient_is_the_slope(name: str) -> None:
    """The text that is printed, evaluated as Python, against differences of the function itself."""
    text = gradient_of("function", name)
    lines = [line.strip().removeprefix("where ").strip() for line in text.splitlines()]
    scope = {
        "tanh": np.tanh, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(math.erf), "where": np.where, "abs": np.abs,
        "log1p": np.log1p, "expm1": np.expm1, "maximum": np.maximum, "sign": np.sign,
        "relu": lambda x: np.maximum(x, 0), "g": 1.0,
    }  # fmt: skip
    case = FUNCTION_CASES[name]()
    x = np.linspace(0.21, 2.9, 31) if case.real == "above_zero" else np.linspace(-2.93, 2.9, 31)
    scope["x"] = x
    for line in [*lines[1:], lines[0]]:
        left, right = line.split(" = ", 1)
        scope[left.replace("/", "_")] = eval(right.replace("^", "**"), scope)
    open_x = Placeholder("x", TensorType("float64", x.shape))()
    f = Graph([open_x], [mr.as_value(case.call(open_x))])
    step = 1e-6
    slope = (f.evaluate([x + step])[0] - f.evaluate([x - step])[0]) / (2 * step)
    np.testing.assert_allclose(scope["dL_dx"] + 0 * x, slope, rtol=1e-4, atol=1e-5)


def test_gradients_of_layers_name_their_weights() -> None:
    dense = gradient_of("layer", "Dense")
    assert "dL/dkernel = x.T @ a" in dense and "dL/dbias = sum(a, axis=0)" in dense
    assert "a = where(relu(x @ kernel + bias) > 0, g, 0)" in dense


def test_where_there_is_no_gradient_the_reason_stands() -> None:
    page = subject_page(of("function", "one_hot"))
    assert "whole numbers or truths" in numbers_in(page, 1)
    assert "takes no numbers" in numbers_in(subject_page(of("function", "iota")), 1)
    reason = of("operation", "ExampleWeights").thing.gradient.reason
    assert reason in numbers_in(subject_page(of("operation", "ExampleWeights")), 1)
    assert "derived" not in numbers_in(subject_page(of("operation", "ExampleWeights")), 1).lower()


def test_losses_are_differentiated_by_the_prediction_alone() -> None:
    text = gradient_of("loss", "MeanSquaredError")
    assert "dL/dy_pred" in text and "dL/dy_true" not in text


def test_definitions_by_index_hold_real_sizes() -> None:
    index = facts(of("operation", "MaxPool")).mathematics.index
    assert index is not None and "for p in range(4) for q in range(4)" in str(index[1])
    page = subject_page(of("layer", "Conv2D"))
    assert any(isinstance(part, Math) and "range(3)" in part.text for part in page.sections[0].parts)


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (lambda: Conv2D(32, 3), (28, 28, 1), 320),  # Keras's numbers
        (lambda: Conv2D(256, 5, groups=2), (27, 27, 96), 307_456),  # AlexNet's conv2
        (lambda: Dense(10), (64,), 650),
        (lambda: LSTM(16), (8, 8), 4 * ((8 + 16) * 16 + 16)),
        (lambda: BatchNormalization(), (8, 8, 3), 12),
    ],
)
def test_parameters_are_counted_as_keras_counts_them(layer, shape, count) -> None:  # type: ignore[no-untyped-def]
    made = layer()
    made(Input(shape))
    weights = weights_of(made)
    assert sum(w.count for w in weights) == count
    assert sum(eval(w.product) for w in weights) == count


def test_counts_stand_on_the_page() -> None:
    assert "3*3*1*2 + 2 = 20" in numbers_in(subject_page(of("layer", "Conv2D")), 2)
    assert "2 of them are trained" in numbers_in(subject_page(of("layer", "BatchNormalization")), 2)
    heads = MultiHeadAttention(2, 4)
    heads(Input((8, 8)), Input((8, 8)))
    total = sum(w.count for w in weights_of(heads))
    assert f"= {total}" in numbers_in(subject_page(of("layer", "MultiHeadAttention")), 2)


def test_sobel_on_the_photograph_against_a_plain_loop() -> None:
    case = LAYER_CASES["Conv2D"]()
    x, y = case.inputs["x"][0, :, :, 0].astype(float), case.results["y"][0]
    upright = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    for i, j in ((0, 0), (10, 20), (61, 61), (33, 7)):
        across = sum(upright[p][q] * x[i + p, j + q] for p in range(3) for q in range(3))
        down = sum(upright[q][p] * x[i + p, j + q] for p in range(3) for q in range(3))
        assert y[i, j, 0] == pytest.approx(across, abs=1e-5) and y[i, j, 1] == pytest.approx(down, abs=1e-5)


def test_pooling_on_the_photograph_against_numpy() -> None:
    case = LAYER_CASES["MaxPooling2D"]()
    x = case.inputs["x"][0, :, :, 0]
    np.testing.assert_array_equal(case.results["y"][0, :, :, 0], x.reshape(16, 4, 16, 4).max(axis=(1, 3)))


def test_changed_is_after_less_before() -> None:
    page = subject_page(of("function", "tanh"))
    pictures = next(p for p in page.sections[3].parts if isinstance(p, Pictures)).pictures
    before, after, changed = (np.asarray(p.pixels) for p in pictures)
    np.testing.assert_allclose(changed, after - before, atol=1e-6)
    np.testing.assert_allclose(after, np.tanh(before), atol=1e-6)
    assert "4,096 of 4,096 numbers changed" in numbers_in(page, 3)


def test_hopfield_brings_the_whole_digit_back() -> None:
    case = LAYER_CASES["Hopfield"]()
    stored = np.where(real.all_digits()[0][3].ravel() > 0.5, 1, -1)
    assert (case.inputs["x"][0] != stored).any() and (case.results["y"][0] == stored).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BinaryCrossentropy", [-math.log(p) for p in (0.9, 0.5, 0.1)]),
        ("SparseCategoricalCrossentropy", [-math.log(p) for p in (0.9, 0.5, 0.1)]),
        ("MeanSquaredError", [0.0, 0.25, 4.0]),
        ("Hinge", [0.0, 0.5, 2.0]),
        ("CosineSimilarity", [-1.0, -0.5, 1.0]),
        ("Huber", [0.0, 0.125, 1.5]),
        ("Poisson", [p - 2 * math.log(p) for p in (2.0, 3.0, 0.5)]),
    ],
)
def test_losses_of_three_predictions_by_hand(name: str, expected: list[float]) -> None:
    shown = trial(of("loss", name).thing)
    assert shown is not None
    np.testing.assert_allclose(shown.measured(shown.tried)[0], expected, atol=2e-6)


def test_an_optimizers_path_is_that_of_its_rule() -> None:
    """Plain descent and Adam written out in NumPy on the same least squares."""
    x, y = problem()
    h, b = x.T @ x / len(y), x.T @ y / len(y)
    w = np.array(plain().weights[0], float)
    for _ in range(60):
        w -= 0.3 * (h @ w - b)
    np.testing.assert_allclose(plain().weights[-1], w, atol=1e-4)
    w, m, v = np.array(plain().weights[0], float), np.zeros(2), np.zeros(2)
    for t in range(1, 61):
        g = h @ w - b
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    np.testing.assert_allclose(path(Adam(0.1)).weights[-1], w, atol=1e-3)
    np.testing.assert_allclose(lowest()[1], np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-6)


def test_momentum_beats_plain_descent_in_the_valley() -> None:
    assert path(SGD(0.3, momentum=0.8)).losses[-1] < 0.01 * plain().losses[-1]


def test_a_stage_is_shown_where_it_stands_in_a_program() -> None:
    text = printed(subject_page(of("operation", "Shuffle")))
    assert "Shuffle(seed=0)(v0) : stream<uint8[bytes], int32[]>" in text and "Dequeue()" in text
    assert "stage of a run" in text


def test_random_layers_show_the_same_each_time() -> None:
    first, second = (LAYER_CASES["Dropout"]().results["y"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


# ---- finding


@pytest.mark.parametrize(
    ("asked", "kind", "name"),
    [
        ("Softmax", "layer", "Softmax"), ("softmax", "function", "softmax"), ("conv2d", "layer", "Conv2D"),
        ("max_pooling_2d", "layer", "MaxPooling2D"), ("batch-normalization", "layer", "BatchNormalization"),
        ("mse", "loss", "MeanSquaredError"), ("adam", "optimizer", "Adam"), ("hinge", "loss", "Hinge"),
        ("relu", "function", "relu"), ("ReadRecords", "operation", "ReadRecords"),
    ],
)  # fmt: skip
def test_a_name_is_found_as_people_type_it(asked: str, kind: str, name: str) -> None:
    first = found(asked, subjects())[0]
    assert (first.kind, first.name) == (kind, name)


def test_other_kinds_of_a_name_are_found_too() -> None:
    assert [s.kind for s in found("Softmax", subjects())] == ["layer", "operation", "function"]
    assert [s.kind for s in found("Softmax", subjects(), "operation")] == ["operation"]
    assert not found("frobnicate", subjects())


def test_near_names_are_told() -> None:
    assert "Conv2D" in nearest("Covn2D", subjects()) and "Dropout" in nearest("droput", subjects())


# ---- HTML


def test_the_page_is_one_file_without_scripts_or_network() -> None:
    text = html(subject_page(of("layer", "Conv2D"), "zh"))
    assert '<html lang="zh-Hans">' in text and "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert text.count('alt="') == text.count("<img ") >= 2
    assert "<math " in text and "out[b, i, j, f] = sum(" in text  # set, and as text beside it


def test_what_is_typed_into_a_page_stays_text() -> None:
    page = subject_page(of("operation", "Less"))
    assert "x[i, j] &lt; y[i, j]" in html(page)


def test_every_formula_becomes_mathml() -> None:
    from latex2mathml.converter import convert

    for subject in subjects()[::5]:
        for section in subject_page(subject).sections:
            for part in section.parts:
                if isinstance(part, Math) and part.latex:
                    assert convert(part.latex).startswith("<math"), (subject.name, part.latex)


def test_tables_are_whole() -> None:
    for subject in subjects():
        for section in subject_page(subject).sections:
            for part in section.parts:
                if isinstance(part, Listing):
                    assert all(len(row) == len(part.columns) for row in part.rows), subject.name


def test_a_caption_that_says_all_is_printed_once() -> None:
    pictures = Pictures([Picture("a grey square", np.eye(8), "a grey square"), Picture("one", np.eye(8), "another")])
    text = printed(Page("t", "k", "lead", [Section("s", [pictures])]))
    assert text.count("a grey square") == 1 and "one" in text and "another" in text


def test_signs_are_drawn_out_of_products() -> None:
    x, y, z = (Placeholder(name, TensorType("float64", (3,)))() for name in "xyz")
    given = [np.array([0.5, -1.25, 2.0]), np.array([3.0, 0.25, -0.75]), np.array([1.5, -2.0, 0.125])]
    values = {
        "x - y * 0.5": x + (-y) * 0.5, "x * z / y": -x * z / -y, "x + y * z": x - (-y) * z, "y - x": (-x) + y,
        "-x * z": (-x) * z, "x / y": x * (1.0 / y),
    }  # fmt: skip
    for expected, value in values.items():
        assert together({"v": value}).text == f"v = {expected}"
        graph = Graph([x, y, z], [value])
        kept = Graph(graph.inputs, tidied(graph, ())).evaluate(given)[0]
        np.testing.assert_allclose(kept, graph.evaluate(given)[0], rtol=1e-14)
