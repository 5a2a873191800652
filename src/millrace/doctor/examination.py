"""All checks, in the order in which their findings help: what is asked first may explain what comes after."""

from __future__ import annotations

from dataclasses import replace

from millrace.doctor import (
    environment,
    gpu,
    importing,
    memory,
    packages,
    processor,
    python,
    shadowing,
    storage,
    wheels,
    windows,
)
from millrace.doctor.finding import ERROR, LEVELS, Finding
from millrace.doctor.surroundings import Surroundings

CHECKS = (python, wheels, processor, windows, shadowing, packages, environment, importing, gpu, storage, memory)
UNSUITED = {"python-old", "python-kind", "python-32-bit"}
UNCERTAIN = {"import-unknown", "import-absent", "import-symbol", "import-masked", "import-abi", "import-disagree",
             "import-cut", "import-dll", "import-platform", "import-flags", "import-crash"}  # fmt: skip


def examine(here: Surroundings) -> list[Finding]:
    """What is wrong here: errors first, then warnings and notes."""
    found: list[Finding] = []
    for check in CHECKS:
        if check in (packages, importing) and any(one.code in UNSUITED for one in found):
            continue  # for another Python they have to be installed anyway
        for finding in check.check(here):
            if not any(same(finding, before) for before in found):
                found.append(finding)
    found = blamed(found)
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def blamed(found: list[Finding]) -> list[Finding]:
    """A file in the place of one of Python's own modules is what is wrong where an import fails for no known reason."""
    failed = [one for one in found if one.code in UNCERTAIN]
    guilty = [one for one in found if one.code == "masked-library" and one.about["first"]]
    if not failed or not guilty:
        return found
    return [replace(one, level=ERROR) if one in guilty else one for one in found if one not in failed]


def same(finding: Finding, before: Finding) -> bool:
    """Whether a finding says what an earlier one has said: that an import fails is then only its consequence."""
    if finding.code == before.code and finding.subject == before.subject and finding.about == before.about:
        return True
    if finding.code == before.code == "no-avx" or finding.code == before.code == "no-sse42":
        return True
    return finding.code in UNCERTAIN and before.level == ERROR and explains(before, finding)


def explains(before: Finding, finding: Finding) -> bool:
    """Whether an error found by looking is behind an import that failed."""
    family = {"jax", "jaxlib", "scipy", "opt-einsum"}
    if before.code in ("runtime-missing", "musl", "glibc-old"):
        return True
    about = {before.subject, before.about.get("other", before.subject)}
    return finding.subject in about or "numpy" in about or (finding.subject in family and bool(about & family))
