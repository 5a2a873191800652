"""A training run on real data, held step for step to PyTorch's; tests/parity/make_fixtures.py says how it was made."""

from pathlib import Path

import numpy as np
import pytest

import millrace as mr

PARITY = Path(__file__).parents[1] / "parity"
with np.load(PARITY / "training_run.npz") as stored:
    FIXTURE = dict(stored)
STEPS, BATCH = 50, 32
OPTIMIZERS = {
    "sgd_momentum_decay": lambda: mr.optimizers.SGD(0.05, momentum=0.9, weight_decay=5e-4),
    "sgd_nesterov": lambda: mr.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: mr.optimizers.Adam(0.005),
    "adamw": lambda: mr.optimizers.AdamW(0.005, weight_decay=0.2),
}


def network():
    return mr.Sequential(
        [
            mr.Input((8, 8, 1)),
            mr.layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
            mr.layers.Conv2D(8, 3, name="conv2"),
            mr.layers.MaxPooling2D(2),
            mr.layers.Flatten(),
            mr.layers.Dense(10, name="dense"),
        ]
    )


def trained(optimizer, engine):
    """The model and its curves after as many steps as the fixture has, in file order, then from the front again."""
    with np.load(PARITY / "digits640.npz") as digits:
        x, y = digits["x"][..., None] / np.float32(16), digits["y"]
    chosen = np.arange(STEPS * BATCH) % len(x)
    model = network()
    model.compile(
        OPTIMIZERS[optimizer](), mr.losses.SparseCategoricalCrossentropy(from_logits=True), engine=engine
    )  # fmt: skip
    model.set_weights([FIXTURE[f"start/{weight.name}"] for weight in model.weights])
    return model, model.fit(x[chosen], y[chosen], batch_size=BATCH, shuffle=False, verbose=0)


def test_the_fixture_has_every_optimizer_and_every_weight():
    assert {name.split("/")[0] for name in FIXTURE} == {"start", *OPTIMIZERS}
    assert {f"start/{weight.name}" for weight in network().weights} == {n for n in FIXTURE if n.startswith("start/")}


def test_every_optimizer_of_the_fixture_takes_another_way():
    ways = [FIXTURE[f"{name}/losses"] for name in OPTIMIZERS]
    assert all(np.abs(a - b).max() > 1e-2 for n, a in enumerate(ways) for b in ways[:n])


@pytest.mark.parametrize(
    ("optimizer", "engine"),
    [*((name, "xla") for name in OPTIMIZERS), ("sgd_momentum_decay", "numpy"), ("sgd_nesterov", "numpy")],
)
def test_fifty_steps_lose_what_pytorch_loses(optimizer, engine):
    model, history = trained(optimizer, engine)
    np.testing.assert_allclose(history.batch_losses, FIXTURE[f"{optimizer}/losses"], rtol=0, atol=1e-4)
    assert history.history["loss"][0] == pytest.approx(FIXTURE[f"{optimizer}/losses"].mean(), abs=1e-4)
    for weight in model.weights:
        array = weight.numpy().astype(np.float64)
        found = [array.mean(), array.std(), np.linalg.norm(array)]
        np.testing.assert_allclose(found, FIXTURE[f"{optimizer}/{weight.name}"], rtol=1e-3, atol=1e-4)
