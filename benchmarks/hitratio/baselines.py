"""
The published policies that ours is measured against, as their papers write them, for entries of one size.

Each is an object with ``access(key)``, which says whether the key was held and takes it in where it was not, and
``remove(key)``, which is how a time to live takes its entries away. Keys are small numbers.

FIFO, LRU; 2Q: Johnson and Shasha, VLDB 1994 (Kin 25 %, Kout 50 %); ARC: Megiddo and Modha, FAST 2003; W-TinyLFU:
Einziger, Friedman, Manes, ToS 2017 (window, and a main SLRU of 80 % protected); S3-FIFO: Yang et al., SOSP 2023 (small
queue 10 %, ghost as large as the main queue); SIEVE: Zhang et al., NSDI 2024; the clairvoyant bound: Belady 1966.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

__all__ = ["POLICIES", "Policy", "clairvoyant_hits"]


class Policy(Protocol):
    """A cache of keys."""

    def access(self, key: int) -> bool:
        """Return whether *key* is held; take it in where it is not."""

    def remove(self, key: int) -> None:
        """Forget *key* where it is held."""


class Fifo:
    """First in, first out."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[int, None] = OrderedDict()

    def access(self, key: int) -> bool:
        held = self._held
        if key in held:
            return True
        held[key] = None
        if len(held) > self._size:
            held.popitem(last=False)
        return False

    def remove(self, key: int) -> None:
        self._held.pop(key, None)


class Lru(Fifo):
    """Least recently used."""

    def access(self, key: int) -> bool:
        held = self._held
        if key in held:
            held.move_to_end(key)
            return True
        return super().access(key)


class TwoQueues:
    """2Q, full version."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._most_in = max(1, size // 4)
        self._most_out = max(1, size // 2)
        self._in: OrderedDict[int, None] = OrderedDict()
        self._out: OrderedDict[int, None] = OrderedDict()
        self._main: OrderedDict[int, None] = OrderedDict()

    def access(self, key: int) -> bool:
        if key in self._main:
            self._main.move_to_end(key)
            return True
        if key in self._in:
            return True
        was_out = key in self._out
        self._reclaim()
        if was_out:
            self._out.pop(key, None)
            self._main[key] = None
        else:
            self._in[key] = None
        return False

    def _reclaim(self) -> None:
        if len(self._in) + len(self._main) < self._size:
            return
        if len(self._in) > self._most_in or not self._main:
            key, _ = self._in.popitem(last=False)
            self._out[key] = None
            if len(self._out) > self._most_out:
                self._out.popitem(last=False)
        else:
            self._main.popitem(last=False)

    def remove(self, key: int) -> None:
        self._in.pop(key, None)
        self._main.pop(key, None)


class Arc:
    """Adaptive replacement cache."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._target = 0.0
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._frequent: OrderedDict[int, None] = OrderedDict()
        self._recent_ghosts: OrderedDict[int, None] = OrderedDict()
        self._frequent_ghosts: OrderedDict[int, None] = OrderedDict()

    def access(self, key: int) -> bool:
        if key in self._recent:
            del self._recent[key]
            self._frequent[key] = None
            return True
        if key in self._frequent:
            self._frequent.move_to_end(key)
            return True
        if key in self._recent_ghosts:
            step = max(len(self._frequent_ghosts) / len(self._recent_ghosts), 1)
            self._target = min(self._target + step, self._size)
            self._replace(is_frequent_ghost=False)
            del self._recent_ghosts[key]
            self._frequent[key] = None
        elif key in self._frequent_ghosts:
            step = max(len(self._recent_ghosts) / len(self._frequent_ghosts), 1)
            self._target = max(self._target - step, 0)
            self._replace(is_frequent_ghost=True)
            del self._frequent_ghosts[key]
            self._frequent[key] = None
        else:
            self._take_in(key)
        return False

    def _take_in(self, key: int) -> None:
        if len(self._recent) + len(self._recent_ghosts) >= self._size:
            if len(self._recent) < self._size:
                self._recent_ghosts.popitem(last=False)
                self._replace(is_frequent_ghost=False)
            else:
                self._recent.popitem(last=False)
        else:
            held = len(self._recent) + len(self._frequent)
            total = held + len(self._recent_ghosts) + len(self._frequent_ghosts)
            if total >= 2 * self._size:
                self._frequent_ghosts.popitem(last=False)
            if held >= self._size:
                self._replace(is_frequent_ghost=False)
        self._recent[key] = None

    def _replace(self, *, is_frequent_ghost: bool) -> None:
        if len(self._recent) + len(self._frequent) < self._size:
            return  # a time to live has made room
        recent = len(self._recent)
        if recent and (recent > self._target or (is_frequent_ghost and recent == self._target) or not self._frequent):
            key, _ = self._recent.popitem(last=False)
            self._recent_ghosts[key] = None
        else:
            key, _ = self._frequent.popitem(last=False)
            self._frequent_ghosts[key] = None

    def remove(self, key: int) -> None:
        self._recent.pop(key, None)
        self._frequent.pop(key, None)


