"""Files that `torch.save` wrote, read without PyTorch, and without running anything that is in them.

Such a file is a zip archive: `data.pkl` says in pickle's language which tensors there are, `data/0`, `data/1` and so
on are their numbers. Pickle can name any function and have it called, so this reads the few instructions that a
state_dict consists of, itself, and refuses every other one by name.

Source: pickletools (pickle's instructions); PyTorch's serialization notes.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from millrace.inference.torch_pickle import Tensor, unpickled
from millrace.ir.errors import FileError

LARGEST_PICKLE = 2**23  # bytes: ResNet-50's has 30,000; a million instructions take half a second
MOST_VIEWS = 64  # times what the file has, of all its tensors together: tied weights are there twice
ENTRIES = 200_000  # of an archive
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # the number that PyTorch's files before 1.6 begin with, as pickle has it
ASK = "In PyTorch: torch.save(model.state_dict(), 'weights.pt')."
# Where checkpoints keep the network's weights, what is looked for first in front.
PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "model_ema")
DTYPES = {
    "DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a state_dict by name, in its order, from a file that `torch.save` wrote.

    A checkpoint that holds a state_dict among other things, under "state_dict" or "model" for example, gives that.

    Raises FileError for a missing, damaged or hostile file, for one that holds other things than a state_dict, such
    as a whole module, and for the format before PyTorch 1.6.
    """
    path = Path(path)
    with archive_of(path) as archive:
        files = Files(path, archive)
        found = state_in(unpickled(files.read(files.pickle), path), path)
        arrays = {name: files.array(tensor, name) for name, tensor in found.items()}
        size = sum(array.nbytes for array in arrays.values())
        if size > MOST_VIEWS * files.size:
            raise FileError(f"{path}: its tensors show the same numbers again and again, {size:,} bytes in all. {ASK}")
        return arrays


def archive_of(path: Path) -> zipfile.ZipFile:
    """The file as an archive.  Raises FileError that says what it is instead."""
    if not path.is_file():
        raise FileError(
            f"{path} {'is a directory' if path.is_dir() else 'does not exist'}: expected a file of PyTorch."
        )
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if not start.startswith(b"PK"):
            if LEGACY in start:
                raise FileError(
                    f"{path} is in the format that PyTorch wrote before version 1.6. In PyTorch: "
                    "torch.save(torch.load(path, weights_only=True), 'new.pt')."
                )
            raise FileError(f"{path} is no file of torch.save: it is no zip archive. {ASK}")
        return zipfile.ZipFile(path)
    except PermissionError:
        raise FileError(f"{path} cannot be read: permission denied.") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, struct.error) as error:
        raise FileError(f"{path} is damaged: its archive cannot be read ({error!s:.100}).") from None


