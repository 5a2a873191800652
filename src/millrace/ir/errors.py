"""Every error that Millrace raises on purpose: what was wrong, where, and how to mend it."""

from __future__ import annotations


class MillraceError(Exception):
    """Base of all errors of Millrace; its text is written for the user, not for us."""

    def at(self, place: str) -> MillraceError:
        """Say where it happened, once: the innermost place is the one that helps."""
        if place and not getattr(self, "placed", False):
            self.placed = True
            self.args = (f"{self.args[0]}\n  {place}", *self.args[1:])
        return self


class ShapeError(MillraceError, ValueError):
    """Shapes or ranks that do not fit together."""


class DTypeError(MillraceError, TypeError):
    """A dtype that an operation does not take."""


class DimensionError(ShapeError):
    """An equality or division of named dimensions that cannot be decided."""


class GradientError(MillraceError):
    """A gradient that does not exist: why, and at which operation."""


class GraphError(MillraceError):
    """A graph that breaks a rule of the language, or text that is not a graph."""


class NonFiniteError(MillraceError, FloatingPointError):
    """A value became infinite or not-a-number."""


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
