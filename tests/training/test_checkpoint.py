"""Keeping a model and going on: the same bits, whatever happens in between; and files that cannot be read."""

import contextlib
import errno
import os
import pickle
import signal
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import millrace as mr
from millrace import layers
from millrace.ir.errors import FileError
from millrace.layers.base import LAYERS
from millrace.training.checkpoint import FORMAT, load_arrays, save_arrays, write_whole

both = pytest.mark.parametrize("engine", ["xla", "numpy"])
RNG = np.random.default_rng(3)
X = RNG.standard_normal((20, 3)).astype(np.float32)
Y = (np.arange(20) % 2).astype(np.int32)


def compiled(engine="numpy", optimizer="adam"):
    """A network with everything that a run must remember: slots, masks, means."""
    model = mr.Sequential(
        [
            mr.Input((3,), name="x"),
            layers.Dense(4, "tanh", name="hidden"),
            layers.Dropout(0.3, name="drop"),
            layers.Dense(2, "softmax", name="out"),
        ],
        name="net",
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], engine=engine)
    return model


def fit(model, epochs, **options):
    return model.fit(X, Y, **{"batch_size": 1, "seed": 1, "verbose": 0, "epochs": epochs, **options})


def same_bits(one, two):
    assert [v.name for v in one.state] == [v.name for v in two.state]
    for a, b in zip(one.state, two.state, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.name, strict=True)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


class At(mr.callbacks.Callback):
    """Does something at the first progress or end of an epoch, and notes interruptions."""

    def __init__(self, action, epoch=0, when="progress"):
        self.action, self.epoch, self.when, self.interrupts = action, epoch, when, []

    def on_progress(self, epoch, step, logs):
        if (epoch, self.when) == (self.epoch, "progress"):
            self.action()

    def on_epoch_end(self, epoch, logs):
        if (epoch, self.when) == (self.epoch, "end"):
            self.action()

    def on_interrupt(self, epoch, step):
        self.interrupts.append((epoch, step))


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


# ---- going on


@pytest.mark.parametrize(
    "optimizer",
    ["adam", "adamw", mr.optimizers.SGD(0.1, momentum=0.9, weight_decay=1e-3)],
    ids=["adam", "adamw", "sgd"],
)
def test_a_loaded_model_predicts_and_evaluates_the_same(optimizer, tmp_path):
    model = compiled(optimizer=optimizer)
    fit(model, 2)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine="numpy")
    same_bits(model, loaded)
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


def test_a_model_that_was_not_compiled_round_trips_too(tmp_path):
    model = mr.Sequential([mr.Input((3,)), layers.Dense(2)])
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(mr.load_model(tmp_path / "m.safetensors").predict(X), model.predict(X))


@both
def test_two_epochs_and_two_more_after_loading_are_four_epochs(engine, tmp_path):
    straight = compiled(engine)
    whole = fit(straight, 4)
    model = compiled(engine)
    first = fit(model, 2)
    model.save(tmp_path / "m.safetensors")
    loaded = mr.load_model(tmp_path / "m.safetensors", engine=engine)
    second = fit(loaded, 4, initial_epoch=2)
    same_bits(loaded, straight)
    assert first.batch_losses + second.batch_losses == whole.batch_losses
    assert first.history["loss"] + second.history["loss"] == whole.history["loss"]
    assert second.epoch == [2, 3]


def test_weights_loaded_into_a_fresh_model_go_on_the_same(tmp_path):
    straight = compiled()
    fit(straight, 4)
    model = compiled()
    fit(model, 2)
    model.save(tmp_path / "m.safetensors", progress={"epoch": 2, "step": 0})
    fresh = compiled()
    progress = fresh.load_weights(tmp_path / "m.safetensors")
    assert progress == {"epoch": 2, "step": 0}
    fit(fresh, 4, initial_epoch=progress["epoch"])
    same_bits(fresh, straight)


