"""The folder of data sets, named by the environment variable MILLRACE_DATA, and what belongs into it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from millrace.ir.errors import FileError, one_of

VARIABLE = "MILLRACE_DATA"


@dataclass(frozen=True)
class Published:
    """A data set as its publisher gives it out: its folder, the files in it, and where it comes from."""

    folder: str
    files: tuple[str, ...]
    source: str

    def wanted(self, where: str) -> str:
        return f"Put {', '.join(self.files)} into {where}, as published: {self.source}."


PUBLISHED = {
    "mnist": Published(
        "mnist",
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        ),
        "Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist",
    ),
    "fashion_mnist": Published(
        "fashion_mnist",
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        ),
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, Zalando 2017, "
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    "cifar10": Published(
        "cifar10/cifar-10-batches-bin",
        (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"),
        "A. Krizhevsky, CIFAR-10 (binary version), Toronto 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "tinyshakespeare": Published(
        "tinyshakespeare",
        ("input.txt",),
        "A. Karpathy, tinyshakespeare, https://github.com/karpathy/char-rnn (data/tinyshakespeare)",
    ),
    "rt_polarity": Published(
        "rt_polarity",
        ("rt-polarity.pos", "rt-polarity.neg"),
        "B. Pang and L. Lee, sentence polarity dataset v1.0, Cornell 2005, "
        "https://www.cs.cornell.edu/people/pabo/movie-review-data",
    ),
}


def published(name: str) -> Published:
    """What a data set is made of.  Raises ArgumentError for an unknown name."""
    if name not in PUBLISHED:
        raise one_of("data set", name, list(PUBLISHED))
    return PUBLISHED[name]


def files(name: str) -> tuple[Path, ...]:
    """The files of a data set, in the order of `published(name).files`; each may be unpacked from its .gz.

    Raises FileError that says which files to put where, and where they come from.
    """
    known = published(name)
    root = os.environ.get(VARIABLE, "")
    if not root:
        raise FileError(
            f"the data set {name!r} is read from the folder that the environment variable {VARIABLE} names, and it is "
            f"not set. {known.wanted(f'{known.folder}/ of a folder of your choice')} Then set {VARIABLE} to that "
            "folder."
        )
    folder = Path(root).expanduser() / known.folder
    found = [next((p for p in (folder / f, folder / f.removesuffix(".gz")) if p.is_file()), None) for f in known.files]
    missing = [file for file, path in zip(known.files, found, strict=True) if path is None]
    if missing:
        raise FileError(
            f"the data set {name!r} lacks {', '.join(missing)} in {folder} ({VARIABLE}={root}). "
            + known.wanted(f"{folder}")
        )
    return tuple(path for path in found if path is not None)


def read(path: Path) -> bytes:
    """A file's bytes.  Raises FileError where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise FileError(f"{path} cannot be read: {reason}.") from None
