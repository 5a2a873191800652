"""Names and arguments that Keras has and Millrace has not, and what to write instead: errors say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from millrace.ir.errors import ArgumentError, one_of

# Keras's second names for the same layers: pairs of what they replace and what stands there in the first name.
SHORT = (
    ("AvgPool", "AveragePooling"), ("MaxPool", "MaxPooling"), ("SeparableConvolution", "SeparableConv"),
    ("Convolution", "Conv"),
)  # fmt: skip


def full_name(name: str, known: Iterable[str]) -> str | None:
    """The layer that Keras also calls `name`: AveragePooling2D for AvgPool2D; None where there is none."""
    made = (name.replace(short, full) for short, full in SHORT if short in name)
    return next((one for one in made if one in known), None)


_BRANCHES = "Write layers.{0}()([a, b])."
NAMES: dict[str, dict[str, str]] = {  # by room; "" is millrace itself
    "": {
        "utils": "to_categorical(y, n) is mr.one_hot(y, n); class numbers as they are go with a sparse loss. "
        "set_random_seed is mr.set_seed, image_dataset_from_directory is mr.data.ImageFolder.",
        "datasets": "Data sets are functions: d = mr.data.mnist() has d.x_train, d.y_train, d.x_validation "
        "and d.y_validation, with pixels from 0 to 1.",
        "backend": "Its functions stand in millrace itself: mr.mean, mr.exp, mr.cast; compile(engine=...) chooses what "
        "runs.",
        "activations": "Activations stand in millrace itself, mr.relu, and layers take their names: activation='relu'.",
        "preprocessing": "mr.data.ImageFolder reads folders of images, mr.data.pad_sequences fills sequences up, "
        "mr.data.Vocabulary numbers words.",
        "applications": "Known networks are mr.models: `millrace models` lists them.",
        "constraints": "There are none: a regularizer keeps weights small, clipnorm keeps steps small.",
        "mixed_precision": "mr.set_dtype_policy('mixed_bfloat16').",
        "random": "mr.random_normal, mr.random_uniform and their kin; mr.set_seed sets the seed of all layers.",
        "saving": "model.save(path) and mr.load_model(path).",
        "distribution": "compile(mesh=mr.Mesh(data=2)) spreads each step over devices.",
        "GradientTape": "mr.gradients(loss, weights) gives gradients as values of the graph.",
        "tree": "Lists and dictionaries of values are plain Python's here.",
    },
    "layers": {
        "Lambda": "Write a layer of three lines: class Double(layers.Layer), def call(self, x), return 2 * x.",
        "InputLayer": "Begin with layers.Input(shape).",
        "StackedRNNCells": "Write recurrent layers one after another, with return_sequences=True for all but the last.",
        "TextVectorization": "mr.data.Vocabulary numbers words before training.",
        "StringLookup": "mr.data.Vocabulary numbers words before training.",
        "CategoryEncoding": "mr.one_hot(y, n).",
        "Resizing": "mr.data.ImageFolder brings pictures to one size as it reads them.",
        "EinsumDense": "Dense works over the last axis, whatever stands before it; mr.einsum in a layer of your own "
        "does the rest.",
        **{
            name: _BRANCHES.format(name.capitalize())
            for name in ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate")
        },
        "dot": "Write layers.Dot(axes=1)([a, b]).",
    },
    "callbacks": {
        "BackupAndRestore": "mr.callbacks.Checkpoint(directory), and fit(..., **model.resume(directory)) goes on.",
        "TerminateOnNaN": "Leave it out: fit stops at the first loss that is not finite, and says where it was born.",
        "ProgbarLogger": "Leave it out: fit(verbose=1) prints the progress.",
    },
    "models": {
        "clone_model": "Model.from_config(model.get_config()) makes the same network, untrained.",
        "save_model": "model.save(path).",
        "model_from_json": "mr.load_model(path) reads what model.save wrote.",
    },
    "model": {
        "train_on_batch": "model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0) makes one step; mr.function "
        "makes a step of your own.",
        "test_on_batch": "model.evaluate(x, y, batch_size=len(x)).",
        "predict_on_batch": "model.predict(x, batch_size=len(x)), or model(x).",
        "fit_generator": "model.fit(source): see mr.data.Source.",
        "metrics_names": "evaluate gives a dictionary: its keys are the names.",
        "to_json": "model.save(path) keeps network, weights and optimizer.",
    },
}  # fmt: skip

_ALL = "all of x is taken: give fewer examples."
_COMPILED = "leave it out: each step is compiled as a whole, and engine='numpy' interprets it instead."
ARGUMENTS = {  # of methods of a model
    "steps": _ALL,
    "steps_per_epoch": "an epoch is all of x: give fewer examples and more epochs.",
    "validation_steps": "validation takes all of validation_data: give fewer examples.",
    "validation_freq": "leave it out: validation follows each epoch.",
    "validation_batch_size": "leave it out: batch_size serves both, and what validation finds does not depend on it.",
    "use_multiprocessing": "leave it out: workers=4 makes four threads that read ahead.",
    "callbacks": "leave it out: callbacks belong to fit.",
    "run_eagerly": "leave it out: engine='numpy' interprets the graph node by node, and mr.Interpreter stops where you "
    "like.",
    "jit_compile": _COMPILED,
    "steps_per_execution": _COMPILED,
    "auto_scale_loss": "leave it out: bfloat16 has the range of float32, so no loss is scaled.",
}  # fmt: skip
RENAMED = {"alpha": "negative_slope"}  # arguments that Keras has called otherwise, where a layer takes the new name
LAYER_ARGUMENTS = {
    **dict.fromkeys(
        ("input_shape", "input_dim", "batch_input_shape", "batch_shape"),
        "put the input before it: Sequential([layers.Input(shape), ...]), with the shape of one example.",
    ),
    **{
        f"{name}_constraint": f"there are no constraints; {name}_regularizer keeps weights small."
        for name in ("kernel", "bias", "gamma", "beta", "alpha", "recurrent", "depthwise", "pointwise", "embeddings")
    },
    "data_format": "images are [batch, height, width, channels]: leave it out, and bring other data into this order.",
    "unroll": "leave it out: one loop runs all steps.",
    "implementation": "leave it out.",
    "input_length": "leave it out: sequences of any length are taken.",
}


def absent(room: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that a room does not have: what stands for Keras's, else the nearest known name."""
    place = "a model" if room == "model" else f"millrace.{room}" if room else "millrace"
    instead = NAMES.get(room, {}).get(name)
    if instead is None:
        near = get_close_matches(name, list(known), n=1)
        instead = f"Did you mean {near[0]!r}?" if near else ""
    return AttributeError(f"{place} has no {name!r}. {instead}".rstrip())


def refused(what: str, given: Iterable[str], known: Iterable[str], instead: Mapping[str, str]) -> ArgumentError:
    """The error for the first argument that `what` does not take."""
    takes = list(known)
    name = next(one for one in given if one not in takes)
    if RENAMED.get(name) in takes:
        return ArgumentError(f"{what} takes no {name}: call it {RENAMED[name]}.")
    if name in instead:
        return ArgumentError(f"{what} takes no {name}: {instead[name]}")
    return one_of(f"argument of {what}", name, takes)
