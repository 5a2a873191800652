"""Where a workload's files lie for Millrace and for its peers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.inputs.workloads import PACKED, InputWorkload, by_class
from millrace.data.image_folder import ImageFolder
from millrace.data.packed import Packed
from millrace.data.packing import pack


@dataclass(frozen=True)
class Places:
    """Folders that hold the same: pictures in folders or arrays for peers, and for Millrace the same or a pack."""

    own: Path
    peers: Path


def prepared(workload: InputWorkload, data: Path, into: Path) -> Places:
    """A workload's folders, made in `into` where they are not as they lie below `data`.

    Of a pack peers get the same scaled JPEG files in a folder, as who scales pictures once would keep them.
    Raises FileNotFoundError where the data are missing.
    """
    given = data / workload.data
    if not given.is_dir():
        raise FileNotFoundError(f"{given} is missing: {workload.name} reads it (MILLRACE_DATA says where data lie)")
    root = by_class(given, into / "pictures") if workload.flat else given
    if workload.kind != PACKED:
        return Places(root, root)
    return packed(root, into, workload.size)


def packed(root: Path, into: Path, size: int) -> Places:
    """A folder packed, and the pack's pictures as files again."""
    pack(ImageFolder(root), into / "pack", resize=size)
    source = Packed(into / "pack")
    for number in range(source.count):
        contents, labels = source.take(np.array([number])).columns
        target = into / "scaled" / f"{int(labels[0]):05d}" / f"{number:07d}.JPEG"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents[0])
    return Places(into / "pack", into / "scaled")
