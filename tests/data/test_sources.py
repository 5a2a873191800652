"""Sources of records other than pictures and CSV: arrays, memory maps, idx and CIFAR files, texts."""

import gzip
import os
import struct
import threading

import ml_dtypes
import numpy as np
import pytest

import millrace as mr
from millrace.data.cifar import COARSE_CLASSES, FINE_CLASSES, read_cifar100
from millrace.data.memory import ArraySource, npy_source, npz_source
from millrace.data.published_sources import cifar_source, idx_source
from millrace.data.source import Source
from millrace.data.text import Vocabulary
from millrace.data.text_lines import TextSource
from millrace.ir.errors import ArgumentError, DataError, FileError


def taken(source, *numbers):
    return source.take(np.array(numbers, np.int64))


def columns(source, *numbers):
    return [column.tolist() for column in taken(source, *numbers).columns]


# Arrays in memory.


def test_records_of_arrays_come_in_the_order_asked_for():
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([7, 8, 9, 7])
    source = ArraySource(x, y, "made up")
    assert isinstance(source, Source) and (source.name, source.count) == ("made up", 4)
    assert [str(element) for element in source.elements] == ["float32[3]", "int64[]"]
    assert columns(source, 2, 0, 2) == [[[6, 7, 8], [0, 1, 2], [6, 7, 8]], [9, 7, 9]]
    assert taken(source, 1).broken == {} and source.record(3) == "record 3"
    assert [column.shape for column in source.take(np.array([], int)).columns] == [(0, 3), (0,)]


def test_what_is_taken_is_a_copy():
    x = np.zeros((3, 2), np.float32)
    rows = taken(ArraySource(x), 0, 1, 2).columns[0]
    rows[:] = 5
    assert not x.any()


def test_several_inputs_and_no_target():
    source = ArraySource([np.arange(3, dtype=np.uint8), np.ones((3, 2, 2), np.float16)])
    assert [str(element) for element in source.elements] == ["uint8[]", "float16[2, 2]"]
    assert columns(source, 2) == [[2], [[[1, 1], [1, 1]]]]
    assert columns(ArraySource([[1, 2], [3, 4]]), 1) == [[[3, 4]]]  # rows of one array


@pytest.mark.parametrize(
    "make",
    [
        lambda x: np.asfortranarray(x),
        lambda x: x[::-1][::-1],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(ml_dtypes.bfloat16),
        lambda x: np.broadcast_to(x[:1], x.shape) + 0 * x + x - x[:1],
    ],
)
def test_however_an_array_lies_in_memory_its_records_are_the_same(make):
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    (rows,) = taken(ArraySource(make(x)), 4, 1).columns
    assert rows.astype(np.float32).tolist() == x[[4, 1]].tolist() and rows.dtype.isnative


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.zeros((3, 2)), np.zeros(4), r"x has 3 records, but y has 4"),
        ([np.zeros(3), np.zeros(2)], None, r"x\[0\] has 3 records, but x\[1\] has 2"),
        (np.array([{}, {}]), None, "x holds object, not numbers"),
        (np.array(["a", "b"]), None, "x holds <U1, not numbers"),
        (np.zeros(3, complex), None, "x holds complex128, not numbers"),
        (np.zeros(3, "M8[s]"), None, "not numbers"),
        ([[1, 2], [3]], None, "different shapes"),
        (np.zeros((0, 3)), None, "x is empty"),
        (np.float32(3), None, "x is empty"),
        (np.array([[1.0, 2], [3, np.nan], [np.inf, 4]]), None, "x is NaN or infinite in record 1"),
        (np.zeros(3), np.array([0, np.inf, 0]), "y is NaN or infinite in record 1"),
    ],
)
def test_arrays_that_are_no_records(x, y, says):
    with pytest.raises(DataError, match=says):
        ArraySource(x, y)


