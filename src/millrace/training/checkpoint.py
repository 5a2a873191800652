"""Writing and reading arrays with what they mean: whole or not at all.

A file is written beside its place, flushed to the disk, and moved there in one step, so a full disk or a
kill leaves the earlier one untouched. Checksums tell a damaged file from a good one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.holding import PARTIAL, put
from millrace.ir.errors import ArgumentError, FileError

FORMAT = 2  # 1 had one SHA-256 over everything
SUMS = ("check", "crc32", "sha256")
# What the safetensors format calls the dtypes.
DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip


FOREIGN = (  # the endings of other formats
    ".h5", ".hdf5", ".keras", ".pt", ".pth", ".ckpt", ".pkl", ".onnx", ".npy", ".npz", ".stablehlo", ".tflite", ".pb",
)  # fmt: skip
ELSEWHERE = "Choose another place."
ADVICE = {  # what to do where the system refuses to write
    errno.ENOSPC: "Free some space or choose another place.",
    errno.EDQUOT: "Free some space or choose another place.",
    errno.EACCES: "Ask for the right to write there, or choose another place.",
    errno.EPERM: "Ask for the right to write there, or choose another place.",
    errno.EROFS: "Nothing can be written on that disk: choose another place.",
    errno.EEXIST: "A part of the path is a file where a folder is needed: choose another place.",
    errno.ENOTDIR: "A part of the path is a file where a folder is needed: choose another place.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}


class DamagedError(FileError):
    """A file whose content is not what was written."""


def check_ending(path: str | Path) -> None:
    """Raise ArgumentError for a file called as another program's: the next reader would take it for one."""
    foreign = Path(path).suffix.lower()
    if foreign in FOREIGN:
        raise ArgumentError(
            f"{path}: Millrace writes safetensors files, and {foreign} names another format. Call it "
            f"{Path(path).with_suffix('.safetensors').name}."
        )


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Put a file that consists of `parts` at `path`, all of it or none of it.

    Raises FileError that says why and what became of the earlier file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, *parts, partial=temporary)
    except OSError as error:
        if path.is_dir():
            raise FileError(f"cannot write {path}: it is a folder. Give a file.") from None
        kept = f"The earlier {path.name} is untouched." if path.exists() else "Nothing was written."
        size = sum(len(part) for part in parts)
        raise FileError(
            f"cannot write {path} ({size:,} bytes): {error.strerror or error}. {kept} "
            f"{ADVICE.get(error.errno or 0, ELSEWHERE)}"
        ) from None


def remove_partial(directory: Path) -> None:
    """Remove what a kill left half written. Call it where nobody else writes."""
    for left in directory.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            left.unlink()


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Arrays by name, and what they are about, as one safetensors file.

    Raises FileError where it cannot be written; the earlier file then stays.
    Source: the safetensors format; its metadata holds `about` as JSON under "millrace".
    """
    write_whole(Path(path), *packed(arrays, about))


def packed(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The parts of a safetensors file, one after another; those of arrays are their own memory, not copies.

    The library's `save_file` would do as well, but what it leaves half written after a kill has names of its own
    (safetensors 0.8), which cannot be told from anybody else's files.
    """
    # the widest numbers first, so that all lie aligned; an array that does not lie in C order is copied
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    kept = {name: np.asarray(arrays[name], order="C") for name in names}
    said = {key: value for key, value in about.items() if key not in SUMS}  # it may come from another file
    said |= {"format": FORMAT, "crc32": {name: array_checksum(name, kept[name]) for name in names}}
    entries: dict[str, Any] = {"__metadata__": {"millrace": checked_text(said)}}
    end = 0
    for name, array in kept.items():
        start, end = end, end + array.nbytes
        entries[name] = {
            "dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end],
        }  # fmt: skip
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return [len(header).to_bytes(8, "little"), header, *(memory_of(array) for array in kept.values())]


