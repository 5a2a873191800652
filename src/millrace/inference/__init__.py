"""Trained models put to use: kept as what predicts, exported, imported, and served.

A `Predictor` is what all of it is about: a graph from inputs to outputs with its own weights, and what its answers
mean. Where it comes from (a model, a run, a file of ours, ONNX) and where it goes (a file, ONNX, StableHLO, a server)
are files of this room.
"""

from millrace.inference.exporting import export
from millrace.inference.opening import opened
from millrace.inference.predictor import About, Port, Predictor
from millrace.inference.saved import load, save

__all__ = ["About", "Port", "Predictor", "export", "load", "opened", "save"]
