"""A run as one graph: what it holds, how it reads, and that it is what runs."""

import threading

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.data.source import Part, Source, Taken
from millrace.ir.errors import ArgumentError, DataError, FileError
from millrace.ir.text import parse, text
from millrace.ir.types import TensorType
from millrace.training.callbacks import Callback, Checkpoint, JsonLines
from millrace.training.parts import parts
from millrace.training.program_file import ProgramFile, load_program
from millrace.training.regions import DEVICE, regions

rng = np.random.default_rng(0)
X, Y = rng.random((20, 4, 4, 1)).astype(np.float32), rng.integers(0, 3, 20)


class Pictures(Source):
    """Twenty small pictures of whole numbers, some of them broken."""

    def __init__(self, count=20, broken=(), error=None):
        self.name, self.count, self.broken, self.error = "pictures", count, broken, error
        self.elements = (TensorType("uint8", (4, 4, 1)), TensorType("int32", ()))
        self.classes = ("a", "b", "c")

    def take(self, numbers):
        if self.error is not None and self.error[0] in numbers:
            raise self.error[1]
        x = np.broadcast_to(numbers[:, None, None, None], (len(numbers), 4, 4, 1)).astype(np.uint8)
        broken = {i: "it is torn" for i, n in enumerate(numbers) if n in self.broken}
        return Taken((x, (numbers % 3).astype(np.int32)), broken)

    def record(self, number):
        return f"picture-{number}.png"


def network(dtype="float32", seed=0):
    mr.set_seed(seed)
    x = mr.Input((4, 4, 1), dtype=dtype, name="image")
    y = mr.cast(x, "float32") if dtype != "float32" else x
    y = layers.Dense(3, "softmax", name="out")(layers.Flatten(name="flatten")(y))
    model = mr.Model(x, y, name="little")
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def names(graph):
    return [node.op.name for node in graph.nodes]


def test_the_whole_run_is_one_graph_of_stages_and_operations(tmp_path):
    callbacks = [JsonLines(tmp_path / "metrics.jsonl"), Checkpoint(tmp_path / "checkpoints", save_every=2)]
    program = network().program(X, Y, batch_size=5, validation_split=0.2, callbacks=callbacks)
    training, validation = program.graphs["training"], program.graphs["validation"]
    stages = [name for name in names(training) if name in ("ReadRecords", "Shuffle", "Batch", "Queue", "Dequeue")]
    assert stages == ["ReadRecords", "Shuffle", "Batch", "Queue", "Dequeue"]
    assert {"SoftmaxCrossEntropy", "Assign", "Every", "Evaluate", "WriteLog", "Save"} <= set(names(training))
    assert "Shuffle" not in names(validation) and "Dequeue" in names(validation)
    assert text(parse(text(training))) == text(training)
    trained = {v.name for v in training.updates}
    assert {"out/kernel", "out/bias", "optimizer/iterations", "training/completed"} <= trained


def test_its_regions_are_cut_at_the_queues(tmp_path):
    callbacks = [JsonLines(tmp_path / "metrics.jsonl"), Checkpoint(tmp_path / "checkpoints", save_every=2)]
    program = network().program(X, Y, batch_size=5, validation_split=0.2, callbacks=callbacks)
    found = regions(program.graphs["training"])
    assert [region.name for region in found] == ["training input", "training", "evaluate", "log", "save"]
    assert [node.op.name for node in found[0].nodes] == ["ReadRecords", "Shuffle", "Batch", "Queue"]
    assert found[1].place == DEVICE and found[1].nodes[0].op.name == "Dequeue"
    counted = sum(len(region.nodes) for region in found[:2])
    behind = {node for region in found[2:] for node in region.nodes}
    assert counted + len(behind) == len(program.graphs["training"].nodes), "a node belongs to no region"


def test_it_prints_region_by_region_in_80_columns(capsys, tmp_path):
    network().program(
        X, Y, batch_size=5, validation_split=0.2, callbacks=[Checkpoint(tmp_path / "checkpoints", keep=2)]
    ).show()
    printed = capsys.readouterr().out
    assert printed.startswith("little as one graph: ")
    for words in (
        "[training input, made when taken]", "16 records of arrays", "seed 0, anew each epoch", "5 records",
        "training: 4 batches at most", "[step, on the device]", "flatten", "update", "[save, in the background]",
        "1 epoch", "[validation input, made when taken]", "4 records of arrays",
    ):  # fmt: skip
        assert words in printed, words
    assert max(map(len, printed.replace(str(tmp_path), "RUN").splitlines())) <= 80