def memory_of(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order, where they lie."""
    return array.reshape(-1).view(np.uint8).data


def array_checksum(name: str, array: np.ndarray) -> str:
    """CRC-32 of an array with its name and type.

    Against damage, not against an opponent: 0.06 s for 250 MB, SHA-256 0.14 s (one core, with instructions for it).
    """
    kind = f"{name} {array.dtype} {array.shape}\n".encode()
    return f"{zlib.crc32(memory_of(array), zlib.crc32(kind)):08x}"


def checked_text(said: Mapping[str, Any]) -> str:
    """A description as JSON that ends with the checksum of what comes before it."""
    check = f"{zlib.crc32(json.dumps(said).encode()):08x}"
    return json.dumps({**said, "check": check})


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote: the arrays, and what they are about. No code of the file is run.

    Raises DamagedError for a damaged or foreign file, FileError for a missing one or one of a later format.
    """
    arrays, about = arrays_of(path)
    if about is None:
        raise DamagedError(f"{path} holds arrays, but does not say what they are: Millrace did not write it.")
    return arrays, about


def arrays_of(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """The arrays of any safetensors file, and what Millrace wrote of them; None where somebody else wrote it.

    Raises as `load_arrays` does.
    """
    arrays, metadata = _read(Path(path))
    if "millrace" not in metadata:
        return arrays, None
    try:
        about = json.loads(metadata["millrace"])
        whole = isinstance(about, dict) and type(about.get("format")) is int
        as_written = whole and is_as_written(about, metadata["millrace"], arrays)
    except (ValueError, RecursionError):
        raise DamagedError(f"{path} holds arrays, but does not say what they are: Millrace did not write it.") from None
    if not whole:
        raise DamagedError(f"{path} does not say its format: Millrace did not write it.")
    if not as_written:
        exported = about.get("kind") == "predictor"
        again = "Export it again." if exported else "Take an earlier checkpoint, or train again."
        raise DamagedError(f"{path} is damaged: its checksum does not match. {again}")
    if about["format"] > FORMAT:
        later = f"{about['format']:,}"[:20]
        raise FileError(f"{path} has format {later}, this Millrace reads up to {FORMAT}: update Millrace.")
    return arrays, about


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file and its metadata."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():  # nor a pipe or a device, which may never end
        kind = "is a directory" if path.is_dir() else "is no file" if path.exists() else "does not exist"
        raise FileError(f"{path} {kind}: expected a file that model.save or millrace train wrote.")
    if path.suffix.lower() == ".onnx" and not is_safetensors(path):
        raise FileError(
            f"{path} is an ONNX model by its name, and this reads what model.save or millrace train wrote. "
            "millrace.inference.opened opens ONNX models."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - no mapping
    except PermissionError:
        raise FileError(f"{path} cannot be read: permission denied.") from None
    except MemoryError:
        raise FileError(f"{path} does not fit into memory.") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(
            f"{path} is damaged or no safetensors file ({error}). Take an earlier checkpoint, or train again; a file "
            "that was exported, export again."
        ) from None


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as a safetensors file does: the length of its header, and the header."""
    try:
        with path.open("rb") as file:
            length, start = int.from_bytes(file.read(8), "little"), file.read(1)
    except OSError:
        return False
    return start == b"{" and length < path.stat().st_size


def is_as_written(about: dict[str, Any], text: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a description and its arrays are what was written; of a later format, whether the description is."""
    if about["format"] < 2:
        # written again, the description must be the same text: a digit that rounding hides is damage too
        return about.get("sha256") == first_checksum(arrays, about) and json.dumps(about) == text
    said = {key: value for key, value in about.items() if key != "check"}
    if checked_text(said) != text:
        return False
    return about["format"] > FORMAT or about.get("crc32") == {
        name: array_checksum(name, array) for name, array in arrays.items()
    }


def first_checksum(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """The one checksum of a file of format 1, for the arrays and for what is said of them."""
    said = {key: value for key, value in about.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
