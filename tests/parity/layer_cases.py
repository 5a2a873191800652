"""What make_layer_fixtures.py tries: for each layer a grid of arguments, odd ones too."""

import numpy as np
import torch
from make_fixtures import conv

LISTS = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot", "Attention",
         "AdditiveAttention"}  # Keras takes their inputs as one list  # fmt: skip


def layer(kind, **config):
    """A layer that another one holds."""
    return {"layer": kind, "config": config}


# ---- dense layers, shapes, several values


def core(case):
    for units, shape in ((3, (2, 4)), (1, (1, 1)), (2, (2, 3, 4)), (5, (2, 1, 3, 2, 3))):
        case.keras("Dense", {"units": units, "activation": "tanh"}, [case.normal(*shape)])
    case.keras("Dense", {"units": 2, "use_bias": False}, [case.normal(3, 4)])
    case.torch("Dense", {"units": 3}, [case.normal(4)], [(4, 3), (3,)], lambda x, w, b: x @ w + b, batch=None)
    for shape in ((4,), (2, 4), (2, 3, 4)):
        batch = "batch" if len(shape) > 1 else None
        case.torch(
            "Neuron", {"activation": "sigmoid"}, [case.normal(*shape)], [(4,), ()],
            lambda x, w, b: torch.sigmoid((x * w).sum(-1) + b), batch=batch,
        )  # fmt: skip
    case.torch("Neuron", {"use_bias": False}, [case.normal(2, 1)], [(1,)], lambda x, w: x[:, 0] * w[0])
    for name in ("linear", "relu", "tanh", "sigmoid", "softmax", "log_softmax", "softplus", "elu", "gelu", "silu"):
        other = {"activation": "gelu"} if name == "gelu" else None
        case.keras("Activation", {"activation": name}, [2 * case.normal(3, 5)], other=other)
    case.keras("Identity", {}, [case.normal(2, 3)])
    for shape in ((2, 3, 4), (2, 3), (1, 2, 1, 2)):
        case.keras("Flatten", {}, [case.normal(*shape)])
    for target, shape in (((4, 3), (2, 12)), ((-1,), (2, 3, 4)), ((2, -1, 2), (1, 3, 4))):
        case.keras("Reshape", {"target_shape": list(target)}, [case.normal(*shape)])
    for dims in ((2, 1), (1, 2)):
        case.keras("Permute", {"dims": list(dims)}, [case.normal(2, 3, 4)])
    case.keras("Permute", {"dims": [3, 1, 2]}, [case.normal(2, 3, 4, 5)])
    for n in (1, 4):
        case.keras("RepeatVector", {"n": n}, [case.normal(2, 3)])
    for padding in (1, [2, 0], [[0, 1], [3, 0]]):
        case.keras("ZeroPadding2D", {"padding": padding}, [case.normal(2, 2, 3, 2)])
        case.keras("Cropping2D", {"cropping": padding}, [case.normal(2, 5, 6, 2)])
    for size in (1, 2, [3, 1]):
        case.keras("UpSampling2D", {"size": size}, [case.normal(2, 2, 3, 2)])
    for axis in (-1, 1):
        case.keras("Softmax", {"axis": axis}, [3 * case.normal(2, 3, 4)])
        for t in (0.5, 3.0):
            for kind, function in (("Softmax", torch.softmax), ("LogSoftmax", torch.log_softmax)):
                case.torch(
                    kind, {"axis": axis, "temperature": t}, [3 * case.normal(2, 3, 4)], [],
                    lambda x, f=function, t=t, a=axis: f(x / t, a),
                )  # fmt: skip
    case.torch("LogSoftmax", {}, [300 * case.normal(3, 4)], [], lambda x: torch.log_softmax(x, -1))
    case.torch("Sigmoid", {}, [8 * case.normal(3, 4)], [], torch.sigmoid)
    merges(case)
    sequences(case)


def merges(case):
    for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        for shapes in (((2, 3), (2, 3)), ((2, 3, 4), (2, 1, 4)), ((2, 3),) * 3, ((2, 3), (2, 3), (2, 1), (2, 3))):
            if kind != "Subtract" or len(shapes) == 2:
                case.keras(kind, {}, [case.normal(*s) for s in shapes])
    case.torch("Maximum", {}, [np.float32([[1, 2]]), np.float32([[0, 5]])], [], torch.maximum)
    for axis, shapes in ((-1, ((2, 3), (2, 1))), (1, ((2, 3, 2), (2, 1, 2), (2, 2, 2))), (-2, ((1, 3, 2), (1, 1, 2)))):
        case.keras("Concatenate", {"axis": axis}, [case.normal(*s) for s in shapes])
    for axes, shapes in (
        (1, ((2, 3), (2, 3))), (-1, ((2, 3), (2, 3))), ([2, 1], ((2, 4, 3), (2, 3, 5))), (2, ((2, 4, 3), (2, 5, 3))),
        (1, ((2, 3, 4), (2, 3, 4))), ([1, 2], ((2, 3, 4), (2, 5, 3))), ([1, 3], ((2, 3), (2, 4, 5, 3))),
    ):  # fmt: skip
        for normalize in (False, True):
            case.keras("Dot", {"axes": axes, "normalize": normalize}, [case.normal(*s) for s in shapes])
    x, ws = case.normal(2, 4), [(4, 4), (4,), (4, 4), (4,)]
    dense = layer("Dense", units=4, activation="tanh")
    case.torch(
        "Residual", {"block": [dense, layer("Dense", units=4)], "activation": "relu"}, [x], ws,
        lambda x, a, b, c, d: torch.relu(torch.tanh(x @ a + b) @ c + d + x),
    )  # fmt: skip
    case.torch(
        "Residual", {"block": layer("Dense", units=3), "shortcut": layer("Dense", units=3, use_bias=False)}, [x],
        [(4, 3), (3,), (4, 3)], lambda x, a, b, c: x @ a + b + x @ c,
    )  # fmt: skip
    case.torch(
        "Residual",
        {"block": layer("Conv2D", filters=3, kernel_size=3, strides=2, padding=1),
         "shortcut": layer("Conv2D", filters=3, kernel_size=1, strides=2)},
        [case.normal(2, 5, 4, 2)], [(3, 3, 2, 3), (3,), (1, 1, 2, 3), (3,)],
        lambda x, k, b, s, c: conv(x, k, 2, ((1, 1), (1, 1))) + b + conv(x, s, 2) + c,
    )  # fmt: skip


