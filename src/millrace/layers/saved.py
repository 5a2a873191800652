"""A layer's arguments as JSON has them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace import functional as mr
from millrace.ir.core import snake
from millrace.ir.errors import ArgumentError, one_of
from millrace.layers.activations import KNOWN, activation_name


def saved_form(value: Any) -> Any:
    """An argument as JSON has it.

    A layer, an initializer or a regularizer becomes its class and config; a function its name, by which
    loading finds it again: Millrace's own, or one among custom_objects.
    Raises ArgumentError for what has no name.
    """
    if hasattr(type(value), "add_weight"):  # a layer
        return {"layer": type(value).__name__, "config": value.get_config()}
    if hasattr(value, "get_config"):
        config = value.get_config()
        whole = isinstance(config, Mapping) and "class_name" in config
        return config if whole else {"class_name": snake(type(value).__name__).lower(), "config": config}
    if isinstance(value, (list, tuple)):
        return [saved_form(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: saved_form(item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        name = activation_name(value) if isinstance(activation_name(value), str) else getattr(value, "__name__", "")
        if name.isidentifier():
            return {"function": name}
    raise ArgumentError(
        f"{value!r} cannot be saved: give a function with a name (def, not lambda), an activation or initializer by "
        "name, or define get_config on the layer."
    )


def restored(value: Any, known: Mapping[str, Any]) -> Any:
    """An argument from its saved form: layers that a layer holds are made anew, functions found by name."""
    if isinstance(value, (list, tuple)):
        return [restored(item, known) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "layer" in value and "config" in value:
        if value["layer"] not in known:
            raise one_of("layer", value["layer"], list(known))
        return known[value["layer"]].from_config(value["config"], known)
    if set(value) == {"function"}:
        name = value["function"]
        found = known.get(name) or KNOWN.get(name) or (getattr(mr, name) if name in mr.__all__ else None)
        if not callable(found):
            raise ArgumentError(
                f"it was made with a function {name!r}, which no file holds: pass custom_objects={{{name!r}: {name}}}."
            )
        return found
    if "class_name" in value:
        return dict(value)
    return {key: restored(item, known) for key, item in value.items()}
