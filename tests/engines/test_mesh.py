"""Graphs on the devices of a mesh: the same numbers as on one device, and what crosses between them."""

import subprocess
import sys

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.engines.crossings import crossings
from millrace.engines.devices import Devices
from millrace.ir.errors import ArgumentError, ShapeError
from millrace.ir.graph import Graph
from millrace.ir.mesh import Mesh

MESHES = {"towers": Mesh(tower=2), "data": Mesh(data=4), "both": Mesh(data=2, tower=2)}


def towers(dropout=0.5, width=8):
    """AlexNet's shape in small: two towers that meet at conv3 and in the dense layers."""
    mr.set_seed(3)
    return mr.Sequential(
        [
            layers.Input((19, 19, 3), name="image"),
            layers.Conv2D(width, 5, strides=2, activation="relu", shard="tower", name="conv1"),
            layers.LocalResponseNormalization(alpha=0.1, name="norm1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            layers.Conv2D(width, 3, padding="same", groups=2, activation="relu", shard="tower", name="conv2"),
            layers.Conv2D(width, 3, padding="same", activation="relu", shard="tower", name="conv3"),
            layers.Flatten(name="flatten"),
            layers.Dense(16, activation="relu", shard="tower", name="fc6"),
            layers.Dropout(dropout, name="drop6"),
            layers.Dense(4, activation="softmax", shard="tower", name="fc7"),
        ]
    )


def data(count=32):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 19, 19, 3)).astype(np.float32), rng.integers(0, 4, count)


def trained(mesh, epochs=2, engine=None):
    model = towers()
    rule = mr.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.0005)
    model.compile(rule, "sparse_categorical_crossentropy", ["accuracy"], mesh=mesh, engine=engine)
    history = model.fit(*data(), batch_size=8, epochs=epochs, verbose=0, seed=5)
    return model, history.history["loss"]


@pytest.fixture(scope="module")
def alone():
    return trained(None)


@pytest.fixture(scope="module", params=MESHES)
def spread(request):
    return MESHES[request.param], *trained(MESHES[request.param])


