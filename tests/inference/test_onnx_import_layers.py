"""ONNX import of layers, held against ONNX Runtime on seeded random attributes, and against sums done by hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import millrace as mr
from millrace.inference.onnx.importing import from_onnx
from millrace.inference.onnx.sinking import sunk
from millrace.inference.onnx.translating import UntranslatedError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.types import TensorType


def model(op, inputs, opset=19, wanted=1, shapes=None, **attributes):
    """A model of one node: its first input comes as data, its batch open, the others are tensors of the model."""
    names = [f"x{n}" if x is not None else "" for n, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{n}" for n in range(wanted)], name="the node", **attributes)
    shape = shapes or ("batch", *inputs[0].shape[1:])
    data = helper.make_tensor_value_info("x0", helper.np_dtype_to_tensor_dtype(inputs[0].dtype), shape)
    tensors = [numpy_helper.from_array(x, names[n]) for n, x in enumerate(inputs) if n and x is not None]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "graph", [data], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def agree(op, inputs, tolerance=1e-5, **how):
    """Millrace gives what ONNX Runtime gives."""
    made = model(op, inputs, **how)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    expected = onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, {"x0": inputs[0]})
    got = from_onnx(made, engine="numpy")(inputs[0])
    for mine, theirs in zip(got, expected, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(mine.astype(np.float64), theirs.astype(np.float64), tolerance, tolerance)


def run(op, inputs, **how):
    """What Millrace gives for one node: one array, or several."""
    inputs = [None if x is None else np.asarray(x) for x in inputs]
    got = from_onnx(model(op, inputs, **how), engine="numpy")(inputs[0])
    return got if len(got) > 1 else got[0]


def signal(*numbers):
    """[batch, channels, length] of one example and one channel."""
    return np.array(numbers, np.float32).reshape(1, 1, -1)


class Draw:
    """Random attributes and arrays of one case."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def floats(self, *shape):
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def numbers(self, low, high, count):
        return [int(n) for n in self.rng.integers(low, high, count)]

    def number(self, low, high):
        return int(self.rng.integers(low, high))

    def chance(self, p=0.5):
        return bool(self.rng.random() < p)

    def of(self, *choices):
        return choices[self.number(0, len(choices))]

    def window(self, rank, kernel):
        """strides, and dilations or auto_pad or pads. ONNX Runtime has auto_pad without dilations and gaps alone."""
        made = {"strides": self.numbers(1, 4, rank)}
        how = self.of("pads", "auto", "dilated")
        if how == "auto":
            near = [min(pair) for pair in zip(made["strides"], kernel, strict=True)]
            return {"strides": near, "auto_pad": self.of("SAME_UPPER", "SAME_LOWER", "VALID")}
        made["pads"] = [self.number(0, k) for k in kernel * 2]
        return made | ({"dilations": self.numbers(1, 3, rank)} if how == "dilated" else {})


# ---- windows


