"""Files of trained models, damaged in every way: run by test_hostile_files.py, in one process with bounded memory.

    python mutations.py predictor|model SEED COUNT FOLDER

Prints what happened as JSON. Each file must open or raise MillraceError; none may run code, take more memory than is
there, or take long.
"""

import contextlib
import json
import random
import re
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import millrace.api as mr
from millrace.inference import Predictor, opened, save
from millrace.ir.core import OPS
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.layers.base import LAYERS
from millrace.training.checkpoint import load_arrays, packed

ROOM = 600 << 20  # bytes of memory beyond what the process has before the first file
NUMBERS = [
    "0",
    "-1",
    "1000000",
    "1000000000000",
    "9223372036854775808",
    "1e999",
    "nan",
    "1" + "0" * 5000,
    "0xffff",
    "3",
]
VALUES = [
    None, True, -1, 0, 10**6, 10**9, 10**12, 2**63, 10**400, 1e300, float("nan"), float("inf"), "", "x", "../x", "\x00",
    "\ud800", "relu", "float32", [], {}, [[[]]], [10**9, 10**9], {"function": "set_functional"}, {"layer": "Model"},
    {"class_name": "Lambda", "config": {}}, "A" * 10_000,
]  # fmt: skip
FORBIDDEN = (
    "exec", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "os.remove", "os.rename", "os.mkdir", "ctypes.dlopen", "marshal.loads",
)  # fmt: skip


def predictor_file(path):
    """A network with a convolution, a loop, a long constant and a state, so that every part of the reader is used."""
    mr.set_seed(0)
    x = mr.Input((6, 6, 1), name="x", batch_size=2)
    pooled = mr.layers.MaxPooling2D(2)(mr.layers.BatchNormalization()(mr.layers.Conv2D(2, 3, padding="same")(x)))
    rows = mr.layers.Reshape((3, 6))(pooled)
    y = mr.layers.LSTM(3, stateful=True)(mr.layers.Dense(4, "gelu")(rows))
    model = mr.Model(x, mr.layers.Dense(3, "softmax")(y))
    graph = Predictor.of(model).graph
    table = graph.outputs[0] + mr.constant(np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3))[:1]
    updates = {variable: value.node.inputs[0] for variable, value in graph.updates.items()}
    save(Predictor(Graph(graph.inputs, [*graph.outputs, table], updates), ["y", "z"]), path)


def model_file(path):
    """A compiled network of layers with all kinds of arguments, and an optimizer that remembers."""
    mr.set_seed(0)
    x = mr.Input((6, 6, 1), name="x")
    inner = mr.Sequential([mr.Input((5,)), mr.layers.Dense(5, "relu"), mr.layers.Dropout(0.5)])
    hidden = mr.layers.Flatten()(mr.layers.AveragePooling2D()(mr.layers.Conv2D(2, 3, kernel_regularizer="l2")(x)))
    model = mr.Model(x, mr.layers.Dense(3, "softmax")(inner(inner(mr.layers.Dense(5)(hidden * 2.0)))))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], engine="numpy")
    model.save(path)


def raw(rng, content):
    """Bytes that are other bytes, missing, twice there, or none."""
    for _ in range(rng.choice((1, 1, 3, 10))):
        a = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(min(len(content), 2000))
        b = min(a + rng.choice((1, 8, 100, 1000)), len(content))
        way = rng.randrange(6)
        if way == 0:
            content = content[:a] + bytes([content[a] ^ 1 << rng.randrange(8)]) + content[a + 1 :]
        elif way == 1:
            content = content[:a]
        elif way == 2:
            content = content[:a] + content[b:]
        elif way == 3:
            content = content[:b] + content[a:b] + content[b:]
        elif way == 4:
            content = content[:a] + rng.randbytes(b - a) + content[b:]
        else:
            content = rng.randrange(2 ** rng.choice((8, 20, 40, 64))).to_bytes(8, "little") + content[8:]
        content = content or b"\x00"
    return content


