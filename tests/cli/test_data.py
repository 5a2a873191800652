"""`millrace data pack`, `show` and `stats`, as they are called."""

import io
import os
import re
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from millrace.data.holding import held
from millrace.data.packed import Packed


@pytest.fixture
def millrace(millrace):
    """`millrace data ...` in this process."""
    return partial(millrace, "data")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Seven pictures of two classes, one of them broken; the working directory is beside the folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for n in range(7):
        path = tmp_path / "photos" / ("cats", "dogs")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 12 + n, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    return "photos"


def test_pack_then_show_then_stats(millrace, folder, tmp_path):
    out, err, code = millrace("pack", folder, "packed", "--resize", 16, "--workers", 2)
    assert code == 0, err
    assert re.search(r"^packed: 6 of 7 pictures in [\d.]+ kB, shorter side 16 pixels, quality 95\.$", out, re.M)
    assert "1 left out:\n  cats/6.png: the picture is cut short" in out
    out, _, code = millrace("show", "packed", "--sheet", "sheet.png")
    assert code == 0
    assert out.startswith("photos: 6 records of (uint8[bytes], int32[])\nclasses         2, 3 records each\n")
    assert re.search(r"^  dogs          3  █+$", out, re.M)
    # 10 x 12 and 10 x 17 pixels, scaled so that 10 becomes 16
    assert "height x width  smallest 16 x 19, median 16 x 22, largest 16 x 27\n" in out
    assert re.search(r"^broken          0\nduplicates      0\nContact sheet: sheet\.png$", out, re.M)
    assert Image.open(tmp_path / "sheet.png").format == "PNG"
    out, _, code = millrace("stats", "packed", "--size", 8, "--out", "stats.npz")
    assert code == 0 and "pictures      6 of 6, each 8 x 8 x 3\n" in out and out.endswith("Written: stats.npz\n")
    with np.load("stats.npz") as file:
        assert set(file) == {"count", "mean", "std", "mean_image", "covariance", "eigenvalues", "eigenvectors"}
        assert file["mean_image"].shape == (8, 8, 3)
        assert f"{file['mean'][1]:.4f}" in out
        np.testing.assert_allclose(file["mean_image"].mean((0, 1)), file["mean"])


def test_show_lists_what_is_wrong(millrace, folder, tmp_path):
    (tmp_path / "photos" / "dogs" / "again.png").write_bytes((tmp_path / "photos" / "cats" / "0.png").read_bytes())
    (tmp_path / "photos" / "readme.txt").write_text("hello")
    out, _, code = millrace("show", folder)
    assert code == 0
    assert "broken          1\n  cats/6.png: the picture is cut short" in out
    assert "duplicates      1, in 1 groups, of which 1 across classes\n  cats/0.png = dogs/again.png\n" in out
    assert "passed over     1 other files\n" in out


def test_show_lists_the_extremes_of_many_classes(millrace, tmp_path):
    y = np.repeat(np.arange(30), np.arange(1, 31))
    np.savez(tmp_path / "many.npz", x=np.arange(len(y), dtype=np.float32), y=y)
    out, _, _ = millrace("show", tmp_path / "many.npz")
    assert "classes         30, 1 to 30 records each, median 15\n" in out
    listed = re.findall(r"^  (\d+) +(\d+)  █", out, re.M)
    assert listed[:5] == [(str(n), str(n + 1)) for n in range(29, 24, -1)]
    assert "... 20 more ..." in out and re.search(r"^  0 +1", out, re.M)
    assert "values          float32[]: 0 to 464, mean 232\n" in out


def test_a_quick_look_says_that_it_is_one(millrace, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(2000, dtype=np.float32))
    out, _, _ = millrace("show", tmp_path / "x.npy", "--quick")
    assert "A quick look: what follows is of 500 of them" in out and "duplicates" not in out


def test_long_names_and_reasons_are_broken_up(millrace, folder, tmp_path):
    long = tmp_path / "photos" / "cats" / ("a rather long name " * 8 + ".png")
    long.write_bytes(b"no picture at all")
    out, _, _ = millrace("show", folder)
    assert "a rather long name" in out and "broken          2" in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such names out")
