"""The folder of data sets, named by the environment variable MILLRACE_DATA, and what belongs into it.

Where that is not set, it is a folder of the user's cache. What is lacking is downloaded from its publisher, unless
MILLRACE_OFFLINE is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from millrace.data.download import Download, fetch
from millrace.ir.errors import FileError, one_of

VARIABLE, OFFLINE = "MILLRACE_DATA", "MILLRACE_OFFLINE"


@dataclass(frozen=True)
class Published:
    """A data set as its publisher gives it out: its folder, the files in it, and where it comes from.

    files: a name that ends in "/" is a folder. downloads: what gives all of them, () where nobody does.
    """

    folder: str
    files: tuple[str, ...]
    source: str
    downloads: tuple[Download, ...] = ()

    def wanted(self, where: str) -> str:
        return f"Put {', '.join(self.files)} into {where}, as published: {self.source}."


def _each(base: str, *files: tuple[str, int, str]) -> tuple[Download, ...]:
    return tuple(Download(base + name, size, checksum, (name,)) for name, size, checksum in files)


IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CIFAR10_FILES = (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin")
GITHUB = "https://raw.githubusercontent.com"

PUBLISHED = {
    "mnist": Published(
        "mnist",
        IDX_FILES,
        "Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, http://yann.lecun.com/exdb/mnist",
        # The publisher's own server gives nothing out any more; this copy is PyTorch's, with the same MD5.
        _each(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            ("train-images-idx3-ubyte.gz", 9_912_422, "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            ("train-labels-idx1-ubyte.gz", 28_881, "md5:d53e105ee54ea40749a09fcbcd1e9432"),
            ("t10k-images-idx3-ubyte.gz", 1_648_877, "md5:9fb629c4189551a2d022fa330f9573f3"),
            ("t10k-labels-idx1-ubyte.gz", 4_542, "md5:ec29112dd5afa0611ce80d1b7f02629c"),
        ),
    ),
    "fashion_mnist": Published(
        "fashion_mnist",
        IDX_FILES,
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, Zalando 2017, "
        "https://github.com/zalandoresearch/fashion-mnist",
        # the MD5s of its README
        _each(
            f"{GITHUB}/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
            ("train-images-idx3-ubyte.gz", 26_421_880, "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte.gz", 29_515, "md5:25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3-ubyte.gz", 4_422_102, "md5:bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1-ubyte.gz", 5_148, "md5:bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    ),
    "cifar10": Published(
        "cifar10/cifar-10-batches-bin",
        CIFAR10_FILES,
        "A. Krizhevsky, CIFAR-10 (binary version), Toronto 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        # the MD5 of that page, as that of CIFAR-100
        (
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                170_052_171,
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
                CIFAR10_FILES,
                "cifar-10-batches-bin",
            ),
        ),
    ),
    "cifar100": Published(
        "cifar100/cifar-100-binary",
        ("train.bin", "test.bin"),
        "A. Krizhevsky, CIFAR-100 (binary version), Toronto 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        (
            Download(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                168_513_733,
                "md5:03b5dce01913d631647c71ecec9e9cb8",
                ("train.bin", "test.bin"),
                "cifar-100-binary",
            ),
        ),
    ),
    "imagenette": Published(
        "imagenette",
        ("train/", "val/"),
        "J. Howard, Imagenette (version 2, 320 pixels), fast.ai 2019, https://github.com/fastai/imagenette",
        # the MD5 that torchvision checks it against
        (
            Download(
                "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
                341_663_724,
                "md5:3df6f0d01a2c9592104656642f5e78a3",
                ("train/", "val/"),
                "imagenette2-320",
            ),
        ),
    ),
    "tinyshakespeare": Published(
        "tinyshakespeare",
        ("input.txt",),
        "A. Karpathy, tinyshakespeare, https://github.com/karpathy/char-rnn (data/tinyshakespeare)",
        # Its publisher names no checksum: this is of a copy, and many others give the same one.
        _each(
            f"{GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/",
            (
                "input.txt",
                1_115_394,
                "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    "rt_polarity": Published(
        "rt_polarity",
        ("rt-polarity.pos", "rt-polarity.neg"),
        "B. Pang and L. Lee, sentence polarity dataset v1.0, Cornell 2005, "
        "https://www.cs.cornell.edu/people/pabo/movie-review-data",
        # The publisher's archive has no checksum that could be confirmed. These are the two files of it, in UTF-8, as
        # D. Britz's repository holds them; the checksums are of a copy from there.
        _each(
            f"{GITHUB}/dennybritz/cnn-text-classification-tf/18762b459e21d9c70e5c242f8d43fc4e6db37a0d/"
            "data/rt-polaritydata/",
            ("rt-polarity.pos", 626_395, "sha256:4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58"),
            ("rt-polarity.neg", 612_506, "sha256:2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd"),
        ),
    ),
}


def published(name: str) -> Published:
    """What a data set is made of.  Raises ArgumentError for an unknown name."""
    if name not in PUBLISHED:
        raise one_of("data set", name, list(PUBLISHED))
    return PUBLISHED[name]


def data_folder() -> Path | None:
    """The folder that data sets are in: MILLRACE_DATA, or else one of the user's cache; None where there is no home."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    if chosen := os.environ.get("MILLRACE_CACHE"):
        return Path(chosen) / "data"
    local = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(local or Path.home() / ".cache") / "millrace" / "data"
    except RuntimeError:
        return None


