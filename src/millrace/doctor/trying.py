"""Imports tried in a process of their own, so that one that crashes takes nobody along."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from millrace.doctor.surroundings import Trial

SECONDS = 120
TRY = """
import sys
sys.path[:] = {path!r}
def told(error):
    seen = []
    while error is not None and len(seen) < 5:
        seen.append(type(error).__name__ + ": " + str(error).strip())
        error = error.__cause__ or error.__context__
    return "\\n".join(seen)
for name in {modules!r}:
    print("trying", name, flush=True)
    try:
        module = __import__(name)
        if name == "jax":
            found = sorted(str(one.platform) for one in module.devices())
            print("devices", ", ".join(sorted(set(found))), flush=True)
    except BaseException as error:
        print("failed", name, flush=True)
        print(told(error), flush=True)
        sys.exit(1)
"""


def trial(executable: str, path: Sequence[str], modules: Sequence[str], environment: Mapping[str, str]) -> Trial:
    """Import modules, in this order, with this module path; JAX is also asked for its devices."""
    command = [executable, "-c", TRY.format(path=list(path), modules=list(modules))]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, env=dict(environment))
    except subprocess.TimeoutExpired as slow:
        return Trial(_last(_text(slow.stdout)), "", None)
    except OSError as error:
        return Trial(modules[0], str(error), 1)
    out, err = _text(done.stdout), _text(done.stderr)
    devices = next((line[8:] for line in out.splitlines() if line.startswith("devices ")), "")
    if done.returncode == 0:
        return Trial(devices=devices)
    _, failed, said = out.partition("\nfailed ")
    return Trial(_last(out), said.partition("\n")[2].strip() if failed else err.strip(), done.returncode)


def _last(out: str) -> str:
    """The module that was being imported at the end."""
    return next((line[7:] for line in reversed(out.splitlines()) if line.startswith("trying ")), "")


def _text(raw: bytes | str | None) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw or ""
