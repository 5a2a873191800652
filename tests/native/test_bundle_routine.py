"""Many routines in one call, by threads of the library's own: native/source/bundle.c and team.c."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import test_convolution_routines
import test_scan_routine
from calling import Pool, at_the_edge, call
from test_pass_routine import ADD, COLUMN, MADE, MULTIPLY, RELU, ROW, SUBTRACT, WHOLE, constant, how, program
from test_pass_routine import BETWEEN as IN_A_PASS
from test_scan_routine import LSTM, loops, of_rows, run

from millrace.native.operations import REPEAT

ARGUMENT, RESULT, BETWEEN = range(3)  # where an array lies, as native/source/bundle.c has them
SOURCE = Path(test_convolution_routines.__file__).parents[2] / "src/millrace/native/source"


def number(library, name):
    return library.millrace_number(name.encode())


def bundle(library, *steps):
    """Steps (routine, arrays, results, its integers) as integers; an array is (kind, index, shape)."""
    places = list(dict.fromkeys(place for _, given, made, _ in steps for place in (*given, *made)))
    numbers = [0, len(places), len(steps), max(len(given) + len(made) for _, given, made, _ in steps)]
    for kind, index, shape in places:
        numbers += [kind, index, len(shape), *shape]
    for name, given, made, its in steps:
        assert number(library, name) >= 0
        numbers += [number(library, name), len(given), len(made), len(its)]
        numbers += [*(places.index(place) for place in (*given, *made)), *its]
    return numbers


def layer(library, x, w, row):
    """A layer with a rectifier, less its greatest numbers; sums of its columns; whether all is finite.

    As (the bundle, shapes of its results, its arrays); what is needed in between lies in the last result.
    """
    shape = rows, columns = len(x), w.shape[1]
    size = -(-rows * columns // 16) * 16
    hidden, greatest, centred = (BETWEEN, 0, shape), (BETWEEN, size, (rows,)), (RESULT, 0, shape)
    given = [(ARGUMENT, n, y.shape) for n, y in enumerate((x, w, row))]
    rectified = how(program((ADD, (MADE, 0), ((MADE, 0), (ROW, 2))), (RELU, (MADE, 0), ((MADE, 0),))))
    block = IN_A_PASS, 0
    less = how(program((REPEAT, block, ((COLUMN, 1),)), (SUBTRACT, (MADE, 0), ((WHOLE, 0), block))))
    steps = [
        ("dense_rows", given, [hidden], [0, *rectified]),
        ("row_maxima", [hidden], [greatest], []),
        ("pass", [hidden, greatest], [centred], [columns, *less]),
        ("column_sums", [centred], [(RESULT, 1, (columns,))], []),
        ("finite", [centred], [(RESULT, 2, ())], []),
    ]
    return bundle(library, *steps), [shape, (columns,), (), (size + rows,)], [x, w, row]


def layer_by_numpy(x, w, row):
    hidden = np.maximum(x.astype(np.float64) @ w + row, 0)
    centred = hidden - hidden.max(1, keepdims=True)
    return centred, centred.sum(0), 1.0


def drawn(seed, rows, depth, columns):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((rows, depth), (depth, columns), (columns,))]


def assert_is_layer(got, arrays):
    for x, exact in zip(got, layer_by_numpy(*arrays), strict=False):
        np.testing.assert_allclose(x, exact, rtol=1e-5, atol=1e-5 * (1 + np.abs(exact).max()))


def one_step(library, name, shapes, arrays, its=(), pool=None):
    """What `call` does, by way of a bundle."""
    arrays = [at_the_edge(x) for x in arrays]
    given = [(ARGUMENT, n, x.shape) for n, x in enumerate(arrays)]
    made = [(RESULT, n, tuple(shape)) for n, shape in enumerate(shapes)]
    numbers = bundle(library, (name, given, made, list(its)))
    return call(library, "bundle", [*shapes, (1,)], arrays, numbers, pool)[:-1]


@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (7, 40, 33), (130, 65, 100), (600, 17, 10)])
def test_steps_that_hand_arrays_to_one_another(libraries, rows, depth, columns):
    arrays = drawn(0, rows, depth, columns)
    for library in libraries.values():
        numbers, shapes, given = layer(library, *arrays)
        first, *others = (call(library, "bundle", shapes, given, numbers, Pool(n)) for n in (1, 2, 3, 8, 2, 1))
        assert_is_layer(first, arrays)
        for other in others:
            for x, y in zip(first[:-1], other[:-1], strict=True):
                np.testing.assert_array_equal(x, y)


def test_a_result_in_the_place_of_an_argument(libraries):
    x = drawn(0, 50, 1, 33)[0]
    for library in libraries.values():
        doubled = [1, *how(program((MULTIPLY, (MADE, 0), ((WHOLE, 0), constant(2)))))]
        more = [1, *how(program((ADD, (MADE, 0), ((WHOLE, 0), constant(1)))))]
        argument, first = (ARGUMENT, 0, x.shape), (RESULT, 0, x.shape)
        numbers = bundle(library, ("pass", [argument], [first], doubled), ("pass", [first], [first], more))
        got = call(library, "bundle", [x.shape, (1,)], [x], numbers, Pool(2), {0: 0})
        np.testing.assert_allclose(got[0], 2 * x + 1, rtol=1e-6)


def test_what_a_step_says_went_wrong_is_returned_and_nothing_follows(libraries):
    endless = 1 << 58
    for library in libraries.values():
        x, more = (ARGUMENT, 0, (1, 1)), [1, *how(program((ADD, (MADE, 0), ((WHOLE, 0), constant(1)))))]
        steps = [
            ("pass", [x], [x], more),
            ("column_sums", [x], [(BETWEEN, 0, (endless,))], []),
            ("pass", [x], [x], more),
        ]
        given = np.zeros((1, 1), np.float32)
        with pytest.raises(RuntimeError, match="not enough memory"):
            call(library, "bundle", [(1,), (1,)], [given], bundle(library, *steps), Pool(2))
        assert given == 1


def test_every_routine_has_a_number_but_the_bundle(libraries):
    names = set(re.findall(r"^ROUTINE\((\w+)\)", "\n".join(p.read_text() for p in SOURCE.glob("*.c")), re.MULTILINE))
    assert len(names) > 20
    for library in libraries.values():
        numbers = {name: number(library, name) for name in names}
        assert sorted(numbers.values()) == list(range(-1, len(names) - 1)) and numbers["bundle"] == -1
        assert number(library, "nothing_of_the_kind") == -1


def test_convolutions_and_loops_over_time_on_threads_of_our_own(libraries, monkeypatch):
    """In one step of a bundle they give the bits that they give by themselves."""
    rng = np.random.default_rng(0)
    drawn = [one for _ in range(8) for one in test_convolution_routines.geometry(rng)]
    loop = [(op, of_rows(op, arrays, 2)) for op, arrays in loops(LSTM(90), 4, 20)]
    for library in libraries.values():
        results = []
        for function in (call, one_step):
            monkeypatch.setattr(test_convolution_routines, "call", function)
            monkeypatch.setattr(test_scan_routine, "call", function)
            made = [test_convolution_routines.by(library, op, arrays, Pool(3)) for _, op, _, arrays in drawn]
            results.append(made + [x for op, arrays in loop for x in run(library, op, arrays, Pool(3))])
        for x, y in zip(*results, strict=True):
            np.testing.assert_array_equal(x, y)


def called_at_once(library, count, times, threads=None):
    """Whether bundles that several threads call at once, with numbers of their own, give all of them their own."""
    wrong = []

    def go(seed):
        arrays = drawn(seed, 40 + seed, 30, 33)
        numbers, shapes, given = layer(library, *arrays)
        try:
            for _ in range(times):
                assert_is_layer(call(library, "bundle", shapes, given, numbers, Pool(threads or 1 + seed % 4)), arrays)
        except BaseException as error:
            wrong.append(error)

    callers = [threading.Thread(target=go, args=(n,)) for n in range(count)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    return not wrong


def test_bundles_that_several_threads_call_at_once(libraries):
    for library in libraries.values():
        assert called_at_once(library, 6, 25)


FORKING = """
import ctypes, os, signal, sys, threading
sys.path[:0] = {path!r}
import test_bundle_routine as t
library = ctypes.CDLL({library!r})
assert t.called_at_once(library, 1, 1, threads=3)
busy = [threading.Thread(target=t.called_at_once, args=(library, 1, 100)) for _ in range(2)]
for thread in busy: thread.start()
children = []
for n in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        right = t.called_at_once(library, 1, 50, threads=3) and t.called_at_once(library, 2, 20)
        os._exit(not right or not t.are_there(3))
    children.append(child)
for thread in busy: thread.join()
assert t.called_at_once(library, 3, 3)
print([os.waitpid(child, 0)[1] for child in children])
"""


def are_there(threads):
    """Whether the process has so many threads, or soon has; where the system does not say it, it is not asked."""
    folder = Path("/proc/self/task")
    deadline = time.monotonic() + 5
    while folder.exists() and len(list(folder.iterdir())) != threads and time.monotonic() < deadline:
        time.sleep(0.001)  # one that is joined is there for a moment more
    return time.monotonic() < deadline


def test_a_child_of_a_process_with_such_threads(libraries):
    """fork leaves them behind, whatever they were about to do: a child has its own, and waits for none."""
    library = next(iter(libraries.values()))
    code = FORKING.format(path=sys.path, library=library._name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str([0] * 10), done.stderr
