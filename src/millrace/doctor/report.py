"""Findings as text: at most 80 columns, in plain lines that can be read aloud and commands that can be copied."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from unicodedata import east_asian_width

from millrace.doctor import chinese, english
from millrace.doctor.finding import LEVELS, Finding
from millrace.doctor.installed import first
from millrace.doctor.surroundings import Surroundings

LANGUAGES = {"en": english, "zh": chinese}
WIDTH = 80
NAMES = ("numpy", "ml_dtypes", "jax", "jaxlib")  # what results depend on
CLOSING = "。，：；！？、）”』》"  # no line begins with one of these


def report(findings: Sequence[Finding], language: str = "en", width: int = 0) -> str:
    """All findings, a blank line between them, and how many there are; or that nothing is wrong."""
    heads, width = LANGUAGES[language].HEADS, width or columns()
    told = ["\n".join(described(one, language, width)) for one in findings]
    counts = {level: sum(one.level == level for one in findings) for level in LEVELS}
    worrying = counts["error"] or counts["warning"]
    last = heads["count"].format(**counts) if worrying else heads["fine"]
    return "\n\n".join([*told, last])


def looked_at(here: Surroundings, language: str) -> str:
    """What was looked at, for who asks others for help."""
    heads = LANGUAGES[language].HEADS
    packages = []
    for name in NAMES:
        there = first(here, name)
        packages.append(f"{name} {there.version if there else heads['absent']}")
    line = heads["looked"].format(
        python=here.python_text, executable=here.executable, system=here.system, processor=here.architecture,
        packages=", ".join(packages),
    )  # fmt: skip
    return "\n".join(wrapped(line.replace("\n", " "), columns()))


def described(finding: Finding, language: str, width: int) -> list[str]:
    """The lines of one finding: what it is, what it means, and the commands."""
    texts = LANGUAGES[language]
    says, means = (text.format(**finding.about) for text in texts.TEXTS[finding.code])
    lines = wrapped(texts.HEADS[finding.level] + says, width)
    lines += [line for part in means.split("  ") for line in wrapped(part, width, "  ")]
    if finding.mend:
        lines.append("  " + texts.HEADS["mend"])
        lines += [line for command in finding.mend for line in command_lines(command, width)]
    return lines


def said(finding: Finding, language: str = "en") -> str:
    """A finding in one line: what it is, what it means if that is short, and its commands."""
    says, means = (text.format(**finding.about) for text in LANGUAGES[language].TEXTS[finding.code])
    if finding.code == "import-unknown":
        return str(finding.about["said"]).rstrip(".") + "."
    line = says if says.endswith((".", "。")) else says + "."
    if finding.code in ("disagree", "import-disagree", "version-unfit", "import-dll", "import-abi", "import-symbol"):
        line += " " + means.partition("  ")[0]
    return line


def command_lines(command: str, width: int) -> list[str]:
    """A command as it can be copied: over several lines where it is long and the shell allows that."""
    lines, line = [], "    "
    for word in words(command):
        if len(line) + len(word) + 2 > width and line.strip() and not command.startswith(("reg ", "&", "$env")):
            lines.append(line.rstrip() + " \\")
            line = "      "
        line += word + " "
    return [*lines, line.rstrip()]


def words(command: str) -> list[str]:
    """The words of a command; what stands in quotes stays together."""
    found, quote = [""], ""
    for letter in command:
        if letter == " " and not quote:
            found.append("")
            continue
        if letter in "\"'" and quote in ("", letter):
            quote = "" if quote else letter
        found[-1] += letter
    return found


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of at most so many columns; Chinese letters take two each and may be parted anywhere."""
    lines, line = [], indent
    for piece in pieces(text):
        if columns_of(line + piece.rstrip()) > width and line.strip():
            lines.append(line.rstrip())
            line, piece = indent, piece.lstrip()
        while columns_of(line + piece.rstrip()) > width:  # a path longer than a line
            room = max(1, width - columns_of(line))
            room = 1 + max(piece.rfind("/", 0, room), piece.rfind("\\", 0, room)) or room
            lines.append(line + piece[:room])
            line, piece = indent, piece[room:]
        line += piece
    return [*lines, line.rstrip()]


def pieces(text: str) -> list[str]:
    """What may not be parted: words with the blanks after them, and single Chinese letters."""
    found = [""]
    for letter in text:
        before = found[-1][-1:]
        if letter not in CLOSING and letter != " " and (before == " " or wide(letter) or wide(before)):
            found.append("")
        found[-1] += letter
    return found


def wide(letter: str) -> bool:
    return bool(letter) and east_asian_width(letter) in "WF"


def columns_of(text: str) -> int:
    return sum(2 if wide(letter) else 1 for letter in text)


def columns() -> int:
    return max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))
