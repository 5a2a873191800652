"""ONNX export: every operation, layer and network, checked by ONNX and computed by ONNX Runtime."""

import json

import numpy as np
import onnx
import pytest
from onnx_running import operators, run, session

import millrace as mr
import millrace.api  # the whole vocabulary
from millrace import layers
from millrace.inference import About, Predictor
from millrace.inference.onnx.export_table import UnexportedError
from millrace.inference.onnx.exporting import save_onnx, to_onnx
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive
from millrace.ir.dims import dim
from millrace.ir.errors import FileError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.types import TensorType, widened

# What belongs to training, or draws numbers: refused, each with its reason.
REFUSED = {
    "AveragePoolGradient": "belongs to a gradient",
    "ConvolutionKernelGradient": "belongs to a gradient", "MaxPoolGather": "belongs to a gradient",
    "MaxPoolGradient": "belongs to a gradient", "RandomBits": "no generator", "Dropout": "no generator",
}  # fmt: skip
# Valid ONNX for which ONNX Runtime 1.32 has no kernel on a CPU, so that the samples are left out.
NO_KERNEL = {("Erf", "float64")}
TESTED = sorted((op for op in OPS.values() if issubclass(op, (Primitive, Composite))), key=lambda op: op.__name__)


def predictor_of(inputs, outputs, about=None):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return Predictor(Graph(inputs, outputs), [f"y{n}" for n in range(len(outputs))], about, "numpy")


def agree(got, want, tolerance=None):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if b.dtype.kind == "f" or b.dtype.name == "bfloat16":
            within = tolerance or {"float64": 1e-9, "float32": 5e-6}.get(b.dtype.name, 1e-2)
            a, b = (np.asarray(widened(x), np.float64) for x in (a, b))
            np.testing.assert_allclose(a, b, rtol=within, atol=within)
        else:
            np.testing.assert_array_equal(a, b)


# ---- operations


class Collected:
    """Many uses of operations as one model, which costs one start of ONNX Runtime."""

    def __init__(self):
        self.inputs, self.outputs, self.arrays = [], [], []

    def add(self, op, arrays):
        """An operation on arrays; bfloat16, which ONNX Runtime does not take from NumPy, comes and goes as float32."""
        given = []
        for x in map(np.asarray, arrays):
            narrow = x.dtype.name == "bfloat16"
            value = Placeholder(f"x{len(self.inputs)}", TensorType("float32" if narrow else x.dtype.name, x.shape))()
            self.inputs.append(value)
            self.arrays.append(widened(x) if narrow else x)
            given.append(mr.cast(value, "bfloat16") if narrow else value)
        made = op(*given)
        made = made if isinstance(made, tuple) else (made,)
        self.outputs += [mr.cast(y, "float32") if y.dtype == "bfloat16" else y for y in made]

    def predictor(self):
        return predictor_of(self.inputs, self.outputs)

    def check(self):
        """ONNX Runtime makes of it what Millrace's plainest engine does."""
        predictor = self.predictor()
        agree(run(predictor, self.arrays), predictor(*self.arrays))


@pytest.mark.parametrize("op", TESTED, ids=lambda op: op.__name__)
def test_every_operation_computes_the_same_in_onnx_runtime(op):
    """Its samples, all in one model."""
    collected = Collected()
    for sample in op.samples(np.random.default_rng(1)):
        if not sample.inputs or (op.__name__, sample.inputs[0].dtype.name) not in NO_KERNEL:
            collected.add(sample.op, sample.inputs)
    if op.__name__ in REFUSED:
        with pytest.raises(UnexportedError, match=REFUSED[op.__name__]):
            to_onnx(collected.predictor())
        return
    collected.check()


