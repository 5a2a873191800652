"""What Windows itself has to bring: Microsoft's C++ runtime, and paths that are long enough."""

from __future__ import annotations

from collections.abc import Iterator

from millrace.doctor.finding import Finding, error, warning
from millrace.doctor.surroundings import Surroundings

RUNTIME = "winget install --id Microsoft.VCRedist.2015+.x64"
LONG_PATHS = r"reg add HKLM\SYSTEM\CurrentControlSet\Control\FileSystem /v LongPathsEnabled /t REG_DWORD /d 1 /f"
DEEPEST = 150  # letters of the longest path within jax, jaxlib, NumPy and scikit-learn, with some to spare


def check(here: Surroundings) -> Iterator[Finding]:
    """The runtime that every package of machine code needs, and room for the paths of their files."""
    if not here.windows:
        return
    if here.lacking_dlls:
        yield error("runtime-missing", mend=(RUNTIME,), files=", ".join(here.lacking_dlls))
    packages = here.prefix + "\\Lib\\site-packages\\"
    if here.long_paths is False and len(packages) + DEEPEST > 260:
        yield warning("paths-short", mend=(LONG_PATHS,), folder=here.prefix)
