"""One stored value of the reference tier, as its table, its view and its policy see it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tiercel._core.sketch import fingerprint
from tiercel.local.entry import Tags
from tiercel.typing import Key

if TYPE_CHECKING:
    from tiercel.local._reference_view import ReferenceView

__all__ = ["Entry"]


class Entry:
    """One stored value; ``hot_until`` is ``fresh_until``, or minus infinity where a hit has to unseal the value."""

    __slots__ = (
        "cost",
        "fingerprint",
        "fresh_until",
        "hot_until",
        "in_window",
        "keep_s",
        "key",
        "place",
        "stamp",
        "strikes",
        "tags",
        "value",
        "version",
        "view",
        "visited",
        "weight",
    )

    hot_until: float
    stamp: int
    visited: bool
    value: Any

    def __init__(self, view: ReferenceView, key: Key) -> None:
        self.view = view
        self.key = key
        self.fingerprint = fingerprint(hash(key), view.salt)
        self.cost = 0
        self.place = -1
        self.in_window = True
        self.visited = False
        self.strikes = 0

    def fill(self, value: Any, now: float, ttl_s: float, keep_s: float, version: int, tags: Tags, weight: int) -> None:
        self.value = value
        self.keep_s = keep_s
        self.version = version
        self.tags = tags
        self.weight = weight
        self.refresh(now + ttl_s)

    def refresh(self, fresh_until: float) -> None:
        self.fresh_until = fresh_until
        self.hot_until = fresh_until if self.view.table.seal is None else -math.inf

    def is_dead(self, now: float) -> bool:
        return self.fresh_until + self.keep_s <= now
