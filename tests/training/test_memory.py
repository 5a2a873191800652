"""A long run needs no more memory than a short one."""

import subprocess
import sys

# In a process of its own: what other tests leave behind would move the numbers.
RUN = """
import numpy as np, millrace as mr
from millrace.training.callbacks import Callback, Checkpoint

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

class Watch(Callback):
    def __init__(self):
        self.seen = []
    def on_step_end(self, epoch, step):
        if step % 2000 == 0:
            self.seen.append(resident())

x = np.zeros((20000, 8, 8, 1), np.uint8); y = np.zeros(20000, np.int32)
image = mr.Input((8, 8, 1), dtype="uint8")
out = mr.layers.Dense(4, "softmax")(mr.layers.Flatten()(mr.layers.RandomCrop(6, 6)(mr.cast(image, "float32"))))
model = mr.Model(image, out)
model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
watch = Watch()
model.fit(x, y, batch_size=2, epochs=1, verbose=0, workers=2,
          callbacks=[watch, Checkpoint({path!r}, save_every=500)])
print(*watch.seen)
"""


def test_memory_stays_flat_over_ten_thousand_steps(tmp_path):
    """From the second thousand to the tenth: with threads that make batches, and a checkpoint each 500 steps."""
    code = RUN.replace("{path!r}", repr(str(tmp_path / "checkpoints")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    after = [int(n) for n in done.stdout.split()]
    assert len(after) == 5, "10,000 steps in parts of 2,000"
    grown = max(after[1:]) - after[0]
    assert grown < 8 * 2**20, f"{grown / 2**20:.1f} MiB more after 10,000 steps than after 2,000: {after}"
