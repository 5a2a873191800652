"""Weights from other people's files: PyTorch's without PyTorch, safetensors of anybody, and what is hostile.

tests/parity/make_torch_file.py made the files, with PyTorch.
"""

import io
import pickle
import sys
import tracemalloc
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import millrace as mr
from millrace import layers
from millrace.inference.saved import save
from millrace.inference.torch_file import read_torch
from millrace.inference.weights import into
from millrace.ir.errors import FileError

FILES = Path(__file__).parents[1] / "parity" / "torch_files"
with np.load(FILES / "expected.npz") as kept:
    EXPECTED = dict(kept)
MUTATIONS = 300


def network(units=4, names=(None, None, None)):
    convolution = layers.Conv2D(3, 3, name=names[0])
    norm = layers.BatchNormalization(epsilon=1e-5, name=names[1])  # as PyTorch has it
    dense = layers.Dense(units, name=names[2])
    parts = [mr.Input((8, 8, 1)), convolution, norm, layers.ReLU(), layers.Flatten(), dense]
    return mr.Sequential(parts, name="net")


def expected(name):
    return {key.partition("/")[2]: array for key, array in EXPECTED.items() if key.startswith(f"{name}/")}


@pytest.mark.parametrize("name", ["state.pt", "parameters.pt", "kinds.pt"])
def test_every_kind_of_tensor_is_read_as_pytorch_has_it(name):
    found = read_torch(FILES / name)
    right = expected(Path(name).stem)
    assert list(found) == list(right)
    for key, array in found.items():
        assert array.shape == right[key].shape
        if array.dtype == ml_dtypes.bfloat16:
            assert key == "bfloat16"
            array = array.astype(np.float32)
        assert array.dtype == right[key].dtype
        np.testing.assert_array_equal(array, right[key])


def test_the_state_is_found_within_a_checkpoint():
    found = read_torch(FILES / "checkpoint.pth")
    assert list(found) == list(expected("state"))
    np.testing.assert_array_equal(found["fc.weight"], expected("state")["fc.weight"])


@pytest.mark.parametrize("name", ["state.pt", "checkpoint.pth", "as.safetensors"])
def test_a_network_of_pytorch_answers_the_same_here(name, tmp_path):
    path, model = FILES / name, network()
    if name == "as.safetensors":
        path = tmp_path / name
        save_file(expected("state"), path)
        with pytest.raises(FileError, match="keeps no order: its layers are found by their names alone"):
            into(model, path)
        model = network(names=("conv", "norm", "fc"))
    found = into(model, path)
    assert (found.arrays, found.numbers) == (9, 479)
    np.testing.assert_allclose(model.predict(EXPECTED["x"]), EXPECTED["out"], rtol=1e-5, atol=1e-5)


def test_own_files_go_in_by_name(tmp_path):
    one, other = network(), network()
    one.save(tmp_path / "a.safetensors")
    one.save_weights(tmp_path / "b.safetensors")
    for name in ("a.safetensors", "b.safetensors"):
        other.weights[0].assign(0 * other.weights[0].numpy())
        assert into(other, tmp_path / name).origin == "Millrace"
        np.testing.assert_array_equal(other.weights[0].numpy(), one.weights[0].numpy())


def test_a_predictor_gives_no_weights(tmp_path):
    save(network(), tmp_path / "p.safetensors")
    with pytest.raises(FileError, match="is a predictor, whose weights have been folded"):
        into(network(), tmp_path / "p.safetensors")


REFUSED = [
    ("module.pt", r"holds a whole module: __main__\.Net, which was not run.*torch\.save\(model\.state_dict\(\)"),
    ("sequential.pt", r"whole module: torch\.nn\.modules\.container\.Sequential"),
    ("legacy.pt", r"before version 1\.6.*torch\.save\(torch\.load"),
    ("script.pt", "TorchScript program"),
    ("tensor.pt", "one tensor, not a state_dict"),
    ("two.pt", r"several state_dicts \('a', 'b'\)"),
    ("sparse.pt", "asks for code: torch"),
    ("expected.npz", "weights are read from .safetensors"),
    ("none.pt", "does not exist"),
]


@pytest.mark.parametrize(("name", "message"), REFUSED, ids=[name for name, _ in REFUSED])
def test_other_files_are_refused_with_what_to_do(name, message):
    model = network()
    before = model.weights[0].numpy().copy()
    with pytest.raises(FileError, match=message):
        into(model, FILES / name)
    np.testing.assert_array_equal(model.weights[0].numpy(), before)


