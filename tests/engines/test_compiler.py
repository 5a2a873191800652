"""The compiler: its options, its cache on disk, and when JAX is imported."""

import ast
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import millrace as mr
from millrace.engines import compiler, xla
from millrace.engines.plan import UNSAFE_YNNPACK, YNNPACK_OPTION, plan
from millrace.ir.graph import Graph

SAFE = "0.10.1"


def dense():
    x = mr.Input((4,), name="x", batch_size=2)
    return Graph([x], [mr.tanh(x @ mr.ones((4, 3)))])


def convolutional():
    x = mr.Input((8, 8, 3), name="x", batch_size=2)
    return Graph([x], [mr.relu(mr.conv(x, mr.ones((3, 3, 3, 4)), padding="same"))])


def convolutional_gradient():
    x = mr.Input((8, 8, 3), name="x", batch_size=2)
    kernel = mr.Variable(np.ones((3, 3, 3, 4), np.float32), name="kernel")
    return Graph([x], mr.gradients(mr.mean(mr.square(mr.conv(x, kernel))), [kernel]))


def convolution_in_a_loop():
    xs = mr.Input((8, 3), name="xs", batch_size=5)
    kernel = mr.ones((3, 3, 3))
    start = mr.zeros((1, 8, 3))
    last, _ = mr.scan(lambda s, t: (mr.conv(s, kernel, padding="same") + mr.expand_dims(t, 0), None), start, xs)
    return Graph([xs], [last])


def test_the_unsafe_versions_are_known():
    assert {"0.10.2", "0.11.0"} <= set(UNSAFE_YNNPACK)


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0"])
@pytest.mark.parametrize("make", [dense, convolutional, convolutional_gradient, convolution_in_a_loop])
def test_ynnpack_is_off_for_every_graph_where_it_computes_wrong_results(make, version):
    chosen = plan(make(), "cpu", version)
    assert chosen.options[YNNPACK_OPTION] == ""
    assert version in chosen.reasons[0] and "wrong results" in chosen.reasons[0]


@pytest.mark.parametrize("version", [SAFE, "0.12.0"])
@pytest.mark.parametrize("make", [convolutional, convolutional_gradient, convolution_in_a_loop])
def test_convolutions_are_kept_from_ynnpack_on_any_version(make, version):
    chosen = plan(make(), "cpu", version)
    assert chosen.options[YNNPACK_OPTION] == "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    assert "convolutions" in chosen.reasons[0] and "faster" in chosen.reasons[0]


def test_matrix_products_keep_ynnpack_on_safe_versions():
    chosen = plan(dense(), "cpu", SAFE)
    assert chosen.options == {} and chosen.reasons == []


@pytest.mark.parametrize("platform", ["gpu", "cuda", "tpu"])
@pytest.mark.parametrize("make", [dense, convolutional])
def test_options_of_the_cpu_are_not_given_to_other_platforms(make, platform):
    for version in (SAFE, "0.10.2", "0.11.0"):
        assert plan(make(), platform, version).options == {}


def test_one_reason_for_each_option():
    for make in (dense, convolutional):
        for version in (SAFE, "0.10.2"):
            chosen = plan(make(), "cpu", version)
            assert len(chosen.reasons) == len(chosen.options)


def test_the_plan_is_a_function_of_its_arguments_alone():
    assert plan(convolutional(), "cpu", SAFE) == plan(convolutional(), "cpu", SAFE)


def program_options(monkeypatch, version, graph):
    given = []
    real = compiler.jax.jit

    def jit(*args, **kwargs):
        given.append(kwargs.get("compiler_options"))
        return real(*args, **kwargs)

    monkeypatch.setattr(xla.jaxlib, "__version__", version)
    monkeypatch.setattr(compiler.jax, "jit", jit)
    f = mr.function(list(graph.inputs), list(graph.outputs), engine="xla")
    f(*(np.ones(v.shape, v.dtype) for v in graph.inputs))
    (program,) = f.programs
    return program.plan, given[0]


