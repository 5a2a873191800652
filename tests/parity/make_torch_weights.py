"""Writes PyTorch modules' weights and outputs, for the tests of `millrace.inference.torch`.

Run it where torch and millrace are installed: python tests/parity/make_torch_weights.py

`torch_weights.npz` holds for each case NAME the module's state_dict as `NAME/state/KEY`, its input `NAME/x` and
its output `NAME/out`, both in Millrace's layout (channels last, batch first). Two cases are networks that were
trained on the 640 digits of `digits640.npz`: `trained_in_torch`, by PyTorch, and `trained_in_millrace`, whose state is
what `to_torch` gave and whose output is what PyTorch predicts with it.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import millrace as mr
from millrace.inference.torch import to_torch

HERE = Path(__file__).parent
arrays = {}


def first(x):
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def case(name, module, x, run=None):
    """One module with random weights of order 1 on a random input."""
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                low = 0.5 if key.endswith("running_var") else -0.5
                tensor.copy_(torch.empty_like(tensor).uniform_(low, low + 1.0))
        module.eval()
        out = (run or module)(x)
    for key, tensor in module.state_dict().items():
        arrays[f"{name}/state/{key}"] = tensor.numpy()
    arrays[f"{name}/x"] = x.numpy()
    arrays[f"{name}/out"] = out.numpy()


def space(module):
    return lambda x: last(module(first(x)))


def torch_network():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6, eps=1e-3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 2 * 8, 16), nn.Tanh(), nn.Linear(16, 10),
    )  # fmt: skip


def millrace_network():
    return mr.Sequential(
        [
            mr.Input((8, 8, 1)),
            mr.layers.Conv2D(6, 3, padding="same", name="conv1"),
            mr.layers.BatchNormalization(name="norm1"),
            mr.layers.Activation("relu"),
            mr.layers.MaxPooling2D(2),
            mr.layers.Conv2D(8, 3, activation="relu", name="conv2"),
            mr.layers.Flatten(),
            mr.layers.Dense(16, "tanh", name="dense1"),
            mr.layers.Dense(10, name="dense2"),
        ]
    )


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    n = torch.randn
    case("dense", nn.Linear(5, 3), n(4, 5))
    case("neuron", nn.Linear(5, 1), n(4, 5))
    for name, module, x in (
        ("conv1d", nn.Conv1d(4, 6, 3, 2, 1, 1, 2), n(2, 7, 4)),
        ("conv2d", nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), n(2, 6, 7, 4)),
        ("conv3d", nn.Conv3d(2, 3, (1, 2, 3)), n(2, 3, 4, 5, 2)),
        ("conv2d_transpose", nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), n(2, 4, 3, 4)),
        ("depthwise", nn.Conv2d(3, 6, 3, groups=3), n(2, 5, 5, 3)),
        ("batch_normalization", nn.BatchNorm2d(3, eps=1e-3), n(2, 4, 4, 3)),
        ("group_normalization", nn.GroupNorm(2, 4, eps=1e-3), n(2, 3, 3, 4)),
    ):
        case(name, module, x, space(module))
    case("layer_normalization", nn.LayerNorm(5, eps=1e-3), n(3, 5))
    case("rms_normalization", nn.RMSNorm(5, eps=1e-6), n(3, 5))
    case("embedding", nn.Embedding(7, 4), torch.tensor([[1, 6, 0], [3, 3, 2]]))
    for name, module in (
        ("rnn", nn.RNN(4, 5, batch_first=True)),
        ("lstm", nn.LSTM(4, 5, batch_first=True)),
        ("gru", nn.GRU(4, 5, batch_first=True)),
        ("stacked_gru", nn.GRU(4, 5, num_layers=2, batch_first=True)),
        ("bidirectional_lstm", nn.LSTM(4, 5, batch_first=True, bidirectional=True)),
    ):
        case(name, module, n(3, 6, 4), lambda x, module=module: module(x)[0])
    attention = nn.MultiheadAttention(6, 2, batch_first=True)
    case("attention", attention, n(2, 4, 6), lambda x: attention(x, x, x)[0])

    with np.load(HERE / "digits640.npz") as digits:
        x, y = digits["x"][..., None] / np.float32(16), digits["y"].astype(np.int64)
    network = torch_network()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(4):
        for at in range(0, len(x), 64):
            optimizer.zero_grad()
            inputs = first(torch.tensor(x[at : at + 64]))
            nn.functional.cross_entropy(network(inputs), torch.tensor(y[at : at + 64])).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            arrays[f"trained_in_torch/state/{key}"] = tensor.numpy()
        arrays["trained_in_torch/x"] = x[:64]
        arrays["trained_in_torch/out"] = network(first(torch.tensor(x[:64]))).numpy()

    model = millrace_network()
    model.compile(mr.optimizers.Adam(0.01), mr.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=64, epochs=4, verbose=0)
    network = torch_network()
    state = to_torch(model, like=network.state_dict())
    network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    network.eval()
    with torch.no_grad():
        for key, array in state.items():
            arrays[f"trained_in_millrace/state/{key}"] = array
        arrays["trained_in_millrace/x"] = x[:64]
        arrays["trained_in_millrace/out"] = network(first(torch.tensor(x[:64]))).numpy()
    np.savez_compressed(HERE / "torch_weights.npz", **arrays)


if __name__ == "__main__":
    main()