def test_names_that_are_no_text_can_be_shown(millrace, folder, tmp_path):
    with open(os.fsencode(tmp_path / "photos" / "cats") + b"/\xff.png", "wb") as file:
        file.write(b"nothing")
    Image.new("RGB", (4, 4)).save(tmp_path / "photos" / "cats" / "good.png")
    (tmp_path / "photos" / "cats" / "good.png").rename(
        os.fsdecode(os.fsencode(tmp_path / "photos/cats") + b"/\xfe.png")
    )
    assert ".png: the file is no" in millrace("show", folder)[0]
    out, _, code = millrace("pack", folder, "packed")
    assert code == 0 and r"cats/\udcff.png" in out
    assert "cats/\N{REPLACEMENT CHARACTER}.png" in [Packed(tmp_path / "packed").record(n) for n in range(7)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pack", "nowhere", "out"), "nowhere is no file, no folder"),
        (("pack", "empty", "out"), "holds no pictures"),
        (("pack", "photos", "full"), "full holds other files (notes.txt): give a new or an empty folder"),
        (("pack", "photos", "photos/out"), "lies in photos"),
        (("pack", "photos", "full/notes.txt"), "is a file: give a folder"),
        (("pack", "photos", "full/notes.txt/out"), "Not a directory"),
        (("pack", "x.npy", "out"), "x.npy is no folder of pictures"),
        (("pack", "photos", "out", "--resize", "0"), "resize must be 1 to"),
        (("pack", "photos", "out", "--quality", "200"), "quality must be 1 to 100, got 200"),
        (("pack", "photos", "out", "--workers", "0"), "workers must be at least 1"),
        (("pack", "photos", "out", "--resize", "big"), "--resize"),
        (("show", "nowhere"), "nowhere is no file, no folder"),
        (("show", "empty"), "holds no pictures"),
        (("show", "photos", "--sheet", "sheet.gif"), "--sheet sheet.gif: give a file that ends in .png"),
        (("show", "photos", "--sheet", "full/notes.txt/a.png"), "cannot write"),
        (("show", "x.npy", "--sheet", "sheet.png"), "which are no pictures"),
        (("stats", "photos", "--out", "s.npz"), "say with --size"),
        (("stats", "photos", "--size", "0", "--out", "s.npz"), "size must be at least 1"),
        (("stats", "photos", "--size", "8", "--out", "s.txt"), "give a file that ends in .npz"),
        (("stats", "x.npy", "--out", "s.npz"), "which are no pictures"),
        (("stats", "photos", "--size", "8"), "--out"),
        (("peck", "photos"), "peck"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(millrace, folder, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    np.save(tmp_path / "x.npy", np.zeros((3, 2), np.float32))
    out, err, code = millrace(*arguments)
    assert code == 2 and said in err and not out
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine" and not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(millrace, folder, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    _, err, code = millrace("pack", folder, "locked")
    assert code == 2 and "locked/packing.lock cannot be written: Permission denied" in err
    _, err, code = millrace("pack", folder, "locked/out")
    assert code == 2 and "cannot be written: Permission denied" in err
    (tmp_path / "photos" / "cats" / "0.png").chmod(0)
    out, _, code = millrace("show", folder)
    assert code == 0 and "cats/0.png: the file cannot be read (Permission denied)" in out


def test_other_arguments_for_a_pack_are_refused(millrace, folder, tmp_path):
    assert millrace("pack", folder, "packed", "--resize", 16)[2] == 0
    assert millrace("pack", folder, "packed", "--resize", 16)[2] == 0
    _, err, code = millrace("pack", folder, "packed", "--resize", 24)
    assert code == 2 and "another --resize (16 there, 24 here)" in err and "start anew" in err
    (tmp_path / "packed" / "pack.json").unlink()
    _, err, code = millrace("show", "packed")
    assert code == 2


def test_a_packing_that_runs_is_not_disturbed(millrace, folder, tmp_path):
    (tmp_path / "out").mkdir()
    with held(tmp_path / "out" / "packing.lock", ""):
        _, err, code = millrace("pack", folder, "out")
    assert code == 2 and "being packed into by another process" in err


def test_ctrl_c_says_how_to_go_on_and_going_on_ends_with_the_same_bytes(millrace, folder, tmp_path):
    for n in range(400):
        picture = Image.fromarray(np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8))
        picture.save(tmp_path / "photos" / "cats" / f"more{n}.png", compress_level=0)
    command = [sys.executable, "-c", "from millrace.cli.main import main; main()", "data", "pack", "photos", "out"]
    with subprocess.Popen(
        [*command, "--resize", "300"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as child:
        while not (tmp_path / "out" / "records-00000.bin").exists() and child.poll() is None:
            pass
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode == 130, err
    assert re.search(r"stopped after \d+ of 407 pictures\. The same command goes on there\.", err) and not out
    assert millrace("pack", folder, "out", "--resize", 300)[2] == 0
    assert millrace("pack", folder, "whole", "--resize", 300)[2] == 0
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), file.name


def test_without_a_terminal_progress_is_plain_lines(monkeypatch):
    from millrace.cli import bar

    monkeypatch.setattr(bar, "PAUSE", 0.0)
    monkeypatch.setattr(sys, "stderr", told := io.StringIO())
    monkeypatch.setenv("COLUMNS", "80")
    with bar.Bar("pictures") as shown:
        for done in range(1, 4):
            shown.reach("packing", 1000 * done, 3000)
    lines = told.getvalue().splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 80
    assert re.fullmatch(r"packing: 2,000 of 3,000 pictures  [\d,]+/s  \d+ s left", lines[1])