@pytest.mark.skipif(compiler.jax.default_backend() != "cpu", reason="options of the CPU")
@pytest.mark.parametrize(
    ("make", "version", "option"),
    [
        (dense, SAFE, None), (dense, "0.10.2", ""), (dense, "0.11.0", ""),
        (convolutional, SAFE, "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),
    ],
)  # fmt: skip
def test_the_option_reaches_the_compiler(monkeypatch, make, version, option):
    chosen, given = program_options(monkeypatch, version, make())
    assert chosen.options.get(YNNPACK_OPTION) == option
    assert (given or {}) == chosen.options


def test_the_compiler_knows_the_option_that_the_plan_gives():
    graph = convolutional()
    f = mr.function(list(graph.inputs), list(graph.outputs), engine="xla")
    assert f(np.ones((2, 8, 8, 3)))[0].shape == (2, 8, 8, 4)


def test_versions_say_what_compiled_it():
    assert set(xla.versions()) == {"jax", "jaxlib"}


def test_lowering_choices_are_noted_with_their_reason(xla_alone):
    x = mr.Input((8, 8, 4), name="x", batch_size=1)
    y = mr.conv(x, mr.ones((3, 3, 2, 4)), groups=2)
    f = mr.function([x], y, engine="xla")
    f(np.ones((1, 8, 8, 4)))
    notes = f.programs[0].notes
    if compiler.jax.default_backend() == "cpu":
        assert any("2 convolutions" in choice and "slower" in why for _, choice, why in notes)
        assert all(node is None or node.location for node, _, _ in notes)


def python(code, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in ("JAX_COMPILATION_CACHE_DIR", "MILLRACE_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, **{k: str(v) for k, v in environment.items()}},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


COMPILE = """
import numpy as np, millrace as mr
import millrace.engines.compiler, jax
from jax import monitoring
events = []
monitoring.register_event_listener(lambda name, **_: events.append(name))
w = mr.Variable(np.ones((4, 3), np.float32), name="w")
x = mr.Input((4,), name="x")
loss = mr.mean(mr.square(mr.tanh(x @ w)))
(dw,) = mr.gradients(loss, [w])
step = mr.function([x], loss, {w: w - 0.1 * dw})
values = [float(step(np.ones((2, 4), np.float32))) for _ in range(2)]
hits = sum(e.endswith("compilation_cache/cache_hits") for e in events)
misses = sum(e.endswith("compilation_cache/cache_misses") for e in events)
print((values, hits, misses, jax.config.jax_compilation_cache_dir))
"""


def compiled(**environment):
    done = python(COMPILE, **environment)
    return (*ast.literal_eval(done.stdout.strip().splitlines()[-1]), done.stderr)


def entries(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith("-atime"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warm")
    return folder, compiled(MILLRACE_CACHE=folder)


def test_a_second_process_compiles_nothing_anew(warm):
    folder, (values, _, misses, used, _) = warm
    kept = entries(folder)
    assert misses and kept and used.startswith(str(folder))
    again, hits, misses, _, _ = compiled(MILLRACE_CACHE=folder)
    assert again == values and misses == 0 and hits > 0
    assert entries(folder) == kept


def test_loading_a_cached_program_is_silent(warm):
    folder, _ = warm
    *_, stderr = compiled(MILLRACE_CACHE=folder)
    assert stderr == ""


@pytest.mark.parametrize("damage", ["empty", "cut short", "garbage"])
def test_a_damaged_cache_entry_does_no_harm(warm, tmp_path, damage):
    folder, (values, *_) = warm
    for path in entries(folder):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        half = content[: len(content) // 2]
        copy.write_bytes({"empty": b"", "cut short": half, "garbage": bytes(reversed(content))}[damage])
    assert compiled(MILLRACE_CACHE=tmp_path)[0] == values


def test_a_cache_that_cannot_be_made_does_no_harm(warm, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    values, _, _, used, _ = compiled(MILLRACE_CACHE=blocked / "below")
    assert values == warm[1][0] and used is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_cache_does_no_harm(warm, tmp_path):
    tmp_path.chmod(0o500)
    try:
        values, *_ = compiled(MILLRACE_CACHE=tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert values == warm[1][0]


def test_a_cache_that_vanishes_meanwhile_does_no_harm(tmp_path):
    code = f"""
    import shutil, numpy as np, millrace as mr
    mr.function([], mr.ones((3,)) * 2.0)()
    shutil.rmtree({str(tmp_path / "gone")!r})
    x = mr.Input((3,), name="x")
    print(mr.function([x], mr.sum(mr.exp(x)))(np.zeros((2, 3))))
    """
    assert python(code, MILLRACE_CACHE=tmp_path / "gone").stdout.strip() == "6.0"


def test_the_users_own_cache_directory_is_respected(tmp_path):
    mine, ours = tmp_path / "mine", tmp_path / "ours"
    _, _, _, used, _ = compiled(MILLRACE_CACHE=ours, JAX_COMPILATION_CACHE_DIR=mine)
    assert used == str(mine)
    assert not ours.exists()


def test_a_cache_directory_set_in_code_is_respected(tmp_path):
    code = f"""
    import jax
    jax.config.update("jax_compilation_cache_dir", {str(tmp_path / "mine")!r})
    import millrace as mr
    mr.function([], mr.ones((3,)) * 2.0)()
    print(jax.config.jax_compilation_cache_dir)
    """
    assert python(code, MILLRACE_CACHE=tmp_path / "ours").stdout.strip() == str(tmp_path / "mine")


def test_importing_millrace_does_not_import_jax():
    python("import millrace, sys; assert 'jax' not in sys.modules and 'jaxlib' not in sys.modules")


def test_building_and_interpreting_a_graph_does_not_import_jax():
    code = """
    import sys, numpy as np, millrace as mr
    w = mr.Variable(np.ones((3, 2), np.float32), name="w")
    x = mr.Input((3,), name="x", batch_size=2)
    loss = mr.mean(mr.softmax_cross_entropy(x @ w, mr.constant([0, 1])))
    (dw,) = mr.gradients(loss, [w])
    mr.function([x], loss, {w: w - dw}, engine="numpy")(np.ones((2, 3)))
    mr.evaluate(mr.mean(w))
    assert "jax" not in sys.modules
    """
    python(code)


def test_the_users_jax_keeps_its_own_dtypes():
    code = """
    import jax.numpy as jnp, numpy as np, millrace as mr
    x = mr.Input((3,), name="x", dtype="float64")
    assert mr.function([x], mr.sum(x), engine="xla")(np.ones((1, 3))).dtype == np.float64
    assert jnp.ones(3).dtype == np.float32 and jnp.arange(3).dtype == np.int32
    """
    python(code)
