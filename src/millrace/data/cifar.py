"""The binary files in which CIFAR-10 is published: a label and 32 by 32 colours, picture after picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from millrace.data.folder import read
from millrace.ir.errors import FileError

SIZE, CHANNELS = 32, 3
RECORD = 1 + CHANNELS * SIZE * SIZE
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [pictures, 32, 32, 3] uint8 and labels [pictures] uint8 of one file.

    A record is 3,073 bytes: the label 0 to 9, then all reds, all greens, all blues, each row by row.
    Raises FileError for a file of another length, or with a label above 9.
    Source: Krizhevsky, CIFAR-10 binary version.
    """
    raw = read(path)
    if not raw or len(raw) % RECORD:
        raise FileError(
            f"{path} is no file of CIFAR-10, or is cut short: its {len(raw):,} bytes are no multiple of {RECORD:,} "
            "(a label and 3 * 32 * 32 colours). Take the binary version, unpacked."
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        bad = int(np.argmax(labels >= len(CLASSES)))
        raise FileError(f"{path} is no file of CIFAR-10: picture {bad} has the label {labels[bad]}, expected 0 to 9.")
    planes = records[:, 1:].reshape(-1, CHANNELS, SIZE, SIZE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.copy()