def test_the_file_of_a_run_reads_back_without_data_or_model(tmp_path):
    path = tmp_path / "program.txt"
    model = network()
    model.fit(X, Y, batch_size=5, verbose=0, callbacks=[ProgramFile(path)])
    program = model.program(X, Y, batch_size=5)
    assert [p.lines for p in parts(load_program(path))] == [p.lines for p in parts(program.graphs)]


@pytest.mark.parametrize("content", ["", "graph training() {", "nothing"])
def test_a_damaged_file_of_a_run_says_so(tmp_path, content):
    path = tmp_path / "program.txt"
    path.write_text(content)
    with pytest.raises(FileError, match=r"program\.txt"):
        load_program(path)


def test_a_source_trains_as_the_same_numbers_in_arrays():
    source = Pictures()
    taken = source.take(np.arange(20)).columns
    one, two = network("uint8"), network("uint8")
    one.fit(source, batch_size=6, epochs=2, verbose=0, seed=3)
    two.fit(*taken, batch_size=6, epochs=2, verbose=0, seed=3)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, two.weights, strict=True))
    assert one.evaluate(source, batch_size=6) == two.evaluate(*taken, batch_size=6)
    assert np.array_equal(one.predict(source), two.predict(taken[0]))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_weights_do_not_depend_on_the_number_of_workers(workers):
    one, two = network("uint8"), network("uint8")
    one.fit(Pictures(broken=(4,)), batch_size=3, epochs=3, verbose=0, workers=2, max_queue_size=1)
    two.fit(Pictures(broken=(4,)), batch_size=3, epochs=3, verbose=0, workers=workers, max_queue_size=5)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, two.weights, strict=True))


def test_the_queue_carries_the_bytes_where_the_model_takes_them_and_numbers_where_not():
    as_bytes = network("uint8").program(Pictures(), batch_size=5).graphs["training"]
    queued = next(node for node in as_bytes.nodes if node.op.name == "Queue").outputs[0].type.elements[0]
    assert str(queued) == "uint8[5, 4, 4, 1]"
    converted = network().program(Pictures(), batch_size=5).graphs["training"]
    queued = next(node for node in converted.nodes if node.op.name == "Queue").outputs[0].type.elements[0]
    assert str(queued) == "float32[5, 4, 4, 1]"


class Told(Callback):
    def __init__(self):
        self.records = []

    def on_broken(self, records):
        self.records.append(records)


def test_broken_records_are_counted_named_and_left_out():
    """Training on the rest alone gives the same weights: a broken record changes nothing else."""
    told = Told()
    model = network("uint8")
    history = model.fit(Pictures(4, broken=(1,)), batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=[told])
    assert history.broken == {"picture-1.png": "it is torn"}
    assert told.records == [{"picture-1.png": "it is torn"}], "told of it more than once, or never"
    rest = network("uint8")
    x, y = Pictures().take(np.array([0, 2, 3])).columns
    rest.fit(x, y, batch_size=3, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.weights, rest.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)


def test_a_batch_without_a_good_record_is_passed_over():
    model = network("uint8")
    history = model.fit(Pictures(8, broken=range(4)), batch_size=4, verbose=0, shuffle=False)
    assert len(history.batch_losses) == 1 and np.isfinite(history.batch_losses).all()
    assert len(history.broken) == 4 and np.isfinite(history.history["loss"]).all()


def test_a_broken_record_stops_the_run_where_that_is_chosen():
    with pytest.raises(DataError, match=r"picture-7\.png cannot be used: it is torn") as error:
        network("uint8").fit(Pictures(broken=(7,)), verbose=0, on_broken="stop")
    assert "on_broken='skip'" in str(error.value)
    with pytest.raises(ArgumentError, match="on_broken"):
        network("uint8").fit(Pictures(), verbose=0, on_broken="pass")