def test_labels_that_are_no_class():
    for bad in ([0, 2], [0, -1]):
        with pytest.raises(DataError, match=rf"y holds the label {bad[1]}, but there are 2 classes: labels go from 0"):
            ArraySource(np.zeros(2), np.array(bad), classes=("a", "b"))
    with pytest.raises(DataError, match="y holds class numbers, but it is float64"):
        ArraySource(np.zeros(2), np.zeros(2), classes=("a", "b"))


@pytest.mark.parametrize("bad", [[4], [0, -1], [0, 2**40]])
def test_numbers_that_are_no_records(bad):
    with pytest.raises(ArgumentError, match=rf"has the records 0 to 3, not {bad[-1]}\."):
        ArraySource(np.zeros(4)).take(np.array(bad))
    with pytest.raises(ArgumentError, match="whole numbers"):
        ArraySource(np.zeros(4)).take(np.array([0.5]))


def test_many_threads_take_at_once():
    x = np.arange(40_000).reshape(1000, 40)
    source, wrong = ArraySource(x), []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            numbers = rng.permutation(1000)[:64]
            if not (source.take(numbers).columns[0] == x[numbers]).all():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Files of NumPy.


def test_a_memory_map_stays_on_disk(tmp_path):
    x, y = np.arange(40, dtype=np.float32).reshape(10, 4), np.arange(10)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    source = npy_source(tmp_path / "x.npy", tmp_path / "y.npy")
    assert source.name == "x.npy" and [str(e) for e in source.elements] == ["float32[4]", "int64[]"]
    numbers = [7, 2, 9, 2, 0]
    assert columns(source, *numbers) == [x[numbers].tolist(), numbers]
    assert type(taken(source, 1).columns[0]) is np.ndarray
    with open(tmp_path / "x.npy", "r+b") as file:  # so it is no copy that was made before
        file.seek(-4, os.SEEK_END)
        file.write(struct.pack("<f", -1))
    assert columns(source, 9) == [[[36, 37, 38, -1]], [9]]


def test_memory_maps_of_every_kind(tmp_path):
    x = np.arange(24, dtype=">i2").reshape(6, 4)
    x.tofile(tmp_path / "raw")
    raw = np.memmap(tmp_path / "raw", ">i2", "r", shape=(6, 4))
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    for array in (raw, raw[1:], raw[:, ::2], np.load(tmp_path / "f.npy", mmap_mode="r")):
        source = ArraySource(array)
        assert str(source.elements[0]).startswith("int16") and source._columns[0].map is not None
        assert columns(source, 4, 0, 3) == [np.array(array)[[4, 0, 3]].tolist()]
        assert taken(source, 0).columns[0].dtype.isnative


def test_a_map_tells_of_rows_that_are_not_finite_when_it_reads_them(tmp_path):
    x = np.zeros((5, 2), np.float32)
    x[3, 1], x[1, 0] = np.nan, np.inf
    np.save(tmp_path / "x.npy", x)
    source = npy_source(tmp_path / "x.npy")
    assert taken(source, 0, 2, 4).broken == {}
    assert taken(source, 3, 0, 1, 3).broken == dict.fromkeys((0, 2, 3), "x is NaN or infinite")


def test_a_map_whose_file_shrinks_or_goes(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 1000)))
    source = npy_source(tmp_path / "x.npy")
    os.truncate(tmp_path / "x.npy", 5000)
    with pytest.raises(FileError, match=r"x.npy has shrunk from 800,128 to 5,000 bytes"):
        taken(source, 99)
    np.save(tmp_path / "x.npy", np.ones((100, 1000)))
    assert columns(source, 99)[0][0][0] == 1  # it goes on when the file is back
    os.remove(tmp_path / "x.npy")
    with pytest.raises(FileError, match=r"x.npy cannot be read any more: No such file"):
        taken(source, 0)


