"""Every error that Millrace raises on purpose: what was wrong, where, and how to mend it."""

from __future__ import annotations

from millrace.ir.location import here


class MillraceError(Exception):
    """Base of all errors of Millrace; its text is written for the user, not for us."""

    place = ""

    def at(self, place: str) -> MillraceError:
        """Say where it happened, once: the innermost place is the one that helps."""
        if place and not getattr(self, "placed", False):
            self.place, self.placed = place, True
        return self

    def __str__(self) -> str:
        return f"{self.args[0]}\n  {self.place}" if self.place else str(self.args[0])


class UserLineError(MillraceError):
    """An error of a line that builds a graph: it knows that line, even before there is a node."""

    def __init__(self, message: str):
        super().__init__(message)
        self.place = str(here() or "")


class ShapeError(UserLineError, ValueError):
    """Shapes or ranks that do not fit together."""


class DTypeError(UserLineError, TypeError):
    """A dtype that an operation does not take."""


class DimensionError(ShapeError):
    """An equality or division of named dimensions that cannot be decided."""


class GradientError(UserLineError):
    """A gradient that does not exist: why, and at which operation."""


class GraphError(MillraceError):
    """A graph that breaks a rule of the language, or text that is not a graph."""


class NonFiniteError(MillraceError, FloatingPointError):
    """A value became infinite or not-a-number."""


class LostProcessError(MillraceError):
    """Another process that takes part in the work has ended, or cannot be reached."""


class ArgumentError(MillraceError, ValueError):
    """An argument that is out of range, of the wrong kind, or unknown."""


class DataError(MillraceError, ValueError):
    """Data that cannot be used: empty, not finite, of the wrong shape, labels out of range."""


class FileError(MillraceError):
    """A file or run directory that is missing, damaged, or cannot be written."""


def one_of(kind: str, name: object, known: list[str] | tuple[str, ...]) -> ArgumentError:
    """An error for an unknown name, with the nearest known one."""
    from difflib import get_close_matches

    near = get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ArgumentError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(sorted(known))}.")
