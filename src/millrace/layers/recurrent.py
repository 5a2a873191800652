"""Recurrent layers: a cell run over a sequence as one loop of the graph, its state handed from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace import functional as mr
from millrace.ir.core import Value, layer_scope
from millrace.ir.dims import Dim, same
from millrace.ir.errors import ArgumentError, DTypeError, MillraceError, ShapeError
from millrace.ir.location import here
from millrace.ir.types import TensorType
from millrace.layers.arguments import flag
from millrace.layers.base import Layer
from millrace.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from millrace.layers.randomness import Randomized, dropped

MEND = " A recurrent layer before it needs return_sequences=True; whole numbers need an Embedding first."


class RNN(Randomized):
    """A cell, or several one above the other, run over a sequence: [batch, steps, D] to [batch, units].

    return_sequences: the output of every step, [batch, steps, units]. return_state: the last states too.
    go_backwards: from the last step to the first (outputs in that order). stateful: each batch starts with
    the states in which the one before ended; the Input needs a batch_size; `reset_states()` starts anew.
    Steps whose mask is false change nothing: state and output stay as they were (zero_output_for_mask: the
    output is 0 there). initial_state: the first states, zero unless given.

    A cell of one's own is a layer with `state_size` and `call(x, states) -> (output, new states)`.
    One compiled loop runs all steps; what needs no state is one product before it, and the weights'
    gradients are one product each after it.

    Raises ArgumentError for what is no cell, ShapeError for an input that is no sequence.
    Source: Keras RNN; Rumelhart et al. 1986; Werbos 1990 (backpropagation through time).
    """

    def __init__(
        self, cell: Any, return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        stateful: bool = False, zero_output_for_mask: bool = False, **common: Any,
    ):  # fmt: skip
        super().__init__(**common)
        self.cells: list[Any] = list(cell) if isinstance(cell, (list, tuple)) else [cell]
        for one in self.cells:
            if not isinstance(one, Layer) or not hasattr(one, "state_size"):
                raise ArgumentError(f"cell must be a layer with state_size and call(x, states), got {one!r}.")
        if not self.cells:
            raise ArgumentError(f"cell must be a cell or a list of cells, got {cell!r}.")
        self.return_sequences, self.return_state = (
            flag(return_sequences, "return_sequences"),
            flag(return_state, "return_state"),
        )
        self.go_backwards, self.stateful = flag(go_backwards, "go_backwards"), flag(stateful, "stateful")
        self.zero_output_for_mask = flag(zero_output_for_mask, "zero_output_for_mask")
        self.states: list[Any] = []
        self.dropout = self.recurrent_dropout = 0.0

    # ---- the states

    @property
    def state_sizes(self) -> list[int]:
        """The width of each state, cell by cell."""
        sizes = [cell.state_size for cell in self.cells]
        return [n for size in sizes for n in (size if isinstance(size, (list, tuple)) else [size])]

    def build(self, x: TensorType, *others: TensorType) -> None:
        if x.ndim != 3 or isinstance(x.shape[-1], Dim):
            raise ShapeError(
                f"{type(self).__name__} takes [batch, steps, D] with a known D, got {x}."
                + (MEND if x.ndim == 2 else "")
            )
        if self.stateful:
            if isinstance(x.shape[0], Dim):
                raise ShapeError("stateful=True needs a known batch size: mr.Input(shape, batch_size=...).")
            self.states = [
                self.add_weight(f"state_{n}", (x.shape[0], size), "zeros", trainable=False)
                for n, size in enumerate(self.state_sizes)
            ]
        if self.dropout or self.recurrent_dropout:
            self.add_random()
        width = x.with_shape(x.shape[0], x.shape[2])
        for n, cell in enumerate(self.cells):
            with layer_scope(self._cell_name(n)):
                if not cell.built:
                    try:
                        cell.build(width)
                    except MillraceError as error:
                        of = f"{cell.name!r} ({type(cell).__name__}) of layer {self.name!r} ({type(self).__name__})"
                        raise error.at(
                            f"in cell {of}, given {width} at each step, {here() or ''}".rstrip(", ")
                        ) from None
                    cell.built = True
            width = width.with_shape(x.shape[0], self._output_size(cell))

    def _cell_name(self, n: int) -> str:
        return "cell" if len(self.cells) == 1 else f"cell_{n}"

    @staticmethod
    def _output_size(cell: Any) -> int:
        size = getattr(cell, "output_size", None) or cell.state_size
        return size[0] if isinstance(size, (list, tuple)) else size

    def reset_states(self) -> None:
        """Start the next batch from zeros.  Raises ArgumentError unless the layer is stateful and built."""
        if not self.states:
            raise ArgumentError(f"layer {self.name!r} keeps no states: make it with stateful=True and apply it first.")
        for variable in self.states:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    # ---- the loop

    def call(self, x: Value, mask: Value | None = None, initial_state: Any = None) -> Any:
        if x.ndim != 3:
            raise ShapeError(f"{type(self).__name__} takes [batch, steps, D], got {x.type}.")
        if not x.type.is_float:
            raise DTypeError(
                f"{type(self).__name__} takes fractions, got {x.type}. Whole numbers need an Embedding, or mr.cast."
            )
        if mask is not None and not (mask.dtype == "bool" and mask.ndim == 2 and same(mask.shape[1], x.shape[1])):
            raise ShapeError(f"mask must be bool [batch, steps] like {x.type}, got {mask.type}.")
        states = self._first_states(x, initial_state)
        x = self._dropped(x, "input", self.dropout, (x.shape[0], 1, x.shape[2]))
        first: Any = self.cells[0]
        recurrent_masks = self._recurrent_masks(x)
        # Time goes first while the sequence is narrow: the products after it are `gates` times `units` wide.
        along = mr.swapaxes(x, 0, 1)
        real = None if mask is None else mr.swapaxes(mask, 0, 1)
        if self.go_backwards:
            along, real = mr.flip(along, 0), None if real is None else mr.flip(real, 0)
        if isinstance(first, Cell):
            along = first.project(along)

        shown_last: int | None = None  # which of the last states is the last output

        def step(carried: tuple[Value, ...], at: tuple[Value, ...]) -> tuple[tuple[Value, ...], Value | None]:
            nonlocal shown_last
            before, shown = list(carried[: len(states)]), carried[len(states) :]
            out, after = self._one_step(at[0], before, recurrent_masks)
            if real is None:
                shown_last = next((n for n, state in enumerate(after) if state is out), None)
            else:
                there = mr.expand_dims(at[1], -1)
                after = [mr.where(there, new, old) for new, old in zip(after, before, strict=True)]
                out = mr.where(there, out, mr.zeros_like(out) if self.zero_output_for_mask else shown[0])
                if not self.zero_output_for_mask:
                    after.append(out)
                    shown_last = len(states)
            # Outputs are stacked only where somebody reads more than the last one.
            return tuple(after), out if self.return_sequences or shown_last is None else None

        carried = list(states)
        if real is not None and not self.zero_output_for_mask:
            carried.append(self._shown_first(x, states))
        last, outputs = mr.scan(step, tuple(carried), (along,) if real is None else (along, real))
        ends = list(last[: len(states)])
        for variable, end in zip(self.states, ends, strict=False):
            self.add_update(variable, mr.cast(end, variable.dtype), always=True)
        if self.return_sequences:
            result = mr.swapaxes(outputs, 0, 1)
        elif shown_last is not None:
            result = last[shown_last]
        else:
            result = outputs[outputs.shape[0] - 1] if isinstance(outputs.shape[0], int) else self._at_end(outputs)
        return [result, *ends] if self.return_state else result

    def _shown_first(self, x: Value, states: list[Value]) -> Value:
        """The output before any real step: the last cell's first state where it is what the cell shows, else 0."""
        size = self._output_size(self.cells[-1])
        own = self.cells[-1].state_size
        state = states[-len(own) if isinstance(own, (list, tuple)) else -1]
        return state if state.shape[1:] == (size,) else mr.zeros((x.shape[0], size), x.dtype)

    @staticmethod
    def _at_end(outputs: Value) -> Value:
        """The last step of a sequence whose length has a name."""
        steps = outputs.shape[0]
        return mr.squeeze(mr.slice_axis(outputs, 0, steps - 1, steps), 0)

    def _first_states(self, x: Value, initial_state: Any) -> list[Value]:
        sizes = self.state_sizes
        if initial_state is not None:
            given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
            if len(given) != len(sizes):
                raise ArgumentError(f"initial_state must hold {len(sizes)} states, got {len(given)}.")
            for state, size in zip(given, sizes, strict=True):
                if state.ndim != 2 or not same(state.shape[1], size):
                    raise ShapeError(f"initial_state must hold states [batch, units] of {sizes}, got {state.type}.")
            return [mr.cast(s, x.dtype) for s in given]
        if self.states:
            return [mr.cast(variable.value, x.dtype) for variable in self.states]
        return [mr.zeros((x.shape[0], size), x.dtype) for size in sizes]

    def _one_step(self, x: Value, states: list[Value], masks: list[Value | None]) -> tuple[Value, list[Value]]:
        new: list[Value] = []
        at = 0
        for n, (cell, mask) in enumerate(zip(self.cells, masks, strict=True)):
            size = cell.state_size
            count = len(size) if isinstance(size, (list, tuple)) else 1
            mine = states[at : at + count]
            at += count
            with layer_scope(self._cell_name(n)):
                if isinstance(cell, Cell):
                    cell.recurrent_mask = mask
                    x, after = cell.step(x if n == 0 else cell.project(x), mine)
                    cell.recurrent_mask = None
                else:
                    x, after = cell.call(x, mine)
            after = list(after) if isinstance(after, (list, tuple)) else [mr.as_value(after)]
            if len(after) != count:
                raise ArgumentError(
                    f"cell {cell.name!r} has state_size={size!r} but its call returned {len(after)} new states."
                )
            new += after
        return x, new

    # ---- dropout: one mask for all steps of a sequence

    def _dropped(self, x: Value, what: str, rate: float, shape: tuple[Any, ...]) -> Value:
        if not rate:
            return x
        return x * self._mask(what, rate, shape, x.dtype)

    def _mask(self, what: str, rate: float, shape: tuple[Any, ...], dtype: str) -> Value:
        state, stream = self.draw(what)
        return mr.dropout(mr.ones(shape, dtype), rate, state, stream)

    def _recurrent_masks(self, x: Value) -> list[Value | None]:
        if not self.recurrent_dropout:
            return [None] * len(self.cells)
        return [
            self._mask(f"state_{n}", self.recurrent_dropout, (x.shape[0], cell.units), x.dtype)
            for n, cell in enumerate(self.cells)
        ]

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Value | None:
        return masks[0] if self.return_sequences else None


