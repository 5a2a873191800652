"""Every function that has the name of one of NumPy's does what NumPy's does, or says where it does not.

The tables hold calls as text, which both run on the same arrays: an argument is compared where it is an edge, such as
an empty axis, an axis counted from the end, a number without axes, or a boolean.
"""

import itertools
import re
import warnings

import numpy as np
import pytest

import millrace as mr
from millrace import functional
from millrace.ir.errors import MillraceError

NAMES = sorted(name for name in functional.__all__ if hasattr(np, name))
ARRAYS = {
    "A": np.float32([[-2.5, -1.5, -0.5], [0.5, 1.5, 2.5]]),
    "V": np.float32([0.25, -1.5, 3]),
    "T": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "O": np.float32([[[1], [2]]]),
    "S": np.float32(2.5),
    "E": np.zeros((0, 3), np.float32),
    "H": np.float16([1, -2.5, 0.25]),
    "N": np.float32([1, np.nan, np.inf, -np.inf, -0.0]),
    "D": np.array([[1.5, -2, 1e-3], [0, 7, 2]]),
    "I": np.array([[3, -1, 0], [2, 2, -7]], np.int32),
    "U": np.array([1, 200, 255], np.uint8),
    "W": np.array([4, -9, 2**40]),
    "B": np.array([[True, False, True], [False, False, True]]),
}
OTHERS = {"inf": np.inf, "nan": np.nan, "int64": np.int64, "uint8": np.uint8, "array": np.array}


def calls(pattern, **choices):
    """The pattern with each choice of each blank."""
    each = [value.split("|") for value in choices.values()]
    return [pattern.format(**dict(zip(choices, one, strict=True))) for one in itertools.product(*each)]


REDUCTIONS = "sum|prod|max|min|mean|var|std"
AXES = (
    "|, 0|, -1|, axis=(0, -1)|, ()|, (0,)|, axis=int64(1)|, None|, axis=-1, keepdims=True|, axis=(-1, 0), keepdims=True"
)
UNARY = "exp|log|log1p|expm1|sqrt|sin|cos|tanh|isnan|isfinite"
KEEPING = "negative|square|abs|sign"  # whole numbers stay whole
ARITHMETIC = "add|subtract|multiply|divide"
COMPARISONS = "equal|not_equal|less|less_equal|greater|greater_equal"
LOGIC = "logical_and|logical_or|logical_xor"

