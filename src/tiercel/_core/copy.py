"""
Copies: what a look through the tiers brings back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from tiercel._core.frame import TagToken
from tiercel._core.windows import Freshness


class Negative(enum.Enum):
    """Type of `NEGATIVE`: the cached answer "no such record"."""

    NEGATIVE = "NEGATIVE"

    def __repr__(self) -> str:
        return "NEGATIVE"


NEGATIVE: Final = Negative.NEGATIVE


@dataclass(frozen=True, slots=True)
class Copy:
    """
    A value as some tier holds it.

    Attributes:
        value: The value, or `NEGATIVE`.
        freshness: Which window it is in; never EXPIRED.
        tier: Where it was found.
        version: The row's version, 0 for none.
        stamps: Tags and tokens that it was made under.
        fresh_for_s: How long it stays fresh; 0 where it is not.
        kept_for_s: How long it is kept in all.
        load_cost_s: What its load took, 0 where unknown.
        fingerprint: What tells this record from a later one of the same key.
        size_bytes: Encoded size, 0 where unknown.
    """

    value: Any
    freshness: Freshness
    tier: str
    version: int = 0
    stamps: tuple[TagToken, ...] = ()
    fresh_for_s: float = 0.0
    kept_for_s: float = 0.0
    load_cost_s: float = 0.0
    fingerprint: bytes = b""
    size_bytes: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether it may be served as current."""
        return self.freshness is Freshness.FRESH


@dataclass(frozen=True, slots=True)
class Look:
    """
    What a look for one key found.

    Attributes:
        copy: The copy found, fresh or stale, still in force by its tags; None for none.
        unusable: Fingerprint of a far record that must not be served; empty for none.
        far_failed: The far tier did not answer.
    """

    copy: Copy | None = None
    unusable: bytes = b""
    far_failed: bool = False
