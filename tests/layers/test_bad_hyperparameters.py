"""Arguments that cannot be: every layer, every argument, and what is said about it."""

import inspect
import math

import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import ArgumentError, DTypeError, MillraceError, ShapeError

NAN = math.nan
GLOROT = {"recurrent_initializer": "glorot_uniform"}
IMAGE, STEPS, VOLUME, ROW = (6, 6, 4), (6, 4), (4, 4, 4, 4), (4,)

GOOD = {  # arguments that can be, and the shapes of the inputs
    "Dense": ({"units": 3}, [ROW]), "Neuron": ({}, [ROW]), "Activation": ({"activation": "relu"}, [ROW]),
    "Identity": ({}, [ROW]), "Flatten": ({}, [IMAGE]), "Reshape": ({"target_shape": (2, 2)}, [ROW]),
    "Permute": ({"dims": (2, 1)}, [STEPS]), "RepeatVector": ({"n": 2}, [ROW]),
    "ZeroPadding2D": ({"padding": 1}, [IMAGE]), "Cropping2D": ({"cropping": 1}, [IMAGE]),
    "UpSampling2D": ({"size": 2}, [IMAGE]),
    **{f"Conv{n}D": ({"filters": 4, "kernel_size": 2}, [x]) for n, x in ((1, STEPS), (2, IMAGE), (3, VOLUME))},
    **{f"Conv{n}DTranspose": ({"filters": 4, "kernel_size": 2}, [x]) for n, x in ((1, STEPS), (2, IMAGE), (3, VOLUME))},
    **{f"DepthwiseConv{n}D": ({"kernel_size": 2}, [x]) for n, x in ((1, STEPS), (2, IMAGE))},
    **{f"SeparableConv{n}D": ({"filters": 2, "kernel_size": 2}, [x]) for n, x in ((1, STEPS), (2, IMAGE))},
    **{f"{kind}Pooling{n}D": ({}, [x]) for kind in ("Max", "Average")
       for n, x in ((1, STEPS), (2, IMAGE), (3, VOLUME))},
    **{f"Global{kind}Pooling{n}D": ({}, [x]) for kind in ("Max", "Average")
       for n, x in ((1, STEPS), (2, IMAGE), (3, VOLUME))},
    "Pooling": ({}, [IMAGE]), "LocalResponseNormalization": ({}, [IMAGE]), "BatchNormalization": ({}, [IMAGE]),
    "LayerNormalization": ({}, [IMAGE]), "RMSNormalization": ({}, [IMAGE]),
    "GroupNormalization": ({"groups": 2}, [IMAGE]), "UnitNormalization": ({}, [IMAGE]),
    "Dropout": ({"rate": 0.5}, [ROW]), "GaussianDropout": ({"rate": 0.5}, [ROW]),
    "GaussianNoise": ({"stddev": 1}, [ROW]),
    "SpatialDropout1D": ({"rate": 0.5}, [STEPS]), "SpatialDropout2D": ({"rate": 0.5}, [IMAGE]),
    "SpatialDropout3D": ({"rate": 0.5}, [VOLUME]), "ActivityRegularization": ({}, [ROW]),
    **{kind: ({"units": 2, **GLOROT}, [STEPS]) for kind in ("SimpleRNN", "LSTM", "GRU")},
    "RNN": ({"cell": layers.LSTMCell(2, **GLOROT)}, [STEPS]),
    **{kind: ({"units": 2, **GLOROT}, None) for kind in ("SimpleRNNCell", "LSTMCell", "GRUCell")},
    "Bidirectional": ({"layer": layers.GRU(2, **GLOROT)}, [STEPS]),
    "TimeDistributed": ({"layer": layers.Dense(2)}, [STEPS]),
    "Attention": ({}, [STEPS] * 2), "AdditiveAttention": ({}, [STEPS] * 2),
    "MultiHeadAttention": ({"num_heads": 2, "key_dim": 2}, [STEPS] * 2),
    "Embedding": ({"input_dim": 5, "output_dim": 2}, [ROW]), "Masking": ({}, [STEPS]),
    "MemoryNetwork": ({"input_dim": 5, "output_dim": 2}, [STEPS, ROW]),
    **{kind: ({}, [IMAGE]) for kind in ("ReLU", "LeakyReLU", "PReLU", "ELU")},
    "Softmax": ({}, [ROW]), "LogSoftmax": ({}, [ROW]), "Sigmoid": ({}, [ROW]),
    **{kind: ({}, [ROW] * 2)
       for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")},
    **{kind: ({"height": 2, "width": 3}, [IMAGE]) for kind in ("CenterCrop", "RandomCrop")},
    "RandomFlip": ({}, [IMAGE]), "RandomBrightness": ({"factor": 0.2}, [IMAGE]), "Cutout": ({"size": 2}, [IMAGE]),
    "RandomContrast": ({"factor": 0.2}, [IMAGE]), "RandomErasing": ({}, [IMAGE]), "MixUp": ({}, [ROW]),
    "PCAColor": ({"eigenvalues": [1, 1, 1, 1], "eigenvectors": [[1, 0, 0, 0]] * 4}, [IMAGE]),
    "Rescaling": ({"scale": 2}, [ROW]), "MeanSubtraction": ({"mean": [1, 2, 3, 4]}, [IMAGE]),
    "Normalization": ({"mean": 1, "variance": 2}, [IMAGE]),
    "Dot": ({"axes": 1}, [ROW] * 2), "Residual": ({"block": [layers.Dense(4)]}, [ROW]),
}  # fmt: skip

WHOLE = [0, -2, 1.5, "8", True]
EACH = [0, -1, 2.5, "3", (2, 2, 2, 2), (0, 0), True]
POSITIVE = [0, -1.0, "big", NAN, math.inf, True, None]
SHARE = [-0.1, 1.0, "half", NAN, True]
SIDES = [-1, 1.5, "a", (1, 2, 3), ((1, 2, 3), (1, 1)), None, True]
INITIALIZER, REGULARIZER, ACTIVATION = ["he_norml", 3, [1]], ["l3", 3, [1]], ["rellu", 3, ["relu"]]
BAD = {  # for each argument, values that it cannot have
    **dict.fromkeys(
        ("units", "filters", "input_dim", "output_dim", "hops", "num_heads", "key_dim", "depth_multiplier", "n"),
        (*WHOLE, None),
    ),
    **dict.fromkeys(("value_dim", "output_shape"), WHOLE), "groups": [*WHOLE, 3, None],
    **dict.fromkeys(("kernel_size", "dilation_rate", "size", "window_shape", "pool_size"), (*EACH, None)),
    "strides": EACH, "padding": ["sam", -1, 1.5, None, ((1, "a"), (1, 1)), (1, 2, 3, 4), True],
    "output_padding": [-1, 5, 1.5, "a", (0, 0, 0, 0), True], "cropping": [*SIDES, 3],
    **dict.fromkeys(("rate", "dropout", "recurrent_dropout"), SHARE), "keep_prob": [0, 1.5, "half", NAN, True],
    "stddev": [-1, "a", NAN, math.inf, True, None], "noise_shape": ["a", 3, (1, 2, 3), (0,), (1.5, None), (3, None)],
    "seed": [-1, 1.5, "a", True, 2**32],
    **dict.fromkeys(("activation", "recurrent_activation"), ACTIVATION),
    **{f"{name}_initializer": INITIALIZER for name in (
        "kernel", "recurrent", "bias", "depthwise", "pointwise", "embeddings", "beta", "gamma", "alpha", "moving_mean",
        "moving_variance")},
    **{f"{name}_regularizer": REGULARIZER for name in (
        "kernel", "recurrent", "bias", "depthwise", "pointwise", "embeddings", "beta", "gamma", "alpha", "activity")},
    "axis": ["a", 1.5, True, None, 7, -9], "momentum": [-0.1, 1.5, "a", NAN, True, None], "epsilon": POSITIVE,
    **dict.fromkeys(("temperature", "k", "alpha", "beta"), POSITIVE), "merge_mode": ["max", 3, ["sum"]],
    "score_mode": ["cosine", None, ["dot"]], "pooling_type": ["median", 3, None, ["max"]],
    **dict.fromkeys(("l1", "l2"), (-1, "a", NAN, None, True)), "mask_value": ["a", None, True],
    "axes": ["a", 1.5, (1,), (1, 2, 3), 0, 5, -9, True, (1, "a"), None],
    "dims": [3, (1,), (2, 3), "ab", (1, 1), (1, 2.0)],
    "target_shape": [(3,), 8, "ab", (0,), (-1, -1), (1.5,), (True, 4), ()],
    **dict.fromkeys(("layer", "cell", "block"), ("LSTM", 3, None, [])), "backward_layer": ["LSTM", 3],
    **dict.fromkeys(("height", "width"), (*WHOLE, 9, None)), "mode": ["diagonal", 3, None, ["horizontal"]],
    "factor": [-2, 1.5, "a", NAN, True, None, (0.5, 2), (1,), ("a", 1)],
    "value_range": [(1, 0), (0, 0), 255, (0,), ("a", 1), None, (0, math.inf)],
    "fill_value": ["a", NAN, True, ["a", 0, 0, 0]], "eigenvalues": [3, "a", [1, 1], [NAN] * 4, None, []],
    "eigenvectors": [3, "a", [1, 1, 1, 1], [[1, 2]] * 2, None, [[1], [1, 2]]],
    "mean": ["a", [NAN] * 4, [1, 2, 3], [[1], [1, 2]], []], "variance": ["a", [1, 2, 3], None, -1, [NAN] * 4],
    "offset": ["a", NAN, None, True, [1, 2], ["a"] * 4],
    **dict.fromkeys(("negative_slope", "threshold"), (-1, "a", NAN, math.inf, True, None)),
    "max_value": [-1, "a", NAN, True], "shared_axes": ["a", 0, -1, 4, True, (1, "a"), (1, 2.0)],
    "shortcut": ["Dense", 3], "shard": [2, "two words", "", True], "dtype": ["float3", "mixed_float16", 3, ["float32"]],
}  # fmt: skip
FREE = {  # yes or no
    "use_bias", "reset_after", "unit_forget_bias", "return_sequences", "return_state", "go_backwards", "stateful",
    "zero_output_for_mask", "use_scale", "center", "scale", "normalize", "mask_zero", "keepdims", "linear",
    "alpha_divided_by_n", "trainable", "invert",
}  # fmt: skip
OWN = {  # where a layer takes an argument in another way
    ("ZeroPadding2D", "padding"): SIDES, ("GroupNormalization", "groups"): [0, -2, 3, 1.5, "8", True, None],
    ("Reshape", "target_shape"): BAD["target_shape"], ("RNN", "cell"): ["LSTM", 3, None, [3], layers.Dense(2), []],
    ("Dropout", "rate"): SHARE, ("BatchNormalization", "axis"): [*BAD["axis"], 0],
    ("LayerNormalization", "axis"): [*BAD["axis"], (), (1, "a")], ("RMSNormalization", "axis"): [*BAD["axis"], ()],
    ("Concatenate", "axis"): ["a", 1.5, True, None, 7, -9],
    ("Cutout", "size"): WHOLE, ("Cutout", "fill_value"): ["a", NAN, True, None, (0, 0)],
    ("RandomErasing", "scale"): [0.3, (0.5, 0.2), (0, 2), (-1, 0.5), "a", None, (0.1, "a")],
    ("Rescaling", "scale"): BAD["offset"], ("MeanSubtraction", "mean"): [*BAD["mean"], None],
    ("Normalization", "axis"): ["a", 1.5, True, 7, -9, 0, (), (1, "a")],
    ("ELU", "alpha"): [-1, "a", NAN, math.inf, True, None],
    ("SeparableConv1D", "depth_multiplier"): [*WHOLE, None],
}  # fmt: skip
MORE = dict.fromkeys(("SimpleRNN", "LSTM", "GRU"), ("dropout", "recurrent_dropout", "seed"))
COMMON = ("dtype", "activity_regularizer")


def arguments_of(kind):
    taken = list(inspect.signature(getattr(layers, kind).__init__).parameters.values())[1:]
    named = [p.name for p in taken if p.kind is not p.VAR_KEYWORD]
    return dict.fromkeys((*named, *MORE.get(kind, ()), *COMMON))


def made(kind, **changed):
    """A layer with some arguments changed, applied to its inputs."""
    arguments, shapes = GOOD[kind]
    arguments = {**arguments, **changed}
    if "keep_prob" in changed:
        arguments.pop("rate", None)
    if "seed" in changed and "dropout" in arguments_of(kind):
        arguments["dropout"] = 0.5
    layer = getattr(layers, kind)(**arguments, name="one")
    if shapes is None:
        return layers.RNN(layer)(mr.Input(STEPS))
    dtype = "int32" if kind in ("Embedding", "MemoryNetwork") else "float32"
    inputs = [mr.Input(shape, dtype=dtype) for shape in shapes]
    return layer(*inputs) if kind in ("Attention", "AdditiveAttention", "MultiHeadAttention") else layer(inputs)


def refusals():
    for kind in GOOD:
        for argument in arguments_of(kind):
            for value in OWN.get((kind, argument), BAD.get(argument, ())):
                yield pytest.param(kind, argument, value, id=f"{kind}-{argument}-{value!r}")


@pytest.mark.parametrize("kind", GOOD)
def test_the_arguments_that_can_be_are_taken(kind):
    assert made(kind) is not None


def test_every_layer_and_argument_is_tried():
    public = {n for n in layers.__all__ if isinstance(getattr(layers, n), type)}
    assert public - set(GOOD) == {"Layer", "Cell", "Hopfield", "ModernHopfield"}
    assert {a for kind in GOOD for a in arguments_of(kind)} - set(BAD) - FREE <= {"name"}


@pytest.mark.parametrize(("kind", "argument", "value"), list(refusals()))
def test_a_bad_argument_is_refused_by_name_with_its_value(kind, argument, value):
    with pytest.raises(MillraceError) as caught:
        made(kind, **{argument: value})
    said = str(caught.value)
    assert "'one'" in said or kind in said
    assert argument in said or argument.split("_")[-1] in said.split("\n")[0]
    parts = value if isinstance(value, (list, tuple)) and value else [value]
    assert repr(value) in said or any(repr(part) in said for part in parts) or type(value).__name__ in said
    assert len(said) > 40 and said.rstrip()[-1] not in ":,"


# ---- inputs that a layer cannot take

RANKS = {  # a layer, and the shapes of one example that it refuses
    **dict.fromkeys(("Conv1D", "Conv1DTranspose", "MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D",
                     "GlobalAveragePooling1D", "DepthwiseConv1D", "SeparableConv1D", "SpatialDropout1D",
                     "SimpleRNN", "LSTM", "GRU", "RNN"), ((), ROW, IMAGE)),
    **dict.fromkeys(("Conv2D", "Conv2DTranspose", "MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D",
                     "GlobalAveragePooling2D", "DepthwiseConv2D", "SeparableConv2D", "SpatialDropout2D", "Pooling",
                     "ZeroPadding2D", "Cropping2D", "UpSampling2D"), ((), ROW, STEPS, VOLUME)),
    **dict.fromkeys(("Conv3D", "Conv3DTranspose", "MaxPooling3D", "AveragePooling3D", "GlobalMaxPooling3D",
                     "GlobalAveragePooling3D", "SpatialDropout3D"), ((), ROW, IMAGE)),
    "RepeatVector": [(), STEPS], "Permute": [(), ROW, IMAGE], "Masking": [(), ROW], "TimeDistributed": [(), ROW],
    "Bidirectional": [(), ROW, IMAGE], "BatchNormalization": [()], "GroupNormalization": [()], "Dense": [()],
    "Neuron": [()],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "shape"), [(kind, shape) for kind, shapes in RANKS.items() for shape in shapes])
