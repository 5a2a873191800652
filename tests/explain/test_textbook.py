"""The formulas that pages show first, evaluated with NumPy by their own words against what the layers give."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.layers import LAYER_CASES
from millrace.explain.formulas import short_names
from millrace.explain.pages import Math, Text
from millrace.explain.subject_page import subject_page
from millrace.explain.subjects import subjects
from millrace.explain.textbook import TEXTBOOK, Textbook
from millrace.ir.graph import Graph
from millrace.layers import Hopfield
from millrace.words import LANGUAGES, words

RECURRENT = ("SimpleRNN", "RNN", "LSTM", "GRU")
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")
RANDOM = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout")


def softmax(x: np.ndarray) -> np.ndarray:
    made = np.exp(x - x.max(axis=-1, keepdims=True))
    return made / made.sum(axis=-1, keepdims=True)


WORDS: dict[str, Any] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "exp": np.exp, "sqrt": np.sqrt, "sign": np.sign,
    "softmax": softmax, "mean": np.mean, "reshape": np.reshape, "shape": np.shape, "split": np.split,
    "arange": np.arange, "concat": lambda *parts: np.concatenate(parts, axis=-1),
    "sum": lambda x: np.sum(x) if isinstance(x, np.ndarray) else sum(x),
}  # fmt: skip


def word(text: str) -> str:
    """A line as Python: c~ and h' as names."""
    return re.sub(r"\b(\w)~", r"\1_tilde", re.sub(r"\b(\w)'", r"\1_next", text))


def evaluated(formula: Textbook, given: dict[str, Any], ranges: dict[str, int] | None = None) -> dict[str, Any]:
    """All that the lines make of what is given, float64. ranges: of the indices on left sides."""
    scope: dict[str, Any] = {**WORDS, **given}
    for line in formula.bound:
        exec(line, scope)
    for text, _ in formula.lines:
        line = word(text)
        index = re.match(r"(\w+)\[([\w, ]+)\] = ", line)
        if index is None:
            exec(line, scope)
            continue
        name, letters = index[1], index[2].split(", ")
        sizes = [(ranges or {})[letter] for letter in letters]
        made: dict[Any, Any] = defaultdict(float)
        scope[name] = made
        for place in np.ndindex(*sizes):
            exec(line, {**scope, **dict(zip(letters, map(int, place), strict=True))})
        scope[name] = np.array(list(made.values())).reshape(*sizes, *np.shape(next(iter(made.values()))))
    return scope


