"""Stories with questions: every answer follows from its two sentences, and from no fewer."""

import numpy as np
import pytest

from millrace.data.stories import OBJECTS, PEOPLE, PLACES, stories
from millrace.ir.errors import ArgumentError


@pytest.fixture(scope="module")
def many():
    return stories(2000, seed=3)


def told(data, n):
    """Sentences as words, and the object asked for, from the encoded arrays alone."""
    sentences = [data.vocabulary.decode(row).split() for row in data.story[n]]
    return sentences, data.vocabulary.decode(data.question[n]).split()[-1]


def deduced(sentences, thing):
    """Every place that the sentences prove for an object.

    A reader of another kind than the generator's: stays of people are unknowns; two are the same place where an
    object left in one is taken in the other, and what is known of one is known of all that are the same.
    """
    stay, same, known, at = {}, {}, {}, {}

    def root(s):
        while same.get(s, s) != s:
            s = same[s]
        return s

    for n, (who, verb, *rest) in enumerate(sentences):
        if verb == "went":
            stay[who] = (who, n)
            known[stay[who]] = {rest[-1]}
            continue
        mine, what = stay.setdefault(who, (who, -1)), rest[-1]
        if verb == "took" and isinstance(at.get(what), tuple):
            a, b = root(at[what]), root(mine)
            same[a] = b
            if a != b:
                known[b] = known.get(a, set()) | known.get(b, set())
        at[what] = who if verb == "took" else mine
    if thing not in at:
        return set()
    where = at[thing]
    return known.get(root(stay[where] if isinstance(where, str) else where), set())


def test_a_story_by_hand():
    story = ["mary went to the kitchen", "mary took the apple", "mary went to the office", "mary dropped the apple",
             "john took the apple", "john went to the garden"]  # fmt: skip
    split = [sentence.split() for sentence in story]
    assert deduced(split, "apple") == {"garden"}
    assert deduced(split[:-1], "apple") == {"office"}  # John is where Mary dropped it
    assert deduced(split[:2] + split[-1:], "apple") == {"kitchen"}
    assert deduced(split[1:2], "apple") == set()


def test_every_answer_follows_from_its_two_sentences(many):
    for n in range(len(many)):
        sentences, thing = told(many, n)
        answer = many.classes[many.answer[n]]
        said, move = many.supporting[n]
        assert deduced(sentences, thing) == {answer}, many.text(n)
        assert deduced([sentences[k] for k in sorted((said, move))], thing) == {answer}, many.text(n)
        assert sentences[said][1] in ("took", "dropped") and sentences[said][-1] == thing
        assert sentences[move][1] == "went" and sentences[move][-1] == answer
        assert sentences[said][0] == sentences[move][0]


def test_without_either_sentence_the_answer_does_not_follow(many):
    for n in range(len(many)):
        sentences, thing = told(many, n)
        for left_out in many.supporting[n]:
            rest = [s for k, s in enumerate(sentences) if k != left_out]
            assert deduced(rest, thing) != {many.classes[many.answer[n]]}, many.text(n)


def test_the_world_is_one_that_can_be(many):
    """Nobody takes what another holds or what is elsewhere, drops what he lacks, or goes where he is."""
    for n in range(len(many)):
        sentences, _ = told(many, n)
        place, holder, lies = {}, {}, {}
        for who, verb, *rest in sentences:
            what = rest[-1]
            if verb == "went":
                assert place.get(who) != what
                place[who] = what
            elif verb == "took":
                assert what not in holder and lies.get(what, place[who]) == place[who]
                holder[what] = who
            else:
                assert holder.pop(what) == who
                lies[what] = place[who]
        moves = [s[0] for s in sentences if s[1] == "went"]
        assert len(set(moves)) == 3 and min(moves.count(who) for who in set(moves)) >= 2
        assert len({s[-1] for s in sentences if s[1] != "went"}) == 2


def test_answers_people_and_objects_are_balanced(many):
    assert np.bincount(many.answer).tolist() == [250] * 8
    asked = np.bincount(many.question[:, -1])
    assert (asked[asked > 0] > 420).all() and (asked > 0).sum() == len(OBJECTS)
    numbers = [many.vocabulary.tokens.index(who) for who in PEOPLE]
    share = np.array([(many.story[:, :, 0] == k).mean() for k in numbers])
    np.testing.assert_allclose(share, 1 / 4, atol=0.02)
    verbs = {many.vocabulary.tokens[k] for k in many.story[np.arange(2000), many.supporting[:, 0], 1]}
    assert verbs == {"took", "dropped"}


def test_the_arrays(many):
    assert many.story.shape == (2000, 10, 5) and many.question.shape == (2000, 4)
    assert all(a.dtype == np.int32 for a in (many.story, many.question, many.answer, many.supporting))
    assert many.story.max() < len(many.vocabulary) and (many.story[:, :, :4] > 0).all()
    assert many.classes == PLACES and len(many) == 2000


def test_a_story_is_a_function_of_seed_and_number_alone(many):
    part = stories(5, seed=3, first=100)
    np.testing.assert_array_equal(part.story, many.story[100:105])
    np.testing.assert_array_equal(part.answer, many.answer[100:105])
    np.testing.assert_array_equal(part.question, many.question[100:105])
    other = stories(2000, seed=4)
    same = {row.tobytes() for row in many.story} & {row.tobytes() for row in other.story}
    assert not same and len({row.tobytes() for row in many.story}) == 2000


def test_a_story_stays_the_same_for_ever():
    assert stories(1, seed=0).text(0) == STORY


def test_counts_of_words_do_not_answer(many):
    from sklearn.linear_model import LogisticRegression

    def counts(data):
        both = np.concatenate([data.story.reshape(len(data), -1), data.question], axis=1)
        return np.stack([np.bincount(row, minlength=len(data.vocabulary))[1:] for row in both])

    held = stories(500, seed=5)
    learned = LogisticRegression(max_iter=200).fit(counts(many), many.answer)
    assert 1 / 8 < learned.score(counts(held), held.answer) < 0.4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((0,), "count"),
        ((2.5,), "count"),
        ((3, -1), "seed"),
        ((3, 2**32), "seed"),
        ((3, 0, -1), "first"),
        ((2, 0, 2**32 - 1), "too many"),
    ],
)
def test_errors(given, says):
    with pytest.raises(ArgumentError, match=says):
        stories(*given)


STORY = """\
  sandra went to the office.
  john went to the bedroom.
* john took the apple.
  john went to the garden.
  john took the milk.
  sandra went to the bathroom.
  daniel went to the balcony.
  john went to the office.
* john went to the bedroom.
  daniel went to the office.
  where is the apple? bedroom"""
