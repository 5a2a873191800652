"""What make_layer_fixtures.py tries of layers over time: recurrent layers and attention."""

import numpy as np
import torch
from layer_cases import layer

KINDS = ("SimpleRNN", "LSTM", "GRU")
GLOROT = {"recurrent_initializer": "glorot_uniform"}  # weights are given anyway
LENGTHS = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)  # the last row is padding alone
HOLES = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 1]], bool)


def by_gate(w, order):
    """The columns of a matrix [..., gates * units] as PyTorch orders its gates."""
    parts = w.chunk(len(order), -1)
    return torch.cat([parts[n] for n in order], -1)


def plain(kind, x, kernel, recurrent, bias):
    """torch.nn.RNN, LSTM or GRU with the weights of a Keras layer: all outputs, and the last states."""
    made, order = {"SimpleRNN": (torch.nn.RNN, [0]), "LSTM": (torch.nn.LSTM, [0, 1, 2, 3]),
                   "GRU": (torch.nn.GRU, [1, 0, 2])}[kind]  # fmt: skip
    units = recurrent.shape[0]
    if bias is None:
        bias = torch.zeros(2, kernel.shape[1], dtype=torch.float64)
    elif bias.ndim == 1:
        bias = torch.stack([bias, torch.zeros_like(bias)])
    weights = {
        "weight_ih_l0": by_gate(kernel, order).T, "weight_hh_l0": by_gate(recurrent, order).T,
        "bias_ih_l0": by_gate(bias[0], order), "bias_hh_l0": by_gate(bias[1], order),
    }  # fmt: skip
    module = made(x.shape[-1], units, batch_first=True).double()
    outputs, last = torch.func.functional_call(module, weights, (x,))
    return outputs, *(s[0] for s in (last if isinstance(last, tuple) else (last,)))


