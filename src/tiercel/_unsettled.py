"""
What is unsettled: invalidations that the far tier has not taken yet, so that no read of this process relies on it.

    1. writer commits v2; Redis does not answer; the invalidation is queued, the write ends
    2. Redis answers again
    3. a read of this process, strong or not, finds v1 in Redis before the queue was sent

A read takes a `mark` before it asks the far tier, and asks `is_quiet` after it, which is two integer tests; where that
is not so, `touches` says whether this very entry is concerned. What was settled between the two counts as unsettled,
for the answer may be from before.

Thread-safe; one for all caches of a process. Memory: as much as is queued.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

from tiercel._core.undelivered import Undelivered

T = TypeVar("T", bound=Hashable)


class Unsettled:
    """
    Attributes:
        count: Invalidations that wait.
    """

    __slots__ = ("_lock", "_names", "_records", "_settled", "_tags", "count")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[Hashable, Undelivered] = {}
        self._names: Counter[bytes] = Counter()
        self._tags: Counter[int] = Counter()
        self._settled = 0
        self.count = 0

    def add(self, number: Hashable, record: Undelivered) -> None:
        """Note that *record* waits, under a number of its own."""
        with self._lock:
            if number in self._records:
                return
            self._records[number] = record
            self._names.update(record.names)
            self._tags.update(record.tags)
            self.count += 1

    def settle(self, number: Hashable) -> None:
        """Note that the far tier took what waits under *number*; harmless where nothing does."""
        with self._lock:
            record = self._records.pop(number, None)
            if record is None:
                return
            self._settled += 1
            self.count -= 1
            _take(self._names, record.names)
            _take(self._tags, record.tags)

    def waits_for(self, record: Undelivered) -> bool:
        """Say whether anything waits that concerns an entry of *record*."""
        return self.count > 0 and any(name in self._names for name in record.names)

    def mark(self) -> int:
        """Return the moment before a look at the far tier."""
        return self._settled

    def is_quiet(self, mark: int) -> bool:
        """Say whether nothing waits, and nothing did since *mark*: the cheap test before `touches`."""
        return not self.count and self._settled == mark

    def touches(self, mark: int, name: bytes, tags: Iterable[int]) -> bool:
        """Say whether what the far tier told of *name*, which carries *tags*, since *mark* must not be relied on."""
        if self._settled != mark:
            return True
        return self.count > 0 and (name in self._names or any(tag in self._tags for tag in tags))


def _take(counts: Counter[T], things: Iterable[T]) -> None:
    for thing in things:
        counts[thing] -= 1
        if not counts[thing]:
            del counts[thing]