SAME = [
    *calls("{f}({x})", f=UNARY, x="A|S|E|N|H|D|I|U|W|B|3|2.5|True|[1, 2]|[[1.5], [2]]"),
    *calls("{f}({x})", f=KEEPING, x="A|S|E|N|H|D|I|U|W|3|2.5|[1, 2]"),
    *calls("{f}({x})", f="floor|ceil|round|reciprocal", x="A|S|E|N|H|D|2.5|[1.5, -0.5]"),
    *calls("logical_not({x})", x="B|True|False|B[0]"),
    *calls("{f}({xy})", f=ARITHMETIC, xy="A, A[:1]|A[:, :1], V|A, 2|2, A|A, 2.5|I, 2|I, 2.5|2.5, I|B, 2|B, A|U, 1|U, U|"
           "H, 2|H, V|D, A|D, I|W, I|3, 4|2.5, 3|E, V|E, E[:, :1]|S, S|S, A|A, [1, 2, 3]|I[:, :1], U|N, 1|T, V[:1]"),
    *calls("divide({xy})", xy="U, 1000|U, -1|I, 2**40|N, 0|True, True"),
    *calls("{f}({xy})", f="floor_divide|remainder", xy="I, 2|I, -3|7, -2|-7, 2|I, I|I, 0|U, 0|U, 7|A, 2|A, -0.75|W, 3|"
           "I, I[0]|N[:1], 2.0|S, 2|7, 0|D, 2"),
    *calls("{f}({xy})", f="maximum|minimum", xy="A, A[:1]|A, 0|0, A|I, 1.5|I, U|N, 0.0|N, N|U, 3|3, 2.5|E, V|S, A|"
           "D, V"),
    *calls("power({xy})", xy="A, 2|A, 3|A, -1|A, 0|abs(A), 0.5|abs(A), A|2.0, A|[4.0, 9], -0.5|abs(A), V|S, S|E, 2|"
           "D, 2"),
    *calls("{f}({xy})", f=COMPARISONS, xy="A, A[:1]|A, 0.5|I, 2|I, 2.5|2, I|B, B[0]|B, True|U, 1|U, 1000|U, -1|"
           "I, 2**40|"
           "-2**40, I|W, I|N, N|N, 1|S, S|E, V|3, 4|True, False|A, [0.5, 1, 2]|D, A"),
    *calls("{f}({xy})", f=LOGIC, xy="B, B[0]|B, B[:, :1]|B, True|False, B|True, False|B[:0], B[0]"),
    *calls("{f}({xy})", f="left_shift|right_shift", xy="U, U // 64|U, 1|U, uint8(9)|U[:, None], U // 100|U[:0], 1"),
    *calls("where({args})", args="B, A, 0|B, A, V|B[0], A, 1|True, A, 0.0|B, 1, 2|B, 1, 2.5|B, True, False|"
           "B[:, :1], V, A|"
           "[True, False, True], 1, 2|B, I, 2.5|B, U, 0|B[:0], E, 1"),
    *calls("clip({args})", args="A, 0, 1|A, None, 1|A, 0, None|A, 1, 0|A, None, None|I, 0, 1|I, 0.5, 1.5|U, -5, 300|"
           "U, None, 300|A, [0, 1, 2], 2|A, A[:, :1], 3|N, -1, 1|3, 0, 1|S, 0, 1|E, 0, 1|H, 0, 1|D, 0, 1"),
    *calls("{f}({x}{axis})", f=REDUCTIONS, x="A|T|I|D|H[None]", axis=AXES),
    *calls("{f}({x}{axis})", f="max|min", x="U[None]|B", axis=AXES),
    *calls("{f}({x}{axis})", f="sum|prod", x="E|B|W[None]", axis=AXES),
    *calls("{f}({x})", f=REDUCTIONS, x="S|3|[1, 2, 3]|S, ()|3, axis=()|S, keepdims=True|N[:2]|E, 1"),
    *calls("{f}({x}{axis})", f="any|all", x="B|B[:0]|T > 3", axis=AXES),
    *calls("{f}({x}{axis})", f="count_nonzero", x="B|E|A|I|D|T > 3", axis=AXES),
    *calls("{f}({x})", f="any|all|count_nonzero", x="True|[True, False]|B[0, 0]|B[0, 1], ()"),
    *calls("{f}({x}, {axis})", f="argmax|argmin", x="A|T|I|B|D|H[None]|[[2, 5, 5]]", axis="0|-1|axis=None|"
           "axis=1, keepdims=True|"
           "axis=None, keepdims=True"),
    *calls("{f}({x})", f="argmax|argmin", x="S, None|N[:3], 0|E, 1|V|3, axis=None"),
    *calls("cumsum({x}, {axis})", x="A|T|I|B|D|E|[[1, 2]]", axis="0|-1|axis=None"),
    *calls("cumsum({x})", x="S, None|V|N|3, axis=None"),
    *calls("average({x})", x="A|A, 0|A, -1|A, (0, 1)|I|I, axis=0|S|T, (0, -1)|H|D"),
    *calls("average({x}, weights={w})", x="A|A, 0|A, -1|A, (0, 1)|I, 1|D, 0", w="abs(A)|I * I|[[1, 2, 3], [3, 2, 1]]"),
    *calls("average({x})", x="A, 1, [1, 2, 3]|A, -1, V * V|A, axis=0, weights=[1, 2]|V, weights=[1, 1, 2]|"
           "V, 0, [1, 1, 2]|"
           "T, (0, 2), abs(T[0, :2]) + 1|T, (2, 0), abs(T[0, :2]).T + 1|T, (-1, 1), T[1].T|"
           "A, 1, [1, 2, 3], keepdims=True|"
           "A, keepdims=True|S, weights=3.0|A, axis=1, weights=(1, 0, 0)|E, 1, [1, 2, 1]"),
    *calls("reshape({x}, {s})", x="A|I", s="(3, 2)|6|-1|(-1, 2)|(2, -1)|[3, 2]|int64(6)|(int64(3), 2)|(1, 6, 1)|"
           "(1, -1, 1)"),
    *calls("reshape({x})", x="S, ()|S, 1|S, (1, 1)|S, -1|E, -1|E, (3, 0)|E, (0, 4)|E, (3, -1)|3, (1,)|[[1, 2]], 2"),
    *calls("ravel({x})", x="A|T|S|E|3|[[1, 2], [3, 4]]"),
    *calls("transpose({x})", x="A|T|S|E|A, None|A, (0, 1)|A, [-1, -2]|T, (2, 0, 1)|T, (-1, 0, 1)|S, ()|V"),
    *calls("swapaxes(T, {ab})", ab="0, 1|-1, 0|0, 0|int64(2), -2"),
    *calls("moveaxis(T, {ab})", ab="0, 1|-1, 0|0, 2|0, 0|(0, 1), (1, 0)|(0, 1), (-1, -2)|[2, 0], [0, 1]|(), ()|"
           "(0,), (2,)|(2,), 0"),
    *calls("expand_dims({x}, {a})", x="A|E", a="0|1|-1|2|-3|(0, 1)|(0, -1)|(3, 1)|int64(1)"),
    *calls("expand_dims({x})", x="S, 0|S, (0, 1)|3, -1|A, ()"),
    *calls("squeeze({x})", x="O|O, 0|O, -1|O, (0, 2)|O, ()|A|S|E|O[:, :1]"),
    *calls("flip({x})", x="A|A, 0|A, -1|A, (0, 1)|A, ()|S|E|T, (0, -1)|I|B"),
    *calls("broadcast_to({x})", x="V, 3|V, (2, 3)|V, [2, 2, 3]|A[:1], (2, 3)|S, ()|S, 3|S, (0, 3)|V, (0, 3)|"
           "A[:, :1], (2, 3)|"
           "3, (2, 2)|V, (int64(2), 3)"),
    *calls("tile({x}, {reps})", x="A|V|S|E|I|5", reps="0|1|2|(2,)|(2, 3)|(1, 2, 3)|(2, 1, 1, 1)|(0, 2)|()|[2, 2]|"
           "int64(2)|array([1, 2])"),
    *calls("concatenate([{xs}], {axis})", xs="A, A|A, I|A|B, B|D, A|A, E[:, :0]", axis="axis=None"),
    *calls("concatenate([{xs}], {axis})", xs="A, A|A, A[:1]|A, E|A, I|A|B, I|T[0, :, :3], D", axis="0|-2"),
    *calls("concatenate({xs})", xs="[A, A], 1|(A, A[:, :1]), -1|A|A, axis=None|[[1, 2], [3]]|[S, V], None|[E, E]"),
    *calls("stack([{xs}], {axis})", xs="A, A|A, I|A|B, I|E, E", axis="0|1|-1|-3"),
    *calls("stack({xs})", xs="[S, S]|[1, 2.5]|A|[1, 2]|(V, V), -1|[True, False]"),
    *calls("split({x})", x="A, 1|A, 2|A, 3, 1|A, 3, -1|A, [1]|A, [1, 2], 1|A, (1, 1), 1|A, [2, 1], 1|A, [0]|A, [5]|"
           "A, [-1], 1|"
           "A, [], 1|A, int64(3), 1|A, array([1, 2]), 1|E, 2|E, 1, 1|A, [-5, 9], 1|V, 3"),
    *calls("pad({x}, {w})", x="A|I|B", w="0|1|(1,)|(1, 2)|((1, 2),)|((1, 2), (0, 3))|((1,), (2,))|[[1, 2], [3, 4]]|"
           "int64(1)|"
           "array([[1, 2], [0, 1]])|1, constant_values=1|((0, 0), (0, 0))"),
    *calls("pad({x})", x="V, 1|V, (1, 2)|V, ((0, 2),), constant_values=-7.5|S, 0|S, 1|E, 1|I, 1, constant_values=-7"),
    *calls("take({x}, {i}, {axis})", x="A|I", i="0|1|[0, 1]|[[0, 1], [1, 0]]|array([1, 0], 'uint8')|array([], int)|"
           "int64(1)",
           axis="0|1|-1|None|axis=1"),
    *calls("take({x})", x="S, 0, None|E, 2, 1|V, [2, 2, 0], 0|[1, 2, 3], [1], 0|E, 0, axis=1"),
    *calls("{f}({xy})", f="matmul|dot", xy="V, V|A, V|A, A.T|V, A.T|I, I.T|E, A.T|E.T, E|E[:, :0], V[:0]|A, I.T|"
           "[1, 2], [3, 4]|U, U|D, I.T|"
           "T, V[[0, 0, 0, 1]]|V, T|T, T[0].T"),
    *calls("matmul({xy})", xy="T, T.swapaxes(1, 2)|T[:1], T.swapaxes(1, 2)|T, T[:1].swapaxes(1, 2)|"
           "T[:, None], T.swapaxes(1, 2)"),
    *calls("dot({xy})", xy="S, V|3, A|S, S|A, 2.5|T, T.swapaxes(1, 2)"),
    *calls("outer({xy})", xy="V, V|A, V|S, V|3, 4|I, U|E, V|V, [1, 2]"),
    *calls("tensordot({xy})", xy="A, A|A, A.T, 1|A, V, 0|T, T, 3|T, T, ((0, 1), (0, 1))|T, T, ([2], [-1])|"
           "A, A, ((1,), (1,))|"
           "A, A, (0, 0)|A, A.T, (1, 0)|A, A.T, ((0, 1), (1, 0))|A, A, ((), ())|S, A, 0|V, V, 1|A, I, int64(2)|"
           "E, A, ((1,), (1,))"),
    *calls("einsum({args})", args="'ij,jk->ik', A, A.T|'ij,kj->ik', A, A|'ij,ij->', A, A|'ij,j->i', A, V|"
           "'i,j->ij', V, V|"
           "'ij,kl->jk', A, A|'ij,ij->ji', A, A|'ij,ij->j', A, I|'ij , jk -> ik', A, A.T|'ij,ij->', E, E|',->', S, S|"
           "',i->i', S, V|"
           "'bij,bkj->bik', T, T|'ij,i->', A, [1, 2]|'i,i->', U, U"),
    *calls("{f}({s})", f="zeros|ones", s="3|(2, 3)|()|(0,)|[2]|int64(2)|(2, int64(3))|2, 'int32'|2, bool|"
           "2, dtype='float64'"),
    *calls("full({s})", s="2, 1.5|(2, 3), 1.5|(), 0.5|(0, 2), nan|(2, 3), [1.5, 2, 3]|2, True, bool|2, 7, 'int32'|"
           "2, 1.5, 'int32'|"
           "(2, 3), A|int64(2), inf"),
    *calls("{f}({x})", f="zeros_like|ones_like", x="A|I|B|S|3|2.5|True|[1, 2]|E|D|H|U"),
    *calls("arange({a})", a="3|0|-1|1, 4|4, 1|4, 1, -1|0, 10, 3|0, 1, 0.25|3.0|1.5, 4|2.5|int64(3)|5, None|"
           "3, dtype='float32'|"
           "0, 3, 1, dtype='uint8'|2**40, 2**40 + 2, dtype='int64'|0, 1, 0.1"),
]  # fmt: skip

