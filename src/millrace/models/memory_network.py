"""A memory network that answers questions about stories by looking two sentences up, one after the other.

"Where is the apple?": the first look finds who took it, the second where that person went. A network that
only counts words cannot tell, since the order of sentences decides.
Source: Sukhbaatar et al. 2015, End-To-End Memory Networks; the task, Weston et al. 2015, task 2.
"""

from __future__ import annotations

import numpy as np

from millrace.data.datasets import Dataset
from millrace.data.stories import Stories, stories
from millrace.engines.function import function
from millrace.layers import Dense, Input, MemoryNetwork
from millrace.models.recipe import Recipe
from millrace.training.model import Model
from millrace.training.optimizers import Adam

HOPS, WIDTH, TRAINING, HELD = 3, 32, 10_000, 1_000


def network(data: Dataset | None = None, words: int | None = None, answers: int | None = None) -> Model:
    """The network: story [batch, 10, 5] and question [batch, 4] as numbers, to the probability of each place."""
    told = stories(1)
    story = Input(told.story.shape[1:], dtype="int32", name="story")
    question = Input(told.question.shape[1:], dtype="int32", name="question")
    read = MemoryNetwork(words or len(told.vocabulary), WIDTH, HOPS, name="memory")(story, question)
    answer = Dense(answers or len(told.classes), activation="softmax", use_bias=False, name="answer")(read)
    return Model([story, question], answer, name="memory_network")


def two_facts(seed: int = 0) -> Dataset:
    """10,000 stories of ten sentences to learn from, 1,000 others held out."""
    told, held = stories(TRAINING, seed), stories(HELD, seed, first=TRAINING)
    return Dataset(
        "two-fact stories", [told.story, told.question], told.answer, [held.story, held.question], held.answer,
        told.classes, "Stories made up in the manner of Weston et al. 2015, task 2", tuple(told.vocabulary.to_list()),
    )  # fmt: skip


def looked_at(model: Model, told: Stories) -> np.ndarray:
    """How much each hop looks at each sentence: [stories, hops, sentences]."""
    memory = model.get_layer("memory")
    story, question = model.inputs
    _, weights = memory(story, question, return_attention_scores=True)
    return np.asarray(function(model.inputs, weights)(told.story, told.question))


def bag_of_words(data: Dataset) -> float:
    """The share of held-out questions that word counts alone answer, by logistic regression.

    Story and question are counted apart; the order of words and sentences is lost.
    """
    from sklearn.linear_model import LogisticRegression

    def counts(arrays: list[np.ndarray]) -> np.ndarray:
        flat = [array.reshape(len(array), -1) for array in arrays]
        size = len(data.vocabulary)
        return np.concatenate([[np.bincount(row, minlength=size)[2:] for row in rows] for rows in flat], axis=1)

    found = LogisticRegression(max_iter=500).fit(counts(data.x_train), data.y_train)
    return float(found.score(counts(data.x_validation), data.y_validation))


def sample(model: Model, data: Dataset) -> str:
    """One held-out story, what each hop looked at, and the answer; and what a bag of words makes of them all."""
    told = stories(1, seed=1_000_003)
    looks = looked_at(model, told)[0]
    guess = model.predict([told.story, told.question])[0]
    lines = [f"{'':46}" + "".join(f"  hop {hop + 1}" for hop in range(len(looks)))]
    for n, sentence in enumerate(told.story[0]):
        text = f"{'*' if n in told.supporting[0] else ' '} {told.vocabulary.decode(sentence)}."
        lines.append(f"{text:46}" + "".join(f"{look[n]:7.0%}" if look[n] >= 0.005 else "       " for look in looks))
    best = int(guess.argmax())
    lines.append(f"  {told.vocabulary.decode(told.question[0])}?  {data.classes[best]} ({guess[best]:.0%} sure)")
    text = "A story it has not seen; * marks the two sentences that matter:\n\n" + "\n".join(lines)
    return (
        f"{text}\n\nA bag of words, which cannot see order, answers {bag_of_words(data):.1%} of the held-out questions."
    )


MEMORY_NETWORK = Recipe(
    name="memory_network",
    about="a memory network on 10,000 stories with questions of two facts",
    build=network,
    data=two_facts,
    epochs=30,
    batch_size=32,
    learning_rate=0.003,
    optimizer=lambda rate: Adam(rate, global_clipnorm=40.0),
    show=sample,
    unit="stories",
    seconds="half a minute",
)
