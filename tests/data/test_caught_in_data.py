"""Faults that were put into data and the pages of models by hand and that no other test noticed."""

import numpy as np
import pytest
from PIL import Image

from millrace.data.folder import VARIABLE
from millrace.data.text import Vocabulary
from millrace.data.text_files import SENTENCES_PER_CLASS, rt_polarity
from millrace.models import cifar_quick, fashion, memory_network, resnet18, sentiment


@pytest.fixture
def made_up_reviews(tmp_path, monkeypatch):
    """A folder of reviews that each hold one word of their own: good0, good1, ..., bad0, bad1, ..."""
    folder = tmp_path / "rt_polarity"
    folder.mkdir()
    for name, word in (("rt-polarity.pos", "good"), ("rt-polarity.neg", "bad")):
        (folder / name).write_text("".join(f"{word}{n}\n" for n in range(SENTENCES_PER_CLASS)))
    monkeypatch.setenv(VARIABLE, str(tmp_path))


def test_friendly_reviews_are_positive(made_up_reviews):
    data = rt_polarity()
    assert data.classes == ("negative", "positive")
    for text, label in zip(data.texts, data.labels, strict=True):
        assert data.classes[label] == ("positive" if text.startswith("good") else "negative")


def test_words_of_reviews_that_are_held_out_are_unknown(made_up_reviews):
    data = sentiment.reviews()
    assert (data.x_validation[:, 0] == 1).all() and (data.x_train[:, 0] > 1).all()
    assert len(data.vocabulary) == 2 + len(data.x_train)


def test_a_long_review_is_read_to_its_end():
    vocabulary = Vocabulary.from_texts([" ".join(f"w{n:02}" for n in range(50))])
    row = sentiment.example(" ".join(f"w{n:02}" for n in range(50)), vocabulary.to_list())
    assert vocabulary.decode(row) == " ".join(f"w{n:02}" for n in range(10, 50))


def test_stories_that_are_held_out_are_none_of_those_that_are_learned(monkeypatch):
    monkeypatch.setattr(memory_network, "TRAINING", 64)
    monkeypatch.setattr(memory_network, "HELD", 32)
    data = memory_network.two_facts()
    learned = {story.tobytes() for story in data.x_train[0]}
    assert len(data.y_train) == 64 and len(data.y_validation) == 32
    assert not any(story.tobytes() in learned for story in data.x_validation[0])


def test_the_rate_for_clothes_falls_to_nothing_with_the_last_batch():
    steps = fashion.EPOCHS * -(-60_000 // fashion.BATCH)
    rate = fashion.FASHION.optimizer(0.5).schedule
    assert [float(rate(n)) for n in (0, steps / 2, steps)] == pytest.approx([0.5, 0.25, 0], abs=1e-6)
    assert float(rate(steps - 1)) > 0


def test_resnet18_normalizes_as_torchvision_does():
    one = resnet18.normalization()
    assert (one.epsilon, one.momentum) == (1e-5, 0.9)  # there: eps=1e-5, momentum=0.1 of the new


@pytest.mark.parametrize("size", [(32, 96), (96, 32)])
def test_of_a_photograph_the_centre_is_looked_at(tmp_path, size):
    picture = np.zeros((*size, 3), np.uint8)
    picture[tuple(slice(32, 64) if n == 96 else slice(None) for n in size)] = (255, 0, 0)
    Image.fromarray(picture).save(tmp_path / "p.png")
    x = cifar_quick.example(str(tmp_path / "p.png"))
    np.testing.assert_array_equal(x, np.broadcast_to(np.float32([1, 0, 0]), (32, 32, 3)))
