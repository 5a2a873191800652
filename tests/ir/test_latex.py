"""A value as LaTeX: what a person would write, and what a browser can be given."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from latex2mathml.converter import convert

import millrace as mr
import millrace.api  # the whole vocabulary
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive
from millrace.ir.latex import latex

OPERATIONS = sorted((op for op in OPS.values() if issubclass(op, (Primitive, Composite))), key=lambda op: op.__name__)


def named(name):
    return mr.Input((2,), name=name, batch_size=2)


x, y, theta, long = named("x"), named("y"), named("theta"), named("learning_rate")
p, q = (mr.Variable(np.ones(3, np.float32), name=name) for name in "pq")
w = mr.Variable(np.ones((2, 2), np.float32), name="w")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (x + y * 2, r"x + y \cdot 2"),
        (x * (x + y), r"x \cdot \left(x + y\right)"),
        ((x + y) / (x - y), r"\frac{x + y}{x - y}"),
        ((x / y) ** 2, r"\left(\frac{x}{y}\right)^{2}"),
        (x / y * y, r"\frac{x}{y} \cdot y"),
        (x**-1, r"x^{-1}"),
        (x ** (y + 1.0), r"x^{y + 1}"),
        (-(x + y), r"-\left(x + y\right)"),
        (mr.exp(-x), r"\exp\left(-x\right)"),
        (mr.sqrt(x + 1), r"\sqrt{x + 1}"),
        (mr.rsqrt(x), r"\frac{1}{\sqrt{x}}"),
        (mr.abs(x - y), r"\left|x - y\right|"),
        (x @ w, r"x \, w"),
        ((x + y) @ w, r"\left(x + y\right) \, w"),
        (x @ w.value.T, r"x \, w^{\top}"),
        (mr.outer(p, q), r"p \otimes q"),
        (p @ q, r"p^{\top} \, q"),
        (mr.mean(x, axis=0), r"\operatorname{mean}_{\mathrm{axis}\,0}\left(x\right)"),
        (mr.max(x, axis=(0, 1)), r"\max_{\mathrm{axis}\,0,1}\left(x\right)"),
        (mr.where(x > y, x, 0.0) * y, r"\left(\begin{cases} x & x > y \\ 0 & \text{else} \end{cases}\right) \cdot y"),
        ((x >= y) & mr.not_equal(y, 1.0), r"\left(x \ge y\right) \land \left(y \ne 1\right)"),
        (theta * long, r"\theta \cdot \mathrm{learning\_rate}"),
        (x * 1e-5, r"x \cdot 1 \times 10^{-5}"),
        (x * mr.constant(np.float32(np.inf)), r"x \cdot \infty"),
        (mr.leaky_relu(x), r"\begin{cases} x & x > 0 \\ x \cdot 0.2 & \text{else} \end{cases}"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_mathematics_is_set_as_a_person_would(value, shown):
    assert latex(value) == shown


def test_a_shared_part_is_named_once_and_defined_below():
    shared = mr.tanh(x + y)
    assert latex(shared * shared, "z") == (r"\begin{array}{l} z = a \cdot a \\ a = \tanh\left(x + y\right) \end{array}")


def test_a_name_may_be_latex_itself():
    assert latex(x + y, r"\frac{dL}{dw}") == r"\frac{dL}{dw} = x + y"


def test_what_has_not_been_simplified_can_be_shown():
    assert latex(x * 1.0, simplified=False) == r"x \cdot 1" and latex(x * 1.0) == "x"


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.__name__)
def test_every_operation_has_latex_that_becomes_mathml(op):
    for sample in op.samples(np.random.default_rng(0)):
        names = [rf"x_{{{n}}}" for n in range(len(sample.inputs))]
        made = sample.op.latex(*names)
        tree = ET.fromstring(convert(made))
        letters = "".join(tree.itertext())
        assert "\\" not in letters, made  # a command that nobody knew
        assert not any(node.tag.endswith("}mo") and not (node.text or "").strip() for node in tree.iter()), made
        said = sample.op.notation(*(chr(0x4E00 + n) for n in range(len(names))))
        for n, name in enumerate(names):  # nothing that the notation names is lost
            assert (chr(0x4E00 + n) in said) == (name in made), made
