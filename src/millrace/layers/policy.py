"""What layers compute in: the dtype that arrives, float32, or bfloat16 with weights kept in float32."""

from __future__ import annotations

from typing import Any

from millrace.ir.errors import ArgumentError, one_of

POLICIES = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
_policy: list[str | None] = [None]


def set_dtype_policy(policy: str | None) -> None:
    """What layers built from now on compute in: "float32", or "mixed_bfloat16" with weights kept in float32.

    None, the first setting, computes in the dtype that arrives. A layer's own `dtype=` goes before it.
    Raises ArgumentError for an unknown policy.
    Source: Keras set_dtype_policy; Micikevicius et al. 2018, Mixed Precision Training.
    """
    _policy[0] = checked_policy(policy)


def checked_policy(policy: Any) -> str | None:
    if policy == "mixed_float16":
        raise ArgumentError(
            "dtype='mixed_float16' needs its loss scaled, which Millrace does not: use 'mixed_bfloat16'."
        )
    if policy is not None and policy not in list(POLICIES):
        raise one_of("dtype policy", policy, list(POLICIES))
    return policy


def current_policy() -> str | None:
    """The policy of layers built now."""
    return _policy[0]
