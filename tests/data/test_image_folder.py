"""A folder of pictures as a source: what is found in which order, what is passed over, and what may go wrong."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from odd_images import fine

from millrace.data.decode import decode_image
from millrace.data.image_folder import ImageFolder
from millrace.data.source import ENCODED
from millrace.ir.errors import ArgumentError, FileError
from millrace.ir.types import TensorType


def laid(root, *names):
    """Files that hold their own name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def everything(source):
    return source.take(np.arange(source.count))


def test_imagenets_layout(tmp_path):
    laid(tmp_path, "n02/b.JPEG", "n02/a.jpg", "n01/z.png", "n01/sub/y.Webp", "n01/sub/deep/x.GIF", "n10/q.bmp")
    source = ImageFolder(tmp_path)
    assert source.classes == ("n01", "n02", "n10") and source.count == 6 and source.name == tmp_path.name
    assert source.elements == (ENCODED, TensorType("int32", ()))
    names = [source.record(n) for n in range(6)]
    assert names == ["n01/sub/deep/x.GIF", "n01/sub/y.Webp", "n01/z.png", "n02/a.jpg", "n02/b.JPEG", "n10/q.bmp"]
    taken = everything(source)
    assert taken.columns[0] == [name.encode() for name in names]
    assert taken.columns[1].tolist() == [0, 0, 0, 1, 1, 2] and taken.columns[1].dtype == np.int32
    assert not taken.broken and source.notes == () and source.passed_over == 0
    some = source.take(np.array([5, 0, 5]))
    assert some.columns[0] == [b"n10/q.bmp", b"n01/sub/deep/x.GIF", b"n10/q.bmp"] and some.columns[1].tolist() == [
        2,
        0,
        2,
    ]
    assert source.take(np.array([], int)).columns[0] == []


def test_a_flat_folder_has_no_classes(tmp_path):
    source = ImageFolder(laid(tmp_path, "b.jpg", "A.jpg", "a.jpg", "ä.jpg"), name="holiday")
    assert source.elements == (ENCODED,) and source.classes == () and source.name == "holiday"
    assert [source.record(n) for n in range(4)] == ["A.jpg", "a.jpg", "b.jpg", "ä.jpg"]  # by code, in every country
    (files,) = everything(source).columns
    assert files == [name.encode() for name in ("A.jpg", "a.jpg", "b.jpg", "ä.jpg")]
    # an empty folder beside them does not make them a class
    (tmp_path / "later").mkdir()
    assert ImageFolder(tmp_path).classes == () and "later" in ImageFolder(tmp_path).notes[0]


def test_what_is_no_picture_is_counted(tmp_path):
    laid(tmp_path, "cat/a.jpg", "cat/Thumbs.db", "cat/notes.txt", "cat/.hidden.jpg", "cat/noending", "dog/a.jpeg")
    laid(tmp_path, "readme.md", ".git/a.jpg", "loose.png")
    source = ImageFolder(tmp_path)
    assert source.count == 2 and source.classes == ("cat", "dog")
    assert source.passed_over == 7  # a hidden folder is one
    assert (
        len(source.notes) == 1 and "loose.png" in source.notes[0] and "beside the classes' folders" in source.notes[0]
    )


def test_a_class_without_pictures_keeps_its_number(tmp_path):
    laid(tmp_path, "a/1.jpg", "b/readme.txt", "c/1.jpg")
    source = ImageFolder(tmp_path)
    assert source.classes == ("a", "b", "c") and everything(source).columns[1].tolist() == [0, 2]
    assert source.notes == ("1 classes have no pictures: b.",)