def recurrences(case):
    gates = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
    for kind in KINDS:
        wide = gates[kind]

        def through(case, shape, units, kind=kind, wide=wide, bias=True, **options):
            bias_shape = (2, wide * units) if kind == "GRU" else (wide * units,)
            weights = [(shape[-1], wide * units), (units, wide * units), *([bias_shape] if bias else [])]

            def function(x, kernel, recurrent, b=None):
                outputs, *states = plain(kind, x.flip(1) if options.get("go_backwards") else x, kernel, recurrent, b)
                first = outputs if options.get("return_sequences") else outputs[:, -1]
                return [first, *states] if options.get("return_state") else first

            kwargs = {"units": units, **options, **GLOROT, **({} if bias else {"use_bias": False})}
            case.torch(kind, kwargs, [case.normal(*shape)], weights, function)

        through(case, (2, 5, 3), 4)
        through(case, (1, 1, 1), 1, return_state=True)
        through(case, (2, 4, 2), 3, return_sequences=True, return_state=True)
        through(case, (2, 4, 2), 3, go_backwards=True, return_sequences=True)
        through(case, (2, 4, 2), 3, bias=False, go_backwards=True, return_state=True)
        for kwargs in (
            {}, {"return_sequences": True, "return_state": True}, {"go_backwards": True},
            {"return_sequences": True, "zero_output_for_mask": True}, {"go_backwards": True, "return_sequences": True},
            {"activation": "relu"}, {"zero_output_for_mask": True, "return_state": True},
        ):  # fmt: skip
            for what, mask in (("lengths", LENGTHS), ("holes", HOLES))[len(kwargs) == 1 :]:
                name = f"{kind} {what} {' '.join(kwargs)}"
                case.keras(kind, {"units": 3, **kwargs, **GLOROT}, [case.normal(3, 5, 2)], name=name, masks=[mask])
        case.keras(
            kind, {"units": 2, **GLOROT}, [case.normal(2, 1, 2)], masks=[np.array([[True], [False]])],
            name=f"{kind} one step",
        )  # fmt: skip
        count = 2 if kind == "LSTM" else 1
        for what, mask in (("", None), (" and lengths", LENGTHS)):
            case.keras(
                kind, {"units": 3, "return_state": True, **GLOROT}, [case.normal(3, 5, 2)],
                states=[case.normal(3, 3) for _ in range(count)], name=f"{kind} from states{what}", masks=[mask],
            )  # fmt: skip
        for mode in ("concat", "sum", "mul", "ave", None)[: None if kind == "LSTM" else 1]:
            for options in ({}, {"return_sequences": True}):
                inner = layer(kind, units=2, **options, **GLOROT)
                case.keras("Bidirectional", {"layer": inner, "merge_mode": mode}, [case.normal(2, 4, 3)])
        for options in ({}, {"return_sequences": True}):
            inner = layer(kind, units=2, **options, **GLOROT)
            case.keras(
                "Bidirectional", {"layer": inner}, [case.normal(3, 5, 3)], masks=[LENGTHS],
                name=f"Bidirectional {kind} lengths {' '.join(options)}",
            )  # fmt: skip
        cell = layer(f"{kind}Cell", units=3, **GLOROT)
        for options in ({}, {"return_sequences": True, "return_state": True}):
            case.keras("RNN", {"cell": cell, **options}, [case.normal(2, 4, 2)])
    case.keras("GRU", {"units": 3, "reset_after": False, **GLOROT}, [case.normal(2, 5, 3)])
    case.keras(
        "GRU", {"units": 3, "reset_after": False, "return_sequences": True, "use_bias": False, **GLOROT},
        [case.normal(2, 5, 3)],
    )  # fmt: skip
    case.keras("GRU", {"units": 2, "reset_after": True, "use_bias": False, **GLOROT}, [case.normal(2, 5, 3)])
    case.keras(
        "LSTM", {"units": 2, "activation": "linear", "recurrent_activation": "tanh", **GLOROT}, [case.normal(2, 5, 3)]
    )
    case.keras(
        "GRU", {"units": 2, "activation": "relu", "recurrent_activation": "tanh", **GLOROT}, [case.normal(2, 5, 3)]
    )
    stack = [
        layer("LSTMCell", units=3, **GLOROT),
        layer("GRUCell", units=2, **GLOROT),
        layer("SimpleRNNCell", units=4, **GLOROT),
    ]
    for options in ({}, {"return_sequences": True, "return_state": True}):
        case.keras("RNN", {"cell": stack, **options}, [case.normal(2, 4, 3)])
    case.keras("RNN", {"cell": stack}, [case.normal(3, 5, 3)], masks=[HOLES], name="stacked cells, holes")
    case.keras(
        "Bidirectional",
        {"layer": layer("LSTM", units=2, return_sequences=True, return_state=True, **GLOROT), "merge_mode": "sum"},
        [case.normal(2, 4, 3)],
    )  # fmt: skip
    case.keras(
        "Bidirectional",
        {"layer": layer("LSTM", units=3, **GLOROT),
         "backward_layer": layer("GRU", units=2, go_backwards=True, **GLOROT)},
        [case.normal(2, 4, 3)],
    )  # fmt: skip


# ---- attention


