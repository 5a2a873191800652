"""What users of layers are told: what a layer takes, and where it could not be applied."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from millrace.ir.core import Value
from millrace.ir.errors import MillraceError, ShapeError
from millrace.ir.location import here
from millrace.layers.calls import call_of


def naming_the_layer(init: Any) -> Any:
    """A constructor whose complaints say which layer they are about."""

    @functools.wraps(init)
    def naming(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except MillraceError as error:
            kind = type(self).__name__
            placed = getattr(error, "placed", False)  # a layer inside has been named already
            if not placed and not str(error.args[0]).startswith((kind, "layer ")):
                name = self.arguments.get("name")
                error.args = (f"layer {name!r} ({kind}): {error.args[0]}" if name else f"{kind}: {error.args[0]}",)
            raise

    return naming


def wanted(takes: Mapping[str, inspect.Parameter]) -> str:
    """What a call takes, in words: 2 values (query, value); by name: key, mask."""
    values = [p.name for p in takes.values() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    named = [p.name for p in takes.values() if p.default is not p.empty]
    several = any(p.kind is p.VAR_POSITIONAL for p in takes.values())
    text = "any number of values" if several else f"{len(values)} value{'' if len(values) == 1 else 's'}"
    text += f" ({', '.join(values)})" if values else ""
    return text + (f"; by name: {', '.join(named)}" if named else "")


def told(layer: Any, path: str, values: Sequence[Value], error: MillraceError) -> str:
    """Where a layer could not be applied: which one, given what by which, and the model up to there."""
    given = ", ".join(str(value.type) for value in values)
    where = f"in layer {path!r} ({type(layer).__name__}), given {given}, {here() or ''}".rstrip(", ")
    before = [call for call in map(call_of, values) if call is not None]
    if not before or not isinstance(error, ShapeError):
        return where
    givers = " and ".join(f"{x.layer.name!r} ({type(x.layer).__name__}) gives {x.outputs[0].type}" for x in before)
    lines = [f"{path}  {type(layer).__name__}  x  cannot take it"]
    value: Value | None = values[0]
    while value is not None and len(lines) < 12:
        call = call_of(value)
        if call is None:
            lines.append(f"{getattr(value.op, 'label', value.op.name)}  {value.type}")
            break
        lines.append(f"{call.layer.name}  {type(call.layer).__name__}  {value.type}")
        value = call.inputs[0] if call.inputs else None
    else:
        lines.append("...")
    drawn = "\n      |\n    ".join(reversed(lines))
    return f"{where}\n  {givers}:\n    {drawn}"


def accepted(cls: type) -> tuple[str, ...]:
    """Every argument that a layer's constructor takes, those of its bases among them."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        found |= dict.fromkeys(p.name for p in parameters if p.kind not in kinds)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return tuple(found)
