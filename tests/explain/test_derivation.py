"""A formula differentiated step by step: against derivations by hand, differences, and what is no formula."""

import numpy as np
import pytest
from latex2mathml.converter import convert

import millrace as mr
from millrace.cli.main import app
from millrace.explain.derivation import derive
from millrace.explain.derivation_page import derivation_page
from millrace.explain.expression import read
from millrace.explain.pages import Math, Text
from millrace.ir.composite import Composite
from millrace.ir.errors import ArgumentError, MillraceError
from millrace.ops.averaging import AveragePool
from millrace.words import words


def given(derivation):
    """Each part of each step, as `what = rule`."""
    return [f"{part.of.text} = {part.rule.text}" for step in derivation.steps for part in step.parts]


def test_the_example_is_derived_as_by_hand():
    made = derive("mean(tanh(w*x)**2)", "w")
    assert [f"{n.text} = {m.text}" for n, m in made.forward] == [
        "v1 = w * x", "v2 = tanh(v1)", "v3 = v2^2", "L = mean(v3, axis=0)",
    ]  # fmt: skip
    assert [step.op for step in made.steps] == ["Mean", "IntegerPower", "Tanh", "Multiply"]
    assert given(made) == [
        "dL/dv3 = 1 / n",
        "dL/dv2 = dL/dv3 * 2 * v2^1",
        "dL/dv1 = dL/dv2 * (1 - v2^2)",
        "dL/dw = dL/dv1 * x",
    ]
    (gradient,) = made.gradients
    assert gradient.raw.text == "1 / n * 2 * v2^1 * (1 - v2^2) * x"
    assert [(r.name, r.before.text, r.after.text) for r in made.rules] == [("x^1 = x", "v2^1", "v2")]
    assert gradient.whole.text == "1 / n * 2 * a * (1 - a^2) * x\n  where a = tanh(w * x)"
    assert gradient.by.latex == r"\frac{\partial L}{\partial w}"
    assert made.nodes[0] == made.nodes[1] + 1


def test_the_example_has_the_value_of_the_formula_by_hand():
    made = derive("mean(tanh(w*x)**2)", "w,x")
    w, x = made.trial.numbers["w"], made.trial.numbers["x"]
    t = np.tanh(w * x)
    by_hand = np.concatenate([2 * t * (1 - t**2) * x / len(x), 2 * t * (1 - t**2) * w / len(x)])
    np.testing.assert_allclose([row.gradient for row in made.trial.rows], by_hand, rtol=1e-12)
    assert made.trial.loss == pytest.approx(np.mean(t**2))
    assert [row.name for row in made.trial.rows] == ["w[0]", "w[1]", "w[2]", "x[0]", "x[1]", "x[2]"]


def test_parts_are_added_where_a_name_is_used_twice():
    made = derive("sum(x*sin(x))", "x")
    parts = [part for step in made.steps for part in step.parts if part.name.text == "x"]
    assert [(part.number, part.count) for part in parts] == [(1, 2), (2, 2)]
    assert [part.rule.text for part in parts] == ["dL/dv2 * v1", "dL/dv1 * cos(x)"]
    assert parts[0].total is None and parts[1].total.text == "dL/dv2 * v1 + dL/dv1 * cos(x)"
    assert made.gradients[0].whole.text == "sin(x) + x * cos(x)"


def test_the_same_value_given_twice_counts_twice():
    made = derive("x[]*x", "x")
    assert given(made) == ["dL/dx = 1 * x", "dL/dx = 1 * x"]
    assert made.gradients[0].whole.text == "x + x"
    assert [(r.name, r.times) for r in made.rules] == [("x * 1 = x", 2)]


def test_names_stay_where_rewriting_makes_what_they_stand_for_anew():
    made = derive("sum(tanh(exp(x))*sin(exp(x)))", "x")
    (gradient,) = made.gradients
    assert gradient.simple.text == "v2 * cos(v1) * v1 + v4 * (1 - v2^2) * v1"
    assert gradient.whole.text.count("exp") == 1
    assert [r.before.text for r in made.rules if r.name == "common-subexpressions"] == ["v3"]


def test_a_number_that_is_repeated_gets_the_sum():
    made = derive("sum(w[]*x)", "w")
    assert "v1 = repeat(w, [n])" in [f"{n.text} = {m.text}" for n, m in made.forward]
    assert made.gradients[0].whole.text == "sum(x, axis=0)"


def test_shapes_are_those_that_are_stated():
    made = derive("mean((W[k, n]@x - y[k])**2)", "W")
    assert made.shapes == {"W": "[k, n]", "x": "[n]", "y": "[k]"}
    assert made.gradients[0].whole.text == "outer(1 / k * 2 * (W @ x - y), x)"
    w, x, y = made.trial.numbers.values()
    by_hand = np.outer(2 * (w @ x - y) / len(y), x)
    np.testing.assert_allclose([row.gradient for row in made.trial.rows], by_hand.ravel()[:6], rtol=1e-12)