def test_an_input_of_another_rank_is_refused_with_what_is_taken(kind, shape):
    layer = getattr(layers, kind)(**GOOD[kind][0], name="one")
    x = mr.Input(shape)
    with pytest.raises(ShapeError) as caught:
        layer(x)
    assert "'one" in str(caught.value) and str(x.type) in str(caught.value)


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention", "MultiHeadAttention"])
@pytest.mark.parametrize(
    ("query", "value"), [(ROW, ROW), (IMAGE, STEPS), (STEPS, ROW), ((6, 4), (5, 3))]
)  # fmt: skip
def test_attention_refuses_what_is_no_sequence_or_does_not_fit(kind, query, value):
    layer = getattr(layers, kind)(**GOOD[kind][0], name="one")
    if kind == "MultiHeadAttention" and value == (5, 3):
        return  # it projects both to one width
    with pytest.raises(MillraceError) as caught:
        layer(mr.Input(query), mr.Input(value))
    assert "'one'" in str(caught.value)


def test_a_memory_network_refuses_what_is_no_story():
    for story, question in ((ROW, ROW), (STEPS, STEPS), (IMAGE, ROW)):
        with pytest.raises(ShapeError, match=r"\[batch, sentences, words\]"):
            layers.MemoryNetwork(5, 2, name="one")(mr.Input(story, dtype="int32"), mr.Input(question, dtype="int32"))


