"""What is found in a source, the statistics of its pictures, and its contact sheet, against counts made by hand."""

import shutil

import numpy as np
import pytest
from PIL import Image

from millrace.data.image_folder import ImageFolder
from millrace.data.memory import ArraySource
from millrace.data.packing import pack
from millrace.data.sheet import CELL, GAP, LABEL, MARGIN, contact_sheet
from millrace.data.source import Source, Taken
from millrace.data.stats import pixel_stats
from millrace.data.survey import QUICK, Shapes, survey
from millrace.ir.errors import ArgumentError, DataError
from millrace.ir.types import TensorType

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def plain(path, colour, height=8, width=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Five pictures of two classes, two of them the same, one broken, and a file that is none."""
    root = tmp_path / "photos"
    plain(root / "red" / "0.png", RED, 10, 20)
    plain(root / "red" / "1.png", RED, 30, 30)
    plain(root / "red" / "2.png", RED, 6, 5)
    plain(root / "green" / "0.png", GREEN, 16, 16)
    shutil.copy(root / "red" / "1.png", root / "green" / "1.png")
    (root / "green" / "2.png").write_bytes((root / "green" / "0.png").read_bytes()[:-30])
    (root / "green" / "notes.txt").write_text("not a picture")
    return root


@pytest.mark.parametrize("workers", [1, 4])
def test_a_survey_counts_what_is_there(folder, workers):
    seen = []
    found = survey(ImageFolder(folder), workers=workers, report=lambda done, total: seen.append((done, total)))
    assert (found.name, found.count, found.examined) == ("photos", 6, 6) and seen[-1] == (6, 6)
    assert found.classes == ("green", "red") and found.balance == (3, 3)
    assert found.shapes == Shapes((6, 5), (16, 16), (30, 30))
    assert found.size == sum(file.stat().st_size for file in folder.rglob("*.png"))
    assert found.passed_over == 1 and found.values == ()
    assert list(found.broken) == ["green/2.png"] and "cut short" in found.broken["green/2.png"]
    # sorted, green/1.png is number 1 and red/1.png is number 4
    assert found.duplicates == ((1, 4),) == found.across


def test_a_packed_folder_is_surveyed_like_the_folder(folder, tmp_path):
    (folder / "green" / "2.png").unlink()
    one, other = survey(ImageFolder(folder)), survey(pack(folder, tmp_path / "out"))
    for what in ("name", "count", "classes", "balance", "shapes", "size", "broken", "duplicates"):
        assert getattr(one, what) == getattr(other, what), what


def test_a_quick_look_reads_some_and_counts_the_classes_of_all():
    x = np.arange(4 * QUICK, dtype=np.int64).reshape(-1, 1)
    found = survey(ArraySource(x, np.arange(4 * QUICK) % 4, "many", tuple("abcd")), quick=True)
    assert found.examined == QUICK and found.count == 4 * QUICK
    assert found.balance == (QUICK,) * 4 and found.duplicates == ()


def test_values_of_arrays_and_rows_that_are_there_twice():
    x = np.array([[1.0, 2.0], [3.0, -4.0], [1.0, 2.0], [5.0, 6.0]], np.float32)
    found = survey(ArraySource(x, np.array([0, 1, 0, 2]), "rows"))
    (values,) = found.values
    assert (values.low, values.high, values.mean, values.nan) == (-4.0, 6.0, 2.0, 0.0)
    assert found.duplicates == ((0, 2),) and found.across == ()
    assert found.classes == ("0", "1", "2") and found.balance == (2, 1, 1) and found.shapes is None
    targets = survey(ArraySource(x, np.array([0.5, 1.5, 2.5, 3.5]), "targets"))
    assert targets.classes == () and targets.values[1].mean == 2.0


class Holes(Source):
    """A source whose numbers are NaN in part."""

    name, count, elements = "holes", 3, (TensorType("float32", (2,)),)

    def take(self, numbers):
        rows = np.array([[np.nan, 1], [2, np.nan], [9, 6]], np.float32)[numbers]
        return Taken((rows,), {place: "it is spoilt" for place, n in enumerate(numbers) if n == 3})


def test_the_share_of_nan_is_told():
    (values,) = survey(Holes()).values
    assert (values.low, values.high, values.mean) == (1.0, 9.0, 4.5) and values.nan == pytest.approx(2 / 6)


def test_broken_rows_of_a_memory_map_are_named(tmp_path):
    x = np.ones((5, 2), np.float32)
    x[3, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    found = survey(ArraySource(np.load(tmp_path / "x.npy", mmap_mode="r")))
    assert found.broken == {"record 3": "x is NaN or infinite"} and found.values[0].mean == 1.0
    assert found.duplicates == ((0, 1, 2, 4),)


# ---- statistics


def test_statistics_of_two_pictures_by_hand():
    x = np.array([[[0, 10], [20, 30]], [[40, 10], [0, 50]]], np.uint8)
    found = pixel_stats(ArraySource(x))
    assert found.count == 2 and found.mean.tolist() == [20.0]
    np.testing.assert_array_equal(found.mean_image, [[[20], [10]], [[10], [40]]])
    # squares: 0 100 400 900 1600 100 0 2500, their mean 700; 700 - 20^2 = 300
    assert found.covariance.tolist() == [[300.0]] and found.eigenvalues.tolist() == [300.0]
    assert found.std[0] == pytest.approx(np.sqrt(300)) and found.eigenvectors.tolist() == [[1.0]]


def noise(tmp_path, count=40, side=6):
    """Pictures as PNG of one size, in colours that go together: uint8 [count, side, side, 3], and their folder."""
    rng = np.random.default_rng(3)
    light = rng.integers(0, 120, (count, side, side, 1))
    x = (light + rng.integers(0, 60, (count, side, side, 3)) + [10, 40, 70]).clip(0, 255).astype(np.uint8)
    (tmp_path / "noise").mkdir()
    for n, picture in enumerate(x):
        Image.fromarray(picture).save(tmp_path / "noise" / f"{n:03}.png")
    return x, tmp_path / "noise"


def test_statistics_of_files_are_numpys(tmp_path):
    x, root = noise(tmp_path)
    found = pixel_stats(ImageFolder(root), size=6)
    pixels = x.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-12)
    np.testing.assert_allclose(found.mean_image, x.mean(0, dtype=float), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(pixels, rowvar=False, bias=True), rtol=1e-11)
    values, vectors = np.linalg.eigh(np.cov(pixels, rowvar=False, bias=True))
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-9)
    for n in range(3):  # a direction, whichever way it points
        assert abs(found.eigenvectors[:, n] @ vectors[:, 2 - n]) == pytest.approx(1)
        assert found.eigenvectors[np.abs(found.eigenvectors[:, n]).argmax(), n] > 0


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_number_of_threads_changes_no_bit_of_the_statistics(tmp_path, dtype):
    x, root = noise(tmp_path)
    source = ImageFolder(root) if dtype == "uint8" else ArraySource(x.astype(dtype) / 255)
    size = 5 if dtype == "uint8" else None
    one, several = (pixel_stats(source, size, workers=n).arrays() for n in (1, 5))
    assert {name: array.tobytes() for name, array in one.items()} == {k: v.tobytes() for k, v in several.items()}


def test_broken_pictures_do_not_count_in_the_statistics(folder):
    found = pixel_stats(ImageFolder(folder), size=4)
    assert found.count == 5 and list(found.broken) == ["green/2.png"]
    np.testing.assert_allclose(found.mean, (4 * np.array(RED) + np.array(GREEN)) / 5)


def test_what_has_no_pixels_has_no_statistics(folder):
    with pytest.raises(ArgumentError, match="say to which size"):
        pixel_stats(ImageFolder(folder))
    with pytest.raises(ArgumentError, match="size must be at least 1"):
        pixel_stats(ImageFolder(folder), size=0)
    with pytest.raises(ArgumentError, match=r"float64\[2\], which are no pictures"):
        pixel_stats(ArraySource(np.zeros((3, 2))))
    with pytest.raises(ArgumentError, match="leave the size out"):
        pixel_stats(ArraySource(np.zeros((3, 2, 2), np.uint8)), size=4)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="no picture that can be used, of 6"):
        pixel_stats(ImageFolder(folder), size=4)


# ---- contact sheets


def test_a_sheet_shows_a_row_for_each_class(folder):
    sheet = contact_sheet(ImageFolder(folder))
    assert sheet.size == (2 * MARGIN + LABEL + 8 * (CELL + GAP) - GAP, 2 * MARGIN + 2 * (CELL + GAP) - GAP)

    def middle(row, column):
        left = MARGIN + LABEL + column * (CELL + GAP)
        return sheet.getpixel((left + CELL // 2, MARGIN + row * (CELL + GAP) + CELL // 2))

    assert [middle(0, n) for n in range(2)] == [GREEN, RED] and middle(0, 2) == (211, 211, 211)  # broken: grey
    assert [middle(1, n) for n in range(4)] == [RED, RED, RED, (255, 255, 255)]  # three of them
    assert np.asarray(sheet)[MARGIN : MARGIN + 20, MARGIN : MARGIN + 60].min() < 100, "the class's name is there"


def test_a_sheet_of_arrays_scales_by_whole_pixels_from_black_to_white():
    x = np.zeros((2, 5, 5, 1), np.float32)
    x[0, 0, 0], x[1] = 2.0, -2.0
    sheet = np.asarray(contact_sheet(ArraySource(x), across=4))
    assert sheet.shape == (2 * MARGIN + CELL, 2 * MARGIN + 4 * (CELL + GAP) - GAP, 3)
    step = CELL // 5  # 19: of 96 pixels one is left over
    picture = sheet[MARGIN : MARGIN + 5 * step, MARGIN : MARGIN + 5 * step, 0]
    assert (picture[:step, :step] == 255).all() and (picture[:step, step:] == 128).all()
    assert (sheet[MARGIN : MARGIN + 5 * step, MARGIN + CELL + GAP :][:, : 5 * step] == 0).all()
    assert (sheet[:, MARGIN + 5 * step] == 255).all()


def test_of_many_classes_a_sheet_shows_the_first_and_says_so():
    x = np.zeros((60, 4, 4), np.uint8)
    sheet = contact_sheet(ArraySource(x, np.arange(60), "many", tuple(f"class {n}" for n in range(60))), across=2)
    assert 50 * CELL < sheet.height < 53 * (CELL + GAP)


def test_what_is_no_picture_has_no_sheet(folder):
    with pytest.raises(ArgumentError, match=r"float64\[2\], which are no pictures"):
        contact_sheet(ArraySource(np.zeros((3, 2))))
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 6 pictures"):
        contact_sheet(ImageFolder(folder))
