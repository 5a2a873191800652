"""What a MixUp layer in a model means for the answers: they are mixed as the examples are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from millrace import functional as mr
from millrace.ir.core import Node, Value
from millrace.ir.errors import ArgumentError
from millrace.ops.mixing import MixUp


@dataclass(frozen=True)
class Mixing:
    """Whom each example of a batch is mixed with: its share [batch], from 0 to 1, and its partner's place [batch]."""

    share: Value
    partner: Value

    @staticmethod
    def among(nodes: Iterable[Node]) -> Mixing | None:
        """What the MixUp among the operations of a model says; None where there is none.

        Raises ArgumentError for several: an answer cannot be mixed in two ways.
        """
        found = list(dict.fromkeys(Mixing(*node.inputs[1:]) for node in nodes if isinstance(node.op, MixUp)))
        if len(found) > 1:
            raise ArgumentError(
                f"the model mixes its examples {len(found)} times, but an answer can be mixed once: use one MixUp."
            )
        return found[0] if found else None

    def of_partners(self, x: Value) -> Value:
        """What belongs to each example's partner, from [batch, ...] of the examples."""
        return mr.take(x, self.partner)

    def mixed(self, own: Value, other: Value) -> Value:
        """Losses [batch] for an example's own answer and for its partner's, by their shares."""
        return self.share * own + (1.0 - self.share) * other

    def larger(self, own: Value, other: Value) -> Value:
        """What belongs to the answer with the larger share, from [batch, ...] of both."""
        keeps = mr.reshape(self.share >= 0.5, (own.shape[0], *(1,) * (own.ndim - 1)))
        return mr.where(keeps, own, other)

    def for_rows(self, share: Value) -> Mixing:
        """The same with a share for each row of the output, where an example has several."""
        return Mixing(share, self.partner)
