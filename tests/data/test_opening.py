"""One door to every source: names, paths, and what is said of what is neither."""

import gzip
import struct
import sys
import types

import numpy as np
import pytest

import millrace as mr
from millrace.data import open_source
from millrace.data.csv_file import CSVSource
from millrace.data.folder import PUBLISHED
from millrace.data.memory import ArraySource
from millrace.data.text_lines import TextSource
from millrace.ir.errors import ArgumentError, FileError


def put(path, raw):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def idx(*sizes):
    count = int(np.prod(sizes))
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes) + bytes(n % 7 for n in range(count))


def shapes(source):
    return [str(element) for element in source.elements]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_DATA", str(tmp_path))
    return tmp_path


def test_parts_of_named_data_sets(data):
    for n, file in enumerate(PUBLISHED["mnist"].files):
        put(data / "mnist" / file, gzip.compress(idx(*((5, 28, 28), (5,), (3, 28, 28), (3,))[n])))
    for where, count in (("mnist", 5), ("mnist/train", 5), ("mnist/test", 3), ("mnist/val", 3)):
        source = open_source(where)
        assert source.count == count and source.name == "mnist" and shapes(source) == ["uint8[28, 28, 1]", "int32[]"]
        assert source.classes == tuple("0123456789")
    for n, file in enumerate(PUBLISHED["cifar10"].files):
        put(data / "cifar10/cifar-10-batches-bin" / file, (bytes([n]) + bytes(3072)) * (2 + (n == 5)))
    assert open_source("cifar10").take(np.arange(10)).columns[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert open_source("cifar10/test").take(np.arange(3)).columns[1].tolist() == [5, 5, 5]
    put(data / "cifar100/cifar-100-binary/train.bin", (bytes([1, 4]) + bytes(3072)) * 2)
    put(data / "cifar100/cifar-100-binary/test.bin", bytes([2, 70]) + bytes(3072))
    held = open_source("cifar100/test")
    assert (held.count, held.classes[held.take(np.array([0])).columns[1][0]]) == (1, "rose")
    with pytest.raises(FileError, match=r"train\.bin holds 2 pictures, expected 50,000"):
        mr.data.cifar100()
    with pytest.raises(ArgumentError, match="unknown part 'tset' of mnist: it is mnist/train or mnist/test"):
        open_source("mnist/tset")


def test_texts_by_name(data):
    put(data / "rt_polarity/rt-polarity.pos", b"good\n")
    put(data / "rt_polarity/rt-polarity.neg", b"bad\nworse\n")
    source = open_source("rt_polarity")
    assert source.classes == ("negative", "positive") and source.take(np.arange(3)).columns[1].tolist() == [0, 0, 1]
    with pytest.raises(ArgumentError, match="no part of rt_polarity is held out"):
        open_source("rt_polarity/test")
    put(data / "tinyshakespeare/input.txt", b"To be,\n\nor not to be\n")
    assert open_source("tinyshakespeare").record(1) == "input.txt line 3"


def test_digits_by_name():
    assert (open_source("digits").count, open_source("digits/test").count) == (1438, 359)


def test_a_data_set_that_is_not_there(data):
    with pytest.raises(FileError, match=r"Nothing was downloaded: MILLRACE_OFFLINE is set. Put train.bin, test.bin"):
        open_source("cifar100")
    with pytest.raises(FileError, match=r"lacks train/, val/ in .*Put train/, val/ into .*imagenette"):
        mr.data.imagenette()


def test_an_imagenette_that_lacks_a_class(data):
    for part in ("train", "val"):
        put(data / "imagenette" / part / "n01440764/a.JPEG", b"")
    with pytest.raises(FileError, match=r"train holds no pictures of n02102040, .*n03888257: unpack"):
        open_source("imagenette")


def test_files_by_their_names(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.savez(tmp_path / "xy.npz", x=np.zeros((4, 2)), y=np.arange(4))
    put(tmp_path / "a.csv", b"a,b\n1,2\n")
    put(tmp_path / "b.TSV", b"a\tb;c\n1\t2\n")
    put(tmp_path / "c.bin", b"\7" + bytes(3072))
    put(tmp_path / "d.txt", b"one\ntwo\n")
    put(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(idx(5, 2, 3)))
    put(tmp_path / "train-labels-idx1-ubyte", idx(5))
    put(tmp_path / "t10k-images.idx3-ubyte", idx(2, 2, 3))
    for name, kind, expected in (
        ("x.npy", ArraySource, ["float64[2]"]),
        ("xy.npz", ArraySource, ["float64[2]", "int64[]"]),
        ("a.csv", CSVSource, ["float32[2]"]),
        ("b.TSV", CSVSource, ["float32[2]"]),
        ("c.bin", ArraySource, ["uint8[32, 32, 3]", "int32[]"]),
        ("d.txt", TextSource, ["int32[1]"]),
        ("train-images-idx3-ubyte.gz", ArraySource, ["uint8[2, 3, 1]", "int32[]"]),
        ("train-labels-idx1-ubyte", ArraySource, ["uint8[]"]),
        ("t10k-images.idx3-ubyte", ArraySource, ["uint8[2, 3, 1]"]),
    ):
        for where in (tmp_path / name, str(tmp_path / name)):
            source = open_source(where)
            assert type(source) is kind and shapes(source) == expected, name


def test_folders_by_what_they_hold(tmp_path, monkeypatch):
    for name, kind in (("packed", "Packed"), ("image_folder", "ImageFolder")):
        module = types.ModuleType(f"millrace.data.{name}")
        setattr(module, kind, lambda path, kind=kind: (kind, path))
        monkeypatch.setitem(sys.modules, f"millrace.data.{name}", module)
    put(tmp_path / "a/cats/1.jpg", b"")
    put(tmp_path / "b/pack.json", b"{}")
    assert open_source(tmp_path / "a") == ("ImageFolder", tmp_path / "a")
    assert open_source(str(tmp_path / "b")) == ("Packed", tmp_path / "b")


def test_a_name_goes_before_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "digits", b"")
    assert open_source("digits").name == "digits"
    with pytest.raises(FileError, match="a file without an ending is not understood"):
        open_source("./digits")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("minst", r"no data set\. Did you mean 'mnist'\? The data sets are digits, mnist, .*understood: a folder with"),
        ("/nowhere/at/all", "is no file, no folder, and no data set"),
        ("a.docx", r"\.docx is not understood\. These are: a folder with a folder of pictures .* \.csv and"),
        ("a.csv.gz", "is packed, and no idx file by its name: unpack it first"),
    ],
)
def test_what_is_not_understood(tmp_path, monkeypatch, where, says):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.docx", b"PK")
    put(tmp_path / "a.csv.gz", b"\x1f\x8b")
    with pytest.raises(FileError, match=says):
        open_source(where)


def test_imagenette(real_data):
    real_data("imagenette")
    data = mr.data.imagenette()
    assert data.y_train is None and data.y_validation is None
    assert data.classes[0] == "tench" and data.classes[9] == "parachute" and len(data.classes) == 10
    for source, where in ((data.x_train, "imagenette"), (data.x_validation, "imagenette/val")):
        again = open_source(where)
        assert source.classes == again.classes == data.classes and again.count == source.count > 0
        y = source.take(np.arange(source.count)).columns[1]
        assert set(y.tolist()) == set(range(10))
        assert "n01440764" in source.record(int(np.argmin(y)))  # the first class is the tench's folder
    assert data.x_train.count > data.x_validation.count
