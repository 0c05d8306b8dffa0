"""
Attempts to sign in: how many may fail before the next ones are refused unheard.

Two counts over a sliding minute: of one name from one address, and of one address over all names. The first keeps a
password from being guessed without letting anybody lock a user out everywhere; the second bounds the work. Memory is
bounded: the longest quiet are forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

__all__ = ["Attempts"]

WINDOW_S: Final = 60.0
MOST_PLACES: Final = 10_000


class Attempts:
    """
    Counts attempts; not thread-safe, one event loop uses it.

    Args:
        per_user: Attempts in a minute of one name from one address.
        per_address: Attempts in a minute from one address.
    """

    def __init__(self, per_user: int = 5, per_address: int = 30) -> None:
        self._most = {"user": per_user, "address": per_address}
        self._times: OrderedDict[tuple[str, str, str], deque[float]] = OrderedDict()

    def allow(self, address: str, user: str, now: float) -> bool:
        """Count one attempt and say whether it may be heard; *now* is any clock's seconds."""
        places = (("user", address, user[:128]), ("address", address, ""))
        is_free = all(self._count(place, now) < self._most[place[0]] for place in places)
        if is_free:
            for place in places:
                self._times.setdefault(place, deque()).append(now)
                self._times.move_to_end(place)
        while len(self._times) > MOST_PLACES:
            self._times.popitem(last=False)
        return is_free

    def succeed(self, address: str, user: str) -> None:
        """Forget the attempts of a name that signed in."""
        self._times.pop(("user", address, user[:128]), None)

    def _count(self, place: tuple[str, str, str], now: float) -> int:
        times = self._times.get(place, deque())
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        return len(times)
