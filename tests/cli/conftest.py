"""What tests of the command share."""

import pytest

from millrace.cli.main import main


@pytest.fixture
def millrace(monkeypatch, capsys):
    """Run the command in this process: what it printed, and its exit code."""
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
