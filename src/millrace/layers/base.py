"""A layer: weights, and the piece of graph that it builds from its input."""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from millrace import functional as mr
from millrace.ir.bounds import weight_is_given
from millrace.ir.core import Expression, Value, current_layer, layer_scope, snake
from millrace.ir.dims import product, shape_text
from millrace.ir.errors import ArgumentError, MillraceError, ShapeError
from millrace.ir.state import Variable
from millrace.ir.types import TensorType, dtype_name
from millrace.layers import initializers, regularizers
from millrace.layers.activations import activation_name
from millrace.layers.arguments import flag
from millrace.layers.calls import Call, Given, mask_of, record, set_mask
from millrace.layers.initializers import first_values
from millrace.layers.keras_names import LAYER_ARGUMENTS, refused
from millrace.layers.messages import accepted, naming_the_layer, told, wanted
from millrace.layers.policy import POLICIES, checked_policy, current_policy
from millrace.layers.saved import restored, saved_form
from millrace.ops.shape import Reshape

LAYERS: dict[str, type[Layer]] = {}
COMMON = ("name", "trainable", "dtype", "activity_regularizer")  # arguments of every layer
_names: Counter[str] = Counter()


def set_seed(seed: int) -> None:
    """The seed of all weights and dropout masks of layers built from now on; automatic names start anew.

    So the same program after the same seed builds the same network.
    Raises ArgumentError for a seed outside 0 ... 2^32 - 1.
    """
    initializers.set_seed(seed)
    _names.clear()


