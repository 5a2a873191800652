"""Ten handwritten digits in a Hopfield network: stored once, damaged, and recalled.

784 units, one a pixel, each joined to every other; no training, the weights are made from the ten digits in one go.
A fifth of the pixels is flipped, and the network falls to the nearest state of rest. By Hebb's rule that is never
a digit: the digits are alike (mostly paper; two of them agree in 83% of their pixels), what they share adds up,
and all ten fall to one mixture. The pseudo-inverse rule takes their likeness out, and all ten come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.data.datasets import mnist
from millrace.ir.errors import ArgumentError, FileError
from millrace.layers import Input
from millrace.layers.hopfield import RULES, Hopfield
from millrace.models.recipe import Demonstration
from millrace.training.model import Model

SIZE = 28


@dataclass(frozen=True)
class Recall:
    """What one rule made of damaged digits: stored, damaged and recalled [trials, 784], of +1 (ink) and -1.

    energies [sweeps + 1]: the mean energy of all trials, at first and after each sweep.
    """

    rule: str
    stored: np.ndarray
    damaged: np.ndarray
    recalled: np.ndarray
    energies: np.ndarray

    @property
    def energy_before(self) -> float:
        return float(self.energies[0])

    @property
    def energy_after(self) -> float:
        return float(self.energies[-1])

    @property
    def wrong(self) -> np.ndarray:
        """Wrong pixels of each trial: [trials]."""
        return (self.recalled != self.stored).sum(axis=1)

    @property
    def exact(self) -> float:
        """The share of trials that were recalled to the last pixel."""
        return float((self.wrong == 0).mean())


def ten_digits() -> np.ndarray:
    """The first digit of each class of MNIST's training set, ink +1 where above half: [10, 784].

    Raises FileError where MILLRACE_DATA lacks MNIST.
    """
    data = mnist()
    first = [int(np.argmax(data.y_train == label)) for label in range(10)]
    return np.where(data.x_train[first].reshape(10, -1) > 0.5, 1, -1).astype(np.float32)


def damage(patterns: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Patterns [trials, units] with a share of the units flipped, others in each."""
    rng = np.random.default_rng(seed)
    count, units = patterns.shape
    order = np.argsort(rng.random((count, units)), axis=1)
    flipped = np.zeros((count, units), bool)
    np.put_along_axis(flipped, order[:, : round(noise * units)], True, axis=1)
    return np.where(flipped, -patterns, patterns)


def recall(
    rule: str, patterns: np.ndarray, trials: int = 100, noise: float = 0.2, sweeps: int = 5, seed: int = 0,
    engine: str | None = None,
) -> Recall:  # fmt: skip
    """Store patterns [patterns, units] by a rule, and recall them from damaged ones, each in turn.

    Raises ArgumentError for an unknown rule, trials below 1, or a noise outside 0 ... 1.
    """
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ArgumentError(f"trials must be a whole number of at least 1, got {trials!r}.")
    if not 0 <= noise <= 1:
        raise ArgumentError(f"noise is the share of pixels that are flipped, from 0 to 1, got {noise!r}.")
    layer = Hopfield(rule, sweeps, name="memory")
    layer.store(patterns)
    state = Input((patterns.shape[1],), name="state")
    model, trace = Model(state, layer(state)), Model(state, layer.trace(state))
    stored = np.resize(patterns, (trials, patterns.shape[1]))
    damaged = damage(stored, noise, seed)
    recalled = np.asarray(model.predict(damaged, batch_size=trials, engine=engine))
    energies = np.asarray(trace.predict(damaged, batch_size=trials, engine=engine)).mean(axis=0)
    return Recall(rule, stored, damaged, recalled, energies)


def recall_digits(
    trials: int = 100, noise: float = 0.2, rules: Sequence[str] = RULES, seed: int = 0, engine: str | None = None
) -> list[Recall]:
    """Ten digits of MNIST, stored and recalled by each rule.  Raises FileError where MILLRACE_DATA lacks MNIST."""
    digits = ten_digits()
    return [recall(rule, digits, trials, noise, seed=seed, engine=engine) for rule in rules]


def table(results: Sequence[Recall]) -> str:
    """The results to read, a line a rule."""
    lines = [f"{'rule':<16}{'exact':>7}{'wrong pixels':>14}  energy at first and after each sweep"]
    for r in results:
        energies = " ".join(f"{energy:,.0f}" for energy in r.energies)
        lines.append(f"{r.rule:<16}{r.exact:>7.1%}{r.wrong.mean():>14.1f}  {energies}")
    return "\n".join(lines)


def drawing(result: Recall, digits: Sequence[int] = (0, 1, 2)) -> str:
    """Digits as text, two rows of pixels in each line: stored, damaged and recalled side by side.

    Two pixels of rim on each side are left out, so that a line fits a terminal of 80 columns.
    """
    inner, width = slice(2, SIZE - 2), SIZE - 4
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    lines = [f"{'stored':<{width + 2}}{'damaged':<{width + 2}}recalled"]
    for digit in digits:
        pictures = [
            x[digit].reshape(SIZE, SIZE)[inner, inner] > 0 for x in (result.stored, result.damaged, result.recalled)
        ]
        for row in range(0, width, 2):
            pairs = [zip(p[row].tolist(), p[row + 1].tolist(), strict=True) for p in pictures]
            lines.append("  ".join("".join(blocks[pair] for pair in pair_row) for pair_row in pairs).rstrip())
    return "\n".join(lines)


def save_picture(result: Recall, path: Path, scale: int = 4) -> None:
    """The first ten trials as a PNG: a row stored, a row damaged, a row recalled, ink black on white.

    Raises FileError where the file cannot be written.
    """
    from PIL import Image

    rows = [x[:10].reshape(-1, SIZE, SIZE) for x in (result.stored, result.damaged, result.recalled)]
    framed = [np.pad(row > 0, ((0, 0), (2, 2), (2, 2))) for row in rows]
    ink = np.concatenate([np.concatenate(list(row), axis=1) for row in framed], axis=0)
    picture = Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))
    try:
        picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(path, "PNG")
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from None


def demonstrate(seed: int, out: Path) -> str:
    """A hundred damaged digits recalled by each rule: what to print, and the picture recall.png in `out`."""
    results = recall_digits(seed=seed)
    by_rule = {result.rule: result for result in results}
    out.mkdir(parents=True, exist_ok=True)
    save_picture(by_rule["pseudo_inverse"], out / "recall.png")
    shown = "\n\n".join(f"By the rule {rule}:\n{drawing(result, (3,))}" for rule, result in by_rule.items())
    return f"{table(results)}\n\n{WHY}\n\n{shown}\n\nPicture: {out / 'recall.png'}"


WHY = """The energy never rises: each unit turns the way that lowers it, until none can.
Hebb's rule fails because the digits are alike: any two agree in about four of
five pixels, what they share adds up, and all ten fall to one mixture. The
pseudo-inverse rule takes their likeness out first."""


HOPFIELD = Demonstration(
    name="hopfield",
    about="a Hopfield network that recalls ten damaged digits of MNIST",
    run=demonstrate,
    seconds="ten seconds",
)
