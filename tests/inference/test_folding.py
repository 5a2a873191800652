"""The graph of a predictor: nothing of training is left in it, and its weights hold what depends on weights alone."""

import numpy as np
import pytest

import millrace as mr
from millrace.inference.folding import folded, merged, settled
from millrace.inference.known import Known, has_open_sizes
from millrace.inference.predictor import Predictor
from millrace.ir.composite import Composite
from millrace.ir.core import OPS, Primitive
from millrace.ir.graph import Graph
from millrace.ir.state import Assign, Read, Variable
from millrace.layers import (
    GRU,
    LSTM,
    RNN,
    ActivityRegularization,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Cutout,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GRUCell,
    Input,
    Layer,
    MixUp,
    Normalization,
    PCAColor,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    Rescaling,
    SeparableConv2D,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from millrace.models import resnet18
from millrace.ops.arithmetic import Multiply
from millrace.ops.contract import Dot
from millrace.ops.convolution import ConvolutionInputGradient
from millrace.ops.once import Once
from millrace.training.model import Model, Sequential

rng = np.random.default_rng(0)
OF_TRAINING = {
    "RandomBits", "Dropout", "TrainingOnly", "MixUp", "ExampleWeights", "StopGradient", "Once", "BatchNormalization",
    "Assign",
}  # fmt: skip


def names(predictor):
    found = []

    def walk(graph):
        for node in graph.nodes:
            found.append(node.op.name)
            for value in vars(node.op).values():
                if hasattr(value, "graph"):
                    walk(value.graph)

    walk(predictor.graph)
    return found


def shaken(model):
    """Its weights and statistics as after some training: no mean is 0 and no variance 1."""
    for variable in model.variables:
        if variable.dtype == "float32":
            numbers = rng.uniform(0.5, 1.5, variable.shape) if "variance" in variable.name else None
            variable.assign((rng.normal(size=variable.shape) * 0.5 if numbers is None else numbers).astype(np.float32))
    return model


def close(got, wanted, relative=1e-5):
    np.testing.assert_allclose(got, wanted, rtol=0, atol=relative * float(np.abs(wanted).max()))


class Marked(Layer):
    """A layer of a user's own, with what tells training something and leaves numbers as they are."""

    def call(self, x):
        return Once()(mr.stop_gradient(x)) * mr.expand_dims(mr.example_weights(x), 1)


class DroppingCell(GRUCell):
    """A step with dropout inside the loop."""

    def build(self, x, *states):
        super().build(x, *states)
        self.drop = Dropout(0.5)

    def step(self, p, states):
        return super().step(p, [mr.stop_gradient(h) for h in states])


IMAGES, ROWS, STEPS = (8, 8, 3), (6,), (5, 4)
DISTURBING = [
    (Dropout(0.5), ROWS),
    (Dropout(0.5, noise_shape=(None, 1, 4)), STEPS),
    (SpatialDropout1D(0.5), STEPS),
    (SpatialDropout2D(0.5), IMAGES),
    (SpatialDropout3D(0.5), (2, 3, 4, 5)),
    (GaussianNoise(1.0), ROWS),
    (GaussianDropout(0.5), ROWS),
    (ActivityRegularization(l2=0.1), ROWS),
    (RandomCrop(6, 6), IMAGES),
    (RandomFlip(), IMAGES),
    (RandomBrightness(0.5), IMAGES),
    (RandomContrast(0.5), IMAGES),
    (PCAColor([1.0, 0.5, 0.1], np.eye(3).tolist()), IMAGES),
    (Cutout(3), IMAGES),
    (RandomErasing(), IMAGES),
    (MixUp(), ROWS),
    (BatchNormalization(), ROWS),
    (BatchNormalization(axis=1), IMAGES),
    (LSTM(3, dropout=0.5, recurrent_dropout=0.5), STEPS),
    (RNN(DroppingCell(3)), STEPS),
    (Marked(), ROWS),
]


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(("layer", "shape"), DISTURBING, ids=lambda x: type(x).__name__ * isinstance(x, Layer))
def test_what_only_training_does_is_gone(layer, shape, fold):
    model = shaken(Sequential([Input(shape), layer]))
    model.compile("sgd", "mse", engine="numpy")
    predictor = Predictor.of(model, engine="numpy", fold=fold)
    assert not OF_TRAINING & set(names(predictor))
    assert not any(v.dtype == "uint32" for v in predictor.graph.variables)  # no state of a random stream
    x = rng.uniform(0, 255, (4, *shape)).astype(np.float32)
    close(predictor.predict(x), model.predict(x))


def test_a_stateful_layer_keeps_its_updates():
    model = shaken(Sequential([Input((5, 4), batch_size=2), LSTM(3, stateful=True), Dense(2)]))
    model.compile("sgd", "mse", engine="numpy")
    predictor = Predictor.of(model, engine="numpy")
    x = rng.normal(size=(2, 5, 4)).astype(np.float32)
    first, second = predictor.predict(x), predictor.predict(x)
    assert np.abs(first - second).max() > 1e-3
    assert len(predictor.graph.updates) == 2
    close(first, model.predict(x))


def test_batch_normalization_goes_into_the_convolution_as_pytorch_fuses_it():
    """torch.nn.utils.fusion.fuse_conv_bn_eval of PyTorch 2.13 on these weights gave the numbers below."""
    conv, norm = Conv2D(3, 2, name="conv"), BatchNormalization(epsilon=1e-3, name="norm")
    model = Sequential([Input((4, 4, 2)), conv, norm])
    weights = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2) / 8 - 1  # [filters, channels, height, width]
    conv.kernel.assign(weights.transpose(2, 3, 1, 0).copy())
    conv.bias.assign(np.array([0.5, -0.25, 1.0], np.float32))
    for variable, numbers in (
        (norm.gamma, [2, -1, 0.5]),
        (norm.beta, [0.1, 0.2, 0.3]),
        (norm.moving_mean, [1, -2, 0.5]),
        (norm.moving_variance, [4, 0.25, 9]),
    ):
        variable.assign(np.array(numbers, np.float32))
    predictor = Predictor.of(model, engine="numpy")
    kernel, bias = predictor.graph.variables
    assert (kernel.name, bias.name) == ("conv/kernel", "conv/bias")
    assert names(predictor) == ["Placeholder", "Read", "Convolution", "Read", "Broadcast", "Add"]
    first = [[-0.9998750686645508, -0.4999375343322754], [0.0, -0.9980060458183289],
             [0.16665740311145782, 0.24998611211776733]]  # fmt: skip
    np.testing.assert_allclose(kernel.numpy()[0, 0].T, first, rtol=1e-6, atol=1e-7)
    sums = [-4.4994378089904785, -6.9860429763793945, 1.916560173034668]
    np.testing.assert_allclose(kernel.numpy().sum((0, 1, 2)), sums, rtol=1e-6)
    np.testing.assert_allclose(bias.numpy(), [-0.39993754, -3.2930212, 0.3833287], rtol=2e-6)


