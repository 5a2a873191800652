"""Pieces of LaTeX, and an operation's text notation turned into them.

Only commands that `latex2mathml` and every LaTeX with amsmath know: it is set on pages without a script.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from millrace.ir.formula import ATOM, POWER, PRODUCT, SUM, Term

FUNCTIONS = frozenset({"exp", "log", "sin", "cos", "tanh", "max", "min"})  # commands of their own
GREEK = frozenset(re.findall(r"\w+", """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega
"""))  # fmt: skip
SYMBOLS = {
    "*": r"\cdot", "==": "=", "!=": r"\ne", "<=": r"\le", ">=": r"\ge", "&": r"\land", "|": r"\lor", "<<": r"\ll",
    ">>": r"\gg", "<-": r"\gets",
}  # fmt: skip
MARK = 0xE000  # private characters that stand for operands while a notation is read
PIECE = re.compile(r"[\ue000-\uf8ff]|[^\W\d][\w/]*|\d+(?:\.\d+)?(?:e[-+]?\d+)?|==|!=|<=|>=|<<|>>|<-|\s+|.", re.S)


def upright(name: str) -> str:
    """A name in upright letters, for what is written out: a function, a dtype, a variable with a long name."""
    return rf"\mathrm{{{escaped(name)}}}"


def escaped(text: str) -> str:
    r"""The characters that LaTeX takes for commands, as it prints them."""
    special = {"\\": r"\backslash ", "~": r"\sim ", "^": r"\hat{}"}
    return re.sub(r"[\\~^_%#&${}]", lambda found: special.get(found[0], rf"\{found[0]}"), text)


def symbol(name: str) -> str:
    """A variable's name: one letter in italics, a Greek one as it is written, a number at its end below the line."""
    stem, number = re.fullmatch(r"(.*?)_?(\d*)", name, re.S).groups()  # type: ignore[union-attr]
    if stem in GREEK or re.fullmatch(r"[A-Za-z]", stem):
        letter = rf"\{stem}" if stem in GREEK else stem
        return f"{letter}_{{{number}}}" if number else letter
    return upright(name)


def number(text: str) -> str:
    """A number as Python prints it: 1e-05 becomes a power of ten."""
    if text.lstrip("-") in ("inf", "nan"):
        return text.replace("inf", r"\infty").replace("nan", upright("NaN"))
    mantissa, _, exponent = text.partition("e")
    power = f"10^{{{int(exponent)}}}" if exponent else ""
    return rf"{mantissa} \times {power}" if power else text


def enclosed(text: str, level: int) -> str:
    r"""`text` as an operand where `level` is the loosest that needs no parentheses."""
    return rf"\left({text}\right)" if getattr(text, "level", ATOM) > level else str(text)


def called(name: str, *arguments: str, below: str = "") -> str:
    """A function on arguments; below: what stands at its foot, such as the axes that it folds."""
    plain = name.isalpha() and name.isascii()
    head = rf"\{name}" if name in FUNCTIONS else rf"\operatorname{{{name}}}" if plain else upright(name)
    foot = f"_{{{below}}}" if below else ""
    return rf"{head}{foot}\left({', '.join(arguments)}\right)"


def axes_below(axes: int | tuple[int, ...]) -> str:
    """Axes as the foot of a function."""
    listed = (axes,) if isinstance(axes, int) else axes
    return rf"{upright('axis')}\,{','.join(map(str, listed))}" if listed else ""


def from_notation(notation: Callable[..., str], operands: tuple[str, ...]) -> str:
    """What an operation prints among mathematics, set in LaTeX: its own words, symbols and parentheses.

    notation: a method `Op.notation`; operands: LaTeX, which may stand in it any number of times.
    """
    marks = tuple(Term(chr(MARK + n), getattr(x, "level", ATOM)) for n, x in enumerate(operands))
    written = notation(*marks)
    by_mark = dict(zip(map(str, marks), map(str, operands), strict=True))
    pieces = PIECE.findall(str(written))
    around = zip(["", *pieces[:-1]], pieces, [*pieces[1:], ""], strict=True)
    typeset = (_piece(before, piece, after, by_mark) for before, piece, after in around)
    return Term("".join(typeset), getattr(written, "level", ATOM))


def _piece(before: str, piece: str, following: str, by_mark: dict[str, str]) -> str:
    if piece in by_mark:
        return by_mark[piece]
    if piece in SYMBOLS:
        return f"{SYMBOLS[piece]} " if following.isalnum() else SYMBOLS[piece]
    if piece in "([":
        return rf"\left{piece}"
    if piece in ")]":
        return rf"\right{piece}"
    if piece.isspace():
        return r"\ " if following[:1].isalnum() or (before[-1:].isalnum() and following not in SYMBOLS) else " "
    if piece[0].isdigit() or piece in ("inf", "nan"):
        return number(piece)
    if re.fullmatch(r"[^\W\d][\w/]*", piece):
        is_function = following == "(" and piece.isalpha() and piece.isascii()
        if is_function:
            return rf"\{piece}" if piece in FUNCTIONS else rf"\operatorname{{{piece}}}"
        return symbol(piece)
    return {"'": "", '"': ""}.get(piece, escaped(piece))


def quotient(above: str, below: str) -> Term:
    """A fraction."""
    return Term(rf"\frac{{{above}}}{{{below}}}", PRODUCT)


def chosen(condition: str, x: str, y: str) -> Term:
    """x where the condition holds, else y. A y that is chosen itself goes on below, under one brace."""
    start, end = r"\begin{cases} ", r" \end{cases}"
    alone = y.startswith(start) and y.endswith(end) and y.count(start) == 1
    below = y[len(start) : -len(end)] if alone else rf"{y} & \text{{else}}"
    return Term(rf"{start}{x} & {condition} \\ {below}{end}", SUM)


def rows(*lines: str) -> str:
    """Several lines of mathematics under each other."""
    return "".join((r"\begin{array}{l} ", r" \\ ".join(lines), r" \end{array}")) if len(lines) > 1 else lines[0]


def raised(base: str, exponent: str) -> Term:
    """A power."""
    return Term(rf"{enclosed(base, ATOM)}^{{{exponent}}}", POWER)


def transposed(matrix: str) -> Term:
    """A matrix with rows for columns."""
    return Term(rf"{enclosed(matrix, ATOM)}^{{\top}}", POWER)
