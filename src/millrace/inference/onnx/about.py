"""What an ONNX file says of its model besides the graph."""

from __future__ import annotations

import json

from millrace.inference.onnx.reading import Read
from millrace.inference.predictor import About
from millrace.inference.saved import about_from
from millrace.ir.errors import FileError

KEY = "millrace"  # among the file's metadata: About as JSON


def about_of(read: Read) -> About:
    """What the file says, where Millrace wrote it; the name alone of any other, and of one that is damaged there."""
    texts = {entry.key: entry.value for entry in read.model.metadata_props}
    try:
        return about_from(json.loads(texts.get(KEY, "")))
    except (ValueError, RecursionError, FileError):
        return About(read.name)
