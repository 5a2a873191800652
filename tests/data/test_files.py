"""Readers of published files: files made by hand, damaged ones, and missing ones."""

import gzip
import struct

import numpy as np
import pytest

from millrace.data.cifar import read_cifar
from millrace.data.datasets import cifar10, fashion_mnist, mnist
from millrace.data.folder import PUBLISHED
from millrace.data.idx import read_idx
from millrace.data.text_files import read_text, rt_polarity, tinyshakespeare
from millrace.ir.errors import ArgumentError, FileError


def put(path, raw):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def idx(code, letter, shape, numbers):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + struct.pack(
        f">{len(numbers)}{letter}", *numbers
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("code", "letter", "dtype", "numbers"),
    [
        (0x08, "B", np.uint8, [0, 1, 127, 128, 254, 255]),
        (0x09, "b", np.int8, [-128, -1, 0, 1, 2, 127]),
        (0x0B, "h", np.int16, [-32768, -2, 0, 258, 3, 32767]),
        (0x0C, "i", np.int32, [-(2**31), -1, 0, 65537, 5, 2**31 - 1]),
        (0x0D, "f", np.float32, [-1.5, 0.0, 0.25, 2.0**99, 3.0, -2.0]),
        (0x0E, "d", np.float64, [-1.5, 0.0, 0.1, 1e300, 3.0, -2.0]),
    ],
)
def test_an_idx_file_of_each_type(tmp_path, packed, code, letter, dtype, numbers):
    raw = idx(code, letter, (2, 3), numbers)
    array = read_idx(put(tmp_path / "a", gzip.compress(raw) if packed else raw))
    assert array.dtype == dtype and array.dtype.isnative
    assert array.tolist() == [numbers[:3], numbers[3:]]


def test_an_idx_file_of_other_ranks(tmp_path):
    assert read_idx(put(tmp_path / "a", idx(0x08, "B", (3,), [7, 8, 9]))).tolist() == [7, 8, 9]
    assert read_idx(put(tmp_path / "b", idx(0x08, "B", (1, 2, 1, 2), [1, 2, 3, 4]))).tolist() == [[[[1, 2]], [[3, 4]]]]
    assert read_idx(put(tmp_path / "c", idx(0x08, "B", (0, 28, 28), []))).shape == (0, 28, 28)


GOOD = idx(0x0C, "i", (2, 3), range(6))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no idx file: it begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "no idx file: it begins with 89 50 4e 47"),
        (b"\0\0\x0a\x01\0\0\0\0", "no idx file"),
        (GOOD[:9], "cut short: 9 bytes do not hold the sizes of its 2 axes"),
        (GOOD[:-1], r"cut short: int32 of shape \[2, 3\] takes 36 bytes, it holds 35"),
        (GOOD + b"\0", "too long: .* takes 36 bytes, it holds 37"),
        (gzip.compress(GOOD, mtime=0)[:-12], "damaged gzip file"),
        (gzip.compress(GOOD, mtime=0)[:10] + b"\xff" * 20, "damaged gzip file"),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\1\2\3\4" + gzip.compress(GOOD, mtime=0)[-4:], "damaged gzip file"),
        (gzip.compress(GOOD[:-4], mtime=0), "cut short"),
    ],
)
def test_a_damaged_idx_file_says_what_is_wrong(tmp_path, raw, says):
    with pytest.raises(FileError, match=says):
        read_idx(put(tmp_path / "a.gz", raw))


def test_a_missing_file_or_a_directory(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(FileError, match="cannot be read"):
        read_idx(tmp_path)


def test_a_cifar_file_by_hand(tmp_path):
    reds = np.arange(1024) % 251
    picture = np.concatenate([reds, np.full(1024, 7), np.full(1024, 9)]).astype(np.uint8)
    x, y = read_cifar(put(tmp_path / "a.bin", b"\x03" + picture.tobytes() + b"\x09" + bytes(3072)))
    assert x.shape == (2, 32, 32, 3) and y.tolist() == [3, 9]
    assert x[0, 1, 2].tolist() == [34, 7, 9]  # row 1, column 2 is red number 34
    assert not x[1].any()


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"", "cut short"), (bytes(3072), "its 3,072 bytes"), (b"\0" + bytes(3072) + b"\x0a" + bytes(3072), "label 10")],
)
def test_a_damaged_cifar_file_says_what_is_wrong(tmp_path, raw, says):
    with pytest.raises(FileError, match=says):
        read_cifar(put(tmp_path / "a.bin", raw))


LOADERS = {
    "mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10, "tinyshakespeare": tinyshakespeare,
    "rt_polarity": rt_polarity,
}  # fmt: skip


@pytest.mark.parametrize("name", list(LOADERS))
def test_without_data_the_error_says_which_files_to_put_where(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MILLRACE_DATA", raising=False)
    with pytest.raises(FileError, match="MILLRACE_DATA") as unset:
        LOADERS[name]()
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    first, *others = PUBLISHED[name].files
    put(tmp_path / PUBLISHED[name].folder / first, b"x")
    if others:
        with pytest.raises(FileError, match=f"lacks {others[0]}") as lacking:
            LOADERS[name]()
        assert str(tmp_path / PUBLISHED[name].folder) in str(lacking.value)
    for file in PUBLISHED[name].files:
        assert file in str(unset.value)
    assert PUBLISHED[name].source in str(unset.value) and f"{PUBLISHED[name].folder}/" in str(unset.value)


def test_files_of_the_wrong_size_are_not_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    small = gzip.compress(idx(0x08, "B", (1, 28, 28), [0] * 784))
    for name, raw in (("mnist", small), ("cifar10", bytes(3073)), ("tinyshakespeare", b"To be"), ("rt_polarity", b"a")):
        for file in PUBLISHED[name].files:
            put(tmp_path / PUBLISHED[name].folder / file, raw)
    with pytest.raises(FileError, match=r"train-images.* holds uint8 \[1, 28, 28\], expected uint8 \[60000, 28, 28\]"):
        mnist()
    with pytest.raises(FileError, match=r"data_batch_1.* holds 1 pictures"):
        cifar10()
    with pytest.raises(FileError, match="holds 5 characters"):
        tinyshakespeare()
    with pytest.raises(FileError, match="holds 1 sentences"):
        rt_polarity()


def test_unpacked_files_are_found_too(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    raws = [
        idx(0x08, "B", (60_000, 28, 28), []) + bytes(60_000 * 784), idx(0x08, "B", (60_000,), []) + bytes(60_000),
        idx(0x08, "B", (10_000, 28, 28), []) + b"\xff" * 7_840_000, idx(0x08, "B", (10_000,), []) + b"\x0a" * 10_000,
    ]  # fmt: skip
    for file, raw in zip(PUBLISHED["mnist"].files, raws, strict=True):
        put(tmp_path / "mnist" / file.removesuffix(".gz"), raw)
    with pytest.raises(FileError, match="t10k-labels-idx1-ubyte holds the label 10"):
        mnist()


def test_text_in_the_encoding_of_its_time(tmp_path):
    assert read_text(put(tmp_path / "a", "café … –".encode())) == "café … –"
    assert read_text(put(tmp_path / "b", "café … –".encode("cp1252"))) == "café … –"
    with pytest.raises(FileError, match="is it still packed"):
        read_text(put(tmp_path / "c", b"\x1f\x8b\x81"))


def test_an_unknown_data_set():
    from millrace.data.folder import files

    with pytest.raises(ArgumentError, match="Did you mean 'mnist'"):
        files("minst")
