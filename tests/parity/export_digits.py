"""Writes the real data of the training-run fixture: python tests/parity/export_digits.py (needs scikit-learn).

`digits640.npz` holds the first 640 handwritten digits of scikit-learn: x uint8 [640, 8, 8], ink from 0 to 16,
and y uint8 [640], the digit.
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "digits640.npz"


def export(count=640):
    from sklearn.datasets import load_digits

    raw = load_digits()
    np.savez_compressed(PATH, x=raw.images[:count].astype(np.uint8), y=raw.target[:count].astype(np.uint8))


if __name__ == "__main__":
    export()