def test_a_npz_file(tmp_path):
    x, y = np.arange(6).reshape(3, 2), np.array([1, 0, 1])
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y, images=-x)
    assert columns(npz_source(tmp_path / "a.npz", classes=("no", "yes")), 2) == [[[4, 5]], [1]]
    assert columns(npz_source(tmp_path / "a.npz", x="images"), 2) == [[[-4, -5]], [1]]
    np.savez(tmp_path / "b.npz", x=x)
    assert columns(npz_source(tmp_path / "b.npz"), 0) == [[[0, 1]]]
    with pytest.raises(FileError, match="holds no array 'z' and no 'y', but x: say with x= and y="):
        npz_source(tmp_path / "b.npz", x="z", y="y")


def test_files_that_are_not_of_numpy(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "good.npy", np.zeros((3, 4)))
    np.savez(tmp_path / "good.npz", x=np.zeros(3))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-9])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:-40])
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, says in (
        ("objects.npy", "Python objects"), ("cut.npy", "is it whole"), ("cut.npz", "is it whole"),
        ("text.npy", "no NumPy file"), ("empty.npy", "is it whole"), ("none.npy", "does not exist"),
        ("good.npz", "npz_source reads it"),
    ):  # fmt: skip
        with pytest.raises(FileError, match=says):
            npy_source(tmp_path / name)
    with pytest.raises(FileError, match="npy_source reads it"):
        npz_source(tmp_path / "good.npy")


# idx and CIFAR.


def idx(array):
    code = {"uint8": 8, "int32": 0x0C}[array.dtype.name]
    sizes = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_idx_files(tmp_path):
    images, labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([2, 0], np.uint8)
    (tmp_path / "i").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "l").write_bytes(idx(labels))
    source = idx_source(tmp_path / "i", tmp_path / "l")
    assert [str(e) for e in source.elements] == ["uint8[3, 4, 1]", "int32[]"] and source.classes == ("0", "1", "2")
    assert columns(source, 1) == [images[1:, ..., None].tolist(), [0]]
    assert idx_source(tmp_path / "i", tmp_path / "l", ("a", "b", "c")).classes == ("a", "b", "c")
    assert [str(e) for e in idx_source(tmp_path / "l").elements] == ["uint8[]"]
    with pytest.raises(FileError, match="is it the file of labels"):
        idx_source(tmp_path / "i", tmp_path / "i")
    (tmp_path / "l").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match="x has 2 records, but y has 3"):
        idx_source(tmp_path / "i", tmp_path / "l")


def cifar(*records):
    """Records of labels and the value of the red, green and blue corner at the top left."""
    made = b""
    for labels, corner in records:
        planes = np.zeros((3, 32, 32), np.uint8)
        planes[:, 0, 0], planes[0, 0, 1] = corner, 99
        made += bytes(labels) + planes.tobytes()
    return made


def test_cifar_files_of_both_kinds(tmp_path):
    (tmp_path / "a").write_bytes(cifar(([3], (1, 2, 3)), ([9], (4, 5, 6))))
    (tmp_path / "b").write_bytes(cifar(([0], (7, 8, 9))))
    source = cifar_source([tmp_path / "a", tmp_path / "b"])
    assert (source.name, source.count, source.classes[3]) == ("CIFAR-10", 3, "cat")
    assert [str(e) for e in source.elements] == ["uint8[32, 32, 3]", "int32[]"]
    x, y = taken(source, 2, 1).columns
    assert x[:, 0, 0].tolist() == [[7, 8, 9], [4, 5, 6]] and y.tolist() == [0, 9]
    assert x[0, 0, 1].tolist() == [99, 0, 0]  # red, to the right of the corner
    (tmp_path / "c").write_bytes(cifar(([4, 0], (1, 2, 3)), ([19, 89], (4, 5, 6))))
    fine, coarse = cifar_source(tmp_path / "c"), cifar_source(tmp_path / "c", fine=False)
    assert [fine.classes[n] for n in taken(fine, 0, 1).columns[1]] == ["apple", "tractor"]
    assert [coarse.classes[n] for n in taken(coarse, 0, 1).columns[1]] == ["fruit_and_vegetables", "vehicles_2"]
    assert taken(fine, 1).columns[0][0, 0, 0].tolist() == [4, 5, 6]
    with pytest.raises(FileError, match=r"a is of CIFAR-10, but .*c is not"):
        cifar_source([tmp_path / "a", tmp_path / "c"])


