"""Layers under Keras's names."""

from typing import TYPE_CHECKING, Any

from millrace.functional import Input
from millrace.layers.attention import AdditiveAttention, Attention, MultiHeadAttention
from millrace.layers.augmentation import (
    CenterCrop,
    Cutout,
    MixUp,
    PCAColor,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
)
from millrace.layers.base import LAYERS, Layer, set_seed
from millrace.layers.calls import mask_of
from millrace.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from millrace.layers.convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from millrace.layers.core import (
    Activation,
    Cropping2D,
    Dense,
    Flatten,
    Identity,
    Neuron,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling2D,
    ZeroPadding2D,
)
from millrace.layers.heads import LogSoftmax, Sigmoid, Softmax
from millrace.layers.hopfield import Hopfield, ModernHopfield
from millrace.layers.keras_names import absent, full_name
from millrace.layers.memory import MemoryNetwork
from millrace.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Residual, Subtract
from millrace.layers.noise import (
    ActivityRegularization,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from millrace.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    LocalResponseNormalization,
    RMSNormalization,
    UnitNormalization,
)
from millrace.layers.policy import set_dtype_policy
from millrace.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Pooling,
)
from millrace.layers.rectifiers import ELU, LeakyReLU, PReLU, ReLU
from millrace.layers.recurrent import GRU, LSTM, RNN, Bidirectional, SimpleRNN
from millrace.layers.scaling import MeanSubtraction, Normalization, Rescaling
from millrace.layers.sequences import Embedding, Masking, TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "LAYERS",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "Cell",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Cropping2D",
    "Cutout",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Hopfield",
    "Identity",
    "Input",
    "LSTMCell",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LocalResponseNormalization",
    "LogSoftmax",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MeanSubtraction",
    "MemoryNetwork",
    "Minimum",
    "MixUp",
    "ModernHopfield",
    "MultiHeadAttention",
    "Multiply",
    "Neuron",
    "Normalization",
    "PCAColor",
    "PReLU",
    "Permute",
    "Pooling",
    "RMSNormalization",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Residual",
    "SeparableConv1D",
    "SeparableConv2D",
    "Sigmoid",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling2D",
    "ZeroPadding2D",
    "mask_of",
    "set_dtype_policy",
    "set_seed",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Keras's second names for its layers, such as MaxPool2D; for the rest an error that says what to write."""
        full = full_name(name, __all__)
        if full is None:
            raise absent("layers", name, __all__)
        return globals()[full]
