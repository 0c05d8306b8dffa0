"""
How many loads a store gets at once, found out from how it answers: a concurrency limit with a deadline-aware queue.

The limit grows by one a round of calls while their usual time stays near the least that it was lately, and shrinks by a
tenth when they fail or usually take longer than `tolerance` times that (additive increase, multiplicative decrease, on
latency as in TCP Vegas). *Usual* is a moving average: a single call's time says nothing, for the quickest query of a
healthy database takes a fifth of its slowest.

A caller over the limit waits in order, unless its deadline would pass before its turn: then it is shed at once, while
it can still be served stale, instead of after the wait.

Pure: ``now`` is seconds on a monotonic clock. Not thread-safe; the shell that waits holds its lock.
"""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass

from tiercel.options import require

__all__ = ["Limiter", "LimiterOptions", "Ticket", "TicketState"]

# The fastest call is looked for in windows of this length, so that a store that became slower for good is believed.
_WINDOW_S = 30.0
_SHRINK = 0.9
# Weight of the newest call in the usual time.
_NEWEST = 0.1
# Each window begins with fewer calls at once, so that it sees how fast the store is without the load of this very
# limit: otherwise each window's fastest call is a little slower than the last one's, and the limit drifts upward for
# ever.
_PROBE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterOptions:
    """
    Bounds of a limit.

    Args:
        start: Calls at once before anything is known.
        least: Never fewer than this.
        most: Never more than this: the store's connections.
        tolerance: Calls that usually take this many times the least that was usual lately say that the store is
            overloaded.
        calm_s: Calls that usually take less than this never say so.
        queue: Most callers that wait.
    """

    start: int = 10
    least: int = 1
    most: int = 50
    tolerance: float = 2.0
    calm_s: float = 0.02
    queue: int = 1000

    def __post_init__(self) -> None:
        require(
            1 <= self.least <= self.start <= self.most,
            f"least={self.least}, start={self.start}, most={self.most}: must be in this order and at least 1",
        )
        require(self.tolerance > 1, f"tolerance={self.tolerance}: must be greater than 1")
        require(self.queue >= 0, f"queue={self.queue}: must not be negative")

    @classmethod
    def up_to(cls, most: int) -> LimiterOptions:
        """Return the bounds of a store with *most* connections, a fifth of which it always bears."""
        return cls(start=min(10, most), least=min(10, max(1, most // 5)), most=most)


class TicketState(enum.Enum):
    """Where a call stands."""

    QUEUED = "queued"
    ADMITTED = "admitted"
    SHED = "shed"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Ticket:
    """One call; `started` is when it was admitted."""

    deadline: float
    state: TicketState = TicketState.QUEUED
    started: float = 0.0


class Limiter:
    """The limit of one store and who waits for it."""

    __slots__ = (
        "_fastest_s",
        "_queue",
        "_shrunk_at",
        "_usual_s",
        "_window_ends",
        "_window_fastest_s",
        "in_flight",
        "limit",
        "options",
        "shed",
    )

    def __init__(self, options: LimiterOptions | None = None) -> None:
        self.options = options or LimiterOptions()
        self.limit = float(self.options.start)
        self.in_flight = 0
        self.shed = 0
        """Calls that were refused so far."""
        self._queue: collections.deque[Ticket] = collections.deque()
        self._usual_s = 0.0
        self._fastest_s = 0.0
        self._window_fastest_s = float("inf")
        self._window_ends = 0.0
        self._shrunk_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._queue)

    def enter(self, now: float, deadline: float) -> Ticket:
        """Admit a call, queue it, or shed it because its turn would come after *deadline*."""
        ticket = Ticket(deadline)
        if self.in_flight < int(self.limit) and not self._queue:
            self._admit(ticket, now)
        elif len(self._queue) >= self.options.queue or now + self.expected_wait_s() >= deadline:
            ticket.state = TicketState.SHED
            self.shed += 1
        else:
            self._queue.append(ticket)
        return ticket

    def expected_wait_s(self) -> float:
        """Return how long a call that came now would wait: those before it, at today's limit and speed."""
        return (len(self._queue) + 1) / max(1.0, self.limit) * self._fastest_s

    def leave(self, ticket: Ticket, now: float, *, failed: bool = False) -> list[Ticket]:
        """
        End *ticket*'s call, or its wait, and return the tickets whose state changed by that.

        Args:
            ticket: As `enter` gave it.
            now: Current time.
            failed: The store timed out or refused: it is overloaded or down.
        """
        if ticket.state is TicketState.ADMITTED:
            self.in_flight -= 1
            self._learn(now, now - ticket.started, failed)
        elif ticket.state is TicketState.QUEUED:
            self._queue.remove(ticket)
        ticket.state = TicketState.ENDED
        return self._next(now)

    def _next(self, now: float) -> list[Ticket]:
        changed: list[Ticket] = []
        while self._queue and self.in_flight < int(self.limit):
            ticket = self._queue.popleft()
            if now >= ticket.deadline:
                ticket.state = TicketState.SHED
                self.shed += 1
            else:
                self._admit(ticket, now)
            changed.append(ticket)
        return changed

    def _admit(self, ticket: Ticket, now: float) -> None:
        ticket.state, ticket.started = TicketState.ADMITTED, now
        self.in_flight += 1

    def _learn(self, now: float, duration_s: float, failed: bool) -> None:
        if not failed:
            self._remember(now, duration_s)
        if failed or self._usual_s > max(self._fastest_s * self.options.tolerance, self.options.calm_s):
            # Once a round: the calls of one round tell of one and the same overload.
            if now - self._shrunk_at >= self._fastest_s:
                self.limit = max(float(self.options.least), self.limit * _SHRINK)
                self._shrunk_at = now
        elif self.in_flight + 1 >= int(self.limit):
            # A limit that is not reached says nothing about whether more would be borne.
            self.limit = min(float(self.options.most), self.limit + 1 / self.limit)

    def _remember(self, now: float, duration_s: float) -> None:
        is_first = self._fastest_s == 0.0
        self._usual_s = duration_s if is_first else self._usual_s + (duration_s - self._usual_s) * _NEWEST
        self._window_fastest_s = min(self._window_fastest_s, self._usual_s)
        if now >= self._window_ends:
            self._fastest_s, self._window_fastest_s = self._window_fastest_s, float("inf")
            self._window_ends = now + _WINDOW_S
            if self._queue and not is_first:
                self.limit = max(float(self.options.least), self.limit * _PROBE)
        else:
            self._fastest_s = min(self._fastest_s, self._usual_s)