@pytest.mark.parametrize("kind", [k for k in GOOD if GOOD[k][1] is not None])
@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_a_dtype_that_a_layer_cannot_take_is_refused_or_taken_but_never_breaks(kind, dtype):
    layer = getattr(layers, kind)(**GOOD[kind][0], name="one")
    inputs = [mr.Input(shape, dtype=dtype) for shape in GOOD[kind][1]]
    attends = kind in ("Attention", "AdditiveAttention", "MultiHeadAttention", "MemoryNetwork")
    said = ""
    try:
        layer(*inputs) if attends else layer(inputs)
    except MillraceError as error:
        said = str(error)
    assert not said or ("'one" in said and dtype in said)


@pytest.mark.parametrize("kind", [k for k in GOOD if GOOD[k][1] is not None])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_another_number_of_inputs_is_refused_in_words(kind, count):
    takes = len(GOOD[kind][1])
    many = kind in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    if count == takes or (many and count > 1):
        return
    layer = getattr(layers, kind)(**GOOD[kind][0], name="one")
    shape = GOOD[kind][1][0]
    dtype = "int32" if kind in ("Embedding", "MemoryNetwork") else "float32"
    with pytest.raises(MillraceError) as caught:
        layer([mr.Input(shape, dtype=dtype) for _ in range(count)])
    assert "'one" in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (layers.Conv2D(2, 5), (4, 4, 1), ("kernel_size=5", "height", "4", "same")),
        (layers.Conv2D(2, (1, 7), padding=1), (4, 4, 1), ("kernel_size=7", "width", "6 with its padding")),
        (layers.Conv1D(2, 3, dilation_rate=4), (8, 1), ("dilation_rate=4", "9", "8")),
        (layers.MaxPooling2D(5), (4, 4, 1), ("pool_size=5", "4")),
        (layers.Pooling("max", (3, 9)), (4, 4, 1), ("window_shape=9", "width")),
        (layers.Conv2D(4, 1, groups=2), (4, 4, 3), ("groups=2", "3 channels")),
        (layers.GroupNormalization(3), (4, 4), ("groups=3", "4 channels")),
        (layers.Cropping2D(3), (6, 8, 1), ("cropping", "axis 1")),
        (layers.Conv1DTranspose(2, 2, padding=3), (2, 1), ("padding=3", "leave")),
        (layers.Residual(layers.Dense(3)), (4,), ("[batch, 3]", "[batch, 4]", "shortcut")),
        (layers.Reshape((5,)), (4,), ("4", "5")),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_both_numbers(layer, shape, words):
    with pytest.raises(MillraceError) as caught:
        layer(mr.Input(shape))
    assert all(word in str(caught.value) for word in (*words, layer.name))