def test_prediction_refuses_a_broken_record_and_evaluation_warns():
    model = network("uint8")
    with pytest.raises(DataError, match=r"picture-7\.png cannot be used"):
        model.predict(Pictures(broken=(7,)))
    with pytest.warns(UserWarning, match=r"1 of 20 records cannot be used.*picture-7\.png"):
        model.evaluate(Pictures(broken=(7,)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [OSError("input/output error"), FileError("photos has vanished")])
def test_an_error_in_the_input_stops_the_run_names_region_and_record_and_leaves_no_thread(workers, error):
    before = threading.active_count()
    with pytest.raises((DataError, FileError)) as raised:
        network("uint8").fit(Pictures(error=(13, error)), batch_size=5, verbose=0, workers=workers, shuffle=False)
    said = str(raised.value)
    assert "the region 'training input' failed at batch 3 of epoch 1" in said
    assert "picture-13.png" in said and str(error) in said
    assert threading.active_count() == before


def test_an_error_in_a_callback_stops_the_threads_too():
    class Fails(Callback):
        def on_step_end(self, epoch, step):
            raise ValueError("mine")

    before = threading.active_count()
    with pytest.raises(ValueError, match="mine"):
        network("uint8").fit(Pictures(), batch_size=2, verbose=0, workers=2, callbacks=[Fails()])
    assert threading.active_count() == before


def test_a_source_that_does_not_fit_says_what_it_holds():
    wrong = network("uint8")
    small = Pictures()
    small.elements = (TensorType("uint8", (5, 4, 1)), TensorType("int32", ()))
    with pytest.raises(DataError, match=r"inputs of pictures have the shape \[5, 4, 1\], the model takes \[4, 4, 1\]"):
        wrong.fit(small, verbose=0)
    without = Pictures()
    without.elements = (TensorType("uint8", (4, 4, 1)),)
    with pytest.raises(DataError, match="without an answer to learn from"):
        wrong.fit(without, verbose=0)
    with pytest.raises(ArgumentError, match="records hold the answers"):
        wrong.fit(Pictures(), Y, verbose=0)


def test_class_weights_of_a_source_are_those_of_arrays():
    source = Pictures()
    one, two = network("uint8"), network("uint8")
    one.fit(source, batch_size=5, verbose=0, class_weight={1: 4.0})
    two.fit(*source.take(np.arange(20)).columns, batch_size=5, verbose=0, class_weight={1: 4.0})
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(one.weights, two.weights, strict=True))


def test_a_random_part_of_a_source_can_be_held_out():
    """Files lie class by class: the last part would hold one class alone."""
    model = network("uint8")
    program = model.program(Pictures(), batch_size=5, validation_split=0.25, seed=1)
    kept, held = program.training.source, program.validation.source
    assert (kept.count, held.count) == (15, 5)
    assert {kept.record(n) for n in range(15)} | {held.record(n) for n in range(5)} == {
        f"picture-{n}.png" for n in range(20)
    }  # fmt: skip
    assert [held.record(n) for n in range(5)] != [f"picture-{n}.png" for n in range(15, 20)]
    again = model.program(Pictures(), batch_size=5, validation_split=0.25, seed=1).validation.source
    assert [held.record(n) for n in range(5)] == [again.record(n) for n in range(5)]
    assert held.take(np.array([1])).columns[0][0, 0, 0, 0] == int(held.record(1)[8:-4])
    part = Part(Pictures(), np.array([4, 2]))
    assert part.record(1) == "picture-2.png" and len(part) == 2 and "Part(pictures: 2 records" in repr(part)


def test_a_source_with_other_classes_than_the_model_or_the_validation_is_refused():
    four = Pictures()
    four.classes = ("a", "b", "c", "d")
    with pytest.raises(DataError, match=r"pictures has 4 classes, but the model has 3 outputs: give .* 4 units"):
        network("uint8").fit(four, verbose=0)
    others = Pictures()
    others.classes = ("b", "c", "d")
    with pytest.raises(DataError, match=r"numbers the classes a, b, c, the validation data pictures b, c, d: give"):
        network("uint8").fit(Pictures(), validation_data=others, verbose=0)


def test_data_without_a_usable_record_is_an_error_not_a_perfect_loss():
    nothing = Pictures(4, broken=range(4))
    with pytest.raises(DataError, match=r"none of the 4 records of pictures can be used, the first is picture-"):
        network("uint8").fit(nothing, verbose=0)
    with pytest.raises(DataError, match="none of the 4 records"):
        network("uint8").evaluate(nothing)
    with pytest.raises(DataError, match="none of the 4 records"):
        network("uint8").fit(Pictures(), validation_data=nothing, verbose=0)


