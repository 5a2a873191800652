"""How much arithmetic operations and networks take, against counts by hand and published ones."""

import numpy as np
import pytest

import millrace as mr
import millrace.api  # the whole vocabulary
from millrace.ir.graph import Graph
from millrace.ir.types import TensorType
from millrace.ir.work import bytes_touched, flop, size_in_bytes
from millrace.models import resnet18
from millrace.ops.contract import Dot
from millrace.ops.convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from millrace.ops.pooling import MaxPool
from millrace.ops.shape import Reshape

# AlexNet's convolutions: maps, kernel, stride, padding, groups, and 2 x positions x filters x kernel x channels each.
ALEXNET = [
    ((227, 227, 3), (11, 11, 3, 96), 4, 0, 1, 210_830_400),
    ((27, 27, 96), (5, 5, 48, 256), 1, 2, 2, 447_897_600),
    ((13, 13, 256), (3, 3, 256, 384), 1, 1, 1, 299_040_768),
    ((13, 13, 384), (3, 3, 192, 384), 1, 1, 2, 224_280_576),
    ((13, 13, 384), (3, 3, 192, 256), 1, 1, 2, 149_520_384),
]


@pytest.mark.parametrize(("maps", "kernel", "stride", "pad", "groups", "expected"), ALEXNET)
def test_convolutions_of_alexnet_and_their_gradients_take_what_a_count_by_hand_gives(
    maps, kernel, stride, pad, groups, expected
):
    how = {"strides": (stride,) * 2, "padding": ((pad, pad),) * 2, "dilation": (1, 1), "groups": groups}
    x, w = TensorType("float32", (1, *maps)), TensorType("float32", kernel)
    forward = Convolution(**how)
    out = forward.infer(x, w)
    assert forward.flop(x, w) == expected
    assert ConvolutionInputGradient(maps[:2], **how).flop(out, w) == expected
    assert ConvolutionKernelGradient(kernel[:2], **how).flop(x, out) == expected


def test_a_matrix_product_takes_two_for_each_pair_it_multiplies():
    x, y = TensorType("float32", (2, 3, 4)), TensorType("float32", (2, 4, 5))
    assert Dot((2,), (1,), (0,), (0,)).flop(x, y) == 2 * 2 * 3 * 4 * 5


def test_pooling_looks_at_each_element_of_each_window_and_what_moves_numbers_computes_none():
    x = TensorType("float32", (2, 6, 6, 3))
    assert MaxPool((3, 3), (3, 3), ((0, 0), (0, 0))).flop(x) == 9 * 2 * 2 * 2 * 3
    assert Reshape((72, 3)).flop(x) == 0


def test_the_fully_connected_part_of_a_loop_is_counted_once_a_step():
    x = mr.Input((28, 28))
    graph = Graph([x], [mr.layers.LSTM(128)(x)]).bind({"batch": 1})
    products = 28 * 2 * (28 + 128) * 4 * 128  # four gates, from 28 inputs and 128 units, at each of 28 steps
    assert products < flop(graph.nodes) < 1.02 * products


def test_resnet18_takes_the_published_1814_million_multiplications():
    model = resnet18.network()
    graph = Graph(model.inputs, model.outputs).bind({"batch": 1})
    products = flop(node for node in graph.nodes if node.op.name in ("Convolution", "Dot"))
    assert round(products / 2 / 1e9, 3) == 1.814


def test_memory_is_read_once_however_often_it_is_used_and_written_only_if_somebody_needs_it():
    x, y = mr.Input((), batch_size=10, name="x"), mr.Input((), batch_size=10, name="y")
    product = x * y
    out = product + mr.reshape(x, (10,))
    nodes = [product.node, out.node]
    assert size_in_bytes(x.type) == 40
    assert bytes_touched(nodes, [out]) == 3 * 40
    assert bytes_touched(nodes, [out, product]) == 4 * 40
    assert bytes_touched([out.node], [out]) == 3 * 40


def test_16_bits_are_half_the_memory():
    assert size_in_bytes(TensorType("bfloat16", (4, 4))) == 32
    assert size_in_bytes(TensorType("bool", (4,))) == np.dtype(bool).itemsize * 4