# Both refuse, Millrace with an error of its own.
ERRORS = [
    *calls("{f}({xy})", f="add|multiply|maximum|floor_divide|remainder", xy="U, 1000|U, -1|I, 2**40|A, A.T|A, [1, 2]|"
           "[[1], [2, 3]], 1|A, T"),
    *calls("{f}({xy})", f="equal|less|logical_and|divide", xy="A, A.T|[[1], [2, 3]], 1"),
    *calls("{f}(A, {axis})", f=REDUCTIONS, axis="5|-3|(0, 0)|(0, -2)|1.0|True|'x'|axis=(0, 2)|axis=A"),
    *calls("{f}({x})", f="max|min", x="E|E, 0|E, (0, 1)|[]"),
    *calls("{f}({x})", f="argmax|argmin|cumsum", x="A, 5|A, (0, 1)|A, 1.0|A, (0,)|A, axis=-3"),
    *calls("{f}({x})", f="argmax|argmin", x="E, 0|E, None"),
    *calls("{f}({x}, {axis})", f="count_nonzero|average", x="A", axis="5|(0, 0)|1.5"),
    *calls("average({x})", x="A, weights=[1, 2, 3]|A, weights=2.0|A, 0, [1, 2, 3]|A, (0, 1), [1, 2]|A, 1, [[1, 2, 3]]|"
           "A, (1, 0), T[0]"),
    *calls("reshape({x})", x="A, (4,)|A, (-1, -1)|A, (2.0, 3)|A, 'ab'|A, (-1, 4)|E, (0, -1)|A, 7|S, 2"),
    *calls("transpose(A, {axes})", axes="(0, 3)|(0, 0)|(0,)|0|(1.0, 0)|(0, 1, 2)|(0, -3)"),
    *calls("swapaxes(T, {ab})", ab="0, 5|(0,), 1|0, None|0, 1.0"),
    *calls("moveaxis(T, {ab})", ab="5, 0|0, 5|(0, 0), (1, 2)|(0, 1), 0|(0, 1), (2,)|0, None"),
    *calls("expand_dims(A, {a})", a="3|-4|(0, 0)|None|1.0|(0, 5)"),
    *calls("squeeze({x})", x="O, 1|O, (0, 0)|O, 5|O, 1.0"),
    *calls("flip({x})", x="A, 5|A, (0, 0)|A, 0.0|S, 0"),
    *calls("broadcast_to({x})", x="V, 4|V, (3, 2)|A, 3|V, (-1, 3)|V, (2, 3.0)|V, None|V, ()"),
    *calls("tile({x})", x="A, -1|A, (1, -1)|A, 2.0|A, None|A, (1.5,)"),
    *calls("concatenate({xs})", xs="[]|[A, A], 2|[A, V]|[S, S]|[A, A], 1.0|[A, A], (0,)|[A, T]|[A, A[:1]], 1"),
    *calls("stack({xs})", xs="[]|[A, A[:1]]|[A, A], 5|[A, A], None|[A, A], (0,)"),
    *calls("split({x})", x="A, 0|A, 3|A, -1|A, [1.0]|A, 2, 5|A, 2, 1|S, 1|A, None"),
    *calls("pad({x})", x="A, -1|A, ((-1, 0), (0, 0))|A, 1.5|A, ((1, 2), (3, 4), (5, 6))|A, ()|A, 'a'"),
    *calls("take({x})", x="A, 0, 5|A, 0, (0,)|A, 0, 1.0|E, 0, 0|A, None, 0"),
    *calls("{f}({xy})", f="matmul|dot", xy="A, A|V, A|A, [1, 2]|T, A"),
    *calls("matmul({xy})", xy="S, V|A, 3|T, T"),
    *calls("tensordot({xy})", xy="A, A, 1|A, A, 3|A, A, ((5,), (0,))|A, A, ((0, 0), (0, 1))|A, A, ((0,), (0, 1))|"
           "A, A, 1.0|A, A.T, 2|S, A"),
    *calls("einsum({args})", args="'ij,jk->ik', A, A|'ij,jk->il', A, A.T|'ijk,jk->i', A, A|'ij,ij->ii', A, A|"
           "'ij->i', A, A"),
    *calls("{f}({s})", f="zeros|ones", s="-1|(2, -1)|2.5|(2.5,)|'a'|None|True|2, 'int7'"),
    *calls("full({s})", s="-1, 0|2.5, 0|2, 300, 'uint8'|2, -1, 'uint8'|(2, 2), [1, 2, 3]|2, 0, 'int7'"),
    *calls("arange({a})", a="0, 3, 0|None|'a'|[1, 2]"),
    *calls("clip({args})", args="A, T, 1|U, 300, None"),
    *calls("where({args})", args="B, A, A.T|B, T, 0|[[True], [True, False]], 1, 2"),
    *calls("{f}({x})", f="exp|negative|isnan", x="[[1], [2, 3]]|None|'a'|{}"),
]  # fmt: skip

