"""A source that vanishes in the middle of a run stops it by name; when it is back, the run goes on to the same bits."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from millrace.cli.train import position
from millrace.data.image_folder import ImageFolder
from millrace.ir.errors import FileError
from millrace.training.callbacks import Callback
from millrace.training.run import Run

sys.path.insert(0, str(Path(__file__).parent))
from run_of_pictures import network

EPOCHS = 4


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(24):
        path = tmp_path / "photos" / "abc"[n % 3] / f"{n:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(path)
    return tmp_path / "photos"


class Removed(Callback):
    """Moves the folder away after some steps."""

    def __init__(self, folder, step):
        self.folder, self.left = folder, step

    def on_step_end(self, epoch, step):
        self.left -= 1
        if self.left == 0:
            self.folder.rename(self.folder.with_name("away"))


def train(folder, run, *more):
    model = network()
    epoch, step = position(run, model)
    model.fit(
        ImageFolder(folder), batch_size=4, epochs=EPOCHS, workers=2, max_queue_size=2, seed=3, verbose=0,
        callbacks=[*run.callbacks(save_every=2, best=None), *more], initial_epoch=epoch, initial_step=step,
    )  # fmt: skip
    return model


def test_it_stops_with_its_name_and_goes_on_when_it_is_back(photos, tmp_path):
    whole = train(photos, Run(tmp_path / "whole"))
    parts = Run(tmp_path / "parts")
    with pytest.raises(FileError) as stopped:
        train(photos, parts, Removed(photos, 9))
    said = str(stopped.value)
    assert "the region 'training input' failed at batch" in said and str(photos) in said
    with pytest.raises(FileError, match="photos"):
        train(photos, parts)
    photos.with_name("away").rename(photos)
    again = train(photos, parts)
    for a, b in zip(whole.weights, again.weights, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes(), a.name


def test_one_file_that_vanishes_is_a_broken_record(photos, tmp_path):
    folder = ImageFolder(photos)
    (photos / "a" / "03.png").unlink()
    history = network().fit(folder, batch_size=4, verbose=0)
    assert list(history.broken) == ["a/03.png"]
