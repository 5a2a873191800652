"""Models that PyTorch exported, with what PyTorch computes: python tests/parity/make_onnx_fixtures.py

It needs torch 2.13.0 (CPU), onnx 1.23.2 and onnxscript 0.7.2, and writes to tests/parity/onnx/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

HERE = Path(__file__).parent / "onnx"


class Convolutional(nn.Module):
    """Two convolutions, batch normalization with statistics of its own, pooling, and a head for any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.second, self.pool = nn.Conv2d(8, 12, 3, padding=1, groups=4), nn.MaxPool2d(2)
        self.mean, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(12, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.norm(self.first(image))))
        x = nn.functional.leaky_relu(self.second(x), 0.1)
        return self.head(self.mean(x).flatten(1)).softmax(-1)


class Recurrent(nn.Module):
    """An LSTM in both directions over an embedding, and its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(20, 6), nn.LSTM(6, 7, batch_first=True, bidirectional=True)
        self.head = nn.Linear(14, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.words(tokens))[0][:, -1])


class Transformer(nn.Module):
    """One layer of an encoder, with a table of places as long as the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(32, 8) * 0.1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True, activation="gelu")

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        batch, length, _ = steps.shape
        x = steps + self.places[:length]
        return self.layer(x).reshape(batch, length * 8)


def anonymous(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without notes of the exporter, which hold places on the machine that it ran on."""
    graph = proto.graph
    for thing in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.ClearField("doc_string")
        if hasattr(thing, "metadata_props"):
            thing.ClearField("metadata_props")
    return proto


def write(name: str, model: nn.Module, example: torch.Tensor, dynamic: dict, old: bool) -> None:
    """Export a model, and keep what it gives for two sizes of batch."""
    torch.manual_seed(0)
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    path = HERE / f"{name}.onnx"
    if old:
        axes = {"x": dynamic, "y": {0: "batch"}}
        torch.onnx.export(
            model, (example,), str(path), input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False,
            opset_version=17,
        )  # fmt: skip
    else:
        shapes = ({axis: torch.export.Dim(label, min=1, max=64) for axis, label in dynamic.items()},)
        torch.onnx.export(
            model, (example,), str(path), input_names=["x"], output_names=["y"], dynamic_shapes=shapes, dynamo=True,
            external_data=False,
        )  # fmt: skip
    onnx.save(anonymous(onnx.load(path)), path)
    given = torch.cat([example, example.flip(0), example.roll(1, 1)])
    with torch.no_grad():
        np.savez(HERE / f"{name}.npz", x=given.numpy(), y=model(given).numpy())
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(1)
    networks = {
        "convolutional": (Convolutional(), torch.randn(2, 3, 16, 16), {0: "batch"}),
        "recurrent": (Recurrent(), torch.randint(0, 20, (2, 5)), {0: "batch"}),
        "transformer": (Transformer(), torch.randn(2, 6, 8), {0: "batch", 1: "length"}),
    }
    for name, (model, example, dynamic) in networks.items():
        for old in (True, False):
            write(f"{name}_{'script' if old else 'dynamo'}", model, example, dynamic, old)