@both
@pytest.mark.parametrize(("epoch", "when", "stopped"), [(0, "progress", (0, 17)), (1, "end", (2, 1))])
def test_interrupted_and_continued_is_never_stopped(engine, epoch, when, stopped, tmp_path):
    straight = compiled(engine)
    whole = fit(straight, 4)
    model = compiled(engine)
    stopper = At(ctrl_c, epoch, when)
    checkpoint = mr.callbacks.Checkpoint(tmp_path / "m.safetensors")
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(model, 4, callbacks=[stopper, checkpoint])
    assert stopper.interrupts == [stopped] == [(caught.value.epoch, caught.value.step)]
    loaded = mr.load_model(tmp_path / "m.safetensors", engine=engine)
    same_bits(loaded, model)
    assert (loaded.progress["epoch"], loaded.progress["step"]) == stopped
    for resumed in (model, loaded):
        rest = fit(resumed, 4, initial_epoch=stopped[0], initial_step=stopped[1])
        same_bits(resumed, straight)
        assert rest.history["loss"] == whole.history["loss"][stopped[0] :]
        assert rest.history["accuracy"] == whole.history["accuracy"][stopped[0] :]


def test_an_interruption_says_how_to_go_on():
    with pytest.raises(KeyboardInterrupt, match=r"model.save\(path\).*initial_epoch=0, initial_step=17"):
        fit(compiled(), 1, callbacks=[At(ctrl_c)])


def test_a_second_ctrl_c_stops_at_once():
    stopper = At(lambda: (ctrl_c(), ctrl_c()))
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(), 1, callbacks=[stopper])
    assert stopper.interrupts == []


@pytest.mark.parametrize("action", [ctrl_c, lambda: None])
def test_ctrl_c_means_what_it_meant_once_training_is_over(action):
    before = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(KeyboardInterrupt):
        fit(compiled(), 1, callbacks=[At(action)])
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_the_very_end_is_not_lost():
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(), 1, callbacks=[At(ctrl_c, 0, "end")])


def test_a_learning_rate_that_is_a_function_is_not_silently_lost(tmp_path):
    def schedule(step):
        return 0.1 / (1.0 + step)

    straight = compiled(optimizer=mr.optimizers.SGD(schedule))
    fit(straight, 2)
    model = compiled(optimizer=mr.optimizers.SGD(schedule))
    fit(model, 1)
    model.save(tmp_path / "m.safetensors")
    fresh = compiled(optimizer=mr.optimizers.SGD(schedule))
    fresh.load_weights(tmp_path / "m.safetensors")
    fit(fresh, 2, initial_epoch=1)
    same_bits(fresh, straight)
    with pytest.raises(mr.layers.base.MillraceError):
        fit(mr.load_model(tmp_path / "m.safetensors"), 2, initial_epoch=1)


def test_the_checkpoint_callback_saves_after_each_epoch(tmp_path):
    seen = []
    path = tmp_path / "run" / "m.safetensors"
    checkpoint = mr.callbacks.Checkpoint(path, lambda: {"run": "mine"})

    def read():
        checkpoint.saver.ready()
        seen.append(load_arrays(path)[1]["progress"])

    fit(compiled(), 2, callbacks=[checkpoint, At(read, 0, "end")])
    read()
    kept = [{name: one[name] for name in ("epoch", "step", "run", "stopped")} for one in seen]
    assert kept == [{"epoch": n, "step": 0, "run": "mine", "stopped": False} for n in (1, 2)]


