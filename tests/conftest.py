"""What all tests share."""

import os
from collections import Counter

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")  # so that a mesh has something to lie over
os.environ.setdefault("MILLRACE_OFFLINE", "1")  # no test downloads a data set
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as Millrace sets it, also where a test imports JAX first


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory):
    """A compile cache of this test run alone, so that no earlier run can hide a fault."""
    os.environ["MILLRACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data():
    """`real_data(name)` gives the folder of a published data set, or skips the test where it is not there."""
    from millrace.data.folder import files
    from millrace.ir.errors import FileError

    def folder(name):
        try:
            return files(name)[0].parent
        except FileError as error:
            pytest.skip(f"needs the real {name}: set MILLRACE_DATA. {error}")

    return folder


def pytest_terminal_summary(terminalreporter):
    """Say loudly what was left out, and why; from the reports, since several processes run the tests and one speaks."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ").split(". ")[0] for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"SKIPPED {count}: {reason}", yellow=True)


@pytest.fixture(autouse=True)
def known_layers():
    """Layers that a test makes are unknown to the next one."""
    from millrace.layers.base import LAYERS

    before = dict(LAYERS)
    yield
    LAYERS.clear()
    LAYERS.update(before)


@pytest.fixture
def xla_alone(monkeypatch):
    """Millrace's own routines switched off, as where there is no C compiler: XLA's lowerings are chosen."""
    from millrace.engines import native

    monkeypatch.setattr(native, "offered", lambda: False)


@pytest.fixture
def millrace(monkeypatch, capsys):
    """Run the command in this process: what it printed, and its exit code."""
    from millrace.cli.main import main

    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = 0
        try:
            main(list(map(str, arguments)))
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert max(map(len, out.splitlines()), default=0) <= 80
        return out, err, code

    return run
