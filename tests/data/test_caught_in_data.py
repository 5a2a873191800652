"""Faults that were put into data and the pages of models by hand and that no other test noticed."""

import numpy as np
import pytest
from PIL import Image

from millrace.data.datasets import Dataset, digits
from millrace.data.folder import VARIABLE
from millrace.data.text import Vocabulary
from millrace.data.text_files import SENTENCES_PER_CLASS, SHAKESPEARE_CHARACTERS, rt_polarity
from millrace.models import char_rnn, cifar_quick, fashion, lenet, memory_network, resnet18, sentiment


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


def test_the_end_of_the_plays_is_held_out(tmp_path, monkeypatch):
    text = "a" * (SHAKESPEARE_CHARACTERS * 9 // 10)
    text += "b" * (SHAKESPEARE_CHARACTERS - len(text))
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text(text)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    data = char_rnn.shakespeare()
    seen = [{data.classes[n] for n in np.unique(x)} for x in (data.x_train, data.x_validation, data.y_validation)]
    assert seen == [{"a"}, {"b"}, {"b"}]


def test_every_fifth_digit_is_held_out_and_none_is_lost():
    data = digits()
    assert (len(data.x_validation), len(data.x_train)) == (359, 1438)
    again, other = digits(), digits(seed=1)
    np.testing.assert_array_equal(again.y_validation, data.y_validation)
    assert (other.y_validation != data.y_validation).any()


def test_ink_of_any_strength_fills_a_box_of_20_in_a_frame_of_28(tmp_path):
    picture = np.full((60, 90), 255, np.uint8)
    picture[10:40, 50:60] = 102  # pale: 60% of black
    Image.fromarray(picture).save(tmp_path / "one.png")
    x = lenet.example(str(tmp_path / "one.png"))
    right = np.zeros((28, 28, 1), np.float32)
    right[4:24, 10:17] = 1  # 30 by 10 pixels as 20 by 7
    np.testing.assert_allclose(x, right, atol=0.02)


def test_stories_that_are_held_out_are_none_of_those_that_are_learned(monkeypatch):
    monkeypatch.setattr(memory_network, "TRAINING", 64)
    monkeypatch.setattr(memory_network, "HELD", 32)
    data = memory_network.two_facts()
    learned = {story.tobytes() for story in data.x_train[0]}
    assert len(data.y_train) == 64 and len(data.y_validation) == 32
    assert not any(story.tobytes() in learned for story in data.x_validation[0])


def test_a_bag_of_words_answers_what_the_words_alone_say():
    words, question = np.arange(40)[:, None, None] % 2 + 2, np.zeros((40, 1), np.int32)  # "yes" or "no" is the story
    x, y = [words.astype(np.int32), question], words[:, 0, 0] - 2
    data = Dataset("made up", x, y, x, y, ("no", "yes"), "", ("", "[UNK]", "no", "yes"))
    assert memory_network.bag_of_words(data) == 1


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