def test_a_chain_by_hand():
    """((x @ W + b) * 2 - 1) / 4, negated: W and b become -W / 2 and -(2 b - 1) / 4."""
    x = mr.Input((2,), name="x")
    w, b = Variable([[1.0, 2.0], [3.0, 4.0]], "d/kernel"), Variable([0.5, 1.5], "d/bias")
    four = Variable([4.0, 4.0], "four")
    graph = folded(Graph([x], [-(((mr.matmul(x, w) + b) * 2.0 - 1.0) / four)]))
    kernel, bias = graph.variables
    assert kernel.name == "d/kernel" and bias.name == "d/bias"
    np.testing.assert_array_equal(kernel.numpy(), [[-0.5, -1.0], [-1.5, -2.0]])
    np.testing.assert_array_equal(bias.numpy(), [0.0, -0.5])
    np.testing.assert_array_equal(w.numpy(), [[1, 2], [3, 4]])  # the model's own stay as they are


LINEAR = [
    ([Dense(5), BatchNormalization()], (4,)),
    ([Dense(5, use_bias=False), BatchNormalization(), Rescaling(3.0, 1.0), BatchNormalization()], (4,)),
    ([Dense(5), BatchNormalization()], (3, 4)),
    ([Conv1D(4, 3, padding="same"), BatchNormalization()], (7, 2)),
    ([Conv2D(6, 3, padding="same", groups=2), BatchNormalization()], (5, 5, 4)),
    ([Conv2D(6, 3, strides=2, dilation_rate=1, use_bias=False), BatchNormalization(scale=False)], (7, 7, 2)),
    ([Conv2D(1, 3), BatchNormalization()], (5, 5, 2)),
    ([DepthwiseConv2D(3, depth_multiplier=2), BatchNormalization(center=False)], (5, 5, 3)),
    ([SeparableConv2D(5, 3), BatchNormalization()], (5, 5, 3)),
    ([Conv2DTranspose(4, 3, strides=2, padding="same"), BatchNormalization()], (4, 4, 3)),
]


def test_a_number_minus_a_product_turns_the_weights_round():
    """3 - (x @ W + b): W becomes -W, and b becomes 3 - b."""
    kernel, bias = np.array([[1.0, -2.0], [0.5, 4.0]], np.float32), np.array([1.0, -1.0], np.float32)
    x, w, b = mr.Input((2,), name="x"), mr.Variable(kernel, name="d/kernel"), mr.Variable(bias, name="d/bias")
    graph = folded(Graph([x], [3.0 - (mr.matmul(x, w) + b)]))
    assert {v.name: v.numpy().tolist() for v in graph.variables} == {
        "d/kernel": [[-1.0, 2.0], [-0.5, -4.0]],
        "d/bias": [2.0, 4.0],
    }
    assert "Subtract" not in {node.op.name for node in graph.nodes}


