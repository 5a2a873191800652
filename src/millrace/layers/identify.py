"""Things with names: an object from its Keras name, its saved form, or as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millrace.ir.errors import ArgumentError, one_of

NOTHING: Mapping[str, str] = {}


def identified(
    what: str, identifier: Any, base: type, known: Mapping[str, Callable[..., Any]], short: Mapping[str, str] = NOTHING
) -> Any:
    """The `what` that an identifier means: an instance of `base`, a name, or {"class_name", "config"}.

    `short` maps further names to known ones.  Raises ArgumentError for an unknown name or a wrong kind.
    """
    if isinstance(identifier, base):
        return identifier
    name, config = identifier, {}
    if isinstance(identifier, Mapping):
        name, config = identifier.get("class_name"), identifier.get("config", {})
    if not isinstance(name, str):
        raise ArgumentError(
            f"{what} must be a name such as {next(iter(known))!r} or a {base.__name__}, got {identifier!r}."
        )
    full = short.get(name, name)
    if full not in known:
        raise one_of(what, name, [*known, *short])
    return known[full](**config)
