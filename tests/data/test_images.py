"""Pictures from files, in grey and in colour."""

import numpy as np
import pytest
from PIL import Image

from millrace.data.images import read_colour, read_grey
from millrace.ir.errors import FileError


def test_colours_and_greys(tmp_path):
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0], [51, 102, 153]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    made = read_colour(tmp_path / "a.png")
    assert made.shape == (2, 3, 3) and made.dtype == np.float32
    np.testing.assert_allclose(made, pixels / 255, rtol=1e-6)
    grey = read_grey(tmp_path / "a.png")
    # ITU-R 601: 0.299 red + 0.587 green + 0.114 blue
    np.testing.assert_allclose(grey[0], [0.299, 0.587, 0.114], atol=0.003)
    np.testing.assert_allclose(grey[1, :2], [1, 0])


def test_transparent_parts_are_paper_and_a_grey_picture_has_three_equal_colours(tmp_path):
    Image.fromarray(np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8), "RGBA").save(tmp_path / "a.png")
    np.testing.assert_allclose(read_colour(tmp_path / "a.png")[0] * 255, [[255, 255, 255], [10, 20, 30]], atol=1e-4)
    Image.fromarray(np.array([[0, 128]], np.uint8)).save(tmp_path / "b.png")
    np.testing.assert_allclose(read_colour(tmp_path / "b.png")[0] * 255, [[0, 0, 0], [128, 128, 128]], atol=1e-4)


@pytest.mark.parametrize("read", [read_colour, read_grey])
def test_no_picture(tmp_path, read):
    (tmp_path / "a.png").write_bytes(b"text")
    for path, says in (
        (tmp_path / "a.png", "cannot be read as a picture"),
        (tmp_path / "b.png", "does not exist"),
        (tmp_path, "is a directory"),
    ):
        with pytest.raises(FileError, match=says):
            read(path)
