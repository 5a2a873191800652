"""What the words about functions and operations say is so: names, calls and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import millrace as mr
from millrace.words import LANGUAGES, words

LONGEST = {"en": 260, "zh": 130}  # characters of a text: three of them fill a third of a page


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_short(language: str) -> None:
    for name, table in words("functions", language).items():
        for key, text in table.items():
            assert len(text) <= LONGEST[language], f"[{name}] {key} in {language} has {len(text)} characters"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_text_calls_exists(language: str) -> None:
    """`mr.name`, and name( in code, are functions of today."""
    for about, table in words("functions", language).items():
        for code in re.findall(r"`([^`]*)`", " ".join(table.values())):
            called = re.findall(r"(?<![\w.])(?:mr\.)?([A-Za-z_]\w*)\(", code) + re.findall(r"\bmr\.(\w+)", code)
            unknown = [name for name in called if not hasattr(mr, name) and not hasattr(mr.layers, name)]
            unknown = [name for name in unknown if name not in ("float", "print", "str", "step")]
            assert not unknown, f"[{about}] in {language} calls {unknown}: `{code}`"


def test_the_languages_name_the_same_things() -> None:
    """A translation that lost a function's name, or gained one, says something else."""
    english, chinese = (words("functions", language) for language in LANGUAGES)
    for name in english:
        both = [set(re.findall(r"`(\w+)`", " ".join(one[name].values()))) for one in (english, chinese)]
        both = [{word for word in found if hasattr(mr, word) and word != name} for found in both]
        assert both[0] == both[1], f"[{name}]: English names {both[0]}, Chinese {both[1]}"


def slope(f: Callable[[Any], Any], at: Any) -> np.ndarray:
    x = mr.Variable(np.asarray(at, np.float32), name="x")
    return mr.evaluate(mr.gradients(mr.sum(f(x)), [x])[0])


def at(f: Callable[[Any], Any], x: Any) -> float:
    return float(mr.evaluate(f(np.asarray(x, np.float32))))


def least(f: Callable[[Any], Any]) -> tuple[float, float]:
    x = np.linspace(-4, 4, 801, dtype=np.float32)
    y = mr.evaluate(f(x))
    return float(y.min()), float(x[y.argmin()])


BYTE = np.uint8
CLAIMS: list[tuple[str, str, Callable[[], Any], Any]] = [  # function, what the text says, what is, what it must be
    ("add", "44", lambda: mr.evaluate(mr.add(BYTE(200), BYTE(100))), 44),
    ("arange", "0.25", lambda: mr.evaluate(mr.arange(0, 1, 0.25)).tolist(), [0, 0.25, 0.5, 0.75]),
    ("batch_normalization", "channels", lambda: mr.evaluate(mr.batch_normalization(
        np.float32([[3, 7]]), np.ones(2, "f"), np.float32([5, 6]), np.zeros(2, "f"), np.ones(2, "f"), np.ones(1, "f")
    )[0]).tolist(), [[5, 6]]),
    ("cast", "44", lambda: mr.evaluate(mr.cast(np.array(300), "uint8")), 44),
    ("conv_transpose", "1 1 2 1 1", lambda: mr.evaluate(mr.conv_transpose(
        np.ones((1, 2, 1), "f"), np.ones((3, 1, 1), "f"), (5,), strides=2)).ravel().tolist(), [1, 1, 2, 1, 1]),
    ("cumsum", "44", lambda: mr.evaluate(mr.cumsum(np.array([200, 100], BYTE))).tolist(), [200, 44]),
    ("dot", "[5, 2, 5, 4]", lambda: mr.dot(np.ones((5, 2, 3), "f"), np.ones((5, 3, 4), "f")).shape, (5, 2, 5, 4)),
    ("elu", "0.37", lambda: slope(mr.elu, -1.0), 0.37),
    ("floor_divide", "-4", lambda: mr.evaluate(mr.floor_divide(-7, 2)), -4),
    ("gelu", "-0.17", lambda: least(mr.gelu)[0], -0.17),
    ("hard_silu", "-0.375", lambda: least(mr.hard_silu), (-0.375, -1.5)),
    ("hard_tanh", "1", lambda: slope(mr.hard_tanh, [-2, -1, 0, 1, 2]).tolist(), [0, 1, 1, 1, 0]),
    ("left_shift", "144", lambda: mr.evaluate(mr.left_shift(BYTE(200), BYTE(1))), 144),
    ("local_response_normalization", "1.68", lambda: 1 / mr.evaluate(
        mr.local_response_normalization(np.ones((1, 8), "f")))[0, 3], 1.68),
    ("log_sigmoid", "-1000", lambda: at(mr.log_sigmoid, -1000), -1000),
    ("logical_and", "2", lambda: mr.evaluate(mr.logical_and(np.array(6), np.array(3))), 2),
    ("logical_not", "254", lambda: mr.evaluate(mr.logical_not(BYTE(1))), 254),
    ("logsumexp", "1000.69", lambda: at(mr.logsumexp, [1000, 1000]), 1000.69),
    ("mish", "-0.31", lambda: least(mr.mish)[0], -0.31),
    ("negative", "255", lambda: mr.evaluate(mr.negative(BYTE(1))), 255),
    ("outer", "[6, 4]", lambda: mr.outer(np.ones((2, 3), "f"), np.ones(4, "f")).shape, (6, 4)),
    ("pad_interior", "1 0 0 2", lambda: mr.evaluate(mr.pad_interior(np.array([1, 2]), [0], [0], [2])).tolist(),
     [1, 0, 0, 2]),
    ("remainder", "2", lambda: mr.evaluate(mr.remainder(-7, 3)), 2),
    ("round", "2.5", lambda: mr.evaluate(mr.round(np.float32([0.5, 1.5, 2.5]))).tolist(), [0, 2, 2]),
    ("sigmoid", "0.25", lambda: slope(mr.sigmoid, 0.0), 0.25),
    ("sigmoid_cross_entropy", "100", lambda: mr.evaluate(mr.sigmoid_cross_entropy(np.float32(100), 0)), 100),
    ("silu", "-0.28", lambda: least(mr.silu)[0], -0.28),
    ("softmax_cross_entropy", "2.303", lambda: mr.evaluate(
        mr.softmax_cross_entropy(np.zeros((1, 10), "f"), np.array([4])))[0], 2.303),
    ("softplus", "1000", lambda: at(mr.softplus, 1000), 1000),
    ("softsign", "0.9", lambda: at(mr.softsign, 9), 0.9),
    ("sparse_sigmoid", "0.5", lambda: slope(mr.sparse_sigmoid, [-2, -1, 1, 2]).tolist(), [0, 0.5, 0.5, 0]),
    ("sparsemax", "1", lambda: mr.evaluate(mr.sparsemax(np.float32([3, 0, 0]))).tolist(), [1, 0, 0]),
    ("square", "0", lambda: mr.evaluate(mr.square(BYTE(16))), 0),
    ("squareplus", "0.001", lambda: at(mr.squareplus, -1000), 0.001),
    ("std", " 0", lambda: slope(mr.std, [1, 1]).tolist(), [0, 0]),
    ("subtract", "255", lambda: mr.evaluate(mr.subtract(BYTE(1), BYTE(2))), 255),
    ("sum", "44", lambda: mr.evaluate(mr.sum(np.ones(300, BYTE))), 44),
    ("take", "-1", lambda: mr.evaluate(mr.take(np.array([5, 6, 7]), np.array([-1]))).tolist(), [5]),
    ("tanh", "0.07", lambda: slope(mr.tanh, 2.0), 0.07),
    ("where", "NaN", lambda: slope(lambda x: mr.where(x > 0, mr.log(x), 0.0), 0.0), np.nan),
    ("where", "log(where(x > 0, x, 1))", lambda: slope(
        lambda x: mr.where(x > 0, mr.log(mr.where(x > 0, x, 1.0)), 0.0), 0.0), 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said", "happens", "must"), CLAIMS, ids=[f"{c[0]}: {c[1]}" for c in CLAIMS])
def test_numbers_in_the_texts_are_what_happens(name: str, said: str, happens: Callable[[], Any], must: Any) -> None:
    np.testing.assert_allclose(happens(), must, rtol=0.03, atol=1e-6)
    for language in LANGUAGES:
        assert said in " ".join(words("functions", language)[name].values()), f"[{name}] in {language} lacks {said}"
