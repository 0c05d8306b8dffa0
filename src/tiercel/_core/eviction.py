"""
The eviction policy of one tenant's entries: an adaptive window in front of a CLOCK ring, with a TinyLFU duel between.

A hit sets one bit, `Resident.visited`; everything else happens on a miss.

* New entries queue in the **window**. One that was used while it waited gets another turn.
* The oldest of the window **duels** the entry under the hand of the **main** ring: the one that was asked for more
  often stays. A tie keeps the resident, so that scans and loops do not flush the cache.
* Losers are remembered in the list of **dropped** keys, evicted residents in the list of **ousted** keys. A miss on a
  dropped key says that the window is too small; on an ousted one, that it is too large.
* Once the cache has been full, room left by evictions is not given away without a duel, else one-hit wonders take the
  slack that a large victim leaves. Room left by invalidation and expiry is.
* An entry that has expired is a victim for free: no duel, no ghost.

Both queues are FIFO with reinsertion, which is CLOCK: the front of the main queue is where the hand stands, and its end
is just behind the hand.

Sources: Einziger, Friedman, Manes, *TinyLFU*, ToS 2017 (the duel); Corbato, *A paging experiment with Multics*, 1968
(CLOCK); Megiddo and Modha, *ARC*, FAST 2003 (ghosts steer the division); Einziger, Eytan, Friedman, Manes, *Adaptive
software cache management*, Middleware 2018 (an adaptive window); Cidon et al., *Cliffhanger*, NSDI 2016 (ghost hits as
marginal gain).

Costs and bounds share a unit: entries, or bytes. Not thread-safe: the table's lock protects it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from tiercel._core.ghosts import GhostList
from tiercel._core.sketch import FrequencySketch

__all__ = ["Policy", "Resident"]

FIRST_SIZE = 256
GHOST_PART = 10
FIRST_WINDOW_PART = 0.10
LEAST_WINDOW_PART = 0.01
LARGEST_WINDOW_PART = 0.99
WINDOW_CHANCES = 16
HAND_STEPS = 128
LUCKY_COUNT = 6
LUCK_MASK = 127
LARGEST_SEEN = 256
MOST_STRIKES = 8
MASK32 = 0xFFFF_FFFF


class Resident(Protocol):
    """What the policy needs to know of an entry."""

    fingerprint: int
    cost: int
    visited: bool
    in_window: bool
    strikes: int

    def is_dead(self, now: float) -> bool:
        """Whether the entry can serve no purpose any more."""


R = TypeVar("R", bound=Resident)


class Policy(Generic[R]):
    """
    Which of one tenant's entries to evict.

    Args:
        by_bytes: Costs are bytes, not entries.
        per_cost: Compare uses per cost, which favours hits per entry; else compare plain uses.
    """

    __slots__ = (
        "_by_bytes",
        "_chances",
        "_dropped",
        "_luck",
        "_main",
        "_ousted",
        "_per_cost",
        "_sized_for",
        "_sketch",
        "_vacancy",
        "_was_full",
        "_window",
        "_window_part",
        "main_cost",
        "seen",
        "useful",
        "window_cost",
    )

    def __init__(self, *, by_bytes: bool, per_cost: bool) -> None:
        self._by_bytes = by_bytes
        self._per_cost = per_cost
        self._window: OrderedDict[R, None] = OrderedDict()
        self._main: OrderedDict[R, None] = OrderedDict()
        self.window_cost = 0
        self.main_cost = 0
        self._window_part = FIRST_WINDOW_PART
        self._vacancy = 0
        self._was_full = False
        self._chances = 0
        self._luck = 0x9E37_79B9
        self.useful = 0
        self.seen = 0
        self._size_for(FIRST_SIZE)

    def __len__(self) -> int:
        return len(self._window) + len(self._main)

    def __iter__(self) -> Iterator[R]:
        yield from self._window
        yield from self._main

    def is_worse_than(self, other: Policy[R]) -> bool:
        """Whether less of the room looked at lately was useful than at *other*; who holds more, where it is equal."""
        mine = self.useful * (other.seen + 1)
        theirs = other.useful * (self.seen + 1)
        return mine < theirs or (mine == theirs and self.cost > other.cost)

    @property
    def cost(self) -> int:
        """What all entries cost together."""
        return self.window_cost + self.main_cost

    def _size_for(self, entries: int) -> None:
        self._sized_for = entries
        self._sketch = FrequencySketch(entries)
        self._forget_ghosts(entries)

    def _forget_ghosts(self, entries: int) -> None:
        ghosts = max(entries // GHOST_PART, 1)
        self._dropped = GhostList(ghosts)
        self._ousted = GhostList(ghosts)

    def fit(self, bound: int) -> None:
        """Make room in the sketch and the ghost lists for one entry more; *bound* is the most that can ever be held."""
        if len(self) < self._sized_for and bound >= self._sized_for:
            return
        size = min(max(self._sized_for * 2, FIRST_SIZE), bound) if len(self) >= self._sized_for else bound
        if size != self._sized_for:
            self._sized_for = size
            self._sketch.resize(size)
            self._forget_ghosts(size)

    def admit(self, entry: R, capacity: int) -> None:
        """Take *entry* in after a miss; the caller then calls `step` until all bounds hold."""
        self._sketch.add(entry.fingerprint)
        was_dropped = self._dropped.discard(entry.fingerprint)
        was_ousted = self._ousted.discard(entry.fingerprint)
        if was_dropped:
            self._widen(capacity)
        if was_ousted:
            self._narrow(capacity)
        if was_dropped or was_ousted:
            self._judge(1)
        entry.in_window = True
        entry.visited = False
        self._window[entry] = None
        self.window_cost += entry.cost
        self._chances = WINDOW_CHANCES

    def _judge(self, useful: int) -> None:
        """Note that room for one entry was looked at and was found *useful* (1) or not (0)."""
        self.useful += useful
        self.seen += 1
        if self.seen >= LARGEST_SEEN:
            self.useful >>= 1
            self.seen >>= 1

    def _step_part(self, capacity: int) -> float:
        return self.cost / len(self) / capacity if len(self) else 1 / capacity

    def _widen(self, capacity: int) -> None:
        self._window_part = min(self._window_part + self._step_part(capacity), LARGEST_WINDOW_PART)

    def _narrow(self, capacity: int) -> None:
        self._window_part = max(self._window_part - self._step_part(capacity), LEAST_WINDOW_PART)
        self._vacancy += self.cost // len(self) if len(self) else 1

    def discard(self, entry: R) -> None:
        """Let go of *entry*, which was invalidated or has expired: no ghost, and its room is free to take."""
        if not entry.in_window:
            self._vacancy += entry.cost
        self._remove(entry)

    def _remove(self, entry: R) -> None:
        if entry.in_window:
            del self._window[entry]
            self.window_cost -= entry.cost
        else:
            del self._main[entry]
            self.main_cost -= entry.cost

    def reweigh(self, entry: R, cost: int) -> None:
        """Give *entry*, which was overwritten, another cost and a sign of use."""
        if entry.in_window:
            self.window_cost += cost - entry.cost
        else:
            self.main_cost += cost - entry.cost
        entry.cost = cost
        entry.visited = True
        self._chances = WINDOW_CHANCES

    def is_window_over(self, capacity: int) -> bool:
        """Whether the window holds more than its part of *capacity*."""
        return self.window_cost > max(1, int(self._window_part * capacity))

    def step(self, now: float, capacity: int, *, is_crowded: bool) -> R | None:
        """
        Do one step towards the bounds; return the entry that left, if one did.

        Args:
            now: Current time, seconds.
            capacity: What this tenant may hold.
            is_crowded: The table or this tenant is over its bound, so that somebody has to go.
        """
        if is_crowded:
            self._was_full = True
        if self.is_window_over(capacity):
            return self._leave_window(now, is_crowded)
        victim = self._victim(now) if self._main else next(iter(self._window))
        self._oust(victim, now)
        return victim

    def _oust(self, victim: R, now: float) -> None:
        self._remove(victim)
        if not victim.is_dead(now):
            self._ousted.add(victim.fingerprint)
            self._judge(0)

    def _leave_window(self, now: float, is_crowded: bool) -> R | None:
        candidate = next(iter(self._window))
        if candidate.is_dead(now):
            self._remove(candidate)
            return candidate
        if candidate.visited and self._chances > 0:
            self._chances -= 1
            self._reprieve(candidate, self._window)
            return None
        if self._may_enter(candidate, is_crowded) or not self._main:
            self._promote(candidate)
            return None
        return self._duel(candidate, now)

    def _reprieve(self, entry: R, queue: OrderedDict[R, None]) -> None:
        entry.visited = False
        entry.strikes = 0
        self._judge(1)
        self._sketch.add(entry.fingerprint)
        queue.move_to_end(entry)

    def _may_enter(self, candidate: R, is_crowded: bool) -> bool:
        if is_crowded:
            return False
        if not self._by_bytes or not self._was_full:
            return True
        if self._vacancy < candidate.cost:
            return False
        self._vacancy -= candidate.cost
        return True

    def _promote(self, candidate: R) -> None:
        self._remove(candidate)
        candidate.in_window = False
        candidate.visited = False
        candidate.strikes = 0
        self._main[candidate] = None
        self.main_cost += candidate.cost

    def _duel(self, candidate: R, now: float) -> R:
        victim = self._victim(now)
        if victim.is_dead(now) or self._wins(candidate, victim):
            self._oust(victim, now)
            self._promote(candidate)
            return victim
        self._remove(candidate)
        self._judge(0)
        self._dropped.add(candidate.fingerprint)
        victim.strikes = min(victim.strikes + 1, MOST_STRIKES)
        self._main.move_to_end(victim)
        return candidate

    def _victim(self, now: float) -> R:
        for _ in range(HAND_STEPS):
            entry = next(iter(self._main))
            if not entry.visited or entry.is_dead(now):
                return entry
            self._reprieve(entry, self._main)
        return next(iter(self._main))

    def _wins(self, candidate: R, victim: R) -> bool:
        mine = self._sketch.estimate(candidate.fingerprint)
        theirs = self._fame(victim)
        wins = mine * victim.cost > theirs * candidate.cost if self._per_cost else mine > theirs
        return wins or (mine >= LUCKY_COUNT and self._is_lucky())

    def _fame(self, victim: R) -> int:
        """Return a defender's count: every second duel won without having been used halves it, down to one."""
        count = self._sketch.estimate(victim.fingerprint)
        return max(count >> victim.strikes // 2, min(count, 1))

    def _is_lucky(self) -> bool:
        self._luck ^= (self._luck << 13) & MASK32
        self._luck ^= self._luck >> 17
        self._luck ^= (self._luck << 5) & MASK32
        return self._luck & LUCK_MASK == 0