# Millrace differs on purpose: the call, what it gives or the words of its error, and what its docstring, or that of
# the module for what many share, says of it.
DIFFERS = [
    ("argmax(A)", [2, 2], "last one unless given"),
    ("argmin(A)", [0, 0], "last one unless given"),
    ("cumsum(I)", [[3, 2, 2], [2, 4, -3]], "last one unless given"),
    ("take(A, 1)", [0.5, 1.5, 2.5], "axis is 0 unless"),
    ("take(V, -1, 0)", 0.25, "-1 is the first"),
    ("take(V, 9, 0)", 3, "Positions outside move to the nearest end"),
    ("size(3)", 3, "NumPy's size counts an array's elements"),
    ("size(A)", "takes one dimension", "NumPy's size counts an array's elements"),
    ("clip(V, nan, 1)", [0.25, -1.5, 1], "A bound of NaN is none"),
    ("floor_divide(array([1], 'float32'), array([0.1], 'float32'))", [10], "1 by 0.1 is 10"),
    ("remainder(array([1], 'float32'), array([0.1], 'float32'))", [0], "Of floats it is rounded"),
    ("remainder(V, inf)", [np.nan] * 3, "NaN for an infinite y"),
    ("power(I, 2)", [[9, 1, 0], [4, 4, 49]], "Whole numbers become float32"),
    ("power(2, -1)", 0.5, "Whole numbers become float32"),
    ("reciprocal(4)", 0.25, "whole numbers become float32"),
    ("average(V, weights=[0, 0, 0])", np.nan, "NaN or infinite"),
    ("full(2, 7)", np.float32([7, 7]), "float32 unless a dtype is given"),
    ("einsum('ij,jk', A, A.T)", "does not fit", "an arrow"),
    ("einsum('...j,j->...', A, V)", "does not fit", 'no "..."'),
    ("einsum('ii,ij->j', A[:, :2], A)", "does not fit", "no letter twice"),
    ("einsum('ij,ij->ij', A, A[:1])", "must be equal", "size 1 does not stretch"),
    ("logical_and(6, 3)", 2, "bit by bit on whole numbers"),
    ("logical_or(6, 3)", 7, "bit by bit on whole numbers"),
    ("logical_xor(6, 3)", 5, "bit by bit on whole numbers"),
    ("logical_not(6)", -7, "every bit inverted on whole numbers"),
    ("logical_and(V, V)", "Compare first", "Logic refuses floats"),
    *[(call, "Compare first", "Logic refuses floats") for call in calls("{f}(V)", f="logical_not|any|all")],
    ("where(I, 1, 2)", "Compare first", "the condition of where take booleans alone"),
    ("any(I)", "takes booleans", "the condition of where take booleans alone"),
    *[(f"{f}(I)", ARRAYS["I"].astype("f"), "in floor, ceil and round") for f in ("floor", "ceil", "round")],
    ("sum(U)", 200, "Sums and products of whole numbers keep their dtype, and wrap"),
    ("prod(U)", 56, "Sums and products of whole numbers keep their dtype, and wrap"),
    ("cumsum(U)", [1, 201, 200], "Sums and products of whole numbers keep their dtype, and wrap"),
    *[(f"{f}(B, B)", "takes numbers", "refuse booleans") for f in ("add", "multiply", "maximum", "floor_divide")],
    *[(f"{f}(B)", "takes numbers", "refuse booleans") for f in ("abs", "square")],
    *[(f"{f}(B, B.T)", "a product takes numbers", "refuse booleans") for f in ("matmul", "dot", "outer")],
    *[(f"{f}(E)", "empty axis", "over an empty axis is an error") for f in ("mean", "var", "std", "average")],
    *[(f"{f}(S, 0)", "which has no axes", "an axis of a single number") for f in ("sum", "argmax", "cumsum", "mean")],
    ("sum(A, [0])", [-2, 0, 2], "A list may name axes"),
    ("add(array(1, 'uint64'), int64(1))", "no common whole-number dtype", "uint64 with int64 is an error"),
    ("take(A, 1.5, 0)", "whole-number indices", "positions, whole numbers,"),
    ("pad(U, 1, constant_values=300)", "300 does not fit uint8", "a constant that x's dtype does not hold"),
    ("left_shift(I, 2)", "takes unsigned whole numbers", "shifts take unsigned"),
    ("right_shift(I, 2)", "takes unsigned whole numbers", "shifts take unsigned"),
    ("arange(300, dtype='uint8')", "does not fit uint8", "DTypeError for whole numbers that the dtype does not hold"),
    ("arange(2**40, 2**40 + 1)", "does not fit int32", "DTypeError for whole numbers that the dtype does not hold"),
    ("pad(A, 1, constant_values=(1, 2))", "takes one number", "a constant"),
]  # fmt: skip