class _Gates(RNN):
    """Recurrent layers with a cell of their own: its arguments, and the loop's."""

    cell_class: Any

    def __init__(
        self, units: int, *, dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None,
        return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False, stateful: bool = False,
        zero_output_for_mask: bool = False, cell: dict[str, Any] | None = None, **common: Any,
    ):  # fmt: skip
        made = self.cell_class(units, **(cell or {}), name="cell")
        super().__init__(
            made, return_sequences, return_state, go_backwards, stateful, zero_output_for_mask, **common
        )  # fmt: skip
        self.units, self.cell, self.seed = made.units, made, seed
        self.dropout = dropped(dropout, name="dropout")
        self.recurrent_dropout = dropped(recurrent_dropout, name="recurrent_dropout")


class SimpleRNN(_Gates):
    """Elman's recurrent network: h' = tanh(x @ kernel + h @ recurrent_kernel + bias) at each step.

    Input [batch, steps, D], output [batch, units], or [batch, steps, units] with return_sequences; D * units
    + units^2 + units parameters. Its gradient shrinks or grows by a like factor at each step, so what lies many
    steps back is hard to learn (Bengio et al. 1994): LSTM and GRU are for that. The loop's arguments: see RNN.
    dropout and recurrent_dropout: shares of the input and of the state that training sets to 0, the same at each
    step.

    Raises as RNN.  Source: Keras SimpleRNN; Elman 1990.
    """

    cell_class = SimpleRNNCell

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, **loop: Any,
    ):  # fmt: skip
        given = {k: v for k, v in locals().items() if k not in ("self", "units", "loop", "__class__")}
        super().__init__(units, cell=given, **loop)