@pytest.mark.parametrize("seed", range(16))
def test_convolutions_agree_with_onnx_runtime(seed):
    draw, rank = Draw(seed), 1 + seed % 3
    groups, kernel = draw.number(1, 4), draw.numbers(1, 4, rank)
    inside, outside = groups * draw.number(1, 3), groups * draw.number(1, 3)
    x, bias = draw.floats(2, inside, *draw.numbers(6, 9, rank)), draw.floats(outside)
    how = draw.window(rank, kernel) | {"group": groups}
    agree("Conv", [x, draw.floats(outside, inside // groups, *kernel), bias], **how)
    more = [draw.number(0, stride) for stride in how["strides"]]
    how = {name: value for name, value in how.items() if name != "auto_pad"} | {"output_padding": more}
    agree("ConvTranspose", [x, draw.floats(inside, outside // groups, *kernel), bias], **how)


@pytest.mark.parametrize("seed", range(18))
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_pooling_agrees_with_onnx_runtime(op, seed):
    draw, rank = Draw(seed), 1 + seed % 3
    kernel = draw.numbers(1, 4, rank)
    how = draw.window(rank, kernel) | {"kernel_shape": kernel, "ceil_mode": draw.number(0, 2)}
    if op == "AveragePool":
        how["count_include_pad"] = draw.number(0, 2)
    elif op == "LpPool":
        how["p"] = draw.number(1, 4)
    elif draw.chance():
        how |= {"wanted": 2, "storage_order": draw.number(0, 2)}
    agree(op, [draw.floats(2, 2, *draw.numbers(6, 9, rank))], **how)


def test_the_last_window_of_ceil_mode_counts_what_is_there_alone():
    how = {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}
    assert run("AveragePool", [signal(1, 2, 3)], count_include_pad=1, **how).tolist() == [[[1.5, 3]]]
    assert run("AveragePool", [signal(1, 2, 3)], count_include_pad=0, **how).tolist() == [[[1.5, 3]]]
    padded = run("AveragePool", [signal(1, 2, 3)], count_include_pad=1, pads=[1, 1], **how)
    assert padded.tolist() == [[[0.5, 2.5]]], "of 3 windows none may start in the padding after x"


def test_a_window_that_would_start_in_the_padding_after_x_is_none():
    assert run("MaxPool", [signal(1, 2, 3)], kernel_shape=[2], strides=[3], pads=[0, 1], ceil_mode=1).tolist() == [
        [[2]]
    ]


def test_the_places_of_maxima_count_over_batch_and_channels():
    x = np.array([[[1, 5, 5, 2]], [[4, 3, 0, 9]]], np.float32)
    values, places = run("MaxPool", [x], kernel_shape=[2], strides=[2], wanted=2)
    assert values.tolist() == [[[5, 5]], [[4, 9]]] and places.tolist() == [[[1, 2]], [[4, 7]]]
    equal = np.array([[[[1, 7, 7], [7, 7, 7]]]], np.float32)
    _, first = run("MaxPool", [equal], kernel_shape=[2, 3], wanted=2)
    assert first.tolist() == [[[[1]]]], "of equal elements the first in row order"


def test_whole_numbers_are_pooled_too():
    x = np.array([[[-7, -3, -128, 5]]], np.int8)
    made = run("MaxPool", [x], kernel_shape=[3], strides=[2], pads=[1, 1])
    assert made.dtype == np.int8 and made.tolist() == [[[-3, 5]]]


def test_output_padding_adds_zeros_that_no_window_reaches():
    kernel = np.ones((1, 1, 3), np.float32)
    made = run("ConvTranspose", [signal(1, 2), kernel], strides=[2], output_padding=[1])
    assert made.tolist() == [[[1, 1, 3, 2, 2, 0]]]
    kept = run("ConvTranspose", [signal(1, 2), kernel], strides=[2], output_shape=[4], auto_pad="SAME_UPPER")
    assert kept.tolist() == [[[1, 1, 3, 2]]]


def test_global_pooling_takes_open_sizes():
    made = model("GlobalAveragePool", [np.zeros((1, 2, 4, 5), np.float32)], shapes=("batch", 2, "height", "width"))
    x = Draw(0).floats(3, 2, 4, 7)
    np.testing.assert_allclose(from_onnx(made, engine="numpy")(x)[0], x.mean((2, 3), keepdims=True), rtol=1e-6)


def test_maxima_go_back_to_their_places():
    places = np.array([[[1, 3]]], np.int64)
    made = run("MaxUnpool", [signal(5, 7), places], kernel_shape=[2], strides=[2], shapes=(1, 1, 2))
    assert made.tolist() == [[[0, 5, 0, 7]]]


# ---- normalizations


@pytest.mark.parametrize("size", [1, 3, 4, 6])
def test_response_normalization_has_the_larger_part_of_an_even_size_after_a_channel(size):
    x, below, above = Draw(size).floats(2, 5, 3), (size - 1) // 2, size // 2
    sums = [np.square(x[:, max(c - below, 0) : c + above + 1]).sum(1) for c in range(5)]
    expected = x / (1.5 + 0.3 / size * np.stack(sums, 1)) ** 0.6
    made = run("LRN", [x], size=size, alpha=0.3, beta=0.6, bias=1.5)
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_batch_normalization_of_16_bits_computes_in_32():
    x = np.array([[[60000, 60032]]], np.float16)  # times 8 they are beyond float16
    scale, shift, mean, variance = (np.array([n], np.float16) for n in (8, 1, 60000, 6e-8))
    predictor = from_onnx(model("BatchNormalization", [x, scale, shift, mean, variance], epsilon=1.0, shapes=x.shape))
    made = predictor.graph.evaluate([x])[0]
    assert made.dtype == np.float16 and made.tolist() == [[[1, 257]]]


@pytest.mark.parametrize("seed", range(4))
def test_normalizations_agree_with_onnx_runtime(seed):
    draw = Draw(seed)
    x, scale, bias = draw.floats(2, 4, 3, 2), draw.floats(4), draw.floats(4)
    agree("BatchNormalization", [x, scale, bias, draw.floats(4), np.abs(draw.floats(4))], epsilon=0.01)
    agree("InstanceNormalization", [x, scale, bias])
    agree("LpNormalization", [x], axis=draw.number(-3, 4), p=draw.number(1, 3))
    agree("GroupNormalization", [x, scale, bias], opset=21, num_groups=2)
    axis = draw.number(1, 4)
    rest = x.shape[axis:]
    agree("LayerNormalization", [x, draw.floats(*rest), draw.floats(*rest)], axis=axis)


def test_normalization_refuses_training():
    ones = np.ones(1, np.float32)
    with pytest.raises(UntranslatedError, match="training_mode=1"):
        run("BatchNormalization", [signal(1, 2), ones, ones, ones, ones], training_mode=1)


# ---- recurrences

GATES = {"RNN": (1, 1), "GRU": (3, 2), "LSTM": (4, 3)}  # gates, and activations for each direction
ALPHA = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
BETA = {"Affine", "ScaledTanh", "HardSigmoid"}
ACTIVATIONS = sorted({"Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"} | ALPHA)


def recurrent(draw, op):
    """Inputs and attributes of a random case."""
    gates, count = GATES[op]
    steps, batch, width, hidden = draw.numbers(1, 6, 4)
    direction = draw.of("forward", "reverse", "bidirectional")
    ways = 2 if direction == "bidirectional" else 1
    inputs = [
        draw.floats(steps, batch, width),
        draw.floats(ways, gates * hidden, width),
        draw.floats(ways, gates * hidden, hidden),
        draw.floats(ways, 2 * gates * hidden) if draw.chance() else None,
        draw.rng.integers(1, steps + 1, batch).astype(np.int32) if draw.chance() else None,
        draw.floats(ways, batch, hidden) if draw.chance() else None,
    ]
    how = {"hidden_size": hidden, "direction": direction, "shapes": ("steps", batch, width), "wanted": 2}
    if op == "LSTM":
        inputs += [draw.floats(ways, batch, hidden) if draw.chance() else None]
        inputs += [draw.floats(ways, 3 * hidden) if draw.chance() else None]
        how |= {"wanted": 3, "input_forget": draw.number(0, 2)}
    elif op == "GRU":
        how["linear_before_reset"] = draw.number(0, 2)
    if draw.chance(0.3):
        how["clip"] = float(draw.rng.uniform(0.1, 1))
    if draw.chance():
        names = [draw.of(*ACTIVATIONS) for _ in range(count * ways)]
        how["activations"] = names
        for key, takers in (("activation_alpha", ALPHA), ("activation_beta", BETA)):
            if any(name in takers for name in names):
                how[key] = [float(draw.rng.uniform(0.1, 1)) for name in names if name in takers]
    return inputs, how


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("op", list(GATES))
def test_recurrences_agree_with_onnx_runtime(op, seed):
    inputs, how = recurrent(Draw(100 + seed), op)
    agree(op, inputs, **how)


@pytest.mark.parametrize("op", list(GATES))
def test_a_short_sequence_backwards_begins_at_its_own_end(op):
    draw, gates = Draw(7), GATES[op][0]
    x, weights = draw.floats(5, 2, 3), [draw.floats(1, gates * 2, 3), draw.floats(1, gates * 2, 2)]
    lengths, how = np.array([2, 5], np.int32), {"direction": "reverse", "hidden_size": 2, "wanted": 2}
    y, last = run(op, [x, *weights, None, lengths], **how)
    alone, last_alone = run(op, [x[:2, :1], *weights], **how)
    np.testing.assert_allclose(y[:2, :, :1], alone, rtol=1e-6)
    np.testing.assert_allclose(last[:, :1], last_alone, rtol=1e-6)
    assert not y[2:, :, 0].any() and y[2:, :, 1].all()


@pytest.mark.parametrize("op", list(GATES))
def test_layout_1_has_the_batch_first(op):
    draw, gates = Draw(8), GATES[op][0]
    x, state = draw.floats(4, 2, 3), draw.floats(2, 2, 2)
    weights = [draw.floats(2, gates * 2, 3), draw.floats(2, gates * 2, 2)]
    how = {"direction": "bidirectional", "hidden_size": 2, "wanted": 2}
    y, last = run(op, [x, *weights, None, None, state], shapes=("steps", 2, 3), **how)
    inputs = [x.swapaxes(0, 1), *weights, None, None, state.swapaxes(0, 1)]
    swapped = run(op, inputs, shapes=(2, "steps", 3), layout=1, **how)
    np.testing.assert_array_equal(swapped[0], y.transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(swapped[1], last.swapaxes(0, 1))


def test_an_activation_without_its_numbers_is_refused():
    one = np.ones((1, 1, 1), np.float32)
    with pytest.raises(UntranslatedError, match="'Affine' needs alpha and beta"):
        run("RNN", [one, one, one], activations=["Affine"], hidden_size=1)


# ---- whole numbers


def test_halves_are_rounded_to_even_and_kept_within_the_dtype():
    x = np.array([0.5, 1.5, 2.5, -0.5, -300, 300], np.float32)
    one, zero = np.float32(1)[None], np.array([10], np.int8)
    assert run("QuantizeLinear", [x, one, zero]).tolist() == [10, 12, 12, 10, -128, 127]


def test_scales_belong_to_channels_or_to_blocks():
    x = np.array([[2, 4, 6, 8]], np.int8)
    by_channel = run("DequantizeLinear", [x, np.array([1, 2, 3, 4], np.float32)], axis=1)
    assert by_channel.tolist() == [[2, 8, 18, 32]]
    blocks = run("DequantizeLinear", [x, np.array([[1, 10]], np.float32)], axis=1, block_size=2, opset=21)
    assert blocks.tolist() == [[2, 4, 60, 80]]


@pytest.mark.parametrize("seed", range(6))
def test_quantized_products_agree_with_onnx_runtime(seed):
    draw, groups = Draw(seed), 1 + seed % 2
    x = draw.rng.integers(0, 256, (2, 2 * groups, 5, 4)).astype(np.uint8)
    weights = draw.rng.integers(-128, 128, (2 * groups, 2, 3, 2)).astype(np.int8)
    scale, zero = np.abs(draw.floats(2 * groups)) * 0.05 + 1e-3, np.zeros(2 * groups, np.int8)
    bias = draw.rng.integers(-100, 100, 2 * groups).astype(np.int32)
    numbers = [np.array(0.03, np.float32), np.array(120, np.uint8)]
    inputs = [x, *numbers, weights, scale.astype(np.float32), zero, *numbers, bias]
    agree("QLinearConv", inputs, group=groups, pads=[1, 0, 1, 1], strides=[1, 2])
    left = draw.rng.integers(0, 256, (2, 3, 40)).astype(np.uint8)
    right = draw.rng.integers(-128, 128, (40, 4)).astype(np.int8)
    agree("MatMulInteger", [left, right, np.array(7, np.uint8), np.array(-3, np.int8)])


def test_sums_of_whole_numbers_are_exact_beyond_those_of_float32():
    left, right = np.full((1, 601), 255, np.uint8), np.full((601, 1), 127, np.int8)
    assert run("MatMulInteger", [left, right], opset=10).tolist() == [[255 * 127 * 601]]


def test_what_millrace_has_no_dtype_for_says_so():
    zero = np.zeros((), np.float32)
    with pytest.raises(UntranslatedError, match=r"output_dtype of node .* has dtype int4"):
        run("QuantizeLinear", [signal(1, 2), zero + 1], output_dtype=22, opset=21)


# ---- images


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"mode": "linear"}, [1, 1.25, 1.75, 2]),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, [1, 4 / 3, 5 / 3, 2]),
        ({"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, [1, 1.5, 2, 2]),
        ({"mode": "nearest"}, [1, 1, 2, 2]),
        ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"}, [1, 2, 2, 2]),
    ],
)
def test_resizing_to_twice_the_size(how, expected):
    for last in ([None, np.array([2], np.float32)], [None, None, np.array([4], np.int64)]):
        made = run("Resize", [signal(1, 2), *last], axes=[2], **how)
        np.testing.assert_allclose(made[0, 0], expected, rtol=1e-6)


def test_halfway_between_two_elements_the_name_says_which():
    def half(nearest_mode):
        scales = np.array([0.5], np.float32)
        return run("Resize", [signal(1, 2, 3, 4), None, scales], axes=[2], nearest_mode=nearest_mode)[0, 0].tolist()

    assert half("round_prefer_floor") == half("floor") == [1, 3]
    assert half("round_prefer_ceil") == half("ceil") == [2, 4]


@pytest.mark.parametrize("seed", range(14))
def test_resizing_agrees_with_onnx_runtime(seed):
    draw, mode = Draw(seed), ("nearest", "linear", "cubic")[seed % 3]
    coordinates = draw.of("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
    how = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        how["nearest_mode"] = draw.of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    elif draw.chance():
        how["antialias"] = 1
    x = draw.floats(1, 2, *draw.numbers(2, 7, 2))
    sizes = np.array([1, 2, *draw.numbers(1, 9, 2)], np.int64)
    agree("Resize", [x, None, None, sizes], tolerance=1e-4, shapes=x.shape, **how)


@pytest.mark.parametrize(("size", "scale"), [(10, 0.7), (100, 0.29), (7, 1.3)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_scales_are_numbers_of_32_bits(mode, size, scale):
    """10 times 0.7 is 7 in them and 6.9999999 in 64 bits, and 7 * 1.3 has a place halfway between two elements."""
    agree("Resize", [Draw(size).floats(1, 1, size), None, np.array([1, 1, scale], np.float32)], mode=mode)


def test_places_between_pixels_are_read_where_the_grid_says():
    draw = Draw(3)
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            grid = draw.rng.uniform(-1.6, 1.6, (2, 3, 4, 2)).astype(np.float32)
            how = {"mode": mode, "padding_mode": padding, "align_corners": draw.number(0, 2)}
            agree("GridSample", [draw.floats(2, 2, 4, 5), grid], opset=20, tolerance=1e-4, **how)


def test_the_middle_is_cut_or_surrounded():
    shape = np.array([2, 5], np.int64)
    made = run("CenterCropPad", [np.arange(15, dtype=np.float32).reshape(1, 5, 3), shape], axes=[1, 2])
    assert made.tolist() == [[[0, 3, 4, 5, 0], [0, 6, 7, 8, 0]]]


# ---- attention and losses


def test_a_query_that_may_look_nowhere_gets_zeros():
    draw = Draw(1)
    x, mask = draw.floats(1, 1, 3, 4), np.array([[True, False, True], [False] * 3, [True] * 3])
    made = run("Attention", [x, draw.floats(1, 1, 3, 4), draw.floats(1, 1, 3, 4), mask], opset=23)
    assert not made[0, 0, 1].any() and made[0, 0, [0, 2]].all()


def test_heads_that_share_keys_look_causally():
    draw = Draw(2)
    q, k, v = draw.floats(2, 4, 3, 2), draw.floats(2, 2, 3, 2), draw.floats(2, 2, 3, 2)
    scores = np.einsum("bhqd,bhkd->bhqk", q, k.repeat(2, 1)) / np.sqrt(2)
    weights = np.exp(scores) * np.tri(3)
    weights /= weights.sum(-1, keepdims=True)
    expected = weights @ v.repeat(2, 1)
    made = run("Attention", [q, k, v], opset=23, is_causal=1, shapes=q.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


def test_an_ignored_label_counts_nothing():
    scores = np.log(np.array([[0.5, 0.5], [0.1, 0.9], [0.2, 0.8]], np.float32))
    labels = np.array([0, -1, 1], np.int64)
    made = run("SoftmaxCrossEntropyLoss", [scores, labels], ignore_index=-1, shapes=scores.shape)
    np.testing.assert_allclose(made, -(np.log(0.5) + np.log(0.8)) / 2, rtol=1e-6)


# ---- what cannot be imported says why


@pytest.mark.parametrize(
    ("op", "inputs", "how", "why"),
    [
        ("Conv", [signal(1, 2), np.ones((1, 1, 2), np.float32)], {"shapes": (1, 1, "length")}, "fixed sizes"),
        ("Conv", [signal(1, 2), np.ones((1, 1, 2), np.float32)], {"pads": [-1, 0]}, r"pads=\[-1, 0\]"),
        ("Conv", [signal(1, 2), np.ones((1, 1, 3), np.float32)], {}, "reaches over 3 elements"),
        ("MaxUnpool", [signal(1, 2), np.zeros((1, 1, 2), np.int64)], {"kernel_shape": [2]}, "windows overlap"),
        ("Resize", [signal(1), None, np.array([1, 1, 2], np.float32)], {"shapes": (1, 1, "length")}, "axis 2"),
        ("Resize", [signal(1), None, np.array([1, 1, 2], np.float32)], {"mode": "sinc"}, "mode='sinc'"),
    ],
)
def test_what_cannot_be_imported_says_which_attribute_and_why(op, inputs, how, why):
    with pytest.raises(UntranslatedError, match=why) as error:
        run(op, inputs, **how)
    assert "'the node'" in str(error.value)


# ---- transposes between channels first and channels last


def residual(draw):
    """Two blocks as residual networks have them: every activation, sum and scale lies between two convolutions."""
    tensors, nodes = [], []

    def tensor(array):
        tensors.append(numpy_helper.from_array(array, f"w{len(tensors)}"))
        return tensors[-1].name

    def node(op, *inputs, **attributes):
        nodes.append(helper.make_node(op, inputs, [f"v{len(nodes)}"], name=f"{op}{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    x = node("Conv", "x0", tensor(draw.floats(4, 3, 3, 3)), pads=[1] * 4)
    for _ in range(2):
        numbers = [draw.floats(4), draw.floats(4), draw.floats(4), np.abs(draw.floats(4)) + 0.5]
        y = node("BatchNormalization", x, *map(tensor, numbers))
        y = node("Conv", node("Relu", y), tensor(draw.floats(4, 4, 3, 3)), pads=[1] * 4)
        y = node("Mul", y, tensor(draw.floats(4, 1, 1)))
        x = node("Relu", node("Add", x, y))
    x = node("MaxPool", node("Concat", x, y, axis=1), kernel_shape=[2, 2], strides=[2, 2])
    node("ReduceMean", x, axes=[2, 3], keepdims=0)
    data = helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, ("batch", 3, 6, 5))
    outputs = [onnx.ValueInfoProto(name=nodes[-1].output[0])]
    graph = helper.make_graph(nodes, "graph", [data], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def transposes(graph):
    """Those of what is computed, not those of weights alone."""
    return [n for n in graph.nodes if n.op.name == "Transpose" and n.inputs[0].op.name != "Read"]


def test_a_residual_network_is_transposed_once_where_it_begins():
    draw = Draw(4)
    made, x = residual(draw), draw.floats(2, 3, 6, 5)
    predictor = from_onnx(made, engine="numpy")
    assert [n.inputs[0].op.name for n in transposes(predictor.graph)] == ["Placeholder"]
    expected = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x0": x})[0]
    np.testing.assert_allclose(predictor(x)[0], expected, 1e-5, 1e-5)


def test_transposes_that_meet_no_inverse_stay_where_they_are():
    x = mr.Input((2, 3), name="x")
    turned = mr.transpose(x, (0, 2, 1))
    graph = Graph([x], [mr.exp(turned), mr.sqrt(turned)])
    assert sunk(graph) is graph, "moved they would be two"


def test_a_sum_of_what_is_transposed_in_two_ways_stays():
    x = Placeholder("x", TensorType("float32", (3, 3, 3)))()
    total = mr.add(mr.transpose(x, (0, 2, 1)), mr.transpose(x, (1, 0, 2)))
    graph = Graph([x], [mr.transpose(total, (0, 2, 1))])
    array = Draw(6).floats(3, 3, 3)
    np.testing.assert_array_equal(sunk(graph).evaluate([array])[0], graph.evaluate([array])[0])


def test_what_is_repeated_along_an_axis_is_repeated_along_the_same_one_before_a_transpose():
    draw = Draw(5)
    x, each, plane = draw.floats(2, 3, 4, 5), draw.floats(5), draw.floats(2, 1, 1, 5)
    value, order = Placeholder("x", TensorType("float32", (2, 3, 4, 5)))(), (0, 2, 3, 1)
    turned = mr.multiply(mr.add(mr.transpose(value, order), each[:3]), plane[:, :, :, :3])
    graph = Graph([value], [mr.max(mr.transpose(turned, (0, 3, 1, 2)), (2, 3))])
    moved = simplify(sunk(graph))
    assert not transposes(moved)
    np.testing.assert_allclose(moved.evaluate([x])[0], graph.evaluate([x])[0], rtol=1e-6)