def happens(call, module):
    """What a call gives in a module, as arrays, or its error."""
    namespace = {name: getattr(module, name) for name in NAMES} | ARRAYS | OTHERS
    try:
        with warnings.catch_warnings(action="ignore"):
            made = eval(call, namespace)
            each = made if isinstance(made, list) else [made]
            return [np.asarray(x if module is np else mr.evaluate(x)) for x in each]
    except Exception as error:
        return error


def by_name(table):
    """The calls of each function."""
    groups = {}
    for row in table:
        call = row if isinstance(row, str) else row[0]
        groups.setdefault(re.match(r"\w+", call)[0], []).append(row)
    return groups


def as_ours(dtype, call):
    """Millrace's dtype for one of NumPy's: float32 or int32 for the default ones, unless an argument asks for them."""
    asked = {"D": "float64", "'float64'": "float64", "W": "int64", "'int64'": "int64", "H": "float16"}
    if dtype in {asked[name] for name in re.findall(r"\b[DWH]\b|'float64'|'int64'", call)}:
        return dtype
    return {"float64": "float32", "int64": "int32", "float16": "float32"}.get(dtype, dtype)


def same(call, theirs, ours):
    assert not isinstance(theirs, Exception), f"{call}: NumPy says {theirs!r}"
    assert not isinstance(ours, Exception), f"{call}: {ours!r}"
    assert len(ours) == len(theirs), call
    for their, our in zip(theirs, ours, strict=True):
        assert our.shape == their.shape, f"{call}: {our.shape} for NumPy's {their.shape}"
        assert our.dtype.name == as_ours(their.dtype.name, call), f"{call}: {our.dtype} for NumPy's {their.dtype}"
        rough = 2e-3 if their.dtype == np.float16 else 1e-5
        exact = their.dtype.kind in "iub"
        np.testing.assert_allclose(
            our.astype("f8"), their.astype("f8"), rtol=0 if exact else rough, atol=0 if exact else 1e-6, err_msg=call
        )