def test_who_prints_nothing_is_warned_of_broken_records_once():
    with pytest.warns(UserWarning, match=r"2 of 20 records cannot be used and were left out, the first is") as told:
        network("uint8").fit(Pictures(broken=(3, 4)), epochs=3, verbose=0)
    assert len(told) == 1


def test_the_terminal_names_three_and_counts_all(capsys):
    network("uint8").fit(Pictures(broken=range(3, 9)), batch_size=4, epochs=2)
    printed = capsys.readouterr().out
    assert printed.count(".png: it is torn") == 3
    assert printed.count("more of them") == 1 and "left out: 6 of 20 records" in printed


def test_a_path_is_told_how_to_be_opened():
    with pytest.raises(DataError, match=r"x is a path: open it first, as mr\.data\.open_source\('photos'\)"):
        network("uint8").fit("photos", Y, verbose=0)


def test_answers_that_are_numbers_fit_one_output():
    class Slope(Pictures):
        classes = ()

        def __init__(self):
            super().__init__()
            self.elements = (TensorType("float32", (2,)), TensorType("float32", ()))
            self.classes = ()

        def take(self, numbers):
            x = np.stack([numbers, numbers + 1], axis=1).astype(np.float32)
            return Taken((x, numbers.astype(np.float32)))

    model = mr.Sequential([mr.Input((2,)), layers.Dense(1, name="out")])
    model.compile("sgd", "mse")
    x, y = Slope().take(np.arange(20)).columns
    assert model.evaluate(Slope()) == model.evaluate(x, y)


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path):
    """Ended in the middle of an epoch, and gone on with by a model that knows nothing."""

    class Stops(Callback):
        def on_step_end(self, epoch, step):
            if (epoch, step) == (1, 3):
                raise KeyboardInterrupt

    def fit(model, *more):
        checkpoint = Checkpoint(tmp_path / "checkpoints", save_every=2)
        model.fit(
            Pictures(), batch_size=4, epochs=3, verbose=0, seed=2, callbacks=[checkpoint, *more],
            **model.resume(tmp_path / "checkpoints"),
        )  # fmt: skip
        return model

    whole = network("uint8")
    whole.fit(Pictures(), batch_size=4, epochs=3, verbose=0, seed=2)
    first = network("uint8")
    assert first.resume(tmp_path / "checkpoints") == {"initial_epoch": 0, "initial_step": 0}
    with pytest.raises(KeyboardInterrupt):
        fit(first, Stops())
    second = network("uint8", seed=5)
    assert second.resume(tmp_path / "checkpoints") == {"initial_epoch": 1, "initial_step": 2}
    fit(second)
    for a, b in zip(whole.weights, second.weights, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_a_step_end_is_told_of_each_step():
    class Steps(Callback):
        def __init__(self):
            self.seen = []

        def on_step_end(self, epoch, step):
            self.seen.append((epoch, step))

    steps = Steps()
    network("uint8").fit(Pictures(), batch_size=8, epochs=2, verbose=0, callbacks=[steps])
    assert steps.seen == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]


def test_broken_records_of_the_validation_are_told_apart():
    told = Told()
    held = Pictures(6, broken=(1,))
    history = network("uint8").fit(Pictures(broken=(1,)), validation_data=held, verbose=0, callbacks=[told])
    assert list(history.broken) == ["picture-1.png", "picture-1.png (validation)"]


