"""The small part of Python's syntax that texts of graphs and types are written in, read within bounds.

Python's parser makes a tree of these texts, and runs nothing. But it takes any Python, and a text that nests deeply
enough is more than its stack holds. So a text is split into tokens first: names, numbers, strings, and the few signs
that a graph needs. What is left nests no deeper than `DEPTH`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from millrace.ir.errors import GraphError

DEPTH = 40  # brackets within brackets; what Millrace writes has 6
CHAIN = 100  # signs and calls one after another between two commas
# No way back into what has been matched (*+), so that the time is proportional to the text.
_ESCAPE = r"\\(?:[\\'\"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"  # those that repr writes
STRING = "|".join(rf"{quote}[^{quote}\\]*+(?:{_ESCAPE}[^{quote}\\]*+)*+{quote}" for quote in "'\"")
_TOKEN = re.compile(rf"[ \t]*+(?:(?P<string>{STRING})|(?P<word>\d\w*+(?:\.\w*+)?|\w++)|(?P<sign>[-+*=,:()\[\]]))")
_PAIRS = {")": "(", "]": "["}


def tokens(source: str) -> Iterator[tuple[str, int, int]]:
    """Each token of an expression with where it ends and how many brackets are open before it.

    Raises GraphError for what no graph has, and for what nests or goes on beyond the bounds.
    """
    at, last = 0, ","
    opened: list[str] = []
    chains = [0]
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            if not source[at:].strip():
                return
            raise GraphError(f"{source[at : at + 20]!r} stands where a name, a number, a string or a sign is expected")
        kind, token, at = match.lastgroup, match[match.lastgroup or 0], match.end()
        ended = last in (")", "]", "operand")
        if kind != "sign":
            if ended:
                raise GraphError(f"a comma or a sign is missing before {token[:20]!r}")
            yield token, at, len(opened)
            last = "operand"
            continue
        yield token, at, len(opened)
        if token in "([":
            if token == "[" and ended:
                raise GraphError("nothing is picked out with [...] in a graph")
            chains[-1] += ended
            opened.append(token)
            chains.append(0)
        elif token in _PAIRS:
            if not opened or opened.pop() != _PAIRS[token]:
                raise GraphError(f"a {token!r} closes nothing")
            chains.pop()
        elif token == ",":
            chains[-1] = 0
        else:
            chains[-1] += 1
        if len(opened) > DEPTH or chains[-1] > CHAIN:
            raise GraphError(f"it nests more than {DEPTH} deep, or has more than {CHAIN} signs in a row")
        last = token
    if opened:
        raise GraphError(f"a {opened[-1]!r} is not closed")


def expression(source: str) -> ast.expr:
    """The syntax tree of an expression; nothing is run.  Raises GraphError where it is none, or out of bounds."""
    for _ in tokens(source):
        pass
    return tree_of(source)


def tree_of(source: str) -> ast.expr:
    """The syntax tree of what `tokens` found to be within bounds.  Raises GraphError where it is no expression."""
    try:
        return ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise GraphError(f"this is not an expression ({str(error)[:200]})") from None


def until_colon(text: str) -> tuple[str, str]:
    """What stands before the first colon outside of brackets and strings, and what comes after it."""
    for token, end, depth in tokens(text):
        if token == ":" and not depth:
            return text[: end - 1], text[end:]
    raise GraphError("a ':' with the types is missing")


def printable(text: str, limit: int | None = None) -> str:
    """At most `limit` characters of a foreign text, fit for any terminal: what controls it is written as an escape."""
    return "".join(c if c.isprintable() or c in "\n\xa0\u3000" else repr(c)[1:-1] for c in text[:limit])
