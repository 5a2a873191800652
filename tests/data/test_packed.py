"""Packed folders: what is packed comes back, damage is noticed, and no kill changes what is written."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from millrace.data import shard
from millrace.data.holding import held
from millrace.data.image_folder import ImageFolder
from millrace.data.opening import open_source
from millrace.data.ordered import in_order
from millrace.data.packed import Packed
from millrace.data.packing import pack
from millrace.ir.errors import ArgumentError, DataError, FileError


def photograph(rng, height, width):
    """Something smooth with a little noise, as photographs are: uint8 [height, width, 3]."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), int)
    return (smooth + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def fill(root, classes=("b", "a", "c"), each=5, seed=0, sizes=((40, 60), (61, 40), (33, 33))):
    """A folder of pictures of several sizes and kinds."""
    rng = np.random.default_rng(seed)
    for label in classes:
        (root / label).mkdir(parents=True)
        for n in range(each):
            picture = Image.fromarray(photograph(rng, *sizes[n % len(sizes)]))
            picture.save(root / label / (f"{n}.png" if n % 3 == 2 else f"{n}.jpg"), quality=90)
    return root


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "photos")


def content(path):
    """Every file of a folder, byte for byte."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


def every(source):
    return source.take(np.arange(source.count))


def test_without_resizing_a_pack_holds_the_same_bytes_labels_and_names(folder, tmp_path):
    source = ImageFolder(folder)
    packed = pack(folder, tmp_path / "out")
    assert isinstance(open_source(tmp_path / "out"), Packed)
    assert packed.classes == ("a", "b", "c") and packed.count == 15
    assert packed.elements == source.elements and packed.name == "photos"
    (files, labels), (packed_files, packed_labels) = every(source).columns, every(packed).columns
    assert packed_files == files and not every(packed).broken
    np.testing.assert_array_equal(packed_labels, labels)
    assert packed_labels.dtype == np.int32 and packed.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert [packed.record(n) for n in range(15)] == [source.record(n) for n in range(15)]
    some = packed.take(np.array([14, 3, 3, 0]))
    assert some.columns[0] == [files[n] for n in (14, 3, 3, 0)] and some.columns[1].tolist() == [2, 0, 0, 0]
    assert packed.verify() == {} and packed.resize is None


def test_classes_keep_the_order_that_was_asked_for(folder, tmp_path):
    packed = pack(ImageFolder(folder, classes=("c", "a")), tmp_path / "out")
    assert packed.classes == ("c", "a") and packed.labels.tolist() == [0] * 5 + [1] * 5
    assert packed.record(0).startswith("c/")


def test_a_folder_without_classes_is_packed_without(tmp_path):
    (tmp_path / "loose").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "loose" / "ä ö.png")
    packed = pack(tmp_path / "loose", tmp_path / "out")
    assert len(packed.elements) == 1 == len(every(packed).columns) and packed.classes == ()
    assert packed.record(0) == "ä ö.png"


def test_resized_pictures_are_near_what_pillow_makes_and_both_ways_round(tmp_path):
    root = fill(tmp_path / "photos", sizes=((40, 60), (121, 80), (32, 32)))
    packed = pack(root, tmp_path / "out", resize=48)
    assert packed.resize == 48 and packed.quality == 95
    for n, file in enumerate(every(packed).columns[0]):
        picture = Image.open(io.BytesIO(file))
        original = Image.open(root / packed.record(n)).convert("RGB")
        height, width = original.height, original.width
        scale = 48 / min(height, width)
        assert (picture.height, picture.width) == (round(height * scale), round(width * scale)), packed.record(n)
        assert picture.format == "JPEG" and picture.layer[0][1:3] == (1, 1)  # full colour: no plane is halved
        wanted = np.asarray(original.resize(picture.size, Image.Resampling.BILINEAR), float)
        assert np.abs(np.asarray(picture, float) - wanted).mean() < 2.5, packed.record(n)


def test_a_picture_taken_sideways_is_packed_upright(tmp_path):
    (tmp_path / "photos").mkdir()
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    noted = Image.Exif()
    noted[0x0112] = 6  # the first row is the right side
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.jpg", exif=noted, quality=95)
    (file,) = every(pack(tmp_path / "photos", tmp_path / "out", resize=20)).columns[0]
    upright = np.asarray(Image.open(io.BytesIO(file)))
    assert upright.shape == (40, 20, 3) and upright[:18].mean() > 245 and upright[22:].mean() < 10


def test_the_number_of_threads_changes_no_byte(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "LIMIT", 8_000)
    packs = []
    for workers in (1, 2, 5):
        pack(folder, tmp_path / str(workers), 32, workers=workers)
        packs.append(content(tmp_path / str(workers)))
    assert packs[0] == packs[1] == packs[2]
    shards = [name for name in packs[0] if name.startswith("records-")]
    assert len(shards) > 2 and all(len(packs[0][name]) <= 8_000 for name in shards)
    assert set(packs[0]) == {*shards, "index.bin", "pack.json"}
    assert Packed(tmp_path / "1").verify() == {}


def test_the_format_is_what_its_description_says(folder, tmp_path):
    """A reader made from the text of `packed.py` alone."""
    import struct
    import zlib

    pack(folder, tmp_path / "out", 32)
    said = json.loads((tmp_path / "out" / "pack.json").read_text())
    raw, place, names = (tmp_path / "out" / "records-00000.bin").read_bytes(), 0, []
    index = (tmp_path / "out" / "index.bin").read_bytes()
    assert said["index"] == f"{zlib.crc32(index):08x}" and said["shards"][0]["crc32"] == f"{zlib.crc32(raw):08x}"
    while place < len(raw):
        head, body, label, n, size = struct.unpack_from("<IIiIQ", raw, place)
        assert head == zlib.crc32(raw[place + 4 : place + 24 + n])
        assert body == zlib.crc32(raw[place + 24 + n : place + 24 + n + size])
        assert struct.unpack_from("<QIi", index, 16 * len(names)) == (place, 0, label)
        names.append(raw[place + 24 : place + 24 + n].decode())
        assert names[-1].startswith(said["classes"][label] + "/")
        place += 24 + n + size
    assert len(names) == said["count"] == said["shards"][0]["records"] and said["shards"][0]["bytes"] == len(raw)
    assert said.pop("check") == f"{zlib.crc32(json.dumps(said).encode()):08x}"


# ---- damage


@pytest.fixture
def tiny(tmp_path):
    """Three pictures of a few hundred bytes in one shard."""
    root = tmp_path / "tiny"
    for n in range(3):
        (root / f"class{n}").mkdir(parents=True)
        Image.new("RGB", (3, 3), (n, n, n)).save(root / f"class{n}" / f"{n}.png")
    pack(root, tmp_path / "packed")
    return tmp_path / "packed"


def flipped(path, place, bit=0x10):
    raw = bytearray(path.read_bytes())
    raw[place] ^= bit
    path.write_bytes(raw)


def test_any_flipped_byte_is_noticed_and_breaks_its_record_alone(tiny):
    path = tiny / "records-00000.bin"
    good, whole = every(Packed(tiny)).columns[0], path.read_bytes()
    ends = np.cumsum(Packed(tiny).sizes())
    for place in range(len(whole)):
        flipped(path, place)
        packed = Packed(tiny)
        taken, hit = every(packed), int(np.searchsorted(ends, place, "right"))
        assert list(taken.broken) == [hit], place
        assert "not those that were packed" in taken.broken[hit]
        assert [f for n, f in enumerate(taken.columns[0]) if n != hit] == [f for n, f in enumerate(good) if n != hit]
        assert packed.record(hit) in (f"class{hit}/{hit}.png", f"record {hit}")
        path.write_bytes(whole)


def test_a_damaged_record_is_called_by_its_name_and_verify_finds_it_and_its_shard(tiny):
    flipped(tiny / "records-00000.bin", -1)
    packed = Packed(tiny)
    assert packed.record(2) == "class2/2.png"
    seen = []
    wrong = packed.verify(lambda done, total: seen.append((done, total)))
    assert set(wrong) == {"class2/2.png", "records-00000.bin"} and seen[-1] == (3, 3)


def test_a_damaged_or_missing_index_is_made_again_from_the_shards(tiny):
    good = every(Packed(tiny)).columns[0]
    flipped(tiny / "index.bin", 20)
    assert every(Packed(tiny)).columns[0] == good
    (tiny / "index.bin").unlink()
    assert every(Packed(tiny)).columns[0] == good
    flipped(tiny / "records-00000.bin", 5)
    with pytest.raises(FileError, match=r"index\.bin is missing or damaged, and so is a record"):
        Packed(tiny)


def test_no_flipped_byte_of_the_description_passes(tiny):
    path = tiny / "pack.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped(path, place, 0x01)
        with pytest.raises(FileError):
            Packed(tiny)
        path.write_bytes(whole)


def test_what_is_missing_is_named(tiny, tmp_path):
    opened = Packed(tiny)
    every(opened)
    shutil.move(tiny, tmp_path / "away")
    with pytest.raises(FileError, match=r"records-00000\.bin cannot be read \(it is missing\)"):
        every(opened)
    with pytest.raises(FileError, match="packed does not exist"):
        Packed(tiny)
    shutil.move(tmp_path / "away", tiny)
    assert not every(opened).broken
    shard_path = tiny / "records-00000.bin"
    shard_path.write_bytes(shard_path.read_bytes()[:-7])
    with pytest.raises(FileError, match=r"records-00000\.bin has [\d,]+ bytes, pack\.json says"):
        every(opened)
    shard_path.unlink()
    with pytest.raises(FileError, match=r"records-00000\.bin cannot be read"):
        Packed(tiny)
    (tiny / "pack.json").unlink()
    with pytest.raises(FileError, match=r"holds no pack\.json"):
        Packed(tiny)


def test_numbers_of_no_record_and_later_formats_are_refused(tiny):
    with pytest.raises(ArgumentError, match="records 0 to 2"):
        Packed(tiny).take(np.array([3]))
    with pytest.raises(ArgumentError, match="records 0 to 2"):
        Packed(tiny).take(np.array([-1]))
    said = json.loads((tiny / "pack.json").read_text())
    (tiny / "pack.json").write_text(json.dumps(said | {"format": 2}))
    with pytest.raises(FileError, match=r"has format 2.*update Millrace"):
        Packed(tiny)


def test_several_threads_may_take_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "LIMIT", 8_000)
    packed = pack(folder, tmp_path / "out")
    files, wrong = every(ImageFolder(folder)).columns[0], []

    def work(seed):
        for numbers in np.random.default_rng(seed).integers(0, 15, (50, 6)):
            if packed.take(numbers).columns[0] != [files[n] for n in numbers]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- pictures that cannot be used


@pytest.mark.parametrize("resize", [None, 24])
def test_broken_pictures_are_named_and_left_out(folder, tmp_path, resize):
    whole = (folder / "b" / "1.jpg").read_bytes()
    (folder / "b" / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c" / "0.jpg").write_bytes(b"")
    packed = pack(folder, tmp_path / "out", resize)
    assert list(packed.broken) == ["b/1.jpg", "c/0.jpg"] and packed.count == 13
    assert "cut short" in packed.broken["b/1.jpg"] and "empty" in packed.broken["c/0.jpg"]
    assert "b/1.jpg" not in [packed.record(n) for n in range(13)]
    assert packed.labels.tolist() == [0] * 5 + [1] * 4 + [2] * 4


def test_a_folder_with_nothing_but_broken_pictures_says_why(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 pictures, none of which can be used: a\.jpg: the file is no"):
        pack(tmp_path / "photos", tmp_path / "out")
    assert not (tmp_path / "out" / "pack.json").exists()


# ---- stopped and gone on with

CHILD = """
import sys
from millrace.data import shard
from millrace.data.packing import pack
shard.LIMIT = 8_000
pack(sys.argv[1], sys.argv[2], 32, workers=2, report=lambda what, done, total: print(what, done, flush=True))
print("packed", flush=True)
"""


def stopped(folder, out, after, **arguments):
    """Pack, and stop as Ctrl-C does when so many pictures are done."""

    def report(what, done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(folder, out, report=report, **arguments)


@pytest.mark.parametrize("lines", [0, 1, 9, 17, 30])
def test_killed_and_started_again_it_ends_with_the_same_bytes(tmp_path, monkeypatch, lines):
    monkeypatch.setattr(shard, "LIMIT", 8_000)
    folder = fill(tmp_path / "photos", each=10)
    (folder / "a" / "3.jpg").write_bytes(b"\xff\xd8\xff and nothing else")
    pack(folder, tmp_path / "whole", 32)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, folder, tmp_path / "out"], stdout=subprocess.PIPE, text=True
    ) as child:  # fmt: skip
        for _ in range(lines):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    seen = []
    packed = pack(folder, tmp_path / "out", 32, report=lambda what, done, total: seen.append((what, done, total)))
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert list(packed.broken) == ["a/3.jpg"] and packed.verify() == {}
    checked = [done for what, done, _ in seen if what == "checking"]
    assert len(checked) >= lines - 2, "what was packed before is not packed again"
    assert {total for *_, total in seen} <= {30}


@pytest.mark.parametrize("limit", [4_000, 1_000_000])
def test_cut_off_at_any_byte_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(shard, "LIMIT", limit)
    folder = fill(tmp_path / "photos", each=2)
    (folder / "a" / "0.jpg").write_bytes(b"")
    pack(folder, tmp_path / "whole", 16)
    wanted = content(tmp_path / "whole")
    stopped(folder, tmp_path / "begun", 5, resize=16)
    written = b"".join(file.read_bytes() for file in sorted((tmp_path / "begun").glob("records-*.bin")))
    assert b"".join(wanted[name] for name in sorted(wanted) if name.startswith("records-")).startswith(written)
    last = max((tmp_path / "begun").glob("records-*.bin"))
    for size in [*range(0, last.stat().st_size, 97), last.stat().st_size - 1]:
        out = tmp_path / "out"
        shutil.copytree(tmp_path / "begun", out)
        os.truncate(out / last.name, size)
        pack(folder, out, 16)
        assert content(out) == wanted, size
        shutil.rmtree(out)


def test_a_record_that_a_power_cut_left_as_zeros_is_packed_anew(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "LIMIT", 8_000)
    pack(folder, tmp_path / "whole")
    stopped(folder, tmp_path / "out", 12)
    first = tmp_path / "out" / "records-00000.bin"
    raw = first.read_bytes()
    first.write_bytes(raw[:-500] + bytes(500))  # and whole shards after it
    pack(folder, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_killed_before_the_description_stands_the_pack_is_unfinished(folder, tmp_path):
    stopped(folder, tmp_path / "out", 14)
    with pytest.raises(FileError, match="not packed to its end: give the same"):
        Packed(tmp_path / "out")
    with pytest.raises(FileError):
        open_source(tmp_path / "out")


def test_a_finished_pack_is_left_alone(folder, tmp_path):
    pack(folder, tmp_path / "out", 32)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    assert pack(folder, tmp_path / "out", 32).count == 15
    assert before == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, which Windows cannot")
def test_a_full_disk_is_told_and_packing_goes_on_when_there_is_room(folder, tmp_path):
    pack(folder, tmp_path / "whole")
    child = (
        "import resource, sys; from millrace.data.packing import pack; from millrace.ir.errors import FileError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try: pack(sys.argv[1], sys.argv[2])\n"
        "except FileError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", child, folder, tmp_path / "out"], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip
    assert "cannot be written" in said and "the same command goes on there" in said
    assert (tmp_path / "out" / "records-00000.bin").stat().st_size == 9000
    pack(folder, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


# ---- what is refused


def test_other_arguments_or_pictures_are_refused_begun_or_finished(folder, tmp_path):
    stopped(folder, tmp_path / "begun", 3, resize=32)
    pack(folder, tmp_path / "done", 32)
    other = tmp_path / "other" / "photos"
    shutil.copytree(folder, other)
    (other / "a" / "0.jpg").write_bytes((other / "a" / "0.jpg").read_bytes() + b"\0")
    for out, said in (("begun", "was begun with"), ("done", "holds a pack already, with")):
        with pytest.raises(FileError, match=rf"{said} another --resize \(32 there, 24 here\).*start anew"):
            pack(folder, tmp_path / out, 24)
        with pytest.raises(FileError, match=rf"{said} another --resize \(32 there, None here\)"):
            pack(folder, tmp_path / out)
        with pytest.raises(FileError, match=rf"{said} another --quality \(95 there, 90 here\)"):
            pack(folder, tmp_path / out, 32, quality=90)
        with pytest.raises(FileError, match=rf"{said} other files"):
            pack(other, tmp_path / out, 32)
        with pytest.raises(FileError, match=rf"{said} other classes and other files"):
            pack(ImageFolder(folder, classes=("a",)), tmp_path / out, 32)


def test_a_place_that_holds_anything_else_is_refused_and_left_alone(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="is a file"):
        pack(folder, tmp_path / "file")
    with pytest.raises(FileError, match="cannot be written: Not a directory"):
        pack(folder, tmp_path / "file" / "below")
    for name in ("notes.txt", "records-00000.bin"):
        (tmp_path / name[:3]).mkdir()
        (tmp_path / name[:3] / name).write_text("mine")
        with pytest.raises(FileError, match=rf"holds other files \({name}\)"):
            pack(folder, tmp_path / name[:3])
        assert content(tmp_path / name[:3]) == {name: b"mine"}
    with pytest.raises(FileError, match="lies in"):
        pack(folder, folder / "packed")
    assert not (folder / "packed").exists()


def test_two_packings_into_one_folder_are_refused(folder, tmp_path):
    stopped(folder, tmp_path / "out", 3)
    with (
        held(tmp_path / "out" / "packing.lock", "busy"),
        pytest.raises(FileError, match="being packed into by another process"),
    ):
        pack(folder, tmp_path / "out")
    assert pack(folder, tmp_path / "out").count == 15


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"resize": 0}, "resize must be"), ({"resize": 100_000}, "resize must be"),
        ({"quality": 0}, "quality must be 1 to 100"), ({"quality": 101}, "quality must be"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(folder, tmp_path, arguments, said):
    with pytest.raises(ArgumentError, match=said):
        pack(folder, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_vanishes_stops_the_packing_which_goes_on_when_it_is_back(tmp_path):
    folder = fill(tmp_path / "photos", each=20)
    pack(folder, tmp_path / "whole")

    def report(what, done, total):
        if done == 3:
            folder.rename(tmp_path / "unplugged")

    with pytest.raises(FileError, match="photos"):
        pack(folder, tmp_path / "out", workers=1, report=report)
    (tmp_path / "unplugged").rename(folder)
    pack(folder, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


# ---- threads in order


def test_results_come_in_order_and_an_error_in_its_place():
    assert list(in_order(lambda n: n * n, 100, 7)) == [n * n for n in range(100)]
    assert list(in_order(lambda n: n, 0, 3)) == []
    before = threading.active_count()
    results = in_order(lambda n: 1 // (5 - n), 100, 3)
    assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before
