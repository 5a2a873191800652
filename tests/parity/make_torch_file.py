"""Writes what `torch.save` makes of small things, for the tests of `millrace.inference.torch_file`.

Run it where torch is installed: python tests/parity/make_torch_file.py

`torch_files/` then holds files of a network (convolution, linear), of a checkpoint around it, of tensors of all kinds,
and of what is refused; `expected.npz` has each tensor as `FILE/NAME`, and the network's input and answers, images in
Millrace's layout.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent / "torch_files"
HERE.mkdir(exist_ok=True)
expected = {}


def keep(name, state):
    for key, tensor in state.items():
        tensor = tensor.detach()
        expected[f"{name}/{key}"] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3 * 6 * 6, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), 0.01)
x = torch.randn(5, 1, 8, 8)
for _ in range(3):
    optimizer.zero_grad()
    net(x).square().sum().backward()
    optimizer.step()
net.eval()
expected["x"] = x.movedim(1, -1).numpy()
expected["out"] = net(x).detach().numpy()

torch.save(net.state_dict(), HERE / "state.pt")
keep("state", net.state_dict())
checkpoint = {
    "epoch": 3, "loss": 0.5, "arguments": ["--lr", "0.01"],
    "optimizer_state_dict": optimizer.state_dict(), "model_state_dict": net.state_dict(),
}  # fmt: skip
torch.save(checkpoint, HERE / "checkpoint.pth")
torch.save(dict(net.named_parameters()), HERE / "parameters.pt")
keep("parameters", dict(net.named_parameters()))

base = torch.arange(24.0).reshape(4, 6)
kinds = {
    "bfloat16": torch.randn(3, 5).bfloat16(), "float16": torch.randn(2, 3).half(), "float64": torch.randn(2).double(),
    "int64": torch.tensor([-(2**40), 7]), "int32": torch.arange(3, dtype=torch.int32),
    "int16": torch.tensor([-5]).short(),
    "int8": torch.tensor([-128, 127]).to(torch.int8), "uint8": torch.tensor([0, 255]).to(torch.uint8),
    "bool": torch.tensor([True, False, True]), "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 3),
    "turned": base.T, "rows": base[1:3], "steps": base[::2, ::3], "shared": base,
    "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
}  # fmt: skip
torch.save(kinds, HERE / "kinds.pt")
keep("kinds", kinds)

torch.save(net, HERE / "module.pt")
torch.save(nn.Sequential(nn.Linear(2, 2)), HERE / "sequential.pt")
torch.save(net.state_dict(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(HERE / "script.pt"))
torch.save(torch.zeros(2), HERE / "tensor.pt")
torch.save({"a": {"w": torch.zeros(2)}, "b": {"w": torch.zeros(2)}}, HERE / "two.pt")
torch.save({"w": torch.zeros(2, 2).to_sparse()}, HERE / "sparse.pt")
np.savez_compressed(HERE / "expected.npz", **expected)