@pytest.mark.parametrize(
    "formula",
    [
        "mean(tanh(w*x)**2)", "sum(sigmoid(x)/(1+exp(y)))", "log(sum(exp(x)))", "sum(softmax(x)*y)",
        "mean(relu(x)-y)**2", "sum(sqrt(x**2 + 1))", "x @ y", "sum(softplus(W[m, n]@x + b[m]))",
        "mean(local_response_normalization(x[2, 8]))", "max(x*y)", "sum(where(x > y, x*y, y))",
        "sum(abs(x)) + mean(gelu(y))", "var(x)", "sum(x[]**y[])", "std(x/y)",
        "sum(average_pool(x[2, 6, 3], 2)*y[2, 3, 3])", "-sum(minimum(x, y))", "sum(x*stop_gradient(x))",
    ],
)  # fmt: skip
def test_gradients_agree_with_differences(formula):
    made = derive(formula, ",".join(read(formula).names))
    if "stop_gradient" in formula:
        assert made.trial.error > 0.1  # the differences see what the gradient was told not to
    else:
        assert made.trial is not None and made.trial.error < 1e-6


def test_operations_without_a_rule_of_their_own_say_how_many_were_applied_inside(monkeypatch):
    monkeypatch.setattr(AveragePool, "gradient", Composite.gradient)
    made = derive("sum(average_pool(x[2, 6, 3], 2)*y[2, 3, 3])", "x")
    assert [step.inside > 0 for step in made.steps] == [step.op == "AveragePool" for step in made.steps]


def test_a_product_of_vectors_is_written_as_one():
    made = derive("sum(relu(x@w))", "x,w")
    assert [f"{n.text} = {m.text}" for n, m in made.forward] == ["v1 = x @ w", "v2 = relu(v1)", "L = sum(v2)"]
    assert given(made)[-2:] == ["dL/dx = dL/dv1 * w", "dL/dw = x * dL/dv1"]
    assert made.gradients[0].whole.text == "where(relu(x @ w) > 0, 1, 0) * w"
    assert made.forward[0][1].latex == r"x^{\top} \, w" and r"\otimes" not in made.gradients[0].whole.latex
    told = [part.text for part in derivation_page(made).sections[1].parts if isinstance(part, Text)]
    assert any(words("derivation")["page"]["vectors"] in text for text in told)


def test_numbers_are_drawn_anew_while_they_check_nothing():
    made = derive("sum(relu(x@w))", "x")
    assert made.trial.loss > 0 and all(row.gradient for row in made.trial.rows)
    assert [row.gradient for row in made.trial.rows] == list(made.trial.numbers["w"])
    flat = derive("sum(x - x)", "x").trial
    assert flat is not None and {row.gradient for row in flat.rows} == {0.0}


def test_a_chinese_page_has_chinese_words_around_its_formulas():
    page = derivation_page(derive("mean(tanh(w*x)**2)", "w,x"), "zh")
    result = next(p for p in page.sections[4].parts if isinstance(p, Math) and "tanh" in p.text)
    assert result.text.splitlines()[1] == "  其中 a = tanh(w * x)" and r"\text{其中 } a =" in result.latex
    assert "w、x" in page.lead and "where" not in "".join(
        getattr(p, "text", "") for s in page.sections[:5] for p in s.parts
    )


def test_cases_of_a_chinese_page_say_otherwise_in_chinese():
    latex = "".join(
        p.latex for s in derivation_page(derive("sum(relu(x))"), "zh").sections for p in s.parts if isinstance(p, Math)
    )
    assert r"\text{否则}" in latex and r"\text{else}" not in latex


def test_a_gradient_that_is_nowhere_finite_is_said_to_be_unchecked():
    made = derive("log(0*sum(x))", "x")
    assert made.trial is None
    assert words("derivation")["page"]["unchecked"] in [p.text for p in derivation_page(made).sections[5].parts]


