"""The interpreter: concurrent, observable, sparing with memory, and without need of JAX."""

import os
import subprocess
import sys
import textwrap
import threading
import tracemalloc

import numpy as np
import pytest

import millrace as mr
from millrace.ir.core import layer_scope
from millrace.ir.errors import NonFiniteError, ShapeError
from millrace.ops.elementwise import Cos, Exp, Sin, Tanh

ONES = np.ones((2, 3), np.float32)


def data(name="x"):
    return mr.Input((3,), name=name)


def python(code, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def test_independent_nodes_run_at_the_same_time(monkeypatch):
    barrier = threading.Barrier(2, timeout=20)
    for op in (Sin, Cos):
        real = op.evaluate
        monkeypatch.setattr(op, "evaluate", lambda self, x, real=real: (barrier.wait(), real(self, x))[1])
    x = data()
    f = mr.function([x], mr.sin(x) + mr.cos(x), engine=mr.Interpreter(workers=2))
    np.testing.assert_allclose(f(ONES), np.sin(ONES) + np.cos(ONES), rtol=1e-6)


def test_four_independent_nodes_run_at_the_same_time(monkeypatch):
    barrier = threading.Barrier(4, timeout=20)
    real = Tanh.evaluate
    monkeypatch.setattr(Tanh, "evaluate", lambda self, x: (barrier.wait(), real(self, x))[1])
    x = data()
    y = mr.tanh(x) + mr.tanh(x * 2.0) + mr.tanh(x * 3.0) + mr.tanh(x * 4.0)
    mr.function([x], y, engine=mr.Interpreter(workers=4))(ONES)


def test_a_node_waits_for_all_of_its_inputs():
    x = data()
    y = x
    for _ in range(30):
        y = mr.tanh(y) + mr.sin(y) * mr.cos(y)
    f = mr.function([x], y, engine=mr.Interpreter(workers=4))
    first = f(ONES)
    for _ in range(10):
        np.testing.assert_array_equal(f(ONES), first)


def test_one_interpreter_serves_many_threads():
    x = data()
    f = mr.function([x], mr.tanh(x) + mr.sin(x), engine="numpy")
    results = [None] * 8

    def work(n):
        results[n] = [f(ONES * n) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    for n, got in enumerate(results):
        for y in got:
            np.testing.assert_allclose(y, np.tanh(ONES * n) + np.sin(ONES * n), rtol=1e-6)


def test_record_keeps_every_value_under_the_users_own_objects():
    w = mr.Variable(np.float32(2), name="w")
    x = data()
    h = x * w
    y = mr.tanh(h)
    unsimplified = y + 0.0
    engine = mr.Interpreter(record=True)
    mr.function([x], mr.sum(unsimplified), engine=engine)(ONES)
    np.testing.assert_array_equal(engine.recorded[x], ONES)
    np.testing.assert_array_equal(engine.recorded[h], ONES * 2)
    np.testing.assert_array_equal(engine.recorded[y], np.tanh(ONES * 2))
    np.testing.assert_array_equal(engine.recorded[unsimplified], np.tanh(ONES * 2))
    assert engine.recorded[w.value] == 2


def test_record_holds_the_last_call_only():
    x = data()
    h = mr.tanh(x)
    engine = mr.Interpreter(record=True)
    f = mr.function([x], h, engine=engine)
    f(ONES)
    f(ONES * 2)
    np.testing.assert_array_equal(engine.recorded[h], np.tanh(ONES * 2))


def test_record_with_updates_keeps_the_values_before_the_step():
    w = mr.Variable(np.float32(1), name="w")
    new = w + 1.0
    engine = mr.Interpreter(record=True)
    mr.function([], (), {w: new}, engine=engine)()
    assert engine.recorded[w.value] == 1 and engine.recorded[new] == 2 and w.numpy() == 2


def stops(break_at, make):
    seen = []
    engine = mr.Interpreter(break_at=break_at, on_break=lambda node, inputs, outputs: seen.append((node, outputs)))
    x, y = make()
    mr.function([x], y, engine=engine)(ONES)
    return seen


def two_layers():
    x = data()
    return x, mr.exp(mr.tanh(mr.tanh(x)))


@pytest.mark.parametrize("name", ["tanh", "Tanh", ["tanh"], ("Tanh",), {"tanh"}])
def test_break_at_the_name_of_an_operation(name):
    seen = stops(name, two_layers)
    assert [node.op.name for node, _ in seen] == ["Tanh", "Tanh"]
    np.testing.assert_array_equal(seen[0][1][0], np.tanh(ONES))


def test_break_at_a_value_and_at_a_node():
    x, y = two_layers()
    inner = y.node.inputs[0]
    assert [node for node, _ in stops(inner, lambda: (x, y))] == [inner.node]
    assert [node for node, _ in stops([inner.node, y], lambda: (x, y))] == [inner.node, y.node]


def test_break_at_what_a_test_says():
    x = data()
    with layer_scope("dense"):
        h = mr.tanh(x)
    seen = stops(lambda node: node.layer == "dense", lambda: (x, mr.exp(h)))
    assert [node for node, _ in seen] == [h.node]


def test_on_break_is_given_inputs_and_outputs():
    calls = []
    x = data()
    engine = mr.Interpreter(break_at="exp", on_break=lambda *a: calls.append(a))
    mr.function([x], mr.exp(x * 2.0), engine=engine)(ONES)
    ((node, inputs, outputs),) = calls
    assert isinstance(node.op, Exp)
    np.testing.assert_array_equal(inputs[0], ONES * 2)
    np.testing.assert_array_equal(outputs[0], np.exp(ONES * 2))


def test_an_error_in_on_break_reaches_the_caller():
    def stop(*_):
        raise KeyboardInterrupt

    x = data()
    with pytest.raises(KeyboardInterrupt):
        mr.function([x], mr.exp(x), engine=mr.Interpreter(break_at="exp", on_break=stop))(ONES)


def test_a_breakpoint_may_look_at_variables_while_a_step_runs():
    done = python(
        """
        import faulthandler; faulthandler.dump_traceback_later(8, exit=True)
        import numpy as np, millrace as mr
        w = mr.Variable(np.float32(1), name="w")
        x = mr.Input((3,), name="x")
        look = lambda node, inputs, outputs: w.numpy()
        y = mr.sum(mr.sin(x)) + mr.sum(mr.cos(x)) + mr.sum(mr.tanh(x)) + mr.sum(mr.exp(x))
        engine = mr.Interpreter(workers=4, break_at=["sin", "cos", "tanh", "exp"], on_break=look)
        mr.function([x], (), {w: y}, engine=engine)(np.ones((2, 3)))
        print("done")
        """
    )
    assert done.stdout == "done\n", "looking at a variable from a breakpoint never returned"


def test_check_names_the_node_and_the_line_where_the_first_nan_is_born():
    x = data()
    born = mr.log(x - 2.0)
    y = mr.exp(born) + mr.tanh(born)
    with pytest.raises(NonFiniteError) as caught:
        mr.function([x], y, engine=mr.Interpreter(check=True))(ONES)
    message = str(caught.value)
    assert "the first NaN was born in log" in message
    assert "6 of 6 elements" in message and "from -1 to -1" in message
    assert "test_interpreter.py" in message and "born = mr.log(x - 2.0)" in message


def test_check_says_infinity_and_where_in_the_array():
    x = data()
    array = ONES.copy()
    array[1, 2] = 0
    with pytest.raises(NonFiniteError, match=r"first infinity was born in divide: 1 of 6 .* at \[1, 2\]"):
        mr.function([x], 1.0 / x, engine=mr.Interpreter(check=True))(array)


def test_check_names_the_layer():
    x = data()
    with layer_scope("encoder"):
        y = mr.log(x)
    with pytest.raises(NonFiniteError, match=r"in layer 'encoder' at test_interpreter\.py"):
        mr.function([x], y, engine=mr.Interpreter(check=True))(ONES * -1)


def test_check_finds_the_birth_under_concurrency_every_time():
    x = data()
    born = mr.log(x - 2.0)
    y = sum((mr.tanh(born * float(n)) + mr.sin(x * float(n)) for n in range(1, 9)), x)
    f = mr.function([x], y, engine=mr.Interpreter(workers=8, check=True))
    for _ in range(50):
        with pytest.raises(NonFiniteError, match="born in log"):
            f(ONES)


def test_check_lets_finite_values_pass():
    x = data()
    y = mr.where(x > 0, mr.log(x), 0.0)
    np.testing.assert_array_equal(mr.function([x], y, engine=mr.Interpreter(check=True))(ONES), ONES * 0)


def test_a_constant_that_the_user_wrote_as_infinite_is_not_where_nan_was_born():
    x = data()
    y = mr.sum(mr.exp(mr.where(x > 2.0, x, -np.inf))) + mr.sum(mr.log(x - 2.0))
    with pytest.raises(NonFiniteError, match="born in log"):
        mr.function([x], y, engine=mr.Interpreter(check=True, workers=1))(ONES)


def test_intermediate_results_are_released():
    x = mr.Input((1000,), name="x", batch_size=1000)
    y = x
    for _ in range(40):
        y = mr.tanh(y)
    f = mr.function([x], mr.sum(y), engine="numpy")
    array = np.ones((1000, 1000), np.float32)
    tracemalloc.start()
    try:
        f(array)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * array.nbytes


def test_nothing_is_kept_after_the_call():
    x = mr.Input((1000,), name="x", batch_size=1000)
    f = mr.function([x], mr.sum(mr.tanh(x) * mr.exp(x)), engine="numpy")
    array = np.ones((1000, 1000), np.float32)
    f(array)
    tracemalloc.start()
    try:
        f(array)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < array.nbytes / 4


def test_an_error_in_a_node_propagates_once_and_names_the_node(monkeypatch):
    def fail(self, x):
        raise MemoryError("no room")

    monkeypatch.setattr(Sin, "evaluate", fail)
    x = data()
    y = mr.sin(x) + mr.cos(x)
    with pytest.raises(MemoryError, match="no room") as caught:
        mr.function([x], y, engine=mr.Interpreter(workers=2))(ONES)
    assert len(caught.value.__notes__) == 1
    assert "sin" in caught.value.__notes__[0] and "test_interpreter.py" in caught.value.__notes__[0]


def test_several_failing_nodes_give_one_error(monkeypatch):
    def fail(self, x):
        raise ShapeError("broken")

    monkeypatch.setattr(Tanh, "evaluate", fail)
    x = data()
    y = sum((mr.tanh(x * float(n)) for n in range(1, 9)), x)
    f = mr.function([x], y, engine=mr.Interpreter(workers=4))
    for _ in range(20):
        with pytest.raises(ShapeError, match="broken") as caught:
            f(ONES)
        assert str(caught.value).count("test_interpreter.py") == 1


def test_after_an_error_the_function_works_again(monkeypatch):
    x = data()
    f = mr.function([x], mr.tanh(x) + mr.sin(x), engine=mr.Interpreter(workers=2))
    with monkeypatch.context() as patch:
        patch.setattr(Sin, "evaluate", lambda self, x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            f(ONES)
    np.testing.assert_allclose(f(ONES), np.tanh(ONES) + np.sin(ONES), rtol=1e-6)


def test_an_error_leaves_variables_alone(monkeypatch):
    w = mr.Variable(ONES, name="w")
    monkeypatch.setattr(Sin, "evaluate", lambda self, x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mr.function([], (), {w: mr.sin(w) + 1.0}, engine="numpy")()
    np.testing.assert_array_equal(w.numpy(), ONES)


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""
USE = """
import warnings
import numpy as np, millrace as mr
x = mr.Input((3,), name="x")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    f = mr.function([x], mr.sum(mr.tanh(x)))
    mr.function([x], mr.sum(x))
print(f(np.zeros((2, 3))), f.engine.name, len(caught), caught[0].message)
try:
    mr.function([x], x, engine="xla")
except mr.ir.errors.ArgumentError as error:
    print(error)
"""


def without_jax(tmp_path, kind):
    if kind == "not found":
        return python(BLOCKED + USE)
    if kind == "hidden":
        return python("import sys\nsys.modules['jax'] = None\n" + USE)
    broken = tmp_path / "jax"
    broken.mkdir()
    error = {
        "without jaxlib": "ModuleNotFoundError('jax requires jaxlib')",
        "of a wrong version": "RuntimeError('jaxlib')",
    }
    (broken / "__init__.py").write_text(f"raise {error[kind]}\n")
    return python(USE, PYTHONPATH=str(tmp_path))


@pytest.mark.parametrize("kind", ["not found", "hidden", "without jaxlib", "of a wrong version"])
def test_where_jax_cannot_be_imported_millrace_runs_and_says_what_that_costs(tmp_path, kind):
    done = without_jax(tmp_path, kind)
    assert done.returncode == 0, done.stderr[-1500:]
    first, *rest = done.stdout.splitlines()
    assert first.startswith("0.0 numpy 1 ") and "slower" in first
    assert ("pip install jax" if kind in ("not found", "hidden") else "`unset PYTHONPATH`") in first
    assert "the XLA engine needs JAX" in rest[0] and "engine='numpy'" in rest[0]
