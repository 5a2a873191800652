"""Make padding.npz: what Keras's pad_sequences gives for every pair of sides. Run with Keras 3.15.1."""

import itertools
from pathlib import Path

import numpy as np
from keras.utils import pad_sequences

CASES = {
    "ragged": [[1, 2, 3], [4], [], [5, 6, 7, 8, 9]],
    "fractions": [[0.5, 1.9], [-2.7, 3.2, 4.0]],
    "vectors": [[[1, 2], [3, 4], [5, 6]], [], [[7, 8]]],
}

if __name__ == "__main__":
    made = {}
    for name, sequences in CASES.items():
        for maxlen, padding, truncating, dtype, value in itertools.product(
            (None, 2, 4), ("pre", "post"), ("pre", "post"), ("int32", "float32"), (0, 9)
        ):
            key = f"{name} {maxlen} {padding} {truncating} {dtype} {value}"
            made[key] = pad_sequences(sequences, maxlen, dtype, padding, truncating, value)
    np.savez_compressed(Path(__file__).with_name("padding.npz"), **made)