def at_work(name: str) -> tuple[Case, dict[str, Any]]:
    """A layer's case with weights drawn anew, so that no bias is 0 and no scale 1, and all it is given by name."""
    case = LAYER_CASES[name]()
    assert case.layer is not None and case.outputs
    rng = np.random.default_rng(7)
    variables = [v for v in case.layer.weights if v.type.is_float]
    for variable in variables:
        if variable.trainable:
            variable.assign(rng.normal(0, 0.5, variable.shape).astype(np.float32))
    weights = {short: np.asarray(v.numpy(), np.float64) for v, short in short_names(variables).items()}
    inputs = {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    return case, inputs | weights


def first(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The same with the only example of some inputs in the place of a batch of one."""
    return {**given, **{name: given[name][0] for name in names}}


def close(got: Any, expected: np.ndarray, most: float = 2e-5) -> None:
    np.testing.assert_allclose(np.asarray(got), expected, rtol=most, atol=most)


@pytest.mark.parametrize("name", RECURRENT)
def test_steps_of_the_formula_make_the_whole_sequence(name: str) -> None:
    case, given = at_work(name)
    state = {"h": np.zeros((1, 8)), "c": np.zeros((1, 8))}
    for t in range(given["x"].shape[1]):
        made = evaluated(TEXTBOOK[name], {**given, **state, "x": given["x"][:, t]})
        state = {n: made.get(f"{n}_next", 0) for n in state}
        close(state["h"], case.results["y"][:, t])


@pytest.mark.parametrize("name", CELLS)
def test_one_step_of_a_cell(name: str) -> None:
    case, given = at_work(name)
    states = {n: np.random.default_rng(n == "c").normal(size=(1, 8)).astype(np.float32) for n in ("h", "c")}
    made = evaluated(TEXTBOOK[name], {**given, **states})
    results = case.graph.evaluate([states.get(n, x) for n, x in case.inputs.items()])
    for output, value in zip(case.outputs, results, strict=True):
        close(made[word(output)], value)


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
def test_attention(name: str) -> None:
    case, given = at_work(name)
    heads = {"j": 2} if name == "MultiHeadAttention" else {"i": 8, "j": 8}
    made = evaluated(TEXTBOOK[name], first(given, "query", "value"), heads)
    close(made["weights"], case.results["weights"][0])
    close(made["y"], case.results["y"][0])


@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"])
def test_normalizations(name: str) -> None:
    case, given = at_work(name)
    close(evaluated(TEXTBOOK[name], given)["y"], case.results["y"], 2e-4)


def test_local_response_normalization_as_the_paper_has_it() -> None:
    case, given = at_work("LocalResponseNormalization")
    strong = np.argsort((given["x"][0] > 0.01).sum(axis=-1).ravel())[-3:]  # where many channels answer
    for place in (np.unravel_index(n, given["x"].shape[1:3]) for n in strong):
        x = given["x"][0][place]
        made = evaluated(TEXTBOOK["LocalResponseNormalization"], {"x": x, "N": 8}, {"i": 8})
        close(made["y"], case.results["y"][0][place])


@pytest.mark.parametrize("name", RANDOM)
def test_noise_with_the_draws_that_the_layer_made(name: str) -> None:
    """The draws are read off the output: they must have the distribution that the first line says."""
    case, given = at_work(name)
    x, y = given["x"], case.results["y"].astype(np.float64)

    def bernoulli(p: float, shape: tuple[int, ...]) -> np.ndarray:
        over = tuple(n for n, size in enumerate(shape) if size == 1 and x.shape[n] > 1)
        kept = (y != 0).any(axis=over, keepdims=True) if over else y != 0
        assert kept.shape == tuple(shape)
        assert kept.size < 100 or abs(kept[x != 0].mean() - p) < 0.03 if not over else 0 < kept.mean() < 1
        return kept

    def normal(mean: float, deviation: float, shape: tuple[int, ...]) -> np.ndarray:
        e = y - x if mean == 0 else y / x
        assert e.shape == shape and abs(e.mean() - mean) < 0.03 and abs(e.std() / deviation - 1) < 0.05
        return e

    close(evaluated(TEXTBOOK[name], {**given, "bernoulli": bernoulli, "normal": normal})["y"], y)


def test_softmax() -> None:
    case, given = at_work("Softmax")
    close(evaluated(TEXTBOOK["Softmax"], {"x": given["x"][0], "N": 10}, {"i": 10})["y"], case.results["y"][0])


def test_a_memory_read_once() -> None:
    case, given = at_work("MemoryNetwork")
    made = evaluated(TEXTBOOK["MemoryNetwork"], first(given, "story", "question"), {"i": 2})
    close(made["p"], case.results["weights"][0, 0])
    close(made["y"], case.results["y"][0])


def test_sweeps_of_a_hopfield_network_and_its_energy() -> None:
    case, given = at_work("Hopfield")
    layer = case.layer
    assert isinstance(layer, Hopfield)
    energies = Graph([], [layer.trace(case.inputs["x"])]).evaluate([])[0][0]  # before, and after each sweep
    told = []
    s = np.where(given["x"][0] > 0, 1.0, -1.0)
    for _ in range(3):
        made = evaluated(TEXTBOOK["Hopfield"], {**given, "s": s})
        told.append(made["E"])
        s = np.where(made["s_next"] == 0, s, made["s_next"])
    close(s, case.results["y"][0])
    close(told, energies[:3])


def test_modern_hopfield() -> None:
    case, given = at_work("ModernHopfield")
    close(evaluated(TEXTBOOK["ModernHopfield"], first(given, "x", "patterns"))["y"], case.results["y"][0])


def test_embedding() -> None:
    case, given = at_work("Embedding")
    close(evaluated(TEXTBOOK["Embedding"], first(given, "x"), {"t": 24})["y"], case.results["y"][0])


def test_separable_convolution_in_one_corner() -> None:
    case, given = at_work("SeparableConv2D")
    corner = {**given, "x": given["x"][0, :8, :8]}
    made = evaluated(TEXTBOOK["SeparableConv2D"], corner, {"i": 6, "j": 6, "c": 3, "f": 1})
    close(made["y"], case.results["y"][0, :6, :6], 1e-4)


# ---- on the page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_textbook_comes_first_and_the_graph_after(language: str) -> None:
    told = words("page", language)
    for subject in subjects():
        if subject.kind != "layer" or subject.name not in TEXTBOOK:
            continue
        formula = TEXTBOOK[subject.name]
        parts = subject_page(subject, language).sections[0].parts
        assert parts[0] == Text(told["textbook"]["formula"]) and parts[2] == Text(told["textbook"][formula.note])
        assert isinstance(parts[1], Math) and parts[1].text == "\n".join(text for text, _ in formula.lines)
        built = told["formula"]["built"].split("{code}")[0]
        assert any(isinstance(part, Text) and part.text.startswith(built) for part in parts[3:]), subject.name
    assert set(TEXTBOOK) <= {subject.name for subject in subjects() if subject.kind == "layer"}


def test_what_is_typeset_is_what_is_evaluated() -> None:
    """Both forms of a line have the same letter on the left, and the same functions."""
    functions = {"sigmoid": r"\sigma", "tanh": r"\tanh", "softmax": "softmax", "sqrt(": r"\sqrt", "sign(": "sign"}
    for name, formula in TEXTBOOK.items():
        for text, latex in formula.lines:
            for called, shown in functions.items():
                if name != "GaussianDropout":  # the text has a deviation, the symbols a variance
                    assert (called in text) == (shown in latex.replace(r"\sigma^2", "")), (name, text, latex)


def test_a_sum_or_product_alone_explains_no_layer() -> None:
    said = {language: words("page", language)["formula"]["index_of"].split("{operation}")[0] for language in LANGUAGES}
    for name in ("PCAColor", "MultiHeadAttention", "MemoryNetwork", "Hopfield", "Residual"):
        subject = next(s for s in subjects() if (s.kind, s.name) == ("layer", name))
        for language in LANGUAGES:
            parts = subject_page(subject, language).sections[0].parts
            shown = any(getattr(part, "text", "").startswith(said[language]) for part in parts)
            assert shown == (name == "Residual")  # a convolution with a sum: there it says something
