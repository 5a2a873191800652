"""What an ONNX file says of its model besides the graph."""

from __future__ import annotations

import json
from typing import Any

from millrace.inference.onnx.reading import Read
from millrace.inference.onnx.tensors import metadata
from millrace.inference.predictor import About

KEY = "millrace"  # among the file's metadata: About as JSON
MOST_TEXT = 2**24  # characters


def about_of(read: Read) -> About:
    """What the file says, where it was written by Millrace; else the name alone. What does not fit is passed over."""
    text = metadata(read.model).get(KEY, "")
    try:
        said = json.loads(text) if 0 < len(text) <= MOST_TEXT else {}
    except (ValueError, RecursionError):
        said = {}
    if not isinstance(said, dict):
        said = {}
    return About(
        name=_text(said.get("name")) or read.name,
        classes=_texts(said.get("classes")),
        vocabulary=_texts(said.get("vocabulary")),
        recipe=_text(said.get("recipe")),
        settings=_plain(said.get("settings")),
        precision=_text(said.get("precision")) or "float32",
        measured={key: value for key, value in _plain(said.get("measured")).items() if isinstance(value, (int, float))},
    )


def _text(given: Any) -> str:
    return given if isinstance(given, str) and len(given) <= 1000 else ""


def _texts(given: Any) -> tuple[str, ...]:
    fits = isinstance(given, list) and all(isinstance(text, str) for text in given)
    return tuple(given) if fits else ()


def _plain(given: Any) -> dict[str, Any]:
    """Settings: numbers and words, and lists of them."""
    if not isinstance(given, dict):
        return {}
    simple = (bool, int, float, str, type(None))
    return {
        key: value
        for key, value in given.items()
        if isinstance(value, simple) or (isinstance(value, list) and all(isinstance(item, simple) for item in value))
    }