@pytest.mark.parametrize(
    ("formula", "place", "said"),
    [
        ("mean(tanhh(w*x))", 6, "did you mean tanh"),
        ("mean(x) + foo(2)", 11, "no function of Millrace"),
        ("mean(x", 5, "never closed"),
        ("x.real", 1, "names, numbers"),
        ("mean(x if x else y)", 6, "names, numbers"),
        ("__import__('os').system('ls')", 1, "names, numbers"),
        ("sum((lambda: 1)())", 5, "names, numbers"),
        ("mean(x[0:2])", 8, "made of whole numbers and names"),
        ("mean(tanh(x)[0])", 6, "states the shape of a name"),
        ("sum(w[2]*w[3])", 10, "w is [2] before and [3] here"),
        ("sum(w[]*w[3])", 9, "w is [] before and [3] here"),
        ("sum(x, axis=7)", 1, "axis 7 is out of range"),
        ("sum(W[m, n]@x + b)", 5, "as in W[m, n] @ x + b[m]"),
        ("sum(x[100000000])", 7, "at most 10000 numbers"),
        ("sum(x[0])", 7, "at least 1"),
        ("random_normal(x)", 1, "no function of numbers alone"),
        ("sum(split(x[4], 2))", 5, "several results"),
        ("sum(sin(x, y, 3))", 5, "does not take this"),
        ("sum(θ + foo(θ))", 9, "no function of Millrace"),
        ("sum(sin(*x))", 5, "mean nothing here"),
        ("mean(w^2)", 7, "a power is written with **: mean(w**2)"),
        ("sum(2w)", 5, "write 2*w"),
        ("2.5 w", 5, "write 2.5*w"),
        ("sum(w x)", 5, "write w*x"),
        ("(x+1)(x-1)", 1, "written with *: (x + 1)*(x - 1)"),
        ("sum(max(0, w))", 5, "write maximum(w, 0), or relu(w)"),
        ("sum(min(w, x))", 5, "write minimum(x, w)"),
        ("softmax_cross_entropy(w, y)", 1, "write -sum(y*log_softmax(x))"),
        ("sum(take(w, y))", 5, "Convert with cast(i, 'int32')"),
        ("sum(ln(w))", 5, "did you mean log?"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused_with_its_place(formula, place, said):
    with pytest.raises(ArgumentError) as caught:
        derive(formula)
    message = str(caught.value)
    assert said in message and message.startswith(f"at character {place}:")
    _, shown, marks = message.splitlines()
    assert shown == f"  {formula}" and marks.index("^") == 2 + place - 1


def test_what_is_told_instead_is_a_formula():
    for formula in ("mean(w**2)", "sum(2*w)", "(x[] + 1)*(x - 1)", "sum(maximum(w, 0))", "-sum(y*log_softmax(x))"):
        assert derive(formula).trial.error < 1e-6


@pytest.mark.parametrize(
    ("formula", "wrt", "said"),
    [
        ("tanh(x)", None, "write mean(tanh(x)) or sum(tanh(x))"),
        ("sum(x > 0)", None, "only floating-point numbers have gradients"),
        ("mean(x)", "y", "unknown name to differentiate by 'y'. Known: x"),
        ("sum(stop_gradient(x)*y)", "x", "has no gradient by x: stop_gradient: stop_gradient keeps it constant"),
        ("2 + 3", None, "no names"),
        ("", None, "nothing to differentiate"),
        ("x+" * 600 + "x", None, "at most 1000 characters"),
        ("(" * 300 + "x" + ")" * 300, None, "nested"),
    ],
)  # fmt: skip
def test_what_has_no_gradient_says_why(formula, wrt, said):
    with pytest.raises(MillraceError, match=None) as caught:
        derive(formula, wrt)
    assert said in str(caught.value)


def test_numbers_alone_are_computed_in_floats_and_never_for_ever():
    assert str(read("9**9**9*sum(x)").value) == "inf * sum(x, axis=0)"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_has_every_rule_and_all_its_mathematics_can_be_set(language):
    made = derive("mean(tanh(w*x)**2)", "w")
    page = derivation_page(made, language)
    told = [part.text for part in page.sections[1].parts if isinstance(part, Text)]
    rules = words("derivation", language)["rules"]
    assert [any(rules[step.op] in text for text in told) for step in made.steps] == [True] * 4
    shown = [part for section in page.sections for part in section.parts if isinstance(part, Math)]
    assert len(shown) > 8 and all("<math" in convert(part.latex) for part in shown)
    assert page.language == language and "mean(tanh(w*x)**2)" in page.title


def test_every_rule_that_has_words_is_a_rule_of_an_operation():
    from millrace.ir.core import OPS

    for language in ("en", "zh"):
        assert set(words("derivation", language)["rules"]) <= set(OPS)
        assert set(words("derivation", language)["rewrites"]) <= set(mr.rewrites())


@pytest.mark.parametrize("formula", ["mean(tanh(w*x)**2)", "sum(sigmoid(W[m, n]@x))"])
def test_the_command_prints_lines_of_a_terminal(formula, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    app(["explain", "--gradient", formula], result_action="return_value")
    printed = capsys.readouterr().out
    assert "dL/dw = dL/dv1 * x" in printed or "dL/dW = outer(dL/dv1, x)" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_the_command_writes_a_page(tmp_path, capsys):
    path = tmp_path / "gradient.html"
    app(
        ["explain", "--gradient", "sum(x**3)", "--wrt", "x", "--html", str(path), "--lang", "zh"],
        result_action="return_value",
    )
    page = path.read_text("utf-8")
    assert "<math" in page and "求导" in page and str(path) in capsys.readouterr().out.replace("\n", "")