class LSTM(_Gates):
    """Long short-term memory: a cell that keeps what its gates let it, over hundreds of steps.

    Input [batch, steps, D], output [batch, units], or [batch, steps, units] with return_sequences; 4 * (D *
    units + units^2 + units) parameters; states h and c. See LSTMCell for the equations, RNN for the loop's
    arguments, SimpleRNN for dropout.

    Raises as RNN.  Source: Keras LSTM; Hochreiter and Schmidhuber 1997.
    """

    cell_class = LSTMCell

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, **loop: Any,
    ):  # fmt: skip
        given = {k: v for k, v in locals().items() if k not in ("self", "units", "loop", "__class__")}
        super().__init__(units, cell=given, **loop)


class GRU(_Gates):
    """A gated recurrent unit: like LSTM with two gates and one state.

    Input [batch, steps, D], output [batch, units], or [batch, steps, units] with return_sequences; 3 * (D *
    units + units^2 + 2 * units) parameters (units once without reset_after). See GRUCell for the equations,
    RNN for the loop's arguments, SimpleRNN for dropout.

    Raises as RNN.  Source: Keras GRU; Cho et al. 2014.
    """

    cell_class = GRUCell

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, recurrent_regularizer: Any = None,
        bias_regularizer: Any = None, reset_after: bool = True, **loop: Any,
    ):  # fmt: skip
        given = {k: v for k, v in locals().items() if k not in ("self", "units", "loop", "__class__")}
        super().__init__(units, cell=given, **loop)


