"""Layers under Keras's names."""

from millrace.functional import Input
from millrace.layers.base import LAYERS, Layer, set_seed
from millrace.layers.convolution import Conv1D, Conv2D, Conv3D
from millrace.layers.core import Activation, Dense, Flatten, Reshape, Softmax
from millrace.layers.dropout import Dropout
from millrace.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)

__all__ = [
    "LAYERS",
    "Activation",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "Layer",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Reshape",
    "Softmax",
    "set_seed",
]