def test_a_file_whose_length_fits_both_kinds_is_known_by_its_labels(tmp_path):
    rng = np.random.default_rng(0)
    ten = rng.integers(0, 256, (3074, 3073), np.uint8)
    ten[:, 0] %= 10
    (tmp_path / "ten").write_bytes(ten.tobytes())
    hundred = rng.integers(0, 256, (3073, 3074), np.uint8)
    hundred[:, 0], hundred[:, 1] = hundred[:, 0] % 20, hundred[:, 1] % 100
    (tmp_path / "hundred").write_bytes(hundred.tobytes())
    assert (cifar_source(tmp_path / "ten").name, cifar_source(tmp_path / "hundred").name) == ("CIFAR-10", "CIFAR-100")


def test_damaged_cifar_files(tmp_path):
    for raw, says in ((b"", "no file of CIFAR"), (bytes(3000), "3,000 bytes are no multiple of 3,073")):
        (tmp_path / "a").write_bytes(raw)
        with pytest.raises(FileError, match=says):
            cifar_source(tmp_path / "a")
    for labels, says in (([20, 0], "label 20, expected 0 to 19"), ([0, 100], "label 100, expected 0 to 99")):
        (tmp_path / "a").write_bytes(cifar(([1, 1], (0, 0, 0)), (labels, (0, 0, 0))))
        with pytest.raises(FileError, match=f"no file of CIFAR-100: picture 1 has the {says}"):
            read_cifar100(tmp_path / "a")
    with pytest.raises(FileError, match="does not exist"):
        cifar_source(tmp_path / "nothing")


def test_the_classes_of_cifar_100():
    # Krizhevsky's page gives five classes to each of the 20, such as these
    assert (len(FINE_CLASSES), len(set(FINE_CLASSES)), len(COARSE_CLASSES)) == (100, 100, 20)
    for name in ("crab", "lobster", "snail", "spider", "worm", "streetcar", "willow_tree", "aquarium_fish"):
        assert name in FINE_CLASSES
    assert FINE_CLASSES[19] == "cattle" and COARSE_CLASSES[11] == "large_omnivores_and_herbivores"


def test_the_real_files(real_data):
    mnist = real_data("mnist")
    source = idx_source(*(next(mnist.glob(f"t10k-{kind}*")) for kind in ("images", "labels")))
    assert source.count == 10_000 and taken(source, *range(10)).columns[1].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pictures = cifar_source(real_data("cifar10") / "test_batch.bin")
    y = pictures.take(np.arange(10_000)).columns[1]
    assert pictures.name == "CIFAR-10" and np.bincount(y).tolist() == [1000] * 10


# Texts.


@pytest.fixture
def reviews(tmp_path):
    (tmp_path / "r.neg").write_bytes(b"bad film\n\n  dull , dull \n")
    (tmp_path / "r.pos").write_bytes("good café\r\n".encode("cp1252"))
    return tmp_path


def test_a_file_for_each_class(reviews):
    source = TextSource([reviews / "r.neg", reviews / "r.pos"], maxlen=3)
    assert source.classes == ("neg", "pos") and [str(e) for e in source.elements] == ["int32[3]", "int32[]"]
    # dull is the most frequent word; the others follow by the alphabet
    assert source.vocabulary.to_list() == ["", "[UNK]", "dull", ",", "bad", "café", "film", "good"]
    assert columns(source, 0, 1, 2) == [[[0, 4, 6], [2, 3, 2], [0, 7, 5]], [0, 0, 1]]
    assert [source.record(n) for n in range(3)] == ["r.neg line 1", "r.neg line 3", "r.pos line 1"]
    other = TextSource(
        [reviews / "r.pos", reviews / "r.neg"], Vocabulary(["", "[UNK]", "dull"]), 2, classes=("good", "bad"),
        padding="post", truncating="post",
    )  # fmt: skip
    assert other.classes == ("good", "bad") and columns(other, 0, 2) == [[[1, 1], [2, 1]], [0, 1]]


