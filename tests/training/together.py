"""A training run in one of several processes, for test_processes.py: `together.py PORT COUNT NUMBER MESH DIRECTORY`.

It trains for two epochs, goes on in a model made anew from the checkpoint for a third, and writes what it saw.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

port, count, number, mesh, directory = sys.argv[1:]
os.environ |= {
    "MILLRACE_COORDINATOR": f"127.0.0.1:{port}", "MILLRACE_PROCESSES": count, "MILLRACE_PROCESS": number,
}  # fmt: skip

import millrace as mr
from millrace import layers
from millrace.data.source import Source, Taken
from millrace.ir.types import TensorType

here = mr.join_processes()


def made(mesh):
    mr.set_seed(1)
    model = mr.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", shard="tower"),
            layers.Conv2D(4, 3, padding="same", groups=2, activation="relu", shard="tower"),
            layers.Flatten(),
            layers.Dense(8, activation="relu", shard="tower"),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    rule = mr.optimizers.SGD(0.05, momentum=0.9)
    model.compile(rule, "sparse_categorical_crossentropy", ["accuracy"], mesh=mesh)
    return model


rng = np.random.default_rng(0)
x, y = rng.normal(size=(22, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, 22)
spread = mr.Mesh.of_text(mesh) if mesh else None
seen = {"count": here.count, "first": here.first}
model = made(spread)
kept = mr.callbacks.Checkpoint(Path(directory) / "kept", keep=1, best="loss")
seen["before"] = model.fit(x, y, batch_size=8, epochs=2, verbose=0, seed=2, callbacks=[kept]).history["loss"]
again = made(spread)
seen["at"] = again.resume(Path(directory) / "kept")
kept = mr.callbacks.Checkpoint(Path(directory) / "kept", keep=1, best="loss")
more = again.fit(x, y, batch_size=8, epochs=4, verbose=0, seed=2, callbacks=[kept], initial_epoch=2)
seen["after"] = more.history["loss"]
seen["held"] = again.evaluate(x, y, batch_size=8)
seen["predicted"] = again.predict(x, batch_size=8).tolist()


class Torn(Source):
    """Eleven records, of which the last three cannot be read: in the last batch of eight, all of the first's share."""

    name, count = "torn", 11
    elements = (TensorType("float32", (6, 6, 2)), TensorType("int32", ()))

    def take(self, numbers):
        asked.update(map(int, numbers))
        columns = np.ones((len(numbers), 6, 6, 2), np.float32), (numbers % 3).astype(np.int32)
        return Taken(columns, {n: "torn" for n, one in enumerate(numbers) if one in (8, 9, 10)})


asked = set()
last = made(spread)
broken = last.fit(Torn(), batch_size=8, verbose=0, shuffle=False)
seen["torn"] = [broken.history["loss"], [float(np.abs(w).sum()) for w in last.get_weights()] if "data" in mesh else []]
seen["asked"] = sorted(asked)
(Path(directory) / f"seen-{number}.json").write_text(json.dumps(seen))