class Layer:
    """Base of all layers. A layer of one's own defines `call(x)`, and `build(type)` if it has weights.

        class Scale(mr.layers.Layer):
            def build(self, x):
                self.factor = self.add_weight("factor", (x.shape[-1],), "ones")
            def call(self, x):
                return x * self.factor

    name: unique within a model; made from the class where None. trainable: whether optimizers update it.
    dtype: "float32", "mixed_bfloat16" or None, see set_dtype_policy. activity_regularizer: a penalty on the
    output, by name or as an object.
    """

    supports_masking: ClassVar[bool] = False  # whether the mask of padded steps goes through, as Keras has it
    freezes_statistics: ClassVar[bool] = False  # whether trainable=False makes it behave as after training

    # What an instance was made with, for saving it.
    arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = LAYERS.get(cls.__name__)
        if known is not None and known.__module__.startswith("millrace.") and known.__module__ != cls.__module__:
            warnings.warn(
                f"class {cls.__name__} has the name of one of Millrace's layers: to load a model that holds it, pass "
                f"custom_objects={{{cls.__name__!r}: {cls.__name__}}}, or give it another name.",
                stacklevel=2,
            )
        elif not cls.__name__.startswith("_"):
            LAYERS[cls.__name__] = cls
        if "__init__" in vars(cls):
            cls.__init__ = naming_the_layer(cls.__init__)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        layer = super().__new__(cls)
        signature = inspect.signature(cls.__init__)
        ours = cls.__module__.startswith("millrace.")  # a layer of the user's own means by its arguments what it likes
        if ours and kwargs:
            takes = accepted(cls)
            if unknown := [name for name in kwargs if name not in takes]:
                raise refused(cls.__name__, unknown, takes, LAYER_ARGUMENTS)
        try:
            bound = signature.bind(layer, *args, **kwargs)
        except TypeError as error:
            known = ", ".join(accepted(cls))
            raise ArgumentError(f"{cls.__name__}: {error}. It takes: {known or 'nothing'}.") from None
        given = dict(list(bound.arguments.items())[1:])
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name, {})
        if ours:
            for name, parameter in signature.parameters.items():
                if isinstance(parameter.default, bool):
                    flag(given.get(name, False), f"{cls.__name__}: {name}")
        layer.arguments = given
        layer.name = ""
        layer.trainable = True
        layer.built = False
        layer.policy = current_policy()
        layer.activity_regularizer = None
        layer.own, layer.updates, layer.calls, layer.penalties, layer.lasting = [], [], [], [], []
        return layer

    name: str
    trainable: bool
    built: bool
    own: list[Variable]  # its weights, without those of the layers that it holds
    updates: list[tuple[Variable, Value]]
    calls: list[Call]
    penalties: list[Value]
    lasting: list[Variable]
    policy: str | None

    def __init__(
        self,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        activity_regularizer: Any = None,
    ):
        self.set_name(name)
        self.trainable = trainable
        if dtype is not None:
            self.policy = checked_policy(dtype)
        self.activity_regularizer = regularizers.regularizer(activity_regularizer)

    def set_name(self, name: str | None) -> None:
        if name is None:
            base = snake(type(self).__name__)
            count = _names[base]
            _names[base] += 1
            name = f"{base}_{count}" if count else base
        if not isinstance(name, str) or not name or any(c.isspace() or c in "/@" for c in name):
            raise ArgumentError(f"layer name {name!r}: use letters, digits, '_', '-' and '.' alone.")
        self.name = name

    def build(self, *types: TensorType) -> None:
        """Make the weights, now that the input's type is known."""

    def call(self, *inputs: Value) -> Any:
        """The layer's output for its inputs, as values of the graph."""
        raise MillraceError(f"layer {type(self).__name__} does not define call(self, x)")

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        """Apply the layer to a value, to several, or to a list of values; further ones by name.

        Raises ShapeError, DTypeError or ArgumentError that names the layer and what it was given.
        """
        if not self.name:
            self.set_name(None)  # a layer of one's own need not call super().__init__()
        several = isinstance(inputs[0], (list, tuple)) if len(inputs) == 1 else False
        values = [mr.as_value(x) for x in (inputs[0] if several else inputs)]
        positional = len(values)
        named: dict[str, Given] = {}
        for name, given in keywords.items():
            if isinstance(given, (Expression, np.ndarray)):
                named[name] = Given(len(values))
                values.append(mr.as_value(given))
            elif isinstance(given, (list, tuple)) and given and isinstance(given[0], (Expression, np.ndarray)):
                named[name] = Given(tuple(range(len(values), len(values) + len(given))))
                values += map(mr.as_value, given)
            elif given is not None:
                named[name] = Given(None, given)
        return self._apply(tuple(values), positional, named)

    def _apply(self, values: tuple[Value, ...], positional: int, named: Mapping[str, Given]) -> Any:
        takes = inspect.signature(self.call).parameters
        masks: list[Value | None] = [mask_of(x) for x in values[:positional]]
        with layer_scope(self.name) as path, self.computing():
            used = [self.computed(x) for x in values]
            given = {name: one.among(used) for name, one in named.items()}
            if "training" in given and "training" not in takes:
                raise ArgumentError(
                    f"layer {self.name!r} ({type(self).__name__}) takes no training=: training and inference are one "
                    "graph, and fit and predict choose. trainable=False freezes weights and running statistics."
                )
            if "mask" in takes and "mask" not in given and any(m is not None for m in masks):
                given["mask"] = masks[0] if positional == 1 else masks
            elif "mask" in given and positional == 1:
                masks = [given["mask"]]
            try:
                inspect.signature(self.call).bind(*used[:positional], **given)
                if not self.built:
                    inspect.signature(self.build).bind(*used[:positional])
            except TypeError:
                raise ArgumentError(
                    f"layer {self.name!r} ({type(self).__name__}) takes {wanted(takes)}, but was given "
                    f"{positional} value{'' if positional == 1 else 's'}"
                    + (f" and {', '.join(given)} by name." if given else ".")
                ) from None
            try:
                if not self.built:
                    self.build(*(value.type for value in used[:positional]))
                    self.built = True
                result = self._called(used[:positional], given, takes)
                made = result if isinstance(result, (list, tuple)) else [result]
                outputs = tuple(mr.as_value(x) for x in made)
                # a layer that hands its input on has made this use of it too: a value of its own says so
                outputs = tuple(Reshape(x.shape)(x) if x in values else x for x in outputs)
                if self.activity_regularizer is not None:
                    batch = mr.size(outputs[0].shape[0], "float32") if outputs[0].ndim else mr.constant(1.0)
                    self.penalties += [self.activity_regularizer(x) / batch for x in outputs if x.type.is_float]
                self._hand_on(values[:positional], masks, outputs, "mask" in takes)
            except MillraceError as error:
                if error.place.startswith(f"in layer {path!r} at"):  # an operation of this very layer: say more
                    error.placed = False
                raise error.at(told(self, path, values[:positional], error)) from None
        call = Call(self, values, outputs, positional, named)
        self.calls.append(call)
        record(call)
        return list(outputs) if isinstance(result, (list, tuple)) else outputs[0]

    def _called(self, values: Sequence[Value], given: dict[str, Any], takes: Mapping[str, Any]) -> Any:
        """The result of `call`. One that takes `training` is called for both, and the graph holds either."""
        if "training" not in takes or "training" in given:
            return self.call(*values, **given)
        later, now = (self.call(*values, **{**given, "training": training}) for training in (False, True))
        if isinstance(later, (list, tuple)):
            return [mr.training_only(x, y) for x, y in zip(later, now, strict=True)]
        return mr.training_only(later, now)

    # ---- masks of padded steps

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Any:
        """The mask of the output, or a list of them for several outputs; by default that of the first input."""
        return masks[0] if self.supports_masking and masks else None

    def _hand_on(
        self, inputs: Sequence[Value], masks: Sequence[Value | None], outputs: Sequence[Value], reads: bool
    ) -> None:
        made = self.compute_mask(inputs, masks)
        own = type(self).compute_mask is not Layer.compute_mask
        if made is None and not (reads or own):  # element by element, it treats each step apart
            made = [mask_of(value) for value in outputs]
            own = any(mask is not None for mask in made)
        for value, mask in zip(outputs, made if isinstance(made, (list, tuple)) else [made], strict=False):
            set_mask(value, mask)
        if any(m is not None for m in masks) and not (reads or own or self.supports_masking):
            warnings.warn(
                f"layer {self.name!r} ({type(self).__name__}) does not know masks: from here on, steps that only fill "
                "sequences up count as real ones. Set supports_masking = True in its class if it treats each step "
                "apart, or take `mask=None` in its call.",
                stacklevel=5,
            )

    # ---- what it computes in

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Inside, float32 variables are read in the dtype that the layer's policy computes in."""
        if self.policy is None:
            yield
            return
        with mr.autocast(POLICIES[self.policy] if self.policy != "float32" else None):
            yield

    def computed(self, x: Value) -> Value:
        """An input in the dtype that the layer's policy computes in."""
        if self.policy is None or not x.type.is_float:
            return x
        return mr.cast(x, POLICIES[self.policy])

    def add_weight(
        self,
        name: str | None = None,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        dtype: str = "float32",
        regularizer: Any = None,
    ) -> Variable:
        """A variable of this layer, called `layer/name`; `initializer` is a name, an object, a function or an array.

        regularizer: a penalty on its size that training adds to the loss, by name or as an object.
        """
        sizes = tuple(shape)
        name = name or f"weight_{len(self.own)}"
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ArgumentError(
                f"weight {name!r} cannot have the shape {shape_text(sizes)}: sizes must be known and above 0."
            )
        full = f"{current_layer() or self.name}/{name}"
        given = weight_is_given(full, sizes)
        try:
            if hasattr(initializer, "dtype"):
                array = initializer
            else:
                rule_of_first = initializers.initializer(initializer)  # an unknown one is refused, drawn from or not
                array = None if given else first_values(rule_of_first, sizes, full, dtype)
            rule = regularizers.regularizer(regularizer)
        except ArgumentError as error:
            error.args = (f"weight {name!r}: {error.args[0]}",)
            raise
        if given:
            kind = getattr(initializer, "dtype", dtype)
            variable = Variable.blank(TensorType(dtype_name(kind), sizes), full, trainable)
        else:
            variable = Variable(array, name=full, trainable=trainable)
        self.own.append(variable)
        if rule is not None:
            self.penalties.append(rule(variable.value))
        return variable

    def add_loss(self, loss: Value) -> None:
        """A penalty, one number, that training adds to the loss."""
        value = mr.as_value(loss)
        if value.shape != ():
            raise ShapeError(f"add_loss takes one number, got {value.type}: reduce it with mr.sum or mr.mean.")
        self.penalties.append(value)

    def add_update(self, variable: Variable, value: Value, always: bool = False) -> None:
        """A new value that training gives a variable at each step, such as a count or a running mean.

        always: evaluation and prediction give it too, such as the state of a stateful recurrent layer.
        """
        self.updates.append((variable, value))
        if always:
            self.lasting.append(variable)

    @property
    def losses(self) -> list[Value]:
        """The penalties of this layer and of the layers that it holds, one number each."""
        return list(dict.fromkeys([*self.penalties, *(x for layer in self.sublayers for x in layer.losses)]))

    @property
    def structure(self) -> tuple[Any, ...]:
        """The form of what it makes of one example: (U,) for Dense, (H, W, D) for a convolution over images.

        The batch size is not part of it.  Raises ArgumentError before the layer is applied.
        """
        if not self.calls:
            raise ArgumentError(f"layer {self.name!r} has no structure before it is applied to an input.")
        return self.calls[0].outputs[0].shape[1:]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the user decided about this layer, by Keras's names."""
        return {k: activation_name(v) for k, v in self.arguments.items() if k not in COMMON}

    @property
    def sublayers(self) -> list[Layer]:
        """The layers that this one holds as attributes, alone or in lists and dictionaries."""
        return list(dict.fromkeys(_layers_in(list(vars(self).values()))))

    @property
    def weights(self) -> list[Variable]:
        """Every variable of this layer and of the layers that it holds, each once."""
        inner = [v for layer in self.sublayers for v in layer.weights]
        return list(dict.fromkeys([*self.own, *inner]))

    @property
    def all_updates(self) -> list[tuple[Variable, Value]]:
        return [*self.updates, *(update for layer in self.sublayers for update in layer.all_updates)]

    @property
    def all_lasting(self) -> list[Variable]:
        """The variables whose updates evaluation and prediction make too."""
        return [*self.lasting, *(v for layer in self.sublayers for v in layer.all_lasting)]

    @property
    def trainable_weights(self) -> list[Variable]:
        if not self.trainable:
            return []
        inner = [v for layer in self.sublayers for v in layer.trainable_weights]
        return list(dict.fromkeys([*(v for v in self.own if v.trainable), *inner]))

    @property
    def variables(self) -> list[Variable]:
        """The weights, by the other name that they have in Keras."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, arrays: Sequence[Any]) -> None:
        """Replace all weights.  Raises ArgumentError or ShapeError where they do not fit; then none is replaced."""
        if len(arrays) != len(self.weights):
            raise ArgumentError(f"{self.name!r} has {len(self.weights)} weights, got {len(arrays)} arrays.")
        made = [np.asarray(array) for array in arrays]
        for variable, array in zip(self.weights, made, strict=True):
            variable.check(array)
        for variable, array in zip(self.weights, made, strict=True):
            variable.assign(array)

    @property
    def input(self) -> Any:
        """What the layer was first applied to: a value, or a list of them."""
        return self._first(lambda call: call.inputs[: call.positional])

    @property
    def output(self) -> Any:
        """What its first use made: a value, or a list of them. mr.Model(model.inputs, layer.output) stops here."""
        return self._first(lambda call: call.outputs)

    def _first(self, what: Any) -> Any:
        if not self.calls:
            raise ArgumentError(f"layer {self.name!r} has not been applied to anything yet.")
        values = what(self.calls[0])
        return values[0] if len(values) == 1 else list(values)

    def count_params(self) -> int:
        """The number of numbers that the layer learns or keeps."""
        return sum(int(product(v.shape)) for v in self.weights if v.type.is_float)

    def get_config(self) -> dict[str, Any]:
        """What makes this layer anew: `Layer.from_config`."""
        config = {k: saved_form(v) for k, v in self.arguments.items()}
        if self.policy is not None:
            config["dtype"] = self.policy
        if not self.trainable or "trainable" in config:
            config["trainable"] = self.trainable
        return {**config, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
        """A layer from what `get_config` gave; one of the user's own need not take a name."""
        takes = inspect.signature(cls.__init__).parameters
        open_end = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        known = {**LAYERS, **(custom_objects or {})}
        given = {k: restored(v, known) for k, v in config.items()}
        layer = cls(**{k: v for k, v in given.items() if open_end or k in takes or k not in COMMON})
        layer.set_name(config.get("name"))
        layer.trainable = config.get("trainable", True) is not False
        layer.policy = checked_policy(config.get("dtype"))
        return layer

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items() if k != "name")
        return f"{type(self).__name__}({shown})  # {self.name}"


Layer.__init__ = naming_the_layer(Layer.__init__)  # type: ignore[method-assign]


def _layers_in(held: Any) -> Iterator[Layer]:
    """Every layer among values, in lists, tuples and dictionaries too."""
    for value in held:
        if isinstance(value, Layer):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _layers_in(value)
        elif isinstance(value, dict):
            yield from _layers_in(value.values())