# ---- writing fails


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullFile:
    """A file on a disk that is full: it takes the first bytes."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        self.file.write(content[:10])
        full()


def fill_the_disk(monkeypatch, where):
    if where == "write":
        really = Path.open
        monkeypatch.setattr(Path, "open", lambda *args, **kwargs: FullFile(really(*args, **kwargs)))
    else:
        monkeypatch.setattr(os, where, full)


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(where, tmp_path, monkeypatch):
    path, model = tmp_path / "m.safetensors", compiled()
    model.save(path)
    before = path.read_bytes()
    fit(model, 1)
    with monkeypatch.context() as patch:
        fill_the_disk(patch, where)
        with pytest.raises(FileError) as caught:
            model.save(path)
    message = str(caught.value)
    assert all(words in message for words in (str(path), "No space left", "untouched", "Free some space"))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    model.save(path)
    same_bits(mr.load_model(path, engine="numpy"), model)


def test_a_full_disk_without_an_earlier_file_leaves_nothing(tmp_path, monkeypatch):
    fill_the_disk(monkeypatch, "fsync")
    with pytest.raises(FileError, match="Nothing was written"):
        compiled().save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_during_fit_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    checkpoint, seen = mr.callbacks.Checkpoint(path), []

    def fill():
        checkpoint.saver.ready()
        fill_the_disk(monkeypatch, "fsync")

    with pytest.raises(FileError, match=r"the region 'save' failed: cannot write .* No space left"):
        fit(compiled(), 5, callbacks=[checkpoint, At(fill, 0, "end"), At(lambda: seen.append(2), 2, "end")])
    assert {"epoch": 1, "step": 0}.items() <= load_arrays(path)[1]["progress"].items()
    assert not seen  # it stopped soon after


def test_a_stop_while_writing_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path, model = tmp_path / "m.safetensors", compiled()
    model.save(path)
    before = path.read_bytes()

    def stop(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full" / "inner").mkdir(parents=True)
    for path in (tmp_path / "file" / "m.safetensors", tmp_path / "full"):
        with pytest.raises(FileError, match="cannot write") as caught:
            compiled().save(path)
        assert str(path) in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full"]


# ---- files that cannot be read


def refused(path, **options):
    """What loading says; it names the path."""
    with pytest.raises(FileError) as caught:
        mr.load_model(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "m.safetensors"
    model = compiled()
    model.save(path)
    return path


def change(path, edit):
    """Write the file anew with something else in it and a checksum that fits."""
    arrays, about = load_arrays(path)
    about = {k: v for k, v in about.items() if k not in ("format", "sha256")}
    edit(arrays, about)
    save_arrays(path, arrays, about)


def header_length(path):
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 0.9, 0.999])
def test_a_truncated_file_is_damaged(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    assert "earlier checkpoint, or train again" in refused(saved)


def test_a_file_with_more_at_its_end_is_damaged(saved):
    saved.write_bytes(saved.read_bytes() + b"more")
    assert "damaged" in refused(saved)


@pytest.mark.parametrize("part", ["header", "arrays"])
def test_a_flipped_bit_is_found_wherever_it_is(saved, part):
    content, middle = saved.read_bytes(), header_length(saved)
    places = range(0, middle, 11) if part == "header" else range(middle, len(content), 11)
    missed = []
    for place in places:
        saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with contextlib.suppress(FileError):
            mr.load_model(saved, engine="numpy")
            missed.append(place)
    assert not missed, [content[max(place - 12, 0) : place + 12] for place in missed[:5]]


def test_a_damaged_file_changes_no_weight(saved):
    model = compiled()
    fit(model, 1)
    before = model.get_weights()
    content = saved.read_bytes()
    saved.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FileError, match="checksum"):
        model.load_weights(saved)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_foreign_safetensors_file_is_not_ours(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}, {"millrace": "not json"}, {"millrace": "[1]"}, {"millrace": "{}"}):
        save_file({"w": np.zeros(3, np.float32)}, path, metadata=metadata)
        assert "Millrace did not write it" in refused(path)


def test_arrays_that_are_no_model_say_so(tmp_path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"w": np.zeros(3, np.float32)}, {"kind": "other"})
    assert "holds no model" in refused(path)


def test_a_directory_and_a_missing_file_are_told_apart(tmp_path):
    assert "is a directory" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"text", b"\x00" * 100, b"\xff" * 100, b"PK\x03\x04" + b"\x00" * 60])
def test_any_other_file_is_refused(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    assert "damaged or no safetensors file" in refused(path)


def test_a_later_format_asks_for_an_update(saved, monkeypatch):
    arrays, about = load_arrays(saved)
    monkeypatch.setattr("millrace.training.checkpoint.FORMAT", FORMAT + 1)
    save_arrays(saved, arrays, about)
    monkeypatch.undo()
    assert f"format {FORMAT + 1}, this Millrace reads up to {FORMAT}: update" in refused(saved)


def test_a_flipped_format_is_damage_and_no_later_format(saved):
    content = saved.read_bytes()
    written = b'\\"format\\": %d' % FORMAT
    assert content.count(written) == 1
    for other in range(10):
        if other != FORMAT:
            saved.write_bytes(content.replace(written, b'\\"format\\": %d' % other))
            assert "damaged: its checksum" in refused(saved)


def test_a_file_of_the_first_format_still_loads():
    """Written by the Millrace that had one SHA-256 over everything."""
    path = Path(__file__).parent / "format1.safetensors"
    assert load_arrays(path)[1]["format"] == 1
    model = mr.load_model(path, engine="numpy")
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, np.arange(6).reshape(3, 2) / 8)
    np.testing.assert_array_equal(bias, [-1, 2])
    assert (model.progress["epoch"], model.progress["step"]) == (3, 1)
    np.testing.assert_array_equal(model.progress["callbacks"]["EarlyStopping"]["best/w"], [0, 1, 2])


@pytest.mark.parametrize("part", ["header", "arrays"])
def test_a_flipped_bit_is_found_in_the_first_format_too(tmp_path, part):
    path = tmp_path / "m.safetensors"
    content = (Path(__file__).parent / "format1.safetensors").read_bytes()
    middle = 8 + int.from_bytes(content[:8], "little")
    for place in range(0, middle, 7) if part == "header" else range(middle, len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FileError):
            load_arrays(path)


def test_the_library_reads_what_is_written(tmp_path):
    """Every dtype, shapes without axes and without elements, and an array that does not lie in C order."""
    from safetensors.numpy import load_file

    names = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32")
    arrays = {name: np.arange(3).astype(name) for name in (*names, "float64")}
    arrays |= {"none": np.float64(2.5), "empty": np.zeros((0, 4), np.float32), "turned": np.arange(6.0).reshape(2, 3).T}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    path = tmp_path / "a.safetensors"
    save_arrays(path, arrays, {})
    read, ours = load_file(path), load_arrays(path)[0]
    assert read.keys() == arrays.keys() == ours.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
        np.testing.assert_array_equal(ours[name], array, strict=True)
    save_arrays(path.with_name("b.safetensors"), dict(reversed(arrays.items())), {})
    assert path.read_bytes() == path.with_name("b.safetensors").read_bytes()


def test_bfloat16_is_kept_to_the_bit(tmp_path):
    import ml_dtypes

    array = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16)
    save_arrays(tmp_path / "a.safetensors", {"x": array}, {})
    read = load_arrays(tmp_path / "a.safetensors")[0]["x"]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read.view(np.uint16), array.view(np.uint16))


def test_damage_that_a_checksum_of_single_arrays_would_miss_is_found(tmp_path):
    """Two arrays of one type that change places: each is whole, and neither is where it was."""
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"a": np.zeros(4), "b": np.ones(4)}, {})
    content = path.read_bytes()
    path.write_bytes(content[:-64] + content[-32:] + content[-64:-32])
    with pytest.raises(FileError, match="checksum"):
        load_arrays(path)
    (size,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + size].replace(b'"a":{', b'"?":{').replace(b'"b":{', b'"a":{').replace(b'"?":{', b'"b":{')
    path.write_bytes(content[:8] + header + content[8 + size :])
    with pytest.raises(FileError, match="checksum"):
        load_arrays(path)


def test_the_checksum_is_the_usual_crc32(tmp_path):
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"a": np.arange(4, dtype=np.float32)}, {})
    expected = zlib.crc32(b"a float32 (4,)\n" + np.arange(4, dtype=np.float32).tobytes())
    assert load_arrays(path)[1]["crc32"] == {"a": f"{expected:08x}"}


def test_an_unknown_layer_asks_for_custom_objects(saved):
    change(saved, lambda arrays, about: about["architecture"]["steps"][0].update(class_name="Dens"))
    message = refused(saved)
    assert "Did you mean 'Dense'?" in message and "custom_objects" in message and "'hidden'" in message


def architecture(**changes):
    return lambda arrays, about: about["architecture"].update(changes)


def first_step(**changes):
    return lambda arrays, about: about["architecture"]["steps"][0].update(changes)


def config(**changes):
    return lambda arrays, about: about["architecture"]["steps"][0]["config"].update(changes)


def training(**changes):
    return lambda arrays, about: about["compile"].update(changes)


DAMAGES = {
    "nothing": lambda arrays, about: about.update(architecture={}),
    "a list": lambda arrays, about: about.update(architecture=[1]),
    "no inputs": architecture(inputs=None),
    "inputs without a type": architecture(inputs=[{"name": "x"}]),
    "an input of a wrong type": architecture(inputs=[{"name": "x", "type": "float31[batch, 3]"}]),
    "an input that is no type": architecture(inputs=[{"name": "x", "type": "]["}]),
    "an input without a batch": architecture(inputs=[{"name": "x", "type": "float32"}]),
    "an input of numbers": architecture(inputs=[{"name": "x", "type": 3}]),
    "a name that is none": architecture(name="a b"),
    "a name that is a number": architecture(name=3),
    "steps of text": architecture(steps="abc"),
    "steps of numbers": architecture(steps=[1, 2]),
    "an output that is not there": architecture(outputs=[99]),
    "outputs of text": architecture(outputs=["a"]),
    "no outputs": architecture(outputs=[]),
    "a step with an input that is not there": first_step(inputs=[99]),
    "a step without inputs": first_step(inputs=[]),
    "a step with two inputs": first_step(inputs=[0, 0]),
    "a layer shared with none": first_step(shared_with=5),
    "a layer shared with a later one": first_step(shared_with=0),
    "a class that is no text": first_step(class_name=["Dense"]),
    "the base class": first_step(class_name="Layer"),
    "a model without parts": first_step(class_name="Model", config={"name": "m"}),
    "a layer without settings": first_step(config=None),
    "settings of another layer": first_step(config={"filters": 3}),
    "an operation that is none": first_step(operation="Nonsense(3)"),
    "an operation that is code": first_step(operation="__import__('os').getcwd()"),
    "an operation that is a number": first_step(operation=3),
    "a negative size": config(units=-3),
    "a size of text": config(units="a"),
    "an unknown activation": config(activation="rellu"),
    "an unknown initializer": config(kernel_initializer={"class_name": "Nonsense", "config": {}}),
    "an initializer with other settings": config(kernel_initializer={"class_name": "HeNormal", "config": {"a": 1}}),
    "a layer name that is none": config(name="a b"),
    "an unknown optimizer": training(optimizer={"class_name": "adm", "config": {}}),
    "an optimizer with other settings": training(optimizer={"class_name": "adam", "config": {"a": 1}}),
    "an optimizer without settings": training(optimizer={"class_name": "adam", "config": None}),
    "an unknown loss": training(loss="nonsense"),
    "a loss that does not fit": training(loss="mse", metrics=["accuracy"]),
    "metrics that are a number": training(metrics=3),
    "training that is a number": lambda arrays, about: about.update(compile=3),
    "progress that is a number": lambda arrays, about: about.update(progress=3),
    "other shapes": lambda arrays, about: arrays.update({"hidden/kernel": np.zeros((4, 3), np.float32)}),
    "other dtypes": lambda arrays, about: arrays.update({"hidden/kernel": np.zeros((3, 4), np.int32)}),
    "a missing weight": lambda arrays, about: arrays.pop("hidden/kernel"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_description_is_refused_with_its_path(saved, damage):
    change(saved, DAMAGES[damage])
    assert refused(saved, engine="numpy")


def test_weights_of_another_model_are_refused_and_none_is_taken(saved):
    other = mr.Sequential([mr.Input((3,)), layers.Dense(4, name="hidden"), layers.Dense(3, name="out")])
    before = other.get_weights()
    with pytest.raises(FileError, match="is of another model: 'out/kernel'") as caught:
        other.load_weights(saved)
    assert str(saved) in str(caught.value)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- other dtypes


NUMBERS = np.float32([0.1, -2.5, 3e4, 1e-6])


def scaled(dtype, numbers=NUMBERS):
    """A model with one weight of a dtype."""
    import ml_dtypes

    x = mr.Input((4,))
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    model = mr.Model(x, x * mr.cast(mr.Variable(np.asarray(numbers).astype(kind), name="scale"), "float32"))
    assert model.weights[0].dtype == dtype
    return model


WIDER = [("float32", "float64"), ("bfloat16", "float32"), ("float16", "float32"), ("float16", "float64")]


@pytest.mark.parametrize(("there", "here"), WIDER)
def test_a_wider_model_takes_every_number_as_it_is(there, here, tmp_path, recwarn):
    before, after = scaled(there), scaled(here, np.zeros(4))
    before.save_weights(tmp_path / "m.safetensors")
    after.load_weights(tmp_path / "m.safetensors")
    assert not recwarn.list and after.weights[0].dtype == here
    np.testing.assert_array_equal(before.get_weights()[0].astype(float), after.get_weights()[0].astype(float))


@pytest.mark.parametrize(("there", "here"), [*((b, a) for a, b in WIDER), ("bfloat16", "float16")])
def test_a_narrower_model_takes_the_nearest_numbers_and_says_so(there, here, tmp_path):
    before, after = scaled(there), scaled(here, np.zeros(4))
    before.save_weights(tmp_path / "m.safetensors")
    with pytest.warns(UserWarning, match=f"holds {there} where the model has {here}.*rounded"):
        after.load_weights(tmp_path / "m.safetensors")
    numbers = after.get_weights()[0]
    assert numbers.dtype == here
    np.testing.assert_allclose(numbers.astype(float), NUMBERS, rtol=2**-7, atol=1e-6)


def test_numbers_that_the_models_dtype_cannot_hold_are_refused(tmp_path):
    before, after = scaled("float32", [1, 2, 70000, 4]), scaled("float16")
    before.save_weights(tmp_path / "m.safetensors")
    with pytest.raises(FileError, match="'scale' holds numbers up to 70000, which float16 cannot hold"):
        after.load_weights(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(after.get_weights()[0], NUMBERS.astype(np.float16))


def test_whole_numbers_are_no_floating_point_numbers(tmp_path):
    scaled("int32", [1, 2, 3, 4]).save_weights(tmp_path / "m.safetensors")
    with pytest.raises(FileError, match=r"of another model: 'scale' is int32\[4\] there, float32\[4\] here"):
        scaled("float32").load_weights(tmp_path / "m.safetensors")


# ---- nothing in a file is run


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    refused(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["operation", "activation", "initializer", "class_name", "type", "name"])
def test_code_in_a_description_is_not_run(saved, where):
    ran = saved.parent / "ran"
    code = f"__import__('os').mkdir({str(ran)!r})"
    edits = {
        "operation": first_step(operation=code),
        "activation": config(activation=code),
        "initializer": config(kernel_initializer={"class_name": code, "config": {}}),
        "class_name": first_step(class_name=code),
        "type": architecture(inputs=[{"name": "x", "type": f"float32[{code}, 3]"}]),
        "name": config(name=code),
    }
    change(saved, edits[where])
    refused(saved, engine="numpy")
    assert not ran.exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "__class__", "Callable", "type", "Steps"])
def test_a_class_that_is_no_layer_is_not_made(saved, name):
    assert name not in LAYERS
    change(saved, first_step(class_name=name))
    assert "unknown layer" in refused(saved)


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(FileError, match=r"it is a folder\. Give a file"):
        save_arrays(tmp_path, {"a": np.zeros(2)}, {})
    assert not list(tmp_path.parent.glob(".*.partial"))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Ask for the right to write there"),
        (errno.ENAMETOOLONG, "Give a shorter name"),
        (errno.EROFS, "Nothing can be written on that disk"),
        (errno.EIO, "Choose another place"),
    ],
)
def test_what_to_do_depends_on_why_it_cannot_be_written(number, advice, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(FileError) as caught:
        write_whole(tmp_path / "a.bin", b"content")
    said = str(caught.value)
    assert advice in said and os.strerror(number) in said and "space" not in said and not list(tmp_path.iterdir())


def test_a_folder_whose_name_a_file_has_is_no_matter_of_space(tmp_path):
    (tmp_path / "file").write_text("there")
    for place in ("file/a.bin", "file/deep/a.bin"):
        with pytest.raises(FileError, match=r"is a file where a folder is needed: choose another place\.$"):
            write_whole(tmp_path / place, b"content")


def test_what_was_exported_is_exported_again_and_opened_elsewhere(tmp_path):
    x = mr.Input((2,), name="x")
    mr.Model(x, mr.layers.Dense(1)(x)).export(tmp_path / "p.safetensors")
    assert "holds a predictor" in refused(tmp_path / "p.safetensors")
    assert "millrace.inference.opened opens it" in refused(tmp_path / "p.safetensors")
    content = bytearray((tmp_path / "p.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "p.safetensors").write_bytes(content)
    said = refused(tmp_path / "p.safetensors")
    assert said.endswith("Export it again.") and "checkpoint" not in said
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07" * 50)
    assert "is an ONNX model by its name" in refused(tmp_path / "m.onnx")
