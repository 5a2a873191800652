"""The checkpoints of a run: the last few, the best one, and which of them is whole."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from millrace.engines.processes import processes
from millrace.ir.errors import ArgumentError, FileError
from millrace.layers.arguments import whole
from millrace.training.checkpoint import DamagedError, packed, write_whole
from millrace.training.sharded import SUFFIX, remove_sharded, save_sharded

T = TypeVar("T")


def changed(path: Path) -> float:
    """When a file was written; 0 where there is none."""
    return path.stat().st_mtime if path.exists() else 0.0


NAME = re.compile(rf"checkpoint-(\d+)-(\d+)(?:\.safetensors|{re.escape(SUFFIX)})")
BEST = "best.safetensors"
DAMAGED = ".damaged"  # how the name of a file ends that could not be read


@dataclass(frozen=True)
class Latest(Generic[T]):
    """The newest checkpoint that is whole, what was made of it, and what is to be said of those passed over."""

    path: Path
    content: T
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoints:
    """Files in a directory: `checkpoint-00012-0000000.safetensors` after 12 epochs and 0 steps of the next.

    Where the state lies in parts with several processes, each is a directory whose name ends in .sharded instead.

    The last `keep` stay, and `best.safetensors`, which no later one pushes out. A directory whose name ends in
    .safetensors is one file that each checkpoint replaces. earlier: a file from before all of these.

    Raises ArgumentError for keep below 1.
    """

    directory: Path
    keep: int = 3
    earlier: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory))
        whole(self.keep, "keep")

    @property
    def is_one_file(self) -> bool:
        return self.directory.suffix == ".safetensors"

    @property
    def best(self) -> Path:
        """Where the best one is."""
        if self.is_one_file:
            return self.directory.with_name(f"{self.directory.stem}-{BEST}")
        return self.directory / BEST

    def path(self, epoch: int, step: int) -> Path:
        """Where the state after `epoch` epochs and `step` steps of the next one is kept."""
        return self.directory if self.is_one_file else self.directory / f"checkpoint-{epoch:05}-{step:07}.safetensors"

    def positions(self) -> dict[tuple[int, int], Path]:
        """The numbered files by (epoch, step), the newest first."""
        matches = [(NAME.fullmatch(path.name), path) for path in self.directory.glob("checkpoint-*")]
        found = {(int(match[1]), int(match[2])): path for match, path in matches if match}
        return {position: found[position] for position in sorted(found, reverse=True)}

    @property
    def files(self) -> list[Path]:
        """All that a run can go on from, in the order in which they are tried."""
        one = [self.directory, self.directory.with_suffix(SUFFIX)]
        numbered = one if self.is_one_file else [*self.positions().values()]
        best = sorted((self.best, self.best.with_suffix(SUFFIX)), key=changed, reverse=True)
        others = [*best, *([self.earlier] if self.earlier else [])]
        return [path for path in (*numbered, *others) if path.is_file() or (path.suffix == SUFFIX and path.is_dir())]

    def refuse_later(self, epoch: int, step: int) -> None:
        """Raise ArgumentError where there are checkpoints of steps that a run from here has still to make.

        They would count as newer than what the run writes, and push it out.
        """
        later = [path for position, path in self.positions().items() if position > (epoch, step)]
        if later:
            raise ArgumentError(
                f"{self.directory} holds {later[0].name}, which is later than where this run starts (epoch {epoch}, "
                f"step {step}): go on from it with model.load_weights, initial_epoch and initial_step, or choose "
                "another directory."
            )

    def write(
        self, epoch: int, step: int, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], best: bool = False
    ) -> None:
        """Keep a state, also as the best one where it is; then remove what is too many.

        Raises FileError where it cannot be written; nothing is removed then.
        """
        parts = packed(arrays, about)
        if best:  # first: where a kill comes between, the run that goes on from the one before finds it anew
            write_whole(self.best, *parts)
        write_whole(self.path(epoch, step), *parts)
        self.remove_other_form(epoch, step, "", best)
        self.remove_old()

    def write_parts(
        self, epoch: int, step: int, arrays: Mapping[str, Any], about: Mapping[str, Any], best: bool = False
    ) -> Callable[[], None]:
        """The same of a state that lies in parts with several processes: all have to call it, between two steps.

        What it returns is to be called then, on any thread, and ends when all is written.
        """
        also = self.best.with_suffix(SUFFIX) if best else None  # first, as above
        written = save_sharded(self.path(epoch, step).with_suffix(SUFFIX), arrays, about, also)

        def finish() -> None:
            written()
            if processes().first:
                self.remove_other_form(epoch, step, SUFFIX, best)
                self.remove_old()

        return finish

    def remove_other_form(self, epoch: int, step: int, suffix: str, best: bool) -> None:
        """Remove what a run with other devices kept of the same moment: a file beside a directory, or the reverse."""
        for path in (self.path(epoch, step), *([self.best] if best else [])):
            if suffix:
                path.unlink(missing_ok=True)
            else:
                remove_sharded(path.with_suffix(SUFFIX))

    def remove_old(self) -> None:
        """Remove all but the last few, and the best."""
        for path in list(self.positions().values())[self.keep :]:
            if path.suffix == SUFFIX:
                remove_sharded(path)
            with contextlib.suppress(OSError):
                path.unlink()

    def latest_good(self, load: Callable[[Path], T], set_aside: bool = False) -> Latest[T]:
        """What `load` makes of the newest file that is whole, with a message for each damaged one before it.

        set_aside: rename the damaged ones to *.damaged, so that they are not tried again; for whoever holds the run.
        Raises FileError where there is none, or none is whole, or where `load` fails for another reason than damage.
        """
        damaged: list[tuple[Path, DamagedError]] = []
        for path in self.files:
            try:
                content = load(path)
            except DamagedError as error:
                damaged.append((path, error))
            except FileError:
                if path.exists():
                    raise
                return self.latest_good(load, set_aside)  # the run that writes here has removed it meanwhile
            else:
                return Latest(path, content, tuple(self._passed_over(damaged, path, set_aside)))
        if not damaged:
            raise FileError(f"{self.directory} holds no checkpoint yet.")
        reasons = "".join(f"\n  {error}" for _, error in damaged)
        raise FileError(
            f"no checkpoint in {self.directory} can be used:{reasons}\n"
            "  Restore one of them, or remove them all to start from the first step."
        )

    def _passed_over(self, damaged: list[tuple[Path, DamagedError]], good: Path, set_aside: bool) -> list[str]:
        """What is to be said of damaged files; only now that one is good they may be renamed."""
        for path, _ in damaged if set_aside else ():
            with contextlib.suppress(OSError):
                os.replace(path, path.with_name(path.name + DAMAGED))
        kept = f", kept as *{DAMAGED}" if set_aside else ""
        return [f"{path.name} is damaged{kept}: {good.name} is used, the one before it." for path, _ in damaged]
