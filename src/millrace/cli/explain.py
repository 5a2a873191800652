"""`millrace explain`: which explanation was asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from millrace.cli.pages import may_be_written
from millrace.ir.errors import ArgumentError, FileError, one_of
from millrace.models import RECIPES
from millrace.words import LANGUAGES


@dataclass(frozen=True)
class Question:
    """What the command was asked, an option a field."""

    name: str | None = None
    image: Path | None = None
    more: tuple[str, ...] = ()
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
    may_be_written(question.html)  # said before an experiment runs for a minute
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
    question = settled(question)
    if question.image is not None or (question.name is not None and Path(question.name).is_dir()):
        from millrace.cli.explain_run import explain_run

        explain_run(Path(question.name or "."), question.image, question.html, question.lang)
        return
    from millrace.cli.explain_name import explain_name, list_names

    if question.name is None:
        list_names(question.lang)
    else:
        explain_name(question.name, question.kind, question.html, question.lang)


def settled(question: Question) -> Question:
    """What the words of a command mean: a run and a picture, or a name of several words that nobody quoted.

    Raises ArgumentError for what is neither, FileError for a run that is not there.
    """
    if question.image is None:
        return question
    first = Path(question.name or ".")
    if not question.more and first.is_dir():
        return question
    from millrace.cli.explain_name import has_page, is_picture, unknown

    together = " ".join([question.name or "", str(question.image), *question.more])
    if has_page(together, question.kind):
        return replace(question, name=together, image=None, more=())
    if is_picture(first):
        raise ArgumentError(
            f"{first} is a picture: give the run first, as in `millrace explain {question.image} {first}`."
        )
    if question.more:
        raise unknown(together, question.kind)
    if first.exists() or question.name in RECIPES:
        return question
    if is_picture(question.image) or question.image.exists():
        raise FileError(
            f"{first} does not exist: expected a run directory that `millrace train` made. `millrace runs` lists them."
        )
    raise unknown(together, question.kind)
