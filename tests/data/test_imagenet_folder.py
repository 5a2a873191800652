"""ImageNet's folders as people have them, sorted and unsorted, packed and not."""

import shutil

import numpy as np
import pytest
from PIL import Image

from millrace.data.imagenet_folder import imagenet
from millrace.data.packing import pack
from millrace.data.sorting import Sorted, sort_pictures, validation_labels
from millrace.ir.errors import DataError, FileError

CLASSES = ("n01440764", "n02102040", "n03000684")
VALIDATION = {f"ILSVRC2012_val_{n:08}": CLASSES[(2 * n) % 3] for n in range(1, 8)}


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 8), (shade, 255 - shade, 0)).save(path, "JPEG")


@pytest.fixture
def root(tmp_path):
    """Two pictures of each class to train on, and seven unsorted ones held out."""
    root = tmp_path / "imagenet"
    for n, label in enumerate(CLASSES):
        for k in range(2):
            picture(root / "train" / label / f"{label}_{k}.JPEG", 40 * n + k)
    for n, name in enumerate(VALIDATION):
        picture(root / "val" / f"{name}.JPEG", 30 * n)
    return root


def sorted_(root):
    sort_pictures(root / "val", VALIDATION)
    return root


def test_the_official_folders_are_read(root):
    data = imagenet(sorted_(root))
    assert data.classes == data.x_train.classes == data.x_validation.classes == CLASSES
    assert (data.learners, data.held) == (6, 7)
    for n in range(7):
        _, label = data.x_validation.record(n).split("/")[0], data.x_validation.labels[n]
        assert CLASSES[label] == VALIDATION[data.x_validation.record(n).split("/")[1].removesuffix(".JPEG")]


def test_a_class_without_validation_pictures_keeps_the_numbers_of_the_others(root):
    shutil.rmtree(sorted_(root) / "val" / CLASSES[0])
    data = imagenet(root)
    assert data.x_validation.classes == CLASSES and set(data.x_validation.labels.tolist()) == {1, 2}
    assert "n01440764" in data.x_validation.notes[0]


def test_packed_folders_are_read_like_the_folders(root, tmp_path):
    one = imagenet(sorted_(root))
    for part in ("train", "val"):
        pack(root / part, tmp_path / "packed" / part)
    other = imagenet(tmp_path / "packed")
    assert other.classes == one.classes and (other.learners, other.held) == (6, 7)
    for a, b in ((one.x_train, other.x_train), (one.x_validation, other.x_validation)):
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.take(np.arange(a.count)).columns[0] == b.take(np.arange(b.count)).columns[0]
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (tmp_path / "packed" / "train").rename(mixed / "train")
    shutil.copytree(root / "val", mixed / "validation")
    assert imagenet(mixed).held == 7


def test_classes_are_called_what_a_mapping_says(root, tmp_path):
    sorted_(root)
    text = "n01440764 tench, Tinca tinca\nn02102040 crane\nn03000684 crane, derrick\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text(text)  # Kaggle has it three folders above
    data = imagenet(root)
    assert data.classes == ("tench", "crane (n02102040)", "crane (n03000684)") and data.x_train.classes == CLASSES


def broken(root, tmp_path, how):
    """The message that a folder gets once something is wrong with it."""
    sorted_(root)
    path = how(root, tmp_path) or root
    with pytest.raises((FileError, DataError)) as caught:
        imagenet(path)
    return str(caught.value)


def unpack_nothing(root, _):
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    (root / "train" / "n01440764.tar").write_bytes(b"")


def nest(root, tmp_path):
    (tmp_path / "kaggle" / "ILSVRC" / "Data").mkdir(parents=True)
    root.rename(tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC")
    return tmp_path / "kaggle"


def rename_a_class(root, _):
    (root / "val" / CLASSES[0]).rename(root / "val" / "n09")


def pack_train(root, tmp_path):
    pack(root / "train", tmp_path / "packed")
    return tmp_path / "packed"


def pack_without_a_class(root, tmp_path):
    shutil.rmtree(root / "val" / CLASSES[1])
    pack(root / "val", tmp_path / "val")
    shutil.rmtree(root / "val")
    (tmp_path / "val").rename(root / "val")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda root, _: root / "none", ["does not exist", "train and val"]),
        (lambda root, _: root / "train", ["lacks the folder train", "it holds n01440764, n02102040, n03000684"]),
        (lambda root, _: shutil.rmtree(root / "val"), ["lacks the folder val", "it holds train"]),
        (rename_a_class, ["1 classes", "lacks (n09)"]),
        (unpack_nothing, ["archives that are not unpacked (1)", "tar xf"]),
        (nest, ["but", "ILSVRC/Data/CLS-LOC does: give that"]),
        (pack_train, ["is one packed folder: give the folder above it"]),
        (pack_without_a_class, ["is packed without 1 of the classes", "n02102040", "pack it again"]),
    ],
    ids=["nowhere", "inside", "no val", "other class", "archives", "kaggle", "one pack", "pack lacks a class"],
)
def test_what_is_kept_otherwise_is_told_how_it_should_be(root, tmp_path, how, said):
    message = broken(root, tmp_path, how)
    for words in said:
        assert words in message, message