@pytest.mark.parametrize("name", sorted(by_name(SAME)))
def test_it_does_what_numpy_does(name):
    for call in by_name(SAME)[name]:
        same(call, happens(call, np), happens(call, functional))


@pytest.mark.parametrize("name", sorted(by_name(ERRORS)))
def test_it_refuses_what_numpy_refuses_in_words_of_its_own(name):
    for call in by_name(ERRORS)[name]:
        assert isinstance(happens(call, np), Exception), f"NumPy takes {call}"
        error = happens(call, functional)
        assert isinstance(error, MillraceError), f"{call}: {error!r}"
        assert len(str(error).partition("\n")[0]) < 300, f"{call}: {error}"


@pytest.mark.parametrize("name", sorted(by_name(DIFFERS)))
def test_where_it_differs_its_docstring_says_so(name):
    for call, wanted, said in by_name(DIFFERS)[name]:
        ours, theirs = happens(call, functional), happens(call, np)
        if isinstance(wanted, str):
            assert isinstance(ours, MillraceError), f"{call}: {ours!r}"
            assert wanted in str(ours), f"{call}: {ours}"
        else:
            assert not isinstance(ours, Exception), f"{call}: {ours!r}"
            np.testing.assert_allclose(ours[0], wanted, rtol=1e-6, err_msg=call)
            with pytest.raises(AssertionError):  # else it belongs to the calls that are the same
                same(call, theirs, ours)
        text = " ".join(f"{getattr(functional, name).__doc__} {functional.__doc__}".split())
        assert said in text, f"{call}: no docstring says {said!r}"


def test_every_function_of_numpys_names_is_in_the_tables():
    compared = set(by_name(SAME)) | set(by_name(DIFFERS))
    assert compared == set(NAMES)
