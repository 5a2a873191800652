"""The ideas of the field, each explained with an experiment: `millrace explain NAME`, a file each here."""

from millrace.concepts.concept import Concept, Finding
from millrace.concepts.learning import LEARNING
from millrace.concepts.mechanics import MECHANICS

CONCEPTS: dict[str, Concept] = {concept.name: concept for concept in (*LEARNING, *MECHANICS)}

__all__ = ["CONCEPTS", "Concept", "Finding"]
