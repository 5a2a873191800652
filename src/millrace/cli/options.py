"""What options of the command line may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter


def whole_number(_: Any, tokens: Sequence[Any]) -> int:
    """A whole number as it is written; cyclopts alone would round 5.5 to 6."""
    given = tokens[0].value
    try:
        return int(given)
    except ValueError:
        raise ValueError(f"must be a whole number, got {given}.") from None


Whole = Annotated[int, Parameter(converter=whole_number)]