@pytest.mark.parametrize(("layers", "shape"), LINEAR, ids=lambda x: "-".join(type(y).__name__ for y in x))
def test_every_linear_layer_takes_up_what_follows(layers, shape):
    model = shaken(Sequential([Input(shape), *layers]))
    whole, plain = (Predictor.of(model, engine="numpy", fold=fold) for fold in (True, False))
    assert {"Multiply", "Rsqrt", "Subtract", "Divide"}.isdisjoint(names(whole)) and "Multiply" in names(plain)
    assert names(whole).count("Add") == 1
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    close(whole.predict(x), plain.predict(x))


def test_products_over_several_axes():
    """Attention's: the weights [heads, width, model] are the first factor, heads run along with those of x."""
    x = mr.Input((2, 5, 3), name="x")  # [batch, heads, steps, width]
    w = Variable(rng.normal(size=(4, 2, 3)).astype(np.float32), "w")  # [model, heads, width]
    scale = Variable(rng.normal(size=(2, 4, 1, 1)).astype(np.float32), "scale")
    product = Dot((2,), (3,), (1,), (1,))(w.value, x)  # [heads, model, batch, steps]
    before = Graph([x], [product * scale + scale])
    after = folded(before)
    assert [v.name for v in after.variables] == ["w", "bias"] and after.variables[1].shape == (2, 4)
    given = rng.normal(size=(3, 2, 5, 3)).astype(np.float32)
    got, wanted = (graph.bind({"batch": 3}).evaluate([given])[0] for graph in (after, before))
    close(got, wanted)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_grouped_transposed_convolution(groups):
    g = mr.Input((4, 4, 6), name="g")
    kernel = Variable(rng.normal(size=(3, 3, 2, 6)).astype(np.float32), "up/kernel")
    scale = Variable(rng.normal(size=2 * groups).astype(np.float32), "scale")
    out = ConvolutionInputGradient((6, 6), (1, 1), ((0, 0), (0, 0)), (1, 1), groups)(g, kernel.value) * scale
    before, after = Graph([g], [out]), folded(Graph([g], [out]))
    assert len(after.variables) == 1
    x = rng.normal(size=(2, 4, 4, 6)).astype(np.float32)
    close(after.bind({"batch": 2}).evaluate([x])[0], before.bind({"batch": 2}).evaluate([x])[0])


def test_what_must_stay_stays():
    """A result that is used twice, weights that are used twice, and numbers that lie along another axis."""
    x = mr.Input((3,), name="x")
    w, s = Variable(rng.normal(size=(3, 3)).astype(np.float32), "w"), Variable(np.float32([1, 2, 3]), "s")
    product = mr.matmul(x, w)
    twice = Graph([x], [product * s, mr.relu(product)])
    shared = Graph([x], [mr.matmul(product * s, w)])
    assert merged(twice) is twice and merged(shared) is shared
    fixed = mr.Input((3,), name="fixed", batch_size=3)
    across = Graph([fixed], [mr.matmul(fixed, w) * mr.expand_dims(s, 1)])  # one for each example
    assert merged(across) is across
    used = Graph([x], [mr.matmul(x, w) * s], {s: s.value + 1.0})  # a variable that changes is not known
    assert merged(used) is used
    large = Graph([x], [mr.matmul(x, Variable(np.full((3, 3), 1e30, np.float32), "large")) * 1e20])
    assert merged(large) is large  # its weights would be infinite
    whole = mr.Input((3,), dtype="int32", name="whole")
    exact = Graph([whole], [mr.matmul(whole, Variable(np.full((3, 3), 2**30, np.int32), "n")) * np.int32(3)])
    assert merged(exact) is exact  # whole numbers go round at 2^31
    infinite = Graph([x], [mr.matmul(x, w) / Variable(np.float32([1, 0, 3]), "t")])
    assert merged(infinite) is infinite


def test_normalization_before_a_convolution_with_padding_is_not_folded_through_its_zeros():
    model = shaken(Sequential([Input((4, 4, 2)), BatchNormalization(), Conv2D(3, 3, padding="same")]))
    predictor = Predictor.of(model, engine="numpy")
    assert names(predictor).count("Multiply") == 1
    x = rng.normal(size=(2, 4, 4, 2)).astype(np.float32)
    close(predictor.predict(x), model.predict(x))


