"""
Copies: what a look through the tiers brings back.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tiercel._core.frame import Frame, TagToken
from tiercel._core.record import fingerprint
from tiercel._core.windows import Freshness
from tiercel.errors import TierError
from tiercel.typing import Key


class Negative(enum.Enum):
    """Type of `NEGATIVE`: the cached answer "no such record"."""

    NEGATIVE = "NEGATIVE"

    def __repr__(self) -> str:
        return "NEGATIVE"


NEGATIVE: Final = Negative.NEGATIVE


class Copy(NamedTuple):
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
        frame: The record that it was read from, None for a local or loaded one.
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
    frame: Frame | None = None
    size_bytes: int = 0

    @property
    def fingerprint(self) -> bytes:
        """What tells the record from a later one of the same key; empty without a record."""
        return fingerprint(self.frame)

    @property
    def ttl_s(self) -> float:
        """How long it was fresh when it was made, as far as is known: at least what is left."""
        frame = self.frame
        return self.fresh_for_s if frame is None else (frame.fresh_until_ms - frame.created_ms) / 1000

    @property
    def is_fresh(self) -> bool:
        """Whether it may be served as current."""
        return self.freshness is Freshness.FRESH


def values_of(copies: Mapping[Key, Copy]) -> dict[Key, Any]:
    """Return the values of *copies*, without those that say that there is none."""
    return {key: copy.value for key, copy in copies.items() if copy.value is not NEGATIVE}


class Look(NamedTuple):
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


class Fetched(NamedTuple):
    """
    What the far tier told of a key before the reader was asked.

    Attributes:
        frame: The record; None for none, or one that cannot be read.
        error: Why it did not answer.
        mark: `Unsettled.mark` from before it was asked.
        started_s: When that was, monotonic.
    """

    frame: Frame | None
    error: TierError | None
    mark: int
    started_s: float