def files(name: str) -> tuple[Path, ...]:
    """The files of a data set, in the order of `published(name).files`; each may be unpacked from its .gz.

    What is lacking is downloaded, unless MILLRACE_OFFLINE is set, and a line on the terminal says so.
    Raises FileError that says which files to put where, and where they come from.
    """
    known, root = published(name), data_folder()
    folder = None if root is None else root / known.folder
    missing = [file for file in known.files if folder is None or _place(folder, file) is None]
    if not missing or folder is None:
        why = ""
    elif os.environ.get(OFFLINE, "0") not in ("", "0"):
        why = f" Nothing was downloaded: {OFFLINE} is set."
    elif not known.downloads:
        why = " Nobody gives it out in a form that Millrace could download."
    else:
        why = _fetched(name, known, folder)
        missing = [file for file in known.files if _place(folder, file) is None]
    if missing and not os.environ.get(VARIABLE):
        raise FileError(
            f"the data set {name!r} is read from the folder that the environment variable {VARIABLE} names, and it is "
            f"not set.{why} {known.wanted(f'{known.folder}/ of a folder of your choice')} Then set {VARIABLE} to that "
            "folder."
        )
    if missing:
        raise FileError(
            f"the data set {name!r} lacks {', '.join(missing)} in {folder} ({VARIABLE}={os.environ[VARIABLE]}).{why} "
            + known.wanted(f"{folder}")
        )
    assert folder is not None
    return tuple(path for path in (_place(folder, file) for file in known.files) if path is not None)


@contextmanager
def offline() -> Iterator[None]:
    """Inside, nothing is downloaded: what is asked for is there already, or is done without."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before


def _place(folder: Path, file: str) -> Path | None:
    """Where a file of a data set lies, packed or not, or a folder that is not empty."""
    if file.endswith("/"):
        return folder / file if (folder / file).is_dir() and any((folder / file).iterdir()) else None
    return next((path for path in (folder / file, folder / file.removesuffix(".gz")) if path.is_file()), None)


def _fetched(name: str, known: Published, folder: Path) -> str:
    """Download what is lacking; why that failed, or nothing."""
    try:
        fetch(name, known.downloads, folder, lambda file: _place(folder, file) is None)
    except FileError as error:
        return f" Downloading it failed: {error}"
    return ""


def read(path: Path) -> bytes:
    """A file's bytes.  Raises FileError where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise FileError(f"{path} cannot be read: {reason}.") from None