class Sieve:
    """SIEVE; the hand walks a list of slots, young at the end, compacted now and then."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._visited: dict[int, bool] = {}
        self._order: list[int | None] = []
        self._place: dict[int, int] = {}
        self._hand = 0

    def access(self, key: int) -> bool:
        if key in self._visited:
            self._visited[key] = True
            return True
        if len(self._visited) >= self._size:
            self._evict()
        self._visited[key] = False
        self._place[key] = len(self._order)
        self._order.append(key)
        if len(self._order) > 2 * self._size + 16:
            self._compact()
        return False

    def _evict(self) -> None:
        order, visited = self._order, self._visited
        while True:
            if self._hand >= len(order):
                self._hand = 0
            key = order[self._hand]
            if key is not None:
                if not visited[key]:
                    self.remove(key)
                    self._hand += 1
                    return
                visited[key] = False
            self._hand += 1

    def _compact(self) -> None:
        before = sum(key is not None for key in self._order[: self._hand])
        self._order = [key for key in self._order if key is not None]
        self._place = {key: place for place, key in enumerate(self._order) if key is not None}
        self._hand = before

    def remove(self, key: int) -> None:
        if self._visited.pop(key, None) is not None:
            self._order[self._place.pop(key)] = None


class S3Fifo:
    """S3-FIFO: a small and a main queue with two-bit counters, and a ghost queue."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._most_small = max(1, size // 10)
        self._most_ghosts = max(1, size - self._most_small)
        self._small: OrderedDict[int, int] = OrderedDict()
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def access(self, key: int) -> bool:
        for queue in (self._small, self._main):
            uses = queue.get(key)
            if uses is not None:
                queue[key] = min(uses + 1, 3)
                return True
        while len(self._small) + len(self._main) >= self._size:
            self._evict()
        if key in self._ghosts:
            del self._ghosts[key]
            self._main[key] = 0
        else:
            self._small[key] = 0
        return False

    def _evict(self) -> None:
        if len(self._small) >= self._most_small or not self._main:
            self._evict_small()
        else:
            self._evict_main()

    def _evict_small(self) -> None:
        key, uses = self._small.popitem(last=False)
        if uses > 1:
            self._main[key] = 0
            return
        self._ghosts[key] = None
        if len(self._ghosts) > self._most_ghosts:
            self._ghosts.popitem(last=False)

    def _evict_main(self) -> None:
        while True:
            key, uses = self._main.popitem(last=False)
            if not uses:
                return
            self._main[key] = uses - 1

    def remove(self, key: int) -> None:
        self._small.pop(key, None)
        self._main.pop(key, None)


class WindowTinyLfu:
    """W-TinyLFU with a fixed window; uses are counted exactly, which is in its favour, and halved every 10 x size."""

    def __init__(self, size: int, window_part: float) -> None:
        self._most_window = max(1, int(size * window_part))
        self._most_main = max(size - self._most_window, 0)
        self._most_protected = int(self._most_main * 0.8)
        self._counts: dict[int, int] = {}
        self._sample = max(10 * size, 100)
        self._counted = 0
        self._window: OrderedDict[int, None] = OrderedDict()
        self._probation: OrderedDict[int, None] = OrderedDict()
        self._protected: OrderedDict[int, None] = OrderedDict()

    def access(self, key: int) -> bool:
        self._count(key)
        if key in self._window:
            self._window.move_to_end(key)
            return True
        if key in self._protected:
            self._protected.move_to_end(key)
            return True
        if key in self._probation:
            self._protect(key)
            return True
        self._window[key] = None
        if len(self._window) > self._most_window:
            candidate, _ = self._window.popitem(last=False)
            self._duel(candidate)
        return False

    def _count(self, key: int) -> None:
        counts = self._counts
        counts[key] = min(counts.get(key, 0) + 1, 15)
        self._counted += 1
        if self._counted >= self._sample:
            self._counted = 0
            self._counts = {key: count >> 1 for key, count in counts.items() if count > 1}

    def _protect(self, key: int) -> None:
        del self._probation[key]
        self._protected[key] = None
        if len(self._protected) > self._most_protected:
            demoted, _ = self._protected.popitem(last=False)
            self._probation[demoted] = None

    def _duel(self, candidate: int) -> None:
        if len(self._probation) + len(self._protected) < self._most_main:
            self._probation[candidate] = None
            return
        queue = self._probation or self._protected
        if not queue:
            return
        victim = next(iter(queue))
        if self._counts.get(candidate, 0) > self._counts.get(victim, 0):
            del queue[victim]
            self._probation[candidate] = None

    def remove(self, key: int) -> None:
        for queue in (self._window, self._probation, self._protected):
            queue.pop(key, None)


POLICIES: dict[str, Callable[[int], Policy]] = {
    "LRU": Lru,
    "FIFO": Fifo,
    "2Q": TwoQueues,
    "ARC": Arc,
    "SIEVE": Sieve,
    "S3-FIFO": S3Fifo,
    "W-TinyLFU 1 %": lambda size: WindowTinyLfu(size, 0.01),
    "W-TinyLFU 10 %": lambda size: WindowTinyLfu(size, 0.10),
}


def clairvoyant_hits(requests: list[int], size: int) -> int:
    """Return the hits of a cache that evicts what is needed latest: no policy has more."""
    never = len(requests)
    following = [never] * never
    seen: dict[int, int] = {}
    for at in range(never - 1, -1, -1):
        following[at] = seen.get(requests[at], never)
        seen[requests[at]] = at
    next_use: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for at, key in enumerate(requests):
        if key in next_use:
            hits += 1
        elif len(next_use) >= size:
            _evict_latest(latest, next_use)
        next_use[key] = following[at]
        heapq.heappush(latest, (-following[at], key))
    return hits


def _evict_latest(latest: list[tuple[int, int]], next_use: dict[int, int]) -> None:
    while True:
        negative, key = heapq.heappop(latest)
        if next_use.get(key) == -negative:
            del next_use[key]
            return
