"""Writing and reading arrays with what they mean: whole or not at all.

A file is written beside its place, flushed to the disk, and moved there in one step, so a full disk or a
kill leaves the earlier one untouched. A checksum tells a damaged file from a good one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from millrace.ir.errors import FileError

FORMAT = 1


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path`, all of it or none of it.

    Raises FileError that says why and what became of the earlier file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        kept = f"The earlier {path.name} is untouched." if path.exists() else "Nothing was written."
        raise FileError(
            f"cannot write {path} ({len(content):,} bytes): {error.strerror or error}. {kept} "
            "Free some space or choose another place."
        ) from None


def checksum(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """One number for the arrays and for what is said of them."""
    said = {key: value for key, value in about.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())  # in C order, however the array lies in memory
    return digest.hexdigest()


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Arrays by name, and what they are about, as one safetensors file.

    Raises FileError where it cannot be written; the earlier file then stays.
    Source: the safetensors format; its metadata holds `about` as JSON under "millrace".
    """
    from safetensors.numpy import save

    kept = {name: np.array(array, order="C") for name, array in arrays.items()}  # others would be scrambled
    said = {**about, "format": FORMAT}
    header = {"millrace": json.dumps({**said, "sha256": checksum(kept, said)})}
    write_whole(Path(path), save(kept, metadata=header))


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote: the arrays, and what they are about. No code of the file is run.

    Raises FileError for a missing, damaged, or foreign file, or one of a later format.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        kind = "is a directory" if path.is_dir() else "does not exist"
        raise FileError(f"{path} {kind}: expected a file that model.save or millrace train wrote.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path} is damaged or no safetensors file ({error}). Take an earlier checkpoint, or train again."
        ) from None
    try:
        about = json.loads(metadata["millrace"])
    except (KeyError, ValueError):
        raise FileError(f"{path} holds arrays, but does not say what they are: Millrace did not write it.") from None
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise FileError(f"{path} does not say its format: Millrace did not write it.")
    if about["format"] > FORMAT:
        raise FileError(f"{path} has format {about['format']}, this Millrace reads up to {FORMAT}: update Millrace.")
    # written again, the description must be the same text: a digit that rounding hides is damage too
    if about.get("sha256") != checksum(arrays, about) or json.dumps(about) != metadata["millrace"]:
        raise FileError(f"{path} is damaged: its checksum does not match. Take an earlier checkpoint, or train again.")
    return arrays, about