def test_the_step_that_failed_is_named_also_behind_a_batch_that_was_passed_over():
    class Grows(Pictures):
        def take(self, numbers):
            taken = super().take(numbers)
            return Taken((np.full((len(numbers), 2), 3e38 if 9 in numbers else 1.0, np.float32), *taken.columns[1:]),
                         taken.broken)  # fmt: skip

    source = Grows(12, broken=range(3, 6))
    source.elements = (TensorType("float32", (2,)), TensorType("int32", ()))
    model = mr.Sequential([mr.Input((2,)), layers.Dense(3, "softmax", kernel_initializer="ones", name="out")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(mr.layers.base.MillraceError, match="training stopped at step 4 of epoch 1"):
        model.fit(source, batch_size=3, shuffle=False, verbose=0)


def test_class_weights_do_not_count_in_what_is_held_out():
    one, two = network(), network()
    held = {"validation_data": (X[16:], Y[16:])}
    a = one.fit(X, Y, class_weight={1: 9.0}, validation_split=0.2, batch_size=4, verbose=0)
    b = two.fit(X[:16], Y[:16], class_weight={1: 9.0}, batch_size=4, verbose=0, **held)
    assert a.history == b.history


def test_a_run_that_ended_early_stays_so_when_it_is_gone_on_with(tmp_path):
    def fit(model):
        stop = mr.callbacks.EarlyStopping("loss", patience=0, mode="max")  # a falling loss is no improvement
        checkpoint = Checkpoint(tmp_path / "checkpoints")
        return model.fit(
            X, Y, epochs=9, verbose=0, callbacks=[stop, checkpoint], **model.resume(tmp_path / "checkpoints")
        )

    first = fit(network())
    assert 0 < len(first.epoch) < 9
    second = network()
    assert fit(second).epoch == [] and second.stop_training


def test_ctrl_c_in_the_last_step_of_an_epoch_can_be_gone_on_from(tmp_path):
    whole = network()
    whole.fit(X, Y, batch_size=5, epochs=3, verbose=0)
    model = network()
    model.fit(X, Y, batch_size=5, epochs=1, verbose=0)
    step = network()
    step.fit(X, Y, batch_size=5, epochs=1, verbose=0)
    step.save(tmp_path / "m.safetensors", progress={"epoch": 0, "step": 4})
    again = mr.load_model(tmp_path / "m.safetensors")
    again.fit(X, Y, batch_size=5, epochs=3, verbose=0, initial_step=4)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(whole.weights, again.weights, strict=True))
    with pytest.raises(ArgumentError, match="initial_step=5, but an epoch has 4 steps"):
        again.fit(X, Y, batch_size=5, verbose=0, initial_step=5)


def test_a_run_that_is_refused_has_written_nothing(tmp_path):
    lines = tmp_path / "metrics.jsonl"

    def callbacks():
        return [JsonLines(lines), Checkpoint(tmp_path / "checkpoints")]

    network().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks())
    before = lines.read_text()
    with pytest.raises(ArgumentError, match="later"):
        network().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks())
    assert lines.read_text() == before


def test_other_data_than_the_checkpoints_are_told_of(tmp_path):
    def fit(model, count):
        checkpoint = Checkpoint(tmp_path / "checkpoints")
        epochs = 1 + (model.resume(tmp_path / "checkpoints")["initial_epoch"])
        model.fit(
            Pictures(count), batch_size=4, epochs=epochs, verbose=0, callbacks=[checkpoint],
            **model.resume(tmp_path / "checkpoints"),
        )  # fmt: skip

    fit(network("uint8"), 20)
    with pytest.warns(UserWarning, match="made with 20 records in batches of 4, now there are 17 records"):
        fit(network("uint8"), 17)


def test_answers_of_a_source_are_held_to_what_the_loss_takes():
    model = mr.Sequential([mr.Input((4, 4, 1), dtype="uint8"), layers.Rescaling(0.1), layers.Flatten(),
                           layers.Dense(1, "sigmoid")])  # fmt: skip
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(DataError, match="must hold numbers from 0 to 1"):
        model.fit(Pictures(), verbose=0)


def test_a_queue_holds_no_more_than_it_was_given():
    program = network("uint8").program(Pictures(), batch_size=2, workers=8, max_queue_size=2)
    assert (program.training.op.capacity, program.training.op.workers) == (2, 2)
    assert network("uint8").program(Pictures(), batch_size=2, workers=8).training.op.capacity == 8


def test_an_error_while_evaluating_leaves_no_thread(monkeypatch):
    """Of the step as well as of the input: the threads wait for room in the queue then."""
    before = threading.active_count()
    failing = Pictures(error=(3, OSError("gone")))
    with pytest.raises(DataError, match="the region 'validation input' failed"):
        network("uint8").fit(Pictures(), validation_data=failing, batch_size=2, workers=2, verbose=0)
    model = network("uint8")

    def fails(*arrays):
        raise MemoryError("the step")

    monkeypatch.setattr(model.training_steps, "test", fails)
    with pytest.raises(MemoryError):
        model.fit(Pictures(), validation_data=Pictures(), batch_size=1, workers=2, max_queue_size=2, verbose=0)
    assert threading.active_count() == before


def test_making_a_batch_counts_as_waiting_where_no_thread_makes_it():
    history = network("uint8").fit(Pictures(), batch_size=4, verbose=0, workers=0)
    assert history.input_levels.taken == 5 and 0 < history.input_levels.waited < history.seconds