def sequences(case):
    words = np.array([[1, 0, 3, 3], [4, 4, 4, 0]], np.int32)  # the gradient of a repeated number is a sum
    for mask_zero in (False, True):
        case.keras("Embedding", {"input_dim": 6, "output_dim": 3, "mask_zero": mask_zero}, [words])
    case.keras("Embedding", {"input_dim": 6, "output_dim": 1}, [words[:, :1]])
    case.keras("Embedding", {"input_dim": 6, "output_dim": 2}, [words.reshape(2, 2, 2)])
    x = case.normal(2, 4, 3)
    x[0, 1:3], x[1] = 0, 0
    case.keras("Masking", {}, [x])
    x[0, 1] = 2
    case.keras("Masking", {"mask_value": 2.0}, [x])
    case.keras("TimeDistributed", {"layer": layer("Dense", units=2)}, [case.normal(2, 3, 4)])
    case.keras("TimeDistributed", {"layer": layer("Conv2D", filters=2, kernel_size=2)}, [case.normal(2, 3, 4, 4, 2)])
    case.keras("TimeDistributed", {"layer": layer("Flatten")}, [case.normal(1, 3, 2, 2)])
    story = case.rng.integers(0, 7, (2, 4, 3)).astype(np.int32)
    story[0, 3], story[1, 2:], question = 0, 0, case.rng.integers(1, 7, (2, 5)).astype(np.int32)
    question[1, 3:] = 0
    for hops in (1, 3):
        for linear in (False, True):
            case.torch(
                "MemoryNetwork", {"input_dim": 7, "output_dim": 4, "hops": hops, "linear": linear}, [story, question],
                [(7, 4)] * (hops + 1) + [(4, 4)] * (hops + 1),
                lambda s, q, *w, linear=linear: memory_network(s, q, w, linear)[0],
            )  # fmt: skip
    case.torch(
        "MemoryNetwork", {"input_dim": 7, "output_dim": 4, "hops": 2}, [story, question], [(7, 4)] * 3 + [(4, 4)] * 3,
        lambda s, q, *w: memory_network(s, q, w, False), settings={"return_attention_scores": True},
    )  # fmt: skip


def memory_network(story, question, weights, linear):
    """Sukhbaatar et al. 2015, sections 2 and 4.1, with adjacent sharing: A^(k+1) = C^k, T_A^(k+1) = T_C^k, B = A^1.

    Word 0 is no word; a sentence without words is no memory.
    """
    hops = len(weights) // 2 - 1
    tables, times = weights[: hops + 1], weights[hops + 1 :]
    d = tables[0].shape[1]

    def sentence(words, table):
        total = torch.zeros(d, dtype=torch.float64)
        for j, word in enumerate(words, 1):
            if word != 0:
                place = [(1 - j / len(words)) - (k / d) * (1 - 2 * j / len(words)) for k in range(1, d + 1)]
                total = total + torch.tensor(place, dtype=torch.float64) * table[word]
        return total

    answers, looks = [], []
    for sentences, asked in zip(story, question, strict=True):
        u, seen = sentence(asked, tables[0]), []
        for k in range(hops):
            there = [i for i, words in enumerate(sentences) if words.any()]
            scores = torch.stack([sentence(sentences[i], tables[k]) @ u + times[k][i] @ u for i in there])
            p = scores if linear else torch.softmax(scores, 0)
            u = u + sum(p[n] * (sentence(sentences[i], tables[k + 1]) + times[k + 1][i]) for n, i in enumerate(there))
            seen.append(torch.zeros(len(sentences), dtype=torch.float64).index_put((torch.tensor(there),), p))
        answers.append(u)
        looks.append(torch.stack(seen))
    return torch.stack(answers), torch.stack(looks)


# ---- what is made of numbers below 0


def rectifiers(case):
    for kind, options in (
        ("ReLU", ({}, {"max_value": 1.0}, {"negative_slope": 0.5, "threshold": 0.25, "max_value": 2.0})),
        ("LeakyReLU", ({}, {"negative_slope": 0.05})),
        ("ELU", ({}, {"alpha": 0.5}, {"alpha": 0.0})),
    ):
        for config in options:
            case.keras(kind, config, [2 * case.normal(3, 5)])
    for axes in (None, [1, 2], 1):
        config = {} if axes is None else {"shared_axes": axes}
        case.keras("PReLU", config, [2 * case.normal(2, 3, 2, 4)])
    case.keras("PReLU", {"alpha_initializer": "ones"}, [case.normal(2, 5)])
    case.torch(
        "PReLU", {"shared_axes": [1, 2]}, [2 * case.normal(2, 3, 2, 4)], [(1, 1, 4)],
        lambda x, a: torch.nn.functional.prelu(x.movedim(-1, 1), a.reshape(-1)).movedim(1, -1),
    )  # fmt: skip