class Bidirectional(Layer):
    """A recurrent layer forwards and another one backwards over the same sequence, their outputs merged.

    layer: the one that runs forwards; its like runs backwards, or `backward_layer`. merge_mode: "concat",
    "sum", "mul", "ave", or None for both outputs apart. With return_sequences each step sees what was before
    it and what comes after, and the outputs of masked steps are 0.

    Raises ArgumentError for what is no recurrent layer or an unknown merge_mode.
    Source: Keras Bidirectional; Schuster and Paliwal 1997.
    """

    def __init__(self, layer: RNN, merge_mode: str | None = "concat", backward_layer: RNN | None = None, **common: Any):
        super().__init__(**common)
        for given, name in ((layer, "layer"), (backward_layer, "backward_layer")):
            if not isinstance(given, RNN) and not (given is None and name == "backward_layer"):
                raise ArgumentError(f"Bidirectional: {name} must be a recurrent layer such as LSTM(64), got {given!r}.")
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            raise ArgumentError(f"merge_mode must be 'concat', 'sum', 'mul', 'ave' or None, got {merge_mode!r}.")
        self.merge_mode = merge_mode
        if backward_layer is None:
            config = layer.get_config()
            backward_layer = type(layer).from_config({**config, "go_backwards": not layer.go_backwards})  # type: ignore[assignment]
        assert backward_layer is not None
        if backward_layer.go_backwards == layer.go_backwards:
            raise ArgumentError("layer and backward_layer run the same way: give one of them go_backwards=True.")
        if (backward_layer.return_sequences, backward_layer.return_state) != (
            layer.return_sequences, layer.return_state,
        ):  # fmt: skip
            raise ArgumentError("layer and backward_layer must agree in return_sequences and return_state.")
        self.forward_layer, self.backward_layer = layer, backward_layer
        if layer.return_sequences:  # what came last means another thing in each direction
            layer.zero_output_for_mask = backward_layer.zero_output_for_mask = True
        # their own names say which is which; the arguments stay what the user gave
        stem = layer.name.removeprefix("forward_")
        self.forward_layer.name, self.backward_layer.name = f"forward_{stem}", f"backward_{stem}"

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for key, layer in (("layer", self.forward_layer), ("backward_layer", self.backward_layer)):
            if key in config and config[key] is not None:
                config[key]["config"]["name"] = layer.name.split("_", 1)[1]
        return config

    def call(self, x: Value, mask: Value | None = None, initial_state: Any = None) -> Any:
        halves: list[Any] = [None, None]
        if initial_state is not None:
            given = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
            if len(given) != 2 * len(self.forward_layer.state_sizes):
                raise ArgumentError(
                    f"initial_state must hold {2 * len(self.forward_layer.state_sizes)} states, the forward layer's "
                    f"first, got {len(given)}."
                )
            halves = [given[: len(given) // 2], given[len(given) // 2 :]]
        made = [
            layer(x, mask=mask, initial_state=half)
            for layer, half in zip((self.forward_layer, self.backward_layer), halves, strict=True)
        ]
        states = [s for one in made for s in one[1:]] if self.forward_layer.return_state else []
        ahead, back = (one[0] if isinstance(one, list) else one for one in made)
        if self.forward_layer.return_sequences:
            back = mr.flip(back, 1)
        outputs = self._merged(ahead, back)
        return [*outputs, *states] if states or len(outputs) > 1 else outputs[0]

    def _merged(self, ahead: Value, back: Value) -> list[Value]:
        match self.merge_mode:
            case "concat":
                return [mr.concatenate([ahead, back], -1)]
            case "sum":
                return [ahead + back]
            case "mul":
                return [ahead * back]
            case "ave":
                return [(ahead + back) * 0.5]
        return [ahead, back]

    def compute_mask(self, inputs: Sequence[Value], masks: Sequence[Value | None]) -> Any:
        mask = masks[0] if self.forward_layer.return_sequences else None
        return [mask, mask] if self.merge_mode is None else mask