def test_what_depends_on_weights_alone_is_computed_once():
    """Normalization's deviation, joined weights and a cast; a weight that is read in two orders is kept once."""
    model = Sequential([Input((2,)), Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0], name="centred")])
    mean, deviation = Predictor.of(model, engine="numpy").graph.variables
    assert (mean.name, deviation.name) == ("centred/mean", "centred/scale")
    np.testing.assert_array_equal(deviation.numpy().ravel(), [2, 3])

    x = mr.Input((2,), name="x")
    a, b = Variable([[1.0], [2.0]], "a/kernel"), Variable([[3.0], [4.0]], "b/kernel")
    joined = settled(Graph([x], [mr.matmul(x, mr.concatenate([a, b], 1))]))
    (variable,) = joined.variables
    np.testing.assert_array_equal(variable.numpy(), [[1, 3], [2, 4]])
    half = settled(Graph([x], [mr.matmul(mr.cast(x, "bfloat16"), mr.cast(a, "bfloat16"))]))
    assert [(v.name, v.dtype) for v in half.variables] == [("a/kernel", "bfloat16")]

    tied = Variable(rng.normal(size=(5, 2)).astype(np.float32), "embeddings")
    both = Graph([x], [mr.matmul(mr.matmul(x, mr.transpose(tied)), tied)])
    assert settled(both) is both
    repeated = Graph([x], [mr.broadcast_to(mr.exp(a), (9, 2, 1))])
    assert [v.shape for v in settled(repeated).variables] == [(2, 1)]


def test_gated_units_of_both_kinds_keep_no_slices_of_weights():
    for after in (True, False):
        model = shaken(Sequential([Input((4, 3)), GRU(2, reset_after=after)]))
        predictor = Predictor.of(model, engine="numpy")
        read = [node.outputs[0] for node in predictor.graph.nodes if isinstance(node.op, Read)]
        on_weights = [n.op.name for n in predictor.graph.nodes if n.inputs and all(x in read for x in n.inputs)]
        assert set(on_weights) <= {"Broadcast"}
        assert sum(int(v.type.size) for v in predictor.graph.variables) == model.count_params()
        x = rng.normal(size=(3, 4, 3)).astype(np.float32)
        close(predictor.predict(x), model.predict(x))


def test_the_residual_network_is_convolutions_and_sums():
    model = shaken(resnet18.small_network(width=0.125))
    for variable in model.variables:
        if "kernel" in variable.name:
            variable.assign(variable.numpy() * np.float32(2 / np.sqrt(np.prod(variable.shape[:-1]))))
    whole, plain = (Predictor.of(model, fold=fold) for fold in (True, False))
    assert names(plain).count("Rsqrt") == 20
    assert {"Rsqrt", "Sqrt", "Multiply", "Maximum"}.isdisjoint(names(whole))
    known = {node.outputs[0] for node in whole.graph.nodes if isinstance(node.op, Read)}
    computed = [n.op.name for n in whole.graph.nodes if n.inputs and all(x in known for x in n.inputs)]
    assert set(computed) == {"Broadcast"}
    x = rng.uniform(size=(4, 32, 32, 3)).astype(np.float32)
    close(whole.predict(x), plain.predict(x))
    close(whole.predict(x), model.predict(x))


def test_a_branch_and_an_output_in_between_are_kept():
    given = Input((4,))
    middle = Dense(3)(given)
    model = shaken(Model(given, [BatchNormalization()(middle), middle, Flatten()(middle)]))
    predictor = Predictor.of(model, engine="numpy")
    assert any(isinstance(node.op, Multiply) for node in predictor.graph.nodes)
    assert not any(isinstance(node.op, Assign) for node in predictor.graph.nodes)
    x = rng.normal(size=(2, 4)).astype(np.float32)
    for got, wanted in zip(predictor.predict(x), model.predict(x), strict=True):
        close(got, wanted)


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if issubclass(op, (Primitive, Composite))))
def test_any_operation_on_weights_alone_is_known(name):
    """Its samples as variables: the numbers are those of the operation, and settling leaves one variable each."""
    if not OPS[name].pure:
        pytest.skip("it is no function of its operands")
    for sample in OPS[name].samples(np.random.default_rng(0)):
        given = [Variable(array, f"v{n}") for n, array in enumerate(sample.inputs)]
        made = sample.op(*(v.value for v in given))
        outputs = made if isinstance(made, tuple) else (made,)
        graph = Graph([], outputs)
        known = Known(graph)
        for value, wanted in zip(outputs, graph.evaluate([]), strict=True):
            if not has_open_sizes(sample.op):
                np.testing.assert_allclose(
                    known.array(value).astype(np.float64), wanted.astype(np.float64), rtol=1e-4, atol=1e-5
                )
        for got, wanted in zip(settled(graph).evaluate([]), graph.evaluate([]), strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=1e-4, atol=1e-5)