def test_a_misfit_between_layers_names_both_and_draws_the_model_up_to_there():
    x = mr.Input((28, 28, 1), name="image")
    flat = layers.Flatten(name="flat")(layers.Conv2D(8, 3, name="first")(x))
    with pytest.raises(ShapeError) as caught:
        layers.Conv2D(16, 3, name="second")(flat)
    said = str(caught.value)
    for word in ("'second' (Conv2D)", "'flat' (Flatten) gives float32[batch, 5408]", "put this layer before them"):
        assert word in said
    drawn = said[said.index("gives") :]
    order = [drawn.index(name) for name in ("image", "first", "flat  Flatten", "second", "cannot take it")]
    assert order == sorted(order)


def test_a_misfit_of_two_branches_names_both():
    x = mr.Input((8,), name="x")
    a, b = layers.Dense(4, name="left")(x), layers.Dense(5, name="right")(x)
    for join in (layers.Add(name="join"), layers.Concatenate(axis=1, name="join"), layers.Dot(1, name="join")):
        if isinstance(join, layers.Concatenate):
            b = layers.RepeatVector(2, name="right2")(b)
        with pytest.raises(ShapeError) as caught:
            join([a, b])
        assert all(word in str(caught.value) for word in ("'join'", "'left'", "'right", "[batch, 4]", "5]"))


def test_states_and_masks_that_do_not_fit_are_refused():
    x = mr.Input(STEPS)
    lstm = layers.LSTM(3, name="one", **GLOROT)
    for states in ([mr.Input((3,))], [mr.Input((3,)), mr.Input((2,))], [mr.Input((3,))] * 3):
        with pytest.raises(MillraceError, match="'one'"):
            lstm(x, initial_state=states)
    for mask in (mr.Input((5,), dtype="bool"), mr.Input((6,)), mr.Input((6, 4), dtype="bool")):
        with pytest.raises(MillraceError, match="'one'"):
            lstm(x, mask=mask)
    with pytest.raises(MillraceError, match="batch_size"):
        layers.GRU(3, stateful=True, **GLOROT)(x)
    forth = layers.GRU(2, name="forth", **GLOROT)
    with pytest.raises(ArgumentError, match="go_backwards=True"):
        layers.Bidirectional(forth, backward_layer=layers.GRU(2, **GLOROT))
    with pytest.raises(DTypeError, match="whole numbers"):
        layers.Embedding(3, 2)(mr.Input((4,), dtype="bool"))