BY_DTYPE = {
    "Add": mr.add, "Multiply": mr.multiply, "Maximum": mr.maximum, "Less": mr.less, "Equal": mr.equal,
    "Select": lambda x, y: mr.where(mr.not_equal(x, y), x, y), "Pad": lambda x, y: mr.pad(x, ((1, 2), (0, 1))),
    "Sum": lambda x, y: mr.sum(x, axis=1), "Max": lambda x, y: mr.max(y, axis=0), "Abs": lambda x, y: mr.abs(x),
    "Take": lambda x, y: mr.take(x, np.array([1, 0, 1]), axis=0), "Negative": lambda x, y: mr.negative(x),
    "Broadcast": lambda x, y: mr.broadcast_to(mr.expand_dims(x, 0), (2, 2, 3)), "Sign": lambda x, y: mr.sign(x),
    "ArgMax": lambda x, y: mr.argmax(x, axis=1), "CumulativeSum": lambda x, y: mr.cumsum(x, axis=1),
    "Dot": lambda x, y: mr.matmul(x, mr.transpose(y)), "Product": lambda x, y: mr.prod(mr.minimum(x, 20), axis=1),
    "Concatenate": lambda x, y: mr.concatenate([x, y]), "Reverse": lambda x, y: mr.flip(x, 0),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [d for d in mr.ir.types.DTYPES if d != "bool"])