def test_losses_and_weights_are_those_of_one_device(spread, alone):
    _, model, losses = spread
    one, of_one = alone
    np.testing.assert_allclose(losses, of_one, rtol=1e-5)
    assert len(set(losses)) == 2
    for got, want in zip(model.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_predictions_are_those_of_one_device_for_any_number_of_examples(spread, alone):
    _, model, _ = spread
    x, y = data()
    for count in (32, 8, 3, 1):
        got = model.predict(x[:count], batch_size=8)
        np.testing.assert_allclose(got, alone[0].predict(x[:count], batch_size=8), rtol=1e-4, atol=1e-6)
    got, want = (m.evaluate(x[:11], y[:11], batch_size=8) for m in (model, alone[0]))
    assert got == pytest.approx(want, rel=1e-4)


def crossing(model):
    """What crosses in a training step: (layer, kind, axes) -> bytes."""
    found = {}
    (program,) = model.training_steps.train.programs
    for one in program.crossings:
        key = (one.node.layer if one.node is not None else "", one.kind, one.axes)
        found[key] = found.get(key, 0) + one.bytes
    return found


def test_towers_meet_where_the_network_says_so_and_nowhere_else(spread):
    mesh, model, _ = spread
    found = crossing(model)
    if mesh.along("tower") == 1:
        assert not [key for key in found if "tower" in key[2] or key[0].startswith(("conv", "norm", "pool"))]
        return
    here = 8 // mesh.along("data")  # examples on each device
    along = ("tower",)
    assert not [key for key in found if key[0] in ("conv1", "conv2", "pool1")], "these see their own half alone"
    # half of the 8 maps of 3 x 3 come from the other device, and as many sums of gradients go round both ways
    assert found["conv3", "all-gather", along] == here * 3 * 3 * 4 * 4
    assert found["conv3", "all-reduce", along] == here * 3 * 3 * 8 * 4
    # two maps of 8 x 8 from the edge of the other half, and as much for their gradient
    assert found["norm1", "collective-permute", along] == 2 * here * 8 * 8 * 2 * 4
    assert not [key for key in found if key[0] == "drop6"], "each device draws all random bits"
    assert found["flatten", "all-gather", along] == here * 3 * 3 * 4 * 4
    assert found["fc6", "all-reduce", along] == here * 72 * 4


def test_data_parallel_devices_exchange_their_gradients_once(spread):
    mesh, model, _ = spread
    n = mesh.along("data")
    if n == 1:
        assert not [key for key in crossing(model) if "data" in key[2]]
        return
    size = sum(w.size for w in model.get_weights() if w.dtype == np.float32) * 4 / mesh.along("tower")
    sent = sum(
        bytes for (_, kind, axes), bytes in crossing(model).items() if kind == "all-reduce" and axes == ("data",)
    )
    assert sent == pytest.approx(size * 2 * (n - 1) / n, rel=0.02)  # and a few sums of losses


def test_each_device_holds_its_own_part(spread):
    mesh, model, _ = spread
    kernel = next(w for w in model.weights if w.name == "conv2/kernel")
    slot = model.optimizer.memory[kernel]["velocity"]
    for variable in (kernel, slot):
        parts = {part.data.shape for part in variable._buffer.addressable_shards}
        assert parts == {(3, 3, 4, 8 // mesh.along("tower"))}


def test_a_mesh_and_one_device_take_turns_with_the_same_variables():
    w = mr.Variable(np.arange(8, dtype=np.float32).reshape(2, 4), name="w")
    w.sharding = (None, "tower")
    x = mr.Input((2,), name="x")
    y = mr.sum(mr.matmul(x, w))
    there = mr.function([x], [y], {w: w + 1.0}, mesh=MESHES["both"])
    here = mr.function([x], [y], {w: w * 2.0})
    ones = np.ones((2, 2), np.float32)
    assert [float(f(ones)[0]) for f in (there, here, there, there)] == [56.0, 72.0, 144.0, 160.0]
    np.testing.assert_array_equal(w.numpy(), np.arange(8).reshape(2, 4) * 2 + 4)


def test_a_snapshot_keeps_its_numbers_while_steps_go_on():
    from millrace.ir.state import snapshot

    w = mr.Variable(np.zeros((4,), np.float32), name="w")
    step = mr.function([], [], {w: w + 1.0}, mesh=Mesh(data=2))
    step()
    with snapshot([w]) as (before,):
        step()
        step()
        np.testing.assert_array_equal(np.asarray(before), np.ones(4))
    np.testing.assert_array_equal(w.numpy(), np.full(4, 3.0))


def test_what_a_mesh_saved_is_loaded_on_one_device(tmp_path, alone):
    model, _ = trained(MESHES["towers"], epochs=1)
    model.save(tmp_path / "m.safetensors")
    x, _ = data()
    loaded = mr.load_model(tmp_path / "m.safetensors")
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-4, atol=1e-6)


def test_the_interpreter_takes_a_mesh_for_one_device():
    model = towers(dropout=0.0)
    model.compile("sgd", "sparse_categorical_crossentropy", mesh=MESHES["towers"], engine="numpy")
    other = towers(dropout=0.0)
    other.compile("sgd", "sparse_categorical_crossentropy", engine="numpy")
    x, y = data(4)
    assert model.evaluate(x, y) == other.evaluate(x, y)


def test_dropout_draws_the_same_bits_however_the_work_is_spread():
    state = mr.random_state(7)
    x = mr.Input((64,), name="x")
    drawn = [
        np.asarray(
            mr.function([x], mr.random_bernoulli(state, 0.5, (x.shape[0], 64), "mask"), mesh=mesh)(np.ones((8, 64)))
        )
        for mesh in (None, Mesh(data=4), Mesh(data=2, tower=2))
    ]
    assert 0.3 < drawn[0].mean() < 0.7
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_shard_changes_no_number_and_is_seen_in_the_graph():
    x = mr.Input((4,), name="x")
    y = mr.shard(x * 2.0, ("*", "tower"))
    (dx,) = mr.gradients(mr.sum(y * y), [x])
    f = mr.function([x], [y, dx], mesh=Mesh(tower=2))
    given = np.arange(8, dtype=np.float32).reshape(2, 4)
    got, slope = f(given)
    np.testing.assert_array_equal(got, 2 * given)
    np.testing.assert_array_equal(slope, 8 * given)
    assert "Shard(axes=('*', 'tower'))" in str(f)
    assert "over tower" in str(y)
    assert "Shard" not in str(mr.function([x], [y]).simplified)  # on one device nothing is split


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Mesh(), "at least one axis"),
        (lambda: Mesh(data=0), "at least 1, got 0"),
        (lambda: Mesh.of_text("data2"), "data=2,tower=2"),
        (lambda: Mesh.of_text("data=2,data=2"), "data=2,tower=2"),
        (lambda: mr.function([], [], mesh=Mesh(data=64)), "takes 64 devices, but here are 4"),
        (lambda: mr.function([], [], mesh="data=2"), "must be a mesh such as"),
        (lambda: mr.shard(np.ones(3, np.float32), "tower"), "one for each axis"),
        (lambda: layers.Dense(4, shard=2), "name of a mesh axis"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()


def test_a_batch_that_cannot_be_divided_is_refused_before_training():
    model = towers()
    model.compile("sgd", "sparse_categorical_crossentropy", mesh=Mesh(data=4))
    with pytest.raises(ArgumentError, match="batch_size=10 cannot be divided over the 4 devices"):
        model.fit(*data(), batch_size=10, verbose=0)


def test_units_that_cannot_be_divided_are_refused():
    mr.set_seed(0)
    model = mr.Sequential([layers.Input((3,)), layers.Dense(5, shard="tower", name="odd")])
    model.compile("sgd", "mse", mesh=Mesh(tower=2))
    with pytest.raises(ShapeError, match=r"'odd/kernel' \[3, 5\] .* 'tower': 2 devices do not divide 5"):
        model.fit(np.ones((4, 3)), np.ones((4, 5)), verbose=0)


def test_a_mesh_reads_back_as_it_is_written():
    for mesh in MESHES.values():
        assert Mesh.of_text(str(mesh)) == mesh
    assert Mesh(data=2, tower=3).size == 6


HLO = """\
HloModule m

ENTRY %main (p: f32[4]) -> f32[8] {
  %p = f32[4]{0} parameter(0)
  %a = f32[8]{0} all-gather(%p), channel_id=1, replica_groups=[2,2]<=[4], dimensions={0}
  %b = (f32[4]{0}, bf16[2]{0}) all-reduce(%p, %p), channel_id=2, replica_groups=[2,2]<=[2,2]T(1,0), to_apply=%add
  %c = f32[4]{0} collective-permute(%p), channel_id=3, source_target_pairs={{0,1},{2,3}}
  %d = f32[2]{0} reduce-scatter(%p), channel_id=4, replica_groups={{0,2},{1,3}}, dimensions={0}, to_apply=%add
  %e = f32[4]{0} all-reduce(%p), channel_id=5, replica_groups=[1,4]<=[4], to_apply=%add
  %h = ((f32[4]{0}, f32[8]{0}), (f32[8]{0}, f32[16]{0})) all-gather-start(%p, %p), replica_groups=[2,2]<=[4]
  %f = f32[8]{0} all-gather(%p), channel_id=6, replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_0'}, dimensions={0}
  ROOT %g = f32[8]{0} add(%a, %f)
}
"""


def test_exchanges_are_read_with_their_axes_and_bytes():
    """By hand: a ring of n devices brings each (n - 1) / n of what it holds after a gather, twice that of a sum."""
    found = crossings(HLO, Graph([], []), Mesh(data=2, tower=2))
    assert [(c.kind, c.axes, c.bytes) for c in found] == [
        ("all-gather", ("tower",), 16),
        ("all-reduce", ("data",), 20),
        ("collective-permute", ("tower",), 8),
        ("reduce-scatter", ("data",), 8),
        ("all-reduce", ("data", "tower"), 24),
        ("all-gather", ("tower",), 48),
        ("all-gather", ("data",), 16),
    ]
    assert found[1].shapes == ("f32[4]", "bf16[2]")


def test_a_processor_is_split_when_a_mesh_asks_for_it_first():
    code = (
        "import millrace as mr; x = mr.Input((2,))\n"
        "print(mr.function([x], x * 2.0, mesh=mr.Mesh(data=3))([[1, 2]] * 3))"
    )
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[2. 4.]") == 3


def test_too_few_devices_says_how_to_have_more():
    code = (
        "import millrace as mr; x = mr.Input((2,)); mr.function([x], x * 2.0)([[1, 2]])\n"
        "try: mr.function([x], x, mesh=mr.Mesh(data=2))\nexcept mr.ir.errors.ArgumentError as error: print(error)"
    )
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "takes 2 devices, but here is 1 (CPU)" in done.stdout, done.stderr
    assert "JAX_NUM_CPU_DEVICES=2" in done.stdout


def test_an_exchange_in_a_loop_counts_once_a_round():
    w = mr.Variable(np.ones((4, 4), np.float32), name="w")
    w.sharding = (None, "tower")
    x = mr.Input((4,), name="x")

    def step(h, _):
        return mr.shard(mr.matmul(mr.shard(h, ("*", None)), w), ("*", "tower")), None

    last, _ = mr.scan(step, mr.shard(x, ("*", "tower")), length=10)
    run = mr.function([x], last, mesh=Mesh(tower=2))
    run(np.ones((2, 4), np.float32))
    (program,) = run.programs
    inside = [one.bytes for one in program.crossings if one.kind == "all-gather"]
    assert 10 * 2 * 2 * 4 in inside  # ten times half of [2, 4]


def test_what_lies_on_the_devices_is_theirs():
    devices = Devices(Mesh(data=2))
    memory = np.zeros(2 * 4096 + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4  # aligned as XLA likes it: then it would take the memory as it is
    given = memory[start : start + 2 * 4096].reshape(2, 4096)
    placed = devices.place(given, devices.split(("data",)))
    given[:] = 7
    np.testing.assert_array_equal(np.asarray(placed), np.zeros((2, 4096)))


@pytest.mark.parametrize("name", ["my axis", "*", ""])
def test_a_mesh_axis_has_a_name(name):
    with pytest.raises(ArgumentError, match="must be a word"):
        Mesh(**{name: 2})