def test_weights_of_another_network_change_nothing(tmp_path):
    model = network(units=5)
    before = [v.numpy().copy() for v in model.weights]
    with pytest.raises(FileError, match=r"state\.pt does not fit net: .*'dense"):
        into(model, FILES / "state.pt")
    state = expected("state")
    state["conv.bias"] = np.full(3, np.nan, np.float32)
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(FileError, match=r"'conv\.bias' holds numbers that are not a number"):
        into(model, tmp_path / "nan.safetensors")
    for v, array in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), array)


def numbered(count):
    """Linear layers called "0", "1", ..., "10", ...: sorted, "10" comes before "2"."""
    state = {}
    for n in range(count):
        state |= {f"{n}.weight": np.full((2, 2), n, np.float32), f"{n}.bias": np.full(2, n, np.float32)}
    return state


def test_safetensors_are_never_taken_in_sorted_order(tmp_path):
    save_file(numbered(12), tmp_path / "twelve.safetensors")
    names = [f"d{n}" for n in range(12)]
    model = mr.Sequential([mr.Input((2,)), *(layers.Dense(2, name=name) for name in names)], name="deep")
    before = model.get_weights()
    with pytest.raises(
        FileError, match=r"(?s)names alone.*d0, d1.* 6 more.*d1\.weight \[2, 2\], 1 more +1\.weight.*of 12\)"
    ):
        into(model, tmp_path / "twelve.safetensors")
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)
    model = mr.Sequential([mr.Input((2,)), *(layers.Dense(2, name=str(n)) for n in range(12))])
    assert into(model, tmp_path / "twelve.safetensors").pairs == ()
    assert [layer.bias.numpy()[0] for layer in model.layers if layer.weights] == list(range(12))


def test_layers_that_were_taken_in_order_are_told(tmp_path, monkeypatch, millrace):
    monkeypatch.chdir(tmp_path)
    model = network(names=("one", "two", "three"))
    pairs = (("one", "conv"), ("two", "norm"), ("three", "fc"))
    assert into(model, FILES / "state.pt").pairs == pairs
    assert into(network(names=("conv", "norm", "fc")), FILES / "state.pt").pairs == ()
    model.save("net.safetensors")
    printed, _, code = millrace("import", FILES / "state.pt", "m.safetensors", "--into", "net.safetensors")
    assert code == 0 and "taken in order:\n  one <- conv\n  two <- norm\n  three <- fc\n" in printed
    assert "more" not in printed


def test_open_sizes_of_an_onnx_model_are_given_by_command(tmp_path, monkeypatch, millrace):
    monkeypatch.chdir(tmp_path)
    file = FILES.parent / "onnx" / "transformer_script.onnx"
    _, error, code = millrace("import", file, "m.safetensors")
    assert code == 2 and "--sizes NAME=NUMBER" in error
    for sizes, message in {
        "length": "expected NAME=NUMBER", "length=0": "expected NAME=NUMBER", "length=6,": "expected NAME=NUMBER",
        "length=6,length=7": "'length' twice", "lenth=6": "Did you mean 'length'",
    }.items():  # fmt: skip
        _, error, code = millrace("import", file, "m.safetensors", "--sizes", sizes)
        assert code == 2 and message in error and not Path("m.safetensors").exists()
    _, error, code = millrace("import", FILES / "state.pt", "m.safetensors", "--into", "mlp", "--sizes", "length=6")
    assert code == 2 and "no ONNX model" in error
    printed, _, code = millrace("import", file, "m.safetensors", "--sizes", "batch=2,length=6")
    assert code == 0 and "[2, 6, 8]" in printed


# ---- hostile files


def repacked(raw, name=None, content=b"", **how):
    """The same archive with another entry of this name."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(made, "w", **how) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, content if name and entry.filename.endswith(name) else old.read(entry))
    return made.getvalue()


def pickle_of(raw):
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


class Touch:
    """What a hostile pickle does: it has a function called."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def hostile():
    import os

    yield "system", pickle.dumps({"w": Touch(os.system, "touch ran")}, 2)
    yield "open", pickle.dumps({"w": Touch(open, "ran", "w")}, 4)
    yield "eval", pickle.dumps(Touch(eval, "open('ran', 'w')"), 5)
    yield "getattr", pickle.dumps({"w": Touch(getattr, "x", "join")}, 2)
    yield "instance", b"(S'touch ran'\nios\nsystem\n."
    yield "object", b"(cos\nsystem\nS'touch ran'\no."
    yield "new", b"\x80\x02cmillrace.training.model\nModel\n)\x81."
    yield "build", b"\x80\x02ccollections\nOrderedDict\n)R}X\x08\x00\x00\x00__class__K\x01sb]b."
    yield "extension", b"\x80\x02\x82\x01."
    yield "persistent", b"\x80\x02(X\x07\x00\x00\x00storagecos\nsystem\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ."
    yield "deep", b"\x80\x02" + b"(" * 200_000 + b"l" * 10 + b"."
    yield "memo", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "long text", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc."
    yield "long bytes", b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x3fabc."
    yield "nothing", b""


