"""PyTorch: eager or through torch.compile, in either layout of memory, with the fused optimizer.

On a GPU where it has one. Products of float32 are computed in float32, unless the options say tf32; bfloat16 is
PyTorch's autocast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.contenders.inputs import LEARNING_RATE, MOMENTUM, examples
from benchmarks.contenders.torch_networks import network

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic(tf32: bool) -> None:
    """What a GPU computes products of float32 in, and that cuDNN tries which of its programs is the fastest."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def finish() -> None:
    """Wait until the GPU has done all that it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


class Laid:
    """The network and the examples in the layout that the options ask for, compiled if they ask for that."""

    def __init__(self, task: Any):
        chosen = task.workload.network
        arithmetic(task.option("tf32"))
        self.net = network(chosen).to(DEVICE)
        self.parameters = sum(p.numel() for p in self.net.parameters())
        x, y = examples(task.workload)
        self.x, self.y, self.permuted = x, y.astype(np.int64), False
        if chosen.spatial and task.option("channels_last"):
            last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
            self.net = self.net.to(memory_format=last)
            self.permuted = True  # [batch, *space, channels] in memory, seen as [batch, channels, *space]
        elif chosen.spatial:
            self.x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
        mode = "max-autotune" if task.option("max_autotune") else None
        self.compiled = (lambda f: torch.compile(f, mode=mode)) if task.option("compile") else lambda f: f
        self.kept = (self.given(), self.answers()) if task.option("resident") else None

    def given(self) -> torch.Tensor:
        x = torch.from_numpy(self.x).to(DEVICE)
        return x.movedim(-1, 1) if self.permuted else x

    def answers(self) -> torch.Tensor:
        return torch.from_numpy(self.y).to(DEVICE)


class Training(Laid):
    def __init__(self, task: Any):
        super().__init__(task)
        chosen = task.workload.network
        weights = self.net.parameters()
        self.optimizer: Any
        if chosen.optimizer == "adam":
            self.optimizer = torch.optim.Adam(weights, LEARNING_RATE, fused=True)
        else:
            self.optimizer = torch.optim.SGD(
                weights, LEARNING_RATE, MOMENTUM, weight_decay=chosen.weight_decay, fused=True
            )
        self.loss = self.compiled(self.mixed if task.workload.dtype == "bfloat16" else self.plain)

    def plain(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.net(x), y)

    def mixed(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return self.plain(x, y)

    def run(self, steps: int) -> float:
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(*(self.kept or (self.given(), self.answers())))
            loss.backward()
            self.optimizer.step()
        finish()
        return loss.item()


class Prediction(Laid):
    def __init__(self, task: Any):
        super().__init__(task)
        if task.option("freeze"):
            import torch._inductor.config as inductor

            inductor.freezing = True
        self.net.eval()
        self.function = self.compiled(lambda x: torch.softmax(self.net(x), -1))

    def run(self, steps: int) -> float:
        with torch.inference_mode():
            for _ in range(steps):
                out = self.function(self.given()).cpu().numpy()
        return float(out.sum(axis=-1).mean())


def build(task: Any) -> Any:
    torch.manual_seed(0)
    return (Training if task.workload.training else Prediction)(task)
