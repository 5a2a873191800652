"""What may be packed where: a new folder, an empty one, or one that was begun with the same pictures and arguments."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.holding import PARTIAL, put
from millrace.data.image_folder import ImageFolder
from millrace.data.packed import FORMAT, INDEX, PACK, UNFINISHED, read_description
from millrace.data.shard import NO_LABEL
from millrace.ir.errors import FileError

LOCK = "packing.lock"
OURS = re.compile(rf"({re.escape(LOCK)}|({PACK}|{UNFINISHED}|{INDEX})({re.escape(PARTIAL)})?|records-\d{{5,}}\.bin)")
ANEW = "choose another folder, or remove this one to start anew."
MEANING = {
    "format": "another format", "name": "a folder of another name", "classes": "other classes",
    "resize": "another --resize", "quality": "another --quality",
    "tools": "other versions of what decodes and encodes", "fingerprint": "other files (by name or size)",
}  # fmt: skip


def installed(package: str) -> str:
    """A package's version; "none" where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def settings(source: ImageFolder, resize: int | None, quality: int) -> dict[str, Any]:
    """All that decides what a pack holds."""
    tools = ", ".join(f"{name} {installed(name)}" for name in ("pillow", "simplejpeg", "cykooz-resizer"))
    return {
        "format": FORMAT,
        "name": source.name,
        "classes": list(source.classes),
        "resize": resize,
        "quality": None if resize is None else quality,
        "tools": None if resize is None else tools,
        "fingerprint": fingerprint(source.root, source.paths, source.labels),
    }


def fingerprint(root: Path, paths: Sequence[str], labels: np.ndarray) -> str:
    """SHA-256 of a list of files: label, size and name of each; size -1 where the system does not tell it."""
    digest = hashlib.sha256()
    for number, path in enumerate(paths):
        try:
            size = os.stat(root / path).st_size
        except OSError:
            size = -1
        label = int(labels[number]) if len(labels) else NO_LABEL
        digest.update(f"{label} {size} {path}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def check_place(root: Path, out: Path) -> None:
    """Raises FileError for a place that is no folder, lies in the one to pack, or holds anything else."""
    if out.exists() and not out.is_dir():
        raise FileError(f"{out} is a file: give a folder to pack into.")
    if out.resolve().is_relative_to(root.resolve()):
        raise FileError(f"{out} lies in {root}, which is to be packed: give a folder outside it.")
    try:
        entries = sorted(os.listdir(out)) if out.exists() else []
    except OSError as error:
        raise FileError(f"{out} cannot be listed: {error.strerror or error}.") from None
    ours = PACK in entries or UNFINISHED in entries or not any(one.endswith(".bin") for one in entries)
    foreign = [one for one in entries if not ours or not OURS.fullmatch(one)]
    if foreign:
        more = f" and {len(foreign) - 3:,} more" if len(foreign) > 3 else ""
        raise FileError(f"{out} holds other files ({', '.join(foreign[:3])}{more}): give a new or an empty folder.")


def begin(out: Path, wanted: Mapping[str, Any]) -> None:
    """Write down what is to be packed, or make sure that it is what was begun here.  Raises FileError, OSError."""
    path = out / UNFINISHED
    if not path.exists():
        put(path, (json.dumps(wanted, indent=1) + "\n").encode())
        return
    try:
        begun = json.loads(path.read_bytes())
        differs = _difference(begun, wanted)
    except (ValueError, AttributeError):
        raise FileError(f"{path} is damaged: {ANEW}") from None
    if differs:
        raise FileError(f"a pack in {out} was begun with {differs}: {ANEW}")


def check_finished(out: Path, wanted: Mapping[str, Any]) -> None:
    """Raises FileError where the pack that is there is another one."""
    if differs := _difference(read_description(out), wanted):
        raise FileError(f"{out} holds a pack already, with {differs}: {ANEW}")


def _difference(begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return " and ".join(
        MEANING[key] + (f" ({begun.get(key)} there, {value} here)" if key in ("resize", "quality") else "")
        for key, value in wanted.items()
        if begun.get(key) != value
    )