@pytest.mark.parametrize(("name", "content"), list(hostile()), ids=[name for name, _ in hostile()])
def test_nothing_in_a_hostile_pickle_is_run(name, content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.pt").write_bytes(repacked((FILES / "state.pt").read_bytes(), "data.pkl", content))
    tracemalloc.start()
    with pytest.raises(FileError) as caught:
        read_torch("x.pt")
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not Path("ran").exists() and allocated < 50e6
    assert len(str(caught.value)) < 400


def test_lies_about_sizes_are_refused_before_memory_is_taken(tmp_path):
    raw = (FILES / "state.pt").read_bytes()
    content = pickle_of(raw)
    assert content.count(b"K\x04Kl\x86") == 1  # the shape (4, 108)
    lies = {
        "shape": content.replace(b"K\x04Kl\x86", b"J\xff\xff\xff\x7fKl\x86"),
        "one too many": content.replace(b"K\x04Kl\x86", b"K\x05Kl\x86"),
        "strides": content.replace(b"KlK\x01\x86", b"K\x00K\x00\x86"),
    }
    for name, lie in lies.items():
        assert lie != content
        (tmp_path / "x.pt").write_bytes(repacked(raw, "data.pkl", lie))
        if name == "strides":  # the same number many times: no more memory than there are numbers
            assert (read_torch(tmp_path / "x.pt")["fc.weight"] == expected("state")["fc.weight"][0, 0]).all()
            continue
        with pytest.raises(FileError, match=r"'fc\.weight' is said to be .* in a storage of 432 numbers"):
            read_torch(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(repacked(raw, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(FileError, match="is compressed, which torch"):
        read_torch(tmp_path / "x.pt")


def test_many_tensors_of_the_same_numbers_are_refused(tmp_path):
    raw = (FILES / "state.pt").read_bytes()
    name = b"X\x05\x00\x00\x00%05d"
    weight = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x007"
        b"X\x03\x00\x00\x00cpuM\xb0\x01tQK\x00M\xb0\x01\x85K\x01\x85tRq\x01"  # all 432 numbers of fc.weight
    )
    made = b"\x80\x02}(" + name % 0 + weight + b"".join(name % n + b"h\x01" for n in range(1, 5000)) + b"u."
    (tmp_path / "x.pt").write_bytes(repacked(raw, "data.pkl", made))
    with pytest.raises(FileError, match="same numbers again and again"):
        read_torch(tmp_path / "x.pt")


def test_entries_within_entries_are_refused(tmp_path):
    """Each would be read, although the file holds their bytes once."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("state/data/0", bytes(1000))
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("state/data.pkl", inner.getvalue())
        within = zipfile.ZipInfo("state/data/0")
        within.CRC = 0
        within.header_offset, within.file_size, within.compress_size = 30 + len("state/data.pkl"), 1000, 1000
        archive.filelist.append(within)
    with pytest.raises(FileError, match=r"entries overlap|Overlapped"):
        read_torch(tmp_path / "x.pt")


def test_mutations_give_an_error_or_weights_run_nothing_and_take_little_memory(tmp_path):
    rng = np.random.default_rng(0)
    seen = []

    def watch(event, arguments):
        if seen is not None and event in ("exec", "compile", "os.system", "subprocess.Popen", "pickle.find_class"):
            seen.append(event)

    names = ("state.pt", "kinds.pt", "checkpoint.pth")
    raws = [(FILES / name).read_bytes() for name in names]
    read_torch(FILES / "kinds.pt")  # what is imported on the way is imported now
    sys.addaudithook(watch)
    refused = 0
    tracemalloc.start()
    for n in range(MUTATIONS):
        raw = raws[n % 3]
        content = bytearray(pickle_of(raw) if n % 2 else raw)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(content)))
            kind = rng.integers(4)
            if kind == 0:
                content[place] = rng.integers(256)
            elif kind == 1:
                del content[place : place + int(rng.integers(1, 20))]
            elif kind == 2:
                content[place:place] = rng.bytes(int(rng.integers(1, 9)))
            else:
                content[place : place + 4] = b"\xff\xff\xff\x7f"
        (tmp_path / "x.pt").write_bytes(repacked(raw, "data.pkl", bytes(content)) if n % 2 else bytes(content))
        try:
            read_torch(tmp_path / "x.pt")
        except FileError as error:
            refused += len(str(error)) < 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == [] and refused > 0.9 * MUTATIONS and peak < 5e6
    seen = None  # the hook stays for the life of the process, and sleeps
