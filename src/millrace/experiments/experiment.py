"""What an experiment is: a claim of a paper that can be tried, in a quick form and a full one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

Say = Callable[[str], None]  # told how far an experiment is, a line at a time


@dataclass(frozen=True)
class Scale:
    """How much an experiment does: what its quick form and its full form differ in, and what a test makes tiny.

    images: how many to train on; validation: how many to judge by; epochs: the most that one training takes;
    width: kernels of the first layer, or what else of the network its page says; batch_size: examples a step; size:
    pixels of a side of a photograph as the network sees it.
    """

    images: int
    validation: int
    epochs: int
    width: int
    batch_size: int = 128
    size: int = 32


@dataclass(frozen=True)
class Setting:
    """How an experiment is to run: its form, its scale, its seeds, the directory of what it writes, and who is told.

    quick: the form that ends within 10 minutes on two cores; else the full one, for a GPU or a night. trained: a run
    whose network is looked at, in place of one that the experiment trains; None where there is none.
    """

    quick: bool
    seeds: tuple[int, ...]
    out: Path
    say: Say
    scale: Scale
    trained: Path | None = None

    @property
    def form(self) -> str:
        """The form in a word."""
        return "quick" if self.quick else "full"


@dataclass(frozen=True)
class Outcome:
    """What an experiment found: a table, what follows from it, and the figures that it wrote.

    columns: names of the table's columns; rows: their cells as text, measured numbers with their spread over the seeds.
    paper: the paper's figure for the same, in words. verdict: what was seen, in a sentence or two, honest where the
    quick form shows nothing. numbers: the measured values behind the table, as a JSON file keeps them.
    notes: how it was measured, where a reader must know it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    paper: str
    verdict: str
    figures: Sequence[Path]
    numbers: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Experiment:
    """A claim that can be tried by `millrace experiment NAME`.

    claim: what the paper says, in our words. source: where it says so. quick and full: what each form trains on and
    about how long it takes; quick_scale and full_scale: the same in numbers. run(setting) does it. data: names of the
    data sets that it needs. seeds: how many seeds it runs unless told. reads_run: whether it can look at the network of
    a run instead of training one.
    """

    name: str
    claim: str
    source: str
    quick: str
    full: str
    run: Callable[[Setting], Outcome]
    quick_scale: Scale
    full_scale: Scale
    data: tuple[str, ...] = ()
    seeds: int = 3
    reads_run: bool = False

    def setting(
        self, out: Path, say: Say, full: bool = False, seeds: int | None = None, trained: Path | None = None,
        images: int | None = None, epochs: int | None = None,
    ) -> Setting:  # fmt: skip
        """What `run` takes, for one of the two forms, or for one with another number of images or epochs."""
        count = self.seeds if seeds is None else seeds
        scale = self.full_scale if full else self.quick_scale
        scale = replace(scale, images=images or scale.images, epochs=epochs or scale.epochs)
        return Setting(not full, tuple(range(count)), out, say, scale, trained)
