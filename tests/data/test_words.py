"""Text as numbers and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.data.text import Vocabulary, pad_sequences, stateful_batches, windows, words
from millrace.ir.errors import ArgumentError, DataError

TEXTS = ["the cat sat on the mat", "The dog, the cat!", "a dog"]


def test_words_are_lower_case_with_punctuation_apart():
    assert words("It's HERE, isn't it?") == ["it", "'s", "here", ",", "isn", "'t", "it", "?"]
    assert words("  a--b\t3.5 'quoted' café… ") == ["a", "-", "-", "b", "3", ".", "5", "'", "quoted", "'", "café", "…"]
    assert words("") == []


def test_a_vocabulary_holds_the_most_frequent_first():
    v = Vocabulary.from_texts(TEXTS)
    assert v.to_list() == ["", "[UNK]", "the", "cat", "dog", "!", ",", "a", "mat", "on", "sat"]
    assert Vocabulary.from_texts(TEXTS, max_tokens=4).to_list() == ["", "[UNK]", "the", "cat"]
    assert len(v) == 11


def test_encode_and_decode():
    v = Vocabulary.from_texts(TEXTS, max_tokens=5)
    numbers = v.encode("The dog ate the CAT")
    assert numbers.dtype == np.int32 and numbers.tolist() == [2, 4, 1, 2, 3]
    assert v.decode([0, 0, *numbers, 0]) == "the dog [UNK] the cat"
    assert v.encode("").shape == (0,) and v.decode([]) == ""


def test_characters():
    v = Vocabulary.from_texts(["abba\n", "B"], split="characters")
    assert v.to_list() == ["", "[UNK]", "a", "b", "\n", "B"]
    assert v.encode("Bab?").tolist() == [5, 2, 3, 1]
    assert v.decode(v.encode("ab\nB")) == "ab\nB"


def test_a_vocabulary_is_plain_json():
    v = Vocabulary.from_texts(TEXTS)
    again = Vocabulary(json.loads(json.dumps(v.to_list())), v.split)
    assert again.encode(TEXTS[1]).tolist() == v.encode(TEXTS[1]).tolist()


@given(st.lists(st.text(max_size=20), max_size=5))
def test_characters_come_back_whatever_the_text(texts):
    v = Vocabulary.from_texts(texts, split="characters")
    for text in texts:
        assert v.decode(v.encode(text)) == text


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: Vocabulary(["a", "b"]), ArgumentError, "begin with"),
        (lambda: Vocabulary("abc"), ArgumentError, "begin with"),
        (lambda: Vocabulary(["", "[UNK]", "a", "a"]), ArgumentError, "'a' stands twice"),
        (lambda: Vocabulary(["", "[UNK]", 3]), ArgumentError, "strings, got 3"),
        (lambda: Vocabulary(["", "[UNK]"], "word"), ArgumentError, "Did you mean 'words'"),
        (lambda: Vocabulary.from_texts("a text"), ArgumentError, r"\[text\]"),
        (lambda: Vocabulary.from_texts(["a"], max_tokens=2), ArgumentError, "at least 3"),
        (lambda: Vocabulary.from_texts(["a"], split="letters"), ArgumentError, "unknown split"),
        (lambda: Vocabulary.from_texts(TEXTS).encode(TEXTS), ArgumentError, "encode each"),
        (lambda: Vocabulary.from_texts(TEXTS).decode([11]), DataError, "0 to 10, not 11"),
        (lambda: Vocabulary.from_texts(TEXTS).decode([-1]), DataError, "not -1"),
        (lambda: Vocabulary.from_texts(TEXTS).decode([0.5]), DataError, "whole numbers"),
        (lambda: Vocabulary.from_texts(TEXTS).decode([[1]]), DataError, "one row"),
        (lambda: pad_sequences([[1]], padding="left"), ArgumentError, "padding must be"),
        (lambda: pad_sequences([[1]], truncating="left"), ArgumentError, "truncating must be"),
        (lambda: pad_sequences([[1]], maxlen=0), ArgumentError, "at least 1, got 0"),
        (lambda: pad_sequences([1, 2]), DataError, "list of sequences"),
        (lambda: pad_sequences(["ab"]), DataError, "of numbers"),
        (lambda: pad_sequences([["a"]]), DataError, "int32"),
        (lambda: pad_sequences([[300]], dtype="uint8"), DataError, "uint8"),
        (lambda: pad_sequences([[[1, 2]], [[1]]]), DataError, "sequence 1 has the shape"),
        (lambda: windows([1, 2, 3], 3), DataError, "3 tokens is too short"),
        (lambda: windows([1, 2, 3], 0), ArgumentError, "steps"),
        (lambda: windows([1, 2, 3], 1, 0), ArgumentError, "stride"),
        (lambda: windows(["a", "b"], 1), DataError, "Vocabulary.encode"),
        (lambda: stateful_batches(range(6), 2, 3), DataError, "too short"),
        (lambda: stateful_batches(range(9), 0, 3), ArgumentError, "batch_size"),
    ],
)
def test_errors_say_what_to_mend(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_padding_is_kerass():
    """Every combination in padding.npz, which Keras made (tests/parity/make_padding.py)."""
    cases = {
        "ragged": [[1, 2, 3], [4], [], [5, 6, 7, 8, 9]],
        "fractions": [[0.5, 1.9], [-2.7, 3.2, 4.0]],
        "vectors": [[[1, 2], [3, 4], [5, 6]], [], [[7, 8]]],
    }
    with np.load(Path(__file__).parent.parent / "parity" / "padding.npz") as expected:
        assert len(expected.files) == 144
        for key in expected.files:
            name, maxlen, padding, truncating, dtype, value = key.split()
            made = pad_sequences(
                cases[name], None if maxlen == "None" else int(maxlen), dtype, padding, truncating, int(value)
            )
            assert made.dtype == expected[key].dtype, key
            np.testing.assert_array_equal(made, expected[key], err_msg=key)


def test_padding_of_nothing():
    assert pad_sequences([], maxlen=3).shape == (0, 3)
    assert pad_sequences([[], []]).shape == (2, 0)
    assert pad_sequences([[], []], maxlen=2, value=7).tolist() == [[7, 7], [7, 7]]


def test_windows():
    x, y = windows(np.arange(8), 3)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]] and y.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert x.dtype == np.int32
    x, y = windows(np.arange(8), 3, stride=2)
    assert x.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]] and y[-1].tolist() == [5, 6, 7]


def test_stateful_batches_by_hand():
    x, y = stateful_batches(np.arange(14), batch_size=2, steps=3)
    assert x.tolist() == [[0, 1, 2], [6, 7, 8], [3, 4, 5], [9, 10, 11]]
    assert y.tolist() == [[1, 2, 3], [7, 8, 9], [4, 5, 6], [10, 11, 12]]


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 200))
def test_each_row_goes_on_where_it_ended(batch_size, steps, extra):
    numbers = np.arange(batch_size * steps + 1 + extra)
    x, y = stateful_batches(numbers, batch_size, steps)
    assert len(x) % batch_size == 0 and x.shape[1] == steps
    np.testing.assert_array_equal(y, x + 1)  # the next number of 0, 1, 2, ...
    np.testing.assert_array_equal(x[batch_size:, 0], y[:-batch_size, -1])
    assert len(np.unique(x)) == x.size and len(numbers) - 1 - x.size < batch_size * steps
