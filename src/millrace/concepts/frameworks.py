"""`frameworks`: which room of Millrace holds what TensorFlow, PyTorch, Keras and XLA call by other names."""

from __future__ import annotations

from collections.abc import Callable

from millrace.concepts.concept import Concept, Finding
from millrace.explain.pages import Listing, Part, Text
from millrace.words import words

FRAMEWORKS = ("tensorflow", "pytorch", "keras", "xla")


def rows(framework: str, language: str) -> list[list[str]]:
    """What a framework calls it, the room of Millrace that holds it, and what differs: a row a part."""
    table = words("concepts", language)["frameworks"]
    keys = [key for key in table if key.startswith(f"{framework}_")]
    return [[cell.strip() for cell in table[key].split("|")] for key in keys]


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """The tables; nothing is measured."""
    table = words("concepts", language)["frameworks"]
    parts: list[Part] = []
    for framework in FRAMEWORKS:
        parts.append(Text(table[framework]))
        parts.append(Listing([table["column_0"], table["column_1"], table["column_2"]], rows(framework, language)))
    return Finding("found", {"count": len(FRAMEWORKS)}, parts)


FRAMEWORKS_CONCEPT = Concept(
    "frameworks",
    experiment,
    see=("dataflow-graph", "symbolic-differentiation", "compiler"),
    also=("tensorflow", "pytorch", "keras", "xla", "jax"),
)