def edited_text(rng, text):
    """A graph's text with another number, operation, attribute, name or line."""
    lines = text.split("\n")
    n = rng.randrange(len(lines))
    line, way = lines[n], rng.randrange(8)
    if way == 0 and (found := list(re.finditer(r"\d+", text))):
        one = rng.choice(found)
        return text[: one.start()] + rng.choice(NUMBERS) + text[one.end() :]
    if way == 1 and (found := list(re.finditer(r"[A-Z]\w+(?=\()", text))):
        one = rng.choice(found)
        return text[: one.start()] + rng.choice(list(OPS)) + text[one.end() :]
    if way == 2 and (found := list(re.finditer(r"\w+=[^=()]*, ", text))):
        one = rng.choice(found)
        return text[: one.start()] + text[one.end() :]
    if way == 3:
        lines[n] = ""
    elif way == 4:
        lines.insert(n, rng.choice(lines))
    elif way == 5:
        lines[n] = re.sub(r"v\d+", f"v{rng.randrange(40)}", line, count=1)
    elif way == 6:
        at = rng.randrange(len(line) + 1)
        lines[n] = (
            line[:at]
            + rng.choice(["(", ")", "'", "\\", "[", ", ", "=", " : ", " @ ", "\x00", "-", "*", "batch"])
            + line[at:]
        )
    else:
        at, many = rng.randrange(len(line) + 1), rng.choice(["(", "-", "[", "1*", "b+", "\\", "'", "a,", " : f[] @ '"])
        lines[n] = line[:at] + many * rng.choice((100, 20_000)) + line[at:]
    return "\n".join(lines)


def places(value, found):
    """Every place in a JSON value, as (container, key)."""
    for key in value if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            places(value[key], found)
    return found


def sealed(rng, arrays, about):
    """Other things said, or other arrays, under checksums that fit."""
    about, arrays = json.loads(json.dumps(about)), dict(arrays)
    way = rng.random()
    if way < 0.45 and "graph" in about:
        for _ in range(rng.choice((1, 1, 2))):
            about["graph"] = edited_text(rng, about["graph"])
    elif way < 0.85:
        found = places(about, [])
        for _ in range(rng.choice((1, 1, 1, 2))):
            holder, key = rng.choice(found)
            with contextlib.suppress(KeyError, IndexError):
                if rng.random() < 0.2:
                    del holder[key]
                elif isinstance(holder[key], str) and rng.random() < 0.5:
                    holder[key] = rng.choice([*LAYERS, "Adam", "sgd", "AUC", "mean", *OPS])
                elif rng.random() < 0.3:
                    other, place = rng.choice(found)
                    holder[key] = json.loads(json.dumps(other[place]))
                else:
                    holder[key] = rng.choice(VALUES)
    else:
        name = rng.choice(list(arrays))
        array = arrays.pop(name)
        with contextlib.suppress(ValueError):
            if way < 0.9:
                arrays[name] = array.reshape(-1) if rng.random() < 0.5 else np.concatenate([array, array])
            elif way < 0.95:
                arrays[name] = array.astype(rng.choice(["float64", "int8", "bool", "float16"]))
            else:
                arrays[rng.choice([*arrays, "x", "sha256:x", "optimizer/x"])] = array
    return b"".join(packed(arrays, about))


def opened_or_refused(path, compiled):
    """ "" where a file opens, else what the error says."""
    try:
        if compiled:
            mr.load_model(path, engine="numpy")
        else:
            opened(path, engine="numpy")
    except MillraceError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(kind, seed, count, folder):
    path, rng = Path(folder) / "m.safetensors", random.Random(seed)
    (predictor_file if kind == "predictor" else model_file)(path)
    content, (arrays, about) = path.read_bytes(), load_arrays(path)
    about = {key: value for key, value in about.items() if key not in ("format", "crc32", "check")}
    for compiled in (False, *([True] if kind == "model" else [])):
        assert opened_or_refused(path, compiled) == ""
    path.write_bytes(b"")
    opened_or_refused(path, False)
    memory = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (memory + ROOM, memory + ROOM))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran: list[str] = []

    def heard(event, arguments):
        if event in FORBIDDEN:
            ran.append(f"{event} {arguments}"[:200])
        if event == "import" and arguments[0].split(".")[0] not in {*sys.stdlib_module_names, "millrace", "numpy"}:
            ran.append(f"import {arguments[0]}")

    sys.addaudithook(heard)
    outcomes, wrong, slowest = Counter(), [], 0.0
    for n in range(count):
        made = raw(rng, content) if rng.random() < 0.3 else sealed(rng, arrays, about)
        path.write_bytes(made)
        begun = time.process_time()
        try:
            said = opened_or_refused(path, kind == "model" and n % 2 == 1)
        except BaseException as error:  # what a user must never see
            wrong.append(f"file {n}: {type(error).__name__}: {error}"[:300])
            continue
        slowest = max(slowest, time.process_time() - begun)
        outcomes[said.split(":")[0] or "opened"] += 1
        if (
            len(said) > 5000
            or "nable to allocate" in said
            or "MemoryError" in said
            or "does not fit into memory" in said
        ):
            wrong.append(f"file {n}: {said[:300]}")
        if said and not said.replace("\n", "").isprintable():
            wrong.append(f"file {n} says {said!r:.300}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"outcomes": outcomes, "wrong": wrong, "slowest": slowest, "grown_kib": grown, "ran": ran}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
