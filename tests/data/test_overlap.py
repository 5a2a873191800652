"""What two sources have in common: the same bytes, and almost the same pictures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from millrace.data import overlap as room
from millrace.data.arrays import Arrays
from millrace.data.datasets import digits
from millrace.data.image_folder import ImageFolder
from millrace.data.overlap import overlap


@pytest.fixture(scope="module")
def data():
    return digits(0)


def arrays(x):
    return Arrays([x], ["x"])


def test_different_digits_have_nothing_in_common(data):
    found = overlap(arrays(data.x_train), arrays(data.x_validation))
    assert (found.same, found.near, found.held, found.read) == (0, 0, 359, 1438)


def test_the_same_bytes_are_found(data):
    held = np.concatenate([data.x_validation[:90], data.x_train[5:15]])
    assert overlap(arrays(data.x_train), arrays(held)).same == 10


def test_other_brightness_contrast_and_a_little_noise_are_almost_the_same(data):
    copies = data.x_train[:30] * 0.8 + 0.1 + np.random.default_rng(0).normal(0, 0.005, (30, 8, 8, 1))
    held = np.concatenate([copies.astype(np.float32), data.x_validation[:70]])
    found = overlap(arrays(data.x_train), arrays(held))
    assert (found.same, found.near, found.compared) == (0, 30, 100)


def test_a_picture_of_one_grey_is_like_no_other():
    blank = np.ones((5, 8, 8, 1), np.float32)
    assert overlap(arrays(blank), arrays(blank * 0.5)).near == 0


def test_of_many_bytes_a_part_is_read(data, monkeypatch):
    monkeypatch.setattr(room, "BYTES", data.x_train.nbytes // 4)
    found = overlap(arrays(data.x_train), arrays(data.x_train[:100]))
    assert found.read == 360 and found.same == 25  # every fourth


def test_files_of_pictures_are_compared_byte_by_byte(tmp_path, data):
    for side, chosen in (("train", range(8)), ("held", range(6, 10))):
        for n in chosen:
            folder = tmp_path / side / "ab"[n % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((data.x_train[n, ..., 0] * 255).astype(np.uint8)).save(folder / f"{n}.png")
    found = overlap(ImageFolder(tmp_path / "train"), ImageFolder(tmp_path / "held"))
    assert (found.same, found.held, found.compared) == (2, 4, 0)


def test_several_inputs_are_one_content(data):
    x, other = data.x_train[:20], np.arange(20, dtype=np.float32)[:, None]
    training = Arrays([x, other], ["x", "other"])
    assert overlap(training, Arrays([x, other + 1], ["x", "other"]), inputs=2).same == 0
    assert overlap(training, Arrays([x, other], ["x", "other"]), inputs=2).same == 20


class Broken(Arrays):
    """Arrays of which some records cannot be read."""

    def take(self, numbers):
        taken = super().take(numbers)
        return replace(taken, broken={n: "damaged" for n, number in enumerate(numbers) if number % 2})


def test_a_broken_record_is_like_no_other(data):
    x = data.x_train[:10]
    assert overlap(Broken([x], ["x"]), Broken([x], ["x"])).same == 5


def test_of_many_held_out_bytes_a_part_is_read_too(data, monkeypatch):
    monkeypatch.setattr(room, "BYTES", data.x_train[:100].nbytes // 2)
    found = overlap(arrays(data.x_train[:100]), arrays(data.x_train[:100]))
    assert (found.read, found.held, found.same) == (50, 50, 50)