def test_a_folder_for_each_class(tmp_path):
    for name, text in (
        ("pos/1_9.txt", "fine\nfine"),
        ("neg/0_2.txt", "bad"),
        ("neg/1_1.txt", " \n"),
        ("unsup/0.txt", "?"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "neg/2_1.txt").write_bytes(b"\x81\x8d")
    (tmp_path / "neg/.hidden").write_bytes(b"no text")
    source = TextSource(tmp_path, classes=("neg", "pos"))
    assert [source.record(n) for n in range(source.count)] == [
        "neg/0_2.txt",
        "neg/1_1.txt",
        "neg/2_1.txt",
        "pos/1_9.txt",
    ]
    found = taken(source, 3, 2, 1, 0)
    assert [column.tolist() for column in found.columns][1] == [1, 0, 0, 0]
    assert source.vocabulary.decode(found.columns[0][0]) == "fine fine"
    assert set(found.broken) == {1, 2} and found.broken[2] == "it is empty" and "no text in UTF-8" in found.broken[1]
    assert TextSource(tmp_path).classes == ("neg", "pos", "unsup")


def test_lines_without_classes_and_by_characters(tmp_path):
    (tmp_path / "names.txt").write_text("emma\nava\n")
    source = TextSource(tmp_path / "names.txt", split="characters", padding="post")
    assert [str(e) for e in source.elements] == ["int32[4]"] and source.classes == ()
    assert source.vocabulary.to_list() == ["", "[UNK]", "a", "m", "e", "v"]
    assert columns(source, 1, 0) == [[[2, 5, 2, 0], [4, 3, 3, 2]]]


def test_texts_that_are_none(reviews):
    (reviews / "empty.txt").write_text("\n \n")
    (reviews / "folder").mkdir()
    for paths, options, error, says in (
        (reviews / "empty.txt", {}, DataError, "no text is found in empty.txt"),
        (reviews / "nothing.txt", {}, FileError, "does not exist"),
        (reviews / "folder", {}, FileError, "give the files as a list"),
        (reviews, {"classes": ("folder", "other")}, FileError, "holds no folder other, but folder"),
        (reviews, {}, DataError, "no text is found"),
        (reviews / "r.neg", {"classes": ("a",)}, ArgumentError, "one file, so its lines have no classes"),
        ([reviews / "r.neg"], {"classes": ("a", "b")}, ArgumentError, "1 files need as many different classes"),
        ([], {}, ArgumentError, "list of files is empty"),
        (reviews / "r.neg", {"vocabulary": ["a"]}, ArgumentError, "must be a Vocabulary"),
        (reviews / "r.neg", {"maxlen": 0}, ArgumentError, "maxlen"),
    ):
        with pytest.raises(error, match=says):
            TextSource(paths, **options)


def test_the_real_reviews(real_data):
    folder = real_data("rt_polarity")
    source = TextSource([folder / "rt-polarity.neg", folder / "rt-polarity.pos"], maxlen=20)
    assert source.count == 10_662 and source.classes == ("neg", "pos")
    words, labels = taken(source, 5_331, 0).columns
    assert source.vocabulary.decode(words[0]).endswith("van damme or steven segal .") and labels.tolist() == [1, 0]
    assert np.bincount(source.take(np.arange(10_662)).columns[1]).tolist() == [5_331, 5_331]


# The names that mr.data offers.


def test_public_names_arrive_when_they_are_used():
    assert mr.data.ArraySource is ArraySource and "open_source" in dir(mr.data) and "ImageFolder" in dir(mr.data)
    with pytest.raises(AttributeError, match=r"millrace.data has no 'ImageFoldr'. Did you mean 'ImageFolder'\?"):
        _ = mr.data.ImageFoldr
