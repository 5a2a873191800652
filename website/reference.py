"""The reference: every name that Millrace can explain, a page each, and a page of all names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from millrace.cli.explain_name import known, page_of
from millrace.explain.page_markdown import markdown
from millrace.explain.subjects import KINDS, Subject
from millrace.words import words

Say = Callable[[str], None]


def reference(say: Say, names: Iterable[str] | None = None) -> dict[str, str]:
    """Pages by path, as Markdown. names: those that are wanted; all unless given. say: told how far it is."""
    wanted = None if names is None else set(names)
    chosen = [subject for subject in known() if wanted is None or subject.name in wanted]
    made = {}
    for number, subject in enumerate(chosen, 1):
        say(f"{number}/{len(chosen)} {subject.kind} {subject.name}")
        made[place(subject)] = markdown(page_of(subject, "en", lambda line: None))
    return {"reference/index.md": index(chosen), **made}


def place(subject: Subject) -> str:
    return f"reference/{subject.kind}-{subject.name}.md"


def index(chosen: list[Subject]) -> str:
    """All names by kind, each a link to its page."""
    titles = words("page", "en")["kinds"]
    lines = ["# Everything by name", "", "What `millrace explain NAME` prints, for every name.", ""]
    for kind in KINDS:
        members = [subject for subject in chosen if subject.kind == kind]
        if members:
            lines += [f"## {titles[kind]}", ""]
            lines += [", ".join(f"[{s.name}]({place(s).removeprefix('reference/')})" for s in members), ""]
    return "\n".join(lines)
