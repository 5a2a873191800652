"""`millrace explain`: which explanation was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millrace.ir.errors import ArgumentError, one_of
from millrace.words import LANGUAGES


@dataclass(frozen=True)
class Question:
    """What the command was asked, an option a field."""

    name: str | None = None
    image: Path | None = None
    html: Path | None = None
    lang: str = "en"
    kind: str | None = None
    gradient: str | None = None
    wrt: str | None = None
    plan: bool = False
    batch_size: int | None = None
    mesh: str | None = None

    @property
    def of_plan(self) -> list[str]:
        """Options that only --plan takes, as given."""
        given = {"--batch-size": self.batch_size, "--mesh": self.mesh}
        return [option for option, value in given.items() if value is not None]


def explain(question: Question) -> None:
    """Print or write what was asked for.

    Raises ArgumentError for options that do not go together or a name that is unknown, FileError for what cannot be
    read or written.
    """
    if question.lang not in LANGUAGES:
        raise one_of("language", question.lang, list(LANGUAGES))
    if question.plan:
        from millrace.cli.plan import explain_plan

        explain_plan(question.name or "digits", question.batch_size, question.mesh)
        return
    if question.of_plan:
        raise ArgumentError(f"{' and '.join(question.of_plan)} belong to --plan: what was chosen for a training step.")
    if question.gradient is not None:
        from millrace.cli.explain_gradient import explain_gradient

        explain_gradient(question.gradient, question.wrt, question.html, question.lang)
        return
    if question.wrt is not None:
        raise ArgumentError('--wrt belongs to --gradient, as in --gradient "mean(tanh(w*x)**2)" --wrt w.')
    if question.image is not None or (question.name is not None and Path(question.name).is_dir()):
        from millrace.cli.explain_run import explain_run

        explain_run(Path(question.name or "."), question.image, question.html, question.lang)
        return
    from millrace.cli.explain_name import explain_name, list_names

    if question.name is None:
        list_names(question.lang)
    else:
        explain_name(question.name, question.kind, question.html, question.lang)