class Files:
    """The entries of an archive, each as large as it says or refused."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self.archive = path, archive
        self.storages: dict[str, bytes] = {}
        self.flat: dict[tuple[str, np.dtype[Any]], np.ndarray] = {}
        entries = archive.infolist()
        self.size = path.stat().st_size
        if len(entries) > ENTRIES:
            raise FileError(f"{path} has {len(entries):,} entries: no state_dict needs so many.")
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) < len(entries):
            raise FileError(f"{path} is damaged: two of its entries have one name.")
        if any(name.split("/")[-1] == "constants.pkl" for name in self.entries):
            raise FileError(f"{path} is a TorchScript program, not weights. {ASK}")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise FileError(f"{path}: its entry {entry.filename!r:.80} is compressed, which torch.save never does.")
            if entry.file_size != entry.compress_size or entry.header_offset + entry.file_size > self.size:
                raise FileError(
                    f"{path} is damaged: its entry {entry.filename!r:.80} is said to be larger than the file."
                )
        if sum(entry.file_size for entry in entries) > self.size:
            raise FileError(f"{path} is damaged: its entries overlap.")
        self.pickle = self._pickle()
        self.root = self.pickle.removesuffix("data.pkl")
        order = self.root + "byteorder"
        self.big = order in self.entries and self.read(order).strip() == b"big"

    def _pickle(self) -> str:
        names = [name for name in self.entries if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(names) != 1:
            raise FileError(f"{self.path} is no file of torch.save: its archive has no data.pkl. {ASK}")
        if self.entries[names[0]].file_size > LARGEST_PICKLE:
            raise FileError(f"{self.path}: {names[0]!r} is larger than {LARGEST_PICKLE:,} bytes. {ASK}")
        return names[0]

    def read(self, name: str) -> bytes:
        """The bytes of an entry.  Raises FileError for one that is missing or damaged."""
        if name not in self.entries:
            raise FileError(f"{self.path} is damaged: its entry {name!r:.80} is missing.")
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, struct.error) as error:
            raise FileError(
                f"{self.path} is damaged: its entry {name!r:.80} cannot be read ({error!s:.100})."
            ) from None

    def array(self, tensor: Tensor, name: str) -> np.ndarray:
        """The numbers of a tensor, read-only.  Raises FileError where they are not all in the file."""
        storage = tensor.storage
        if storage.kind not in DTYPES:
            raise FileError(
                f"{self.path}: {name!r:.80} is of PyTorch's {storage.kind}, whose numbers are not read here."
            )
        dtype = np.dtype(DTYPES[storage.kind])
        if storage.key not in self.storages:
            self.storages[storage.key] = self.read(f"{self.root}data/{storage.key}")
        if math.prod(tensor.shape) == 0 and fits(tensor, 0):
            return np.zeros(tensor.shape, dtype)
        held = len(self.storages[storage.key]) // dtype.itemsize
        if not fits(tensor, min(held, storage.count)):
            raise FileError(
                f"{self.path} is damaged: {name!r:.80} is said to be {list(tensor.shape)} with strides "
                f"{list(tensor.strides)} from {tensor.offset} on, in a storage of {min(held, storage.count):,} numbers."
            )
        strides = [stride * dtype.itemsize for stride in tensor.strides]
        start = self.numbers(storage.key, dtype, held)[tensor.offset :]
        return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)

    def numbers(self, key: str, dtype: np.dtype[Any], held: int) -> np.ndarray:
        """A storage as one array. Tensors are views of it: a file that names one a million times costs no memory."""
        if (key, dtype) not in self.flat:
            found = np.frombuffer(self.storages[key], np.uint8, held * dtype.itemsize)
            flat = (found != 0) if dtype == np.bool_ else found.view(dtype)
            self.flat[key, dtype] = flat.byteswap() if self.big else flat
        return self.flat[key, dtype]


def fits(tensor: Tensor, held: int) -> bool:
    """Whether all numbers of a tensor are among the `held` ones of its storage, each once at most."""
    if len(tensor.shape) != len(tensor.strides) or len(tensor.shape) > 32:
        return False
    if min((*tensor.shape, *tensor.strides, tensor.offset), default=0) < 0:
        return False
    count = math.prod(tensor.shape)
    if count == 0:
        return max(tensor.shape) < 2**31
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    return count <= held and last < held


def state_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state_dict that a file's content is, or that it holds.  Raises FileError where there is none, or several."""
    if is_state(content):
        return tensors_of(content)
    if isinstance(content, Tensor):
        raise FileError(f"{path} holds one tensor, not a state_dict. {ASK}")
    if not isinstance(content, Mapping):
        raise FileError(f"{path} holds a {type(content).__name__}, not a state_dict. {ASK}")
    held = {str(name): value for name, value in content.items() if is_state(value)}
    for name in PLACES:
        if name in held:
            return tensors_of(held[name])
    if len(held) == 1:
        return tensors_of(next(iter(held.values())))
    if held:
        raise FileError(
            f"{path} holds several state_dicts ({told(held)}). Keep one, in PyTorch: "
            f"torch.save(torch.load(path)[{next(iter(held))!r}], 'weights.pt')."
        )
    raise FileError(f"{path} holds no state_dict, but {told(content)}. {ASK}")


def is_state(content: Any) -> bool:
    """Whether this is a mapping from names to tensors."""
    if not isinstance(content, Mapping):
        return False
    values = [value for name, value in content.items() if not str(name).endswith("_extra_state")]
    return bool(values) and all(isinstance(v, Tensor) for v in values) and all(isinstance(n, str) for n in content)


def tensors_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def told(content: Mapping[Any, Any]) -> str:
    """The first keys of a mapping, for an error."""
    names = [f"{name!r:.30}" for name in list(content)[:5]]
    return (", ".join(names) + (" ..." if len(content) > 5 else "")) or "nothing"