def test_unsorted_validation_pictures_are_told_how_to_be_sorted(root):
    with pytest.raises(FileError, match=r"7 pictures in no folders of classes.*millrace data sort-val .*val LABELS"):
        imagenet(root)


# ---- sorting


def kaggle(tmp_path):
    rows = [f"{name},{label} 10 20 30 40 {label} 1 2 3 4 \n" for name, label in VALIDATION.items()]
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(rows))
    return tmp_path / "LOC_val_solution.csv"


def plain(tmp_path):
    (tmp_path / "val.txt").write_text("".join(f"val/{name}.JPEG\t{label}\n" for name, label in VALIDATION.items()))
    return tmp_path / "val.txt"


def development_kit(tmp_path):
    """As the kit of 2012 is unpacked: numbers that are not in the order of the classes' names, and a group above."""
    from scipy.io import savemat

    folder = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    numbers = {CLASSES[2]: 1, CLASSES[0]: 2, CLASSES[1]: 3}
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    synsets = np.zeros(4, [(name, object) for name in fields])
    for row, (label, number) in zip(synsets, [*numbers.items(), ("n00001740", 4)], strict=True):
        children = np.array([1, 2, 3]) if number == 4 else np.zeros(0)
        for name, value in zip(fields, (number, label, "words", "gloss", len(children), children), strict=True):
            row[name] = value
    savemat(folder / "meta.mat", {"synsets": synsets})
    text = "".join(f"{numbers[label]}\n" for label in VALIDATION.values())
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
    return folder.parent


@pytest.mark.parametrize("labels", [kaggle, plain, development_kit])
def test_labels_are_read_as_they_are_given_out(tmp_path, labels):
    assert validation_labels(labels(tmp_path)) == VALIDATION


def test_pictures_go_where_they_belong_and_a_second_call_finishes(root):
    first = next(iter(VALIDATION))
    (root / "val" / VALIDATION[first]).mkdir()
    (root / "val" / f"{first}.JPEG").rename(root / "val" / VALIDATION[first] / f"{first}.JPEG")
    (root / "val" / "ILSVRC2012_val_00000007.JPEG").unlink()
    seen = []
    made = sort_pictures(root / "val", VALIDATION, lambda done, total: seen.append((done, total)))
    assert made == Sorted(5, 1, ("ILSVRC2012_val_00000007",)) and seen == [(n, 5) for n in range(1, 6)]
    for name, label in list(VALIDATION.items())[:6]:
        assert (root / "val" / label / f"{name}.JPEG").is_file()
    assert sort_pictures(root / "val", VALIDATION) == Sorted(0, 6, ("ILSVRC2012_val_00000007",))
    assert not list((root / "val").glob("*.JPEG"))


def test_nothing_is_moved_where_a_picture_has_no_label_or_is_there_twice(root):
    picture(root / "val" / "holiday.jpg")
    with pytest.raises(DataError, match=r"1 pictures without a label \(holiday.jpg\)"):
        sort_pictures(root / "val", VALIDATION)
    (root / "val" / "holiday.jpg").unlink()
    first = next(iter(VALIDATION))
    picture(root / "val" / VALIDATION[first] / f"{first}.JPEG")
    with pytest.raises(FileError, match=f"{first}.JPEG lies in .* and in .*{VALIDATION[first]}: remove one"):
        sort_pictures(root / "val", VALIDATION)
    assert len(list((root / "val").glob("*.JPEG"))) == 7


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        ("ILSVRC2012_val_00000001.JPEG 65\n", "gives classes as numbers"),
        ("ILSVRC2012_val_00000001.JPEG\n", "gives no picture and its class"),
        ("a.JPEG ../../etc\n", "gives no picture and its class"),
        ("490\n361\n", "meta.mat does not exist"),
    ],
)
def test_labels_that_say_nothing_are_refused(tmp_path, content, said):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FileError, match=said):
        validation_labels(path)


def test_a_number_that_the_development_kit_lacks_is_told_with_its_line(tmp_path):
    folder = development_kit(tmp_path) / "data"
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n4\n")
    with pytest.raises(FileError, match="line 2, names class 4"):
        validation_labels(folder)
    (folder / "meta.mat").write_bytes(b"no matrices")
    with pytest.raises(FileError, match=r"meta\.mat cannot be read"):
        validation_labels(folder)
    with pytest.raises(FileError, match=r"holds no ILSVRC2012_validation_ground_truth\.txt"):
        validation_labels(tmp_path)