def attentions(case):
    def three(targets=3, sources=4, width=2, value_width=2, batch=2):
        shapes = ((targets, width), (sources, value_width), (sources, width))
        return [case.normal(batch, *s) for s in shapes]

    target_mask, source_mask = np.array([[1, 1, 0], [1, 0, 0]], bool), np.array([[1, 0, 1, 1], [1, 1, 0, 0]], bool)
    for kind, options in (
        ("Attention", {}), ("Attention", {"use_scale": True}), ("Attention", {"score_mode": "concat"}),
        ("Attention", {"score_mode": "concat", "use_scale": True}), ("AdditiveAttention", {}),
        ("AdditiveAttention", {"use_scale": False}),
    ):  # fmt: skip
        case.keras(kind, options, three()[:2])
        case.keras(kind, options, three(value_width=5))
        case.keras(kind, options, three(1, 1, 1, 1, 1))
        name = f"{kind} {options}"
        case.keras(kind, options, three(4, 4)[:2], settings={"use_causal_mask": True}, name=f"{name} causal")
        case.keras(
            kind, options, three()[:2], settings={"return_attention_scores": True}, name=f"{name} masks",
            masks=[target_mask, source_mask],
        )  # fmt: skip
        case.keras(
            kind, options, three(3, 4), settings={"use_causal_mask": True}, name=f"{name} both masks",
            masks=[target_mask, source_mask, None],
        )  # fmt: skip
    mha = "MultiHeadAttention"
    for options in (
        {"num_heads": 1, "key_dim": 1}, {"num_heads": 2, "key_dim": 3}, {"num_heads": 3, "key_dim": 2, "value_dim": 4},
        {"num_heads": 2, "key_dim": 2, "output_shape": 5}, {"num_heads": 2, "key_dim": 2, "use_bias": False},
    ):  # fmt: skip
        scores = {"return_attention_scores": True}
        plain = scores if "value_dim" in options else {}  # without scores Keras takes no value_dim other than key_dim
        for inputs in (three()[:2], three(value_width=5)):
            case.keras(mha, options, inputs, settings=plain)
        case.keras(mha, options, three()[:2], settings=scores, name=f"{mha} {options} scores")
        case.keras(
            mha, options, three(4, 4)[:2], settings=plain | {"use_causal_mask": True}, name=f"{mha} {options} causal"
        )
        allowed = case.rng.integers(0, 2, (2, 3, 4)).astype(bool)
        allowed[:, :, 0] = True
        case.keras(
            mha,
            options,
            three()[:2],
            by_name={"attention_mask": allowed},
            settings=scores,
            name=f"{mha} {options} mask",
        )
        case.keras(
            mha, options, three()[:2], masks=[None, source_mask], settings=plain, name=f"{mha} {options} padding"
        )
        case.keras(
            mha, options, three()[:2], masks=[None, source_mask], by_name={"attention_mask": allowed},
            settings=scores | {"use_causal_mask": True}, name=f"{mha} {options} all masks",
        )  # fmt: skip

    heads, width, embedded = 2, 3, 6
    for masked in (False, True):
        hidden = {"mask": ~source_mask} if masked else {}

        def function(q, v, *rest, masked=masked):
            mask, ws = (rest[0], rest[1:]) if masked else (None, rest)
            return torch_heads(q, v, mask, ws, heads, width, embedded)

        case.torch(
            mha, {"num_heads": heads, "key_dim": width}, three(3, 4, embedded, embedded)[:2],
            [s for _ in range(3) for s in ((embedded, heads, width), (heads, width))]
            + [(heads, width, embedded), (embedded,)],
            function, by_name={"attention_mask": np.repeat(source_mask[:, None], 3, 1)} if hidden else None,
            name=f"torch.nn.MultiheadAttention {'masked' if masked else ''}",
        )  # fmt: skip


def torch_heads(query, value, mask, weights, heads, width, embedded):
    """torch.nn.MultiheadAttention with the weights of a Keras layer; mask: bool [batch, targets, sources]."""
    flat = [w.reshape(embedded, heads * width).T for w in weights[0:6:2]]
    bias = [b.reshape(-1) for b in weights[1:6:2]]
    module = torch.nn.MultiheadAttention(embedded, heads, batch_first=True).double()
    params = {
        "in_proj_weight": torch.cat(flat), "in_proj_bias": torch.cat(bias),
        "out_proj.weight": weights[6].reshape(heads * width, embedded).T, "out_proj.bias": weights[7],
    }  # fmt: skip
    hidden = None if mask is None else ~mask[:, 0]
    out, _ = torch.func.functional_call(module, params, (query, value, value), {"key_padding_mask": hidden})
    return out
