"""Memory networks: a question reads sentences from an external memory, several times over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.bounds import check_elements
from millrace.ir.core import Value
from millrace.ir.dims import Dim
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.types import TensorType
from millrace.layers.arguments import whole
from millrace.layers.base import Layer
from millrace.layers.calls import limit_numbers
from millrace.layers.initializers import RandomNormal


def position_encoding(words: int, width: int) -> np.ndarray:
    """How much word j of a sentence counts in dimension k, so that the order of words matters.

    l_kj = (1 - j / J) - (k / d) (1 - 2 j / J), float32 [words, width].
    Source: Sukhbaatar et al. 2015, section 4.1.
    """
    check_elements((words, width), "the encoding of positions")
    j = np.arange(1, words + 1)[:, None] / words
    k = np.arange(1, width + 1)[None, :] / width
    return ((1 - j) - k * (1 - 2 * j)).astype(np.float32)


class MemoryNetwork(Layer):
    """Sentences as a memory that a question reads `hops` times; what it read last is the output.

    MemoryNetwork(input_dim, output_dim, hops)(story, question): story [batch, sentences, words] and question
    [batch, words], whole numbers with 0 for padding -> [batch, output_dim]; return_attention_scores gives
    what each hop looked at too, [batch, hops, sentences].

    Each hop: p = softmax(u . m_i), o = sum p_i c_i, u <- u + o, where m_i and c_i are sentence i embedded in
    two ways; adjacent hops share an embedding (c of one is m of the next), so there are hops + 1 embeddings
    [input_dim, output_dim], and as many of the sentence's age [sentences, output_dim]. The question's
    embedding is the first. linear: hops without their softmax, with which training may start.
    embeddings_initializer: normal with standard deviation 0.1 unless given.

    Raises ArgumentError for a size below 1, ShapeError for stories that are not [batch, sentences, words].
    Source: Sukhbaatar et al. 2015, End-To-End Memory Networks, sections 2 and 4.1.
    """

    def __init__(
        self, input_dim: int, output_dim: int, hops: int = 3, linear: bool = False,
        embeddings_initializer: Any = None, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.input_dim, self.output_dim = whole(input_dim, "input_dim"), whole(output_dim, "output_dim")
        self.hops, self.linear = whole(hops, "hops"), bool(linear)
        # 0.1, as the paper has it: with 0.05 training starts on a plateau
        self.embeddings_initializer = embeddings_initializer or RandomNormal(stddev=0.1)

    def build(self, story: TensorType, question: TensorType) -> None:
        if story.ndim != 3 or question.ndim != 2 or any(isinstance(n, Dim) for n in (*story.shape[1:], question[1])):
            raise ShapeError(
                f"MemoryNetwork takes a story [batch, sentences, words] and a question [batch, words], got {story} "
                f"and {question}."
            )
        shape, first = (self.input_dim, self.output_dim), self.embeddings_initializer
        self.embeddings = [self.add_weight(f"embeddings_{n}", shape, first) for n in range(self.hops + 1)]
        ages = (story.shape[1], self.output_dim)
        self.ages = [self.add_weight(f"ages_{n}", ages, first) for n in range(self.hops + 1)]

    def embedded(self, words: Value, table: Any) -> Value:
        """Sentences [..., words] as vectors [..., output_dim]: the words' vectors, weighed by position, summed."""
        there = mr.expand_dims(mr.cast(mr.not_equal(words, mr.zeros_like(words)), "float32"), -1)
        vectors = mr.take(table, words)
        places = mr.constant(position_encoding(words.shape[-1], self.output_dim))
        return mr.sum(vectors * mr.cast(there * places, vectors.dtype), axis=-2)

    def call(self, story: Value, question: Value, return_attention_scores: bool = False) -> Any:
        for x in (story, question):
            limit_numbers(x, self.input_dim, self.name)
        story, question = (mr.cast(x, "int32") if x.type.is_float else x for x in (story, question))
        if not story.type.is_integer or not question.type.is_integer:
            raise DTypeError("MemoryNetwork takes whole numbers: give its Inputs dtype='int32'.")
        real = mr.any(mr.not_equal(story, mr.zeros_like(story)), axis=-1)
        memories = [self.embedded(story, t) + a for t, a in zip(self.embeddings, self.ages, strict=True)]
        u = self.embedded(question, self.embeddings[0])
        looked: list[Value] = []
        for m, c in pairwise(memories):
            scores = mr.squeeze(mr.matmul(m, mr.expand_dims(u, -1)), -1)
            p = mr.where(real, scores, mr.zeros_like(scores)) if self.linear else mr.masked_softmax(scores, real)
            looked.append(p)
            u = u + mr.squeeze(mr.matmul(mr.expand_dims(p, 1), c), 1)
        return [u, mr.stack(looked, 1)] if return_attention_scores else u

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> None:
        return None
