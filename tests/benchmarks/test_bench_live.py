"""Live processes: what they answer, what is said when they end, and Millrace's own contender."""

import os
import sys
import time

import pytest
from benchmarks.__main__ import main
from benchmarks.allocator import M_MMAP_MAX
from benchmarks.fresh import measure_fresh
from benchmarks.live import Died, Live, command, environment, what_happened
from benchmarks.machine import everything, resident, versions
from benchmarks.roster import Contender
from benchmarks.workloads import EVERY, Fresh


def python(program, limit=30.0):
    return Live([sys.executable, "-c", program], {}, limit)


@pytest.fixture
def stopping():
    """Processes put into this list are stopped at the end."""
    made = []
    yield made
    for process in made:
        process.stop()


def test_a_process_answers_line_by_line(stopping):
    process = python("import sys\nfor line in sys.stdin: print('{\"got\": \"' + line.strip() + '\"}', flush=True)")
    stopping.append(process)
    assert process.ask("go 3") == {"got": "go 3"} and process.ask("memory") == {"got": "memory"}
    assert process.age() > 0 and (resident(process.pid) > 1 or not os.path.exists("/proc"))


def test_a_process_that_fails_leaves_its_error(stopping):
    process = python("raise ValueError('no such layer')")
    stopping.append(process)
    with pytest.raises(Died, match=r"^ValueError: no such layer$"):
        process.answer()
    with pytest.raises(Died, match="no such layer"):
        process.ask("go 1")


def test_a_process_that_hangs_is_stopped(stopping):
    process = python("import time; time.sleep(60)", limit=0.2)
    stopping.append(process)
    started = time.monotonic()
    with pytest.raises(Died, match="no answer in 0 s"):
        process.answer()
    assert time.monotonic() - started < 20 and process.process.poll() is not None


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(Died, match="/no/such/python: No such file"):
        Live(["/no/such/python"], {})


def test_of_a_long_complaint_the_error_is_kept():
    written = "Traceback\n  File x\ntorch._inductor.exc.InductorError: no C++ compiler\n\nSet TORCH_LOGS for more\n"
    assert what_happened(written, 1) == "torch._inductor.exc.InductorError: no C++ compiler"
    assert what_happened("all was well\n", 3) == "all was well"
    assert what_happened("", 3) == "ended with code 3"
    assert what_happened("", -9) == "ended by SIGKILL (out of memory?)"
    assert len(what_happened("ValueError: " + "x" * 999, 1)) == 300


def test_settings_of_frameworks_reach_no_contender(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCHINDUCTOR_FREEZING", "1")
    found = environment({"KERAS_BACKEND": "jax"})
    assert found["KERAS_BACKEND"] == "jax" and found["PATH"] == os.environ["PATH"]
    assert not {"XLA_FLAGS", "OMP_NUM_THREADS", "TORCHINDUCTOR_FREEZING"} & set(found)


def test_peers_run_in_their_interpreter_and_millrace_in_this_one():
    workload = EVERY[0]
    assert command(Contender("torch", "torch"), workload, "/peers/python")[0] == "/peers/python"
    assert command(Contender("millrace", "millrace"), workload, "/peers/python")[0] == sys.executable


def test_imports_are_timed_in_new_processes():
    said = []
    able = [
        Contender("millrace", "millrace", imports="import json"),
        Contender("slow", "torch", imports="import time; time.sleep(0.1)"),
        Contender("broken", "torch", imports="import no_such_framework"),
    ]
    result = measure_fresh(Fresh("import"), able, sys.executable, 2, 0, said.append)
    rows = {row["name"]: row for row in result["contenders"]}
    assert rows["slow"]["median"] > 0.1 and rows["slow"]["ratio"]["count"] == 2
    assert rows["broken"]["error"] == "ModuleNotFoundError: No module named 'no_such_framework'"
    assert len(said) == 9


def test_what_a_result_depends_on_is_kept():
    found = everything("/no/such/python")
    assert found["versions"]["peers"] == {} and "numpy" in found["versions"]["millrace"]
    assert found["machine"]["cores"] >= 1 and found["machine"]["processor"]
    assert versions(sys.executable)["python"].startswith("3.")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_the_allocator_takes_its_settings_in_a_process_of_its_own(stopping):
    process = python("from benchmarks import allocator\nallocator.tune()\nprint('{}')")
    stopping.append(process)
    assert process.answer() == {}
    assert M_MMAP_MAX == -4  # as in glibc's malloc.h


def test_a_run_of_millrace_alone_ends_in_a_table_and_a_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.__main__.new_path", lambda when: tmp_path / "run")
    monkeypatch.setattr("benchmarks.serve.SETTLED", 0.01)
    monkeypatch.setattr("benchmarks.interleave.TURN", 0.01)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "mlp_predict1", "--contenders", "millrace*", "--rounds", "2"])
    main()
    printed = capsys.readouterr().out
    assert "mlp_predict1: mlp, prediction, batch 1" in printed and "millrace-predict" in printed
    assert "left out" not in printed and "CHECK" not in printed and "failed" not in printed
    assert "| millrace |" in (tmp_path / "run.md").read_text()