def test_classes_of_another_set_number_this_one(tmp_path):
    laid(tmp_path, "a/1.jpg", "c/1.jpg", "x/1.jpg")
    source = ImageFolder(tmp_path, classes=("c", "b", "a"))
    assert source.classes == ("c", "b", "a") and everything(source).columns[1].tolist() == [0, 2]
    assert source.record(0) == "c/1.jpg"
    assert "1 classes have no folder: b." in source.notes and any("none of the classes" in n for n in source.notes)
    for wrong in ("abc", ("a", "a")):
        with pytest.raises(ArgumentError, match="names of different folders"):
            ImageFolder(tmp_path, classes=wrong)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_but_not_in_circles(tmp_path):
    laid(tmp_path / "elsewhere", "1.jpg")
    laid(tmp_path / "set", "a/1.jpg")
    (tmp_path / "set/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/a/again").symlink_to(tmp_path / "set/a")
    (tmp_path / "set/a/lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "set/a/pipe.jpg")  # opening one would wait for ever
    source = ImageFolder(tmp_path / "set")
    assert [source.record(n) for n in range(source.count)] == ["a/1.jpg", "a/lost.jpg", "b/1.jpg"]
    assert everything(source).broken == {1: "the file cannot be read (it does not exist)"}


def test_nothing_there(tmp_path):
    for path, says in (
        (tmp_path / "no", "no does not exist: expected a folder of pictures"),
        (laid(tmp_path, "x.jpg") / "x.jpg", "is a file: expected a folder"),
        (laid(tmp_path / "texts", "a.txt", "b/c.txt"), r"holds no pictures \(2 other files\): expected .jpg"),
    ):
        with pytest.raises(FileError, match=says):
            ImageFolder(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"empty holds no pictures \(0 other files\)"):
        ImageFolder(tmp_path / "empty")


def test_one_file_that_vanished_is_broken_and_a_folder_that_vanished_stops_all(tmp_path):
    root = laid(tmp_path / "photos", "a/1.jpg", "a/2.jpg", "b/3.jpg")
    source = ImageFolder(root)
    (root / "a/1.jpg").unlink()
    taken = source.take(np.array([2, 0, 1]))
    assert taken.broken == {1: "the file cannot be read (it does not exist)"}
    assert taken.columns[0][0] == b"b/3.jpg" and taken.columns[0][2] == b"a/2.jpg" and len(taken.columns[0]) == 3
    shutil.move(root, tmp_path / "away")
    with pytest.raises(FileError, match=r"photos has vanished \(it does not exist\): put it back and resume"):
        source.take(np.array([2]))
    root.mkdir()  # where a disk was mounted
    with pytest.raises(FileError, match=r"photos has vanished \(is empty\)"):
        source.take(np.array([2]))
    root.rmdir()
    shutil.move(tmp_path / "away", root)
    assert source.take(np.array([2])).columns[0] == [b"b/3.jpg"]


def test_too_many_open_files_are_no_pictures_fault(tmp_path, monkeypatch):
    source = ImageFolder(laid(tmp_path, "a/1.jpg"))

    def full(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(FileError, match="Too many open files"):
        source.take(np.array([0]))


def test_numbers_beyond_the_folder(tmp_path):
    source = ImageFolder(laid(tmp_path, "a/1.jpg"))
    for number in (-1, 1):
        with pytest.raises(ArgumentError, match="records 0 to 0"):
            source.take(np.array([number]))


def test_threads_take_the_same_bytes(tmp_path):
    for n, (name, want) in enumerate(fine().items()):
        folder = tmp_path / f"class {n % 3}"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(want.content)
    source = ImageFolder(tmp_path)
    orders = [np.random.default_rng(n).permutation(source.count) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(source.take, orders))
    contents = everything(source).columns[0]
    for order, taken in zip(orders, made, strict=True):
        assert taken.columns[0] == [contents[n] for n in order] and not taken.broken
        np.testing.assert_array_equal(taken.columns[1], source.take(order).columns[1])
    assert all(decode_image(content, 8, 8).shape == (8, 8, 3) for content in contents)


def test_the_folder_above_the_parts_of_a_data_set_is_refused(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part / "cat").mkdir(parents=True)
        (tmp_path / part / "cat" / "1.png").write_bytes(b"x")
    with pytest.raises(FileError, match="holds train and val, the parts of a data set: open one of them"):
        ImageFolder(tmp_path)
    assert ImageFolder(tmp_path / "train").classes == ("cat",)