def test_every_dtype_is_computed_in(dtype):
    """Between casts where ONNX Runtime has no kernel for it; whole numbers that leave their limits wrap as here."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 120, (2, 2, 3)).astype(dtype)
    if dtype in ("uint8", "uint16", "uint32"):
        x += 2 ** (int(dtype[4:]) - 1)  # the upper half, which signed numbers of as many bits lack
    collected = Collected()
    for write in BY_DTYPE.values():
        collected.add(write, (x, y))
    collected.check()


# ---- open dimensions


def test_dimensions_that_are_known_with_the_data_are_computed():
    batch, steps = dim("batch"), dim("steps")
    x = Placeholder("x", TensorType("float32", (batch, steps, 3)))()
    y = Placeholder("y", TensorType("float32", (2 * batch + 1, 3)))()
    flat = mr.reshape(x, (batch * steps, 3))
    outputs = [
        flat, mr.reshape(mr.matmul(flat, np.ones((3, 2), np.float32)), (batch, steps, 2)),
        mr.sum(x, axis=(0, 1)) / mr.size(batch * steps, "float32"), mr.zeros((steps, batch)),
        mr.zeros((3 * batch * steps + 2,)),
        mr.broadcast_to(y, (steps, 2 * batch + 1, 3)), mr.iota((steps, batch), 0), mr.slice_axis(y, 0, 1, batch + 1),
        mr.flip(x, 1), mr.take(x, np.array([0, 5]), axis=1), mr.concatenate([flat, y]),
        mr.reshape(x, (1, batch, 3, steps)), mr.pad(x, ((0, 0), (1, 0), (0, 0))),
    ]  # fmt: skip
    predictor = predictor_of([x, y], outputs)
    model = to_onnx(predictor)
    for b, t in ((1, 1), (2, 5), (3, 2)):
        rng = np.random.default_rng(b)
        arrays = [rng.standard_normal(s).astype(np.float32) for s in ((b, t, 3), (2 * b + 1, 3))]
        agree(run(predictor, arrays, model), predictor(*arrays))
    shapes = [[d.dim_param or d.dim_value for d in p.type.tensor_type.shape.dim] for p in model.graph.input]
    assert shapes == [["batch", "steps", 3], ["2*batch+1", 3]]


def test_a_size_that_only_a_multiple_tells_is_divided_out():
    batch = dim("batch")
    x = Placeholder("x", TensorType("float32", (2 * batch + 1, 3)))()
    predictor = predictor_of([x], [mr.zeros((batch, 3)), mr.size(batch * batch)])
    (zeros, square) = run(predictor, [np.ones((7, 3), np.float32)])
    assert zeros.shape == (3, 3)
    assert square == 9


# ---- what an export says


def small_network():
    return mr.Sequential(
        [
            mr.Input((6, 5, 3), name="image"),
            layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="scores"),
        ],
        name="small",
    )


def lively(predictor):
    """The predictor with weights that are nowhere zero, as biases are at first."""
    rng = np.random.default_rng(0)
    for variable in predictor.graph.variables:
        if variable.type.is_float:
            low = 0.5 if "variance" in variable.name else -0.5
            variable.assign(rng.uniform(low, 1, variable.shape).astype(variable.dtype))
    return predictor


def test_a_model_reads_as_a_person_would_write_it():
    about = About("small", ("cat", "dog"), settings={"width": 0.5}, measured={"accuracy": 0.5})
    predictor = lively(Predictor.of(small_network(), about))
    model = to_onnx(predictor)
    assert operators(model) == ["Transpose", "Conv", "Relu", "MaxPool", "Flatten", "Gemm"]
    assert [node.name for node in model.graph.node][1:3] == ["conv/Conv", "conv/Relu"]
    assert {t.name for t in model.graph.initializer} == {v.name for v in predictor.graph.variables}
    (x,), (y,) = model.graph.input, model.graph.output
    assert (x.name, y.name) == ("image", "scores")
    assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ["batch", 6, 5, 3]
    assert [d.dim_param or d.dim_value for d in y.type.tensor_type.shape.dim] == ["batch", 2]
    assert (model.producer_name, model.producer_version) == ("millrace", mr.__version__)
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    (entry,) = [p for p in model.metadata_props if p.key == "millrace"]
    told = json.loads(entry.value)
    assert told["classes"] == ["cat", "dog"]
    assert told["settings"] == {"width": 0.5}
    assert told["measured"] == {"accuracy": 0.5}
    started = session(model)
    for count in (1, 2, 5):
        x = np.random.default_rng(count).standard_normal((count, 6, 5, 3)).astype(np.float32)
        agree(started.run(None, {"image": x}), predictor(x), 1e-5)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    predictor = Predictor.of(small_network())
    save_onnx(predictor, tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx") == to_onnx(predictor)
    with pytest.raises(FileError, match="it is a folder"):
        save_onnx(predictor, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_exported_says_which_node_and_why():
    x = mr.Input((3,), name="x")
    noisy = layers.Dropout(0.5, name="noise")(x)
    with pytest.raises(UnexportedError) as caught:
        to_onnx(predictor_of([x], [noisy]))
    told = str(caught.value)
    assert "node RandomBits cannot be exported to ONNX: ONNX has no generator" in told
    assert "in layer 'noise' at test_onnx_export.py" in told


def test_a_graph_that_changes_variables_is_refused():
    x = mr.Input((4, 3), batch_size=2, name="x")
    model = mr.Model(x, layers.LSTM(2, stateful=True, name="memory")(x))
    with pytest.raises(UnexportedError, match=r"changes 'memory/.*stateful=False"):
        to_onnx(Predictor.of(model))


def test_what_a_file_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setattr("millrace.inference.onnx.exporting.LIMIT", 2**20 + 100)
    with pytest.raises(UnexportedError, match=r"the weights take \d+ bytes, and an ONNX file holds 2 GB"):
        to_onnx(Predictor.of(small_network()))


def test_an_output_called_like_an_input_is_refused():
    x = mr.Input((3,), name="x")
    with pytest.raises(UnexportedError, match="both called 'x'"):
        to_onnx(Predictor(Graph([x], [mr.relu(x)]), ["x"]))


def test_outputs_of_every_kind():
    """An input, a weight, a constant, a repeated one, one that is given twice, one that others rest on."""
    x, unused = mr.Input((3,), name="x"), mr.Input((2,), name="unused")
    w = mr.Variable(np.array([1.0, 2, 3], np.float32), name="w")
    y = mr.tanh(x)
    outputs = [x, w.value, mr.constant(2.5), mr.broadcast_to(w, (x.shape[0], 3)), y, y, mr.exp(y), mr.transpose(y)]
    predictor = predictor_of([x, unused], outputs)
    arrays = [np.float32([[1, -1, 0.5], [2, 0, 1]]), np.ones((2, 2), np.float32)]
    agree(run(predictor, arrays), predictor(*arrays))


# ---- the order of axes


def test_values_stay_channels_first_between_convolutions():
    image = mr.Input((8, 6, 4), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="a")(image)
    x = mr.sigmoid(x) * x + mr.reshape(mr.mean(x, axis=(1, 2)), (x.shape[0], 1, 1, 4))
    x = mr.concatenate([mr.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0))), mr.zeros((x.shape[0], 9, 7, 2))], axis=3)
    x = mr.softmax(x[:, 1:, ::2]) - mr.max(x, axis=3, keepdims=True)[:, 1:, ::2]
    x = mr.take(x, np.array([0, 1, 2, 3, 4, 5, 5, 2]), axis=3)
    x = mr.cumsum(mr.where(x > 0.1, x, mr.flip(x, (1, 3))), axis=2)
    y = layers.Conv2D(2, 3, strides=2, groups=2, name="b")(x)
    predictor = lively(predictor_of([image], [y, mr.argmax(y, axis=1), mr.sum(y, axis=2)]))
    model = to_onnx(predictor)
    assert operators(model).count("Transpose") <= 4  # of the input and of each output
    x = np.random.default_rng(0).standard_normal((3, 8, 6, 4)).astype(np.float32)
    agree(run(predictor, [x], model), predictor(x), 1e-5)


def test_weights_are_brought_into_order_once():
    """Also those of a dense layer behind flattened maps, and one kernel that two layers use in two orders."""
    x = mr.Input((4, 4, 2), name="x")
    w = mr.Variable(np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32), name="w")
    maps = layers.Conv2D(2, 1, name="a")(x)
    flat = mr.reshape(maps, (x.shape[0], 32))
    predictor = lively(predictor_of([x], [flat @ w, flat @ mr.transpose(w), mr.tanh(flat) @ w]))
    model = to_onnx(predictor)
    x = np.random.default_rng(1).standard_normal((3, 4, 4, 2)).astype(np.float32)
    agree(run(predictor, [x], model), predictor(x), 1e-5)
    assert all(shape == (32, 32) for t in model.graph.initializer if t.name[0] == "w" for shape in [tuple(t.dims)])


def test_a_product_and_its_bias_are_one_node():
    x = mr.Input((4,), name="x")
    w = mr.Variable(np.ones((3, 4), np.float32), name="w")
    b = mr.Variable(np.float32([1, 2, 3]), name="b")
    product = mr.matmul(x, mr.transpose(w))
    assert operators(to_onnx(predictor_of([x], product + b))) == ["Gemm"]
    both = operators(to_onnx(predictor_of([x], [product + b, mr.tanh(product)])))  # somebody else uses the product
    assert sorted(both) == ["Add", "MatMul", "Tanh"]


def test_batch_normalization_is_one_node():
    """Where it was not folded into the layer before, and whichever of scale and offset it has."""
    model = mr.Sequential(
        [
            mr.Input((6, 5, 3), name="image"),
            layers.BatchNormalization(name="first"),
            layers.Conv2D(2, 3, name="conv"),
            layers.BatchNormalization(scale=False, epsilon=0.1, name="second"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.BatchNormalization(center=False, name="third"),
        ]
    )
    predictor = lively(Predictor.of(model, fold=False))
    exported = to_onnx(predictor)
    normal = "BatchNormalization"
    assert operators(exported) == ["Transpose", normal, "Conv", normal, "ReduceMean", normal]
    assert {v.name for v in predictor.graph.variables} <= {t.name for t in exported.graph.initializer}
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 3)).astype(np.float32)
    agree(run(predictor, [x], exported), predictor(x), 1e-5)


# ---- weights in few bits


def test_weights_of_eight_and_sixteen_bits_stay_so_in_the_file():
    rng = np.random.default_rng(0)
    x, words = mr.Input((6, 6, 2), name="x"), mr.Input((3,), dtype="int32", name="words")
    kernel = mr.Variable(rng.integers(-127, 128, (3, 3, 2, 4)), name="kernel", dtype="int8")
    scale = mr.Variable(rng.uniform(0.01, 0.02, 4).astype(np.float32), name="scale")
    dense = mr.Variable(rng.standard_normal((64, 5)), name="dense", dtype="bfloat16")
    bias = mr.Variable(rng.standard_normal(5), name="bias", dtype="bfloat16")
    table = mr.Variable(rng.standard_normal((7, 2)), name="table", dtype="bfloat16")
    maps = mr.conv(x, mr.cast(kernel, "float32") * scale)
    flat = mr.reshape(mr.relu(maps), (x.shape[0], 64))
    scores = flat @ mr.cast(dense, "float32") + mr.cast(bias, "float32")
    predictor = predictor_of([x, words], [scores, mr.cast(mr.take(table, words), "float32")])
    model = to_onnx(predictor)
    dtypes = {t.name: onnx.helper.tensor_dtype_to_np_dtype(t.data_type).name for t in model.graph.initializer}
    assert dtypes["kernel"] == "int8"
    assert [dtypes[name] for name in ("dense", "bias", "table")] == ["bfloat16"] * 3
    arrays = [rng.standard_normal((2, 6, 6, 2)).astype(np.float32), np.int32([[0, 9, 3], [1, -1, 6]])]
    agree(run(predictor, arrays, model), predictor(*arrays), 1e-5)


# ---- loops


@pytest.mark.parametrize("reverse", [False, True])
def test_loops_in_loops_see_what_is_around_them(reverse):
    x = mr.Input((4, 3), name="x")  # [batch, 4, 3]
    w = mr.Variable(np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32), name="w")
    batch = x.shape[0]
    shift = mr.tanh(mr.sum(x, axis=1))

    def outer(state, row):
        def inner(total, _):
            total = total * 0.5 + mr.matmul(row, w) + shift
            return total, mr.sum(total, axis=1)

        last, sums = mr.scan(inner, mr.zeros((batch, 3)) + state, length=2)
        return last, mr.sum(sums, axis=0) / mr.size(batch, "float32")

    state, sums = mr.scan(outer, shift, mr.transpose(x, (1, 0, 2)), reverse=reverse)
    predictor = predictor_of([x], [state, sums])
    for count in (1, 3):
        x = np.random.default_rng(count).standard_normal((count, 4, 3)).astype(np.float32)
        agree(run(predictor, [x]), predictor(x), 1e-5)


def test_a_constant_may_be_repeated_in_a_loop_and_outside():
    x = mr.Input((4, 3), name="x")
    ones = mr.broadcast_to(mr.constant(np.float32([[1, 2, 3]])), (x.shape[0], 3))

    def step(total, row):
        return total + mr.sum(mr.concatenate([ones, row], axis=1)), None

    total, _ = mr.scan(step, mr.constant(np.float32(0)), mr.transpose(x, (1, 0, 2)))
    predictor = predictor_of([x], [total, mr.concatenate([ones, ones], axis=1)])
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    agree(run(predictor, [x]), predictor(x), 1e-5)


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_a_hopfield_network_recalls_in_onnx_runtime(mode):
    rng = np.random.default_rng(0)
    patterns = rng.choice(np.float32([-1, 1]), (3, 40))
    layer = layers.Hopfield(sweeps=3, mode=mode, name="memory")
    layer.store(patterns)
    state = mr.Input((40,), name="state")
    predictor = Predictor.of(mr.Model(state, layer(state)))
    damaged = patterns * rng.choice(np.float32([-1, 1]), (3, 40), p=[0.1, 0.9])
    (got,) = run(predictor, [damaged])
    np.testing.assert_array_equal(got, predictor(damaged)[0])
    np.testing.assert_array_equal(got, patterns)
