"""
The receipt of an invalidation: proof of when each tier was clean.
"""

from __future__ import annotations

from typing import Any

from tiercel._async.edge import AsyncEdge
from tiercel._core.receipt import ReceiptState
from tiercel._paired import AsyncEvent
from tiercel.cdn.purge import PurgeTicket
from tiercel.errors import ConfigurationError, TierTimeout, TierUnavailable
from tiercel.typing import Clock

FIRST_POLL_S = 0.02
LONGEST_POLL_S = 2.0


class AsyncReceipt:
    """
    What an invalidation did; made by ``invalidate`` and its kin, valid for as long as the cache is open.

    Attributes:
        state: Keys, tags, paths, and when each tier was clean.
    """

    def __init__(self, state: ReceiptState, clock: Clock, edge: AsyncEdge | None = None) -> None:
        self.state = state
        self._clock = clock
        self._edge = edge
        self._tickets: list[PurgeTicket] = []
        self._cleaned = AsyncEvent()
        self._waiting = 0

    def clean(self, tier: str) -> None:
        """Note that *tier* is clean now, but for what waits to be taken by it."""
        if tier == "redis" and self._waiting:
            return
        self.state.clean_s.setdefault(tier, self._clock.wall())
        self._cleaned.set()

    def queued(self) -> None:
        """Note that Redis did not take an invalidation, which waits now; `taken` ends that."""
        self._waiting += 1
        self.state.clean_s.pop("redis", None)
        if "redis" not in self.state.queued:
            self.state.queued.append("redis")

    def taken(self) -> None:
        """Note that Redis took an invalidation late; it is clean once it took all."""
        self._waiting -= 1
        self.clean("redis")

    def purging(self, ticket: PurgeTicket) -> None:
        """Note that the CDN was asked, under *ticket*."""
        self._tickets.append(ticket)

    async def wait(self, tier: str, timeout_s: float = 30.0) -> float:
        """
        Wait until *tier* is clean.

        Args:
            tier: ``redis``, ``local`` or ``cdn``.
            timeout_s: Longest wait.

        Returns:
            When it was clean, seconds since the epoch.

        Raises:
            ConfigurationError: the invalidation did not concern *tier*.
            TierTimeout: it is not clean yet.
            TierUnavailable: the CDN refused the purge.
        """
        ends = self._clock.monotonic() + timeout_s
        pause_s = FIRST_POLL_S
        while tier not in self.state.clean_s:
            self._must_concern(tier)
            left_s = ends - self._clock.monotonic()
            if left_s <= 0:
                raise TierTimeout(f"{tier} was not clean within {timeout_s} s", tier=tier, operation="wait")
            self._cleaned.clear()
            if tier == "cdn":
                await self._ask_edge()
            if tier not in self.state.clean_s:
                await self._cleaned.wait_for(min(pause_s, left_s))
                pause_s = min(2 * pause_s, LONGEST_POLL_S)
        return self.state.clean_s[tier]

    def _must_concern(self, tier: str) -> None:
        concerned = {*self.state.clean_s, *self.state.queued, *(["cdn"] if self._tickets else [])}
        if tier not in concerned:
            raise ConfigurationError(f"this invalidation did not concern tier {tier!r}, but {sorted(concerned)}")

    async def _ask_edge(self) -> None:
        """Note when the last of the purges was done, once all are."""
        if self._edge is None:
            return
        done_s = []
        for ticket in self._tickets:
            status = await self._edge.status(ticket)
            if status.state == "pending":
                return
            if status.state != "done":
                raise TierUnavailable(f"the CDN did not purge: {status.state} {status.detail}", tier="cdn")
            done_s.append(status.done_s or self._clock.wall())
        self.state.clean_s["cdn"] = max(done_s)

    def as_dict(self) -> dict[str, Any]:
        """Return everything known, ready for JSON."""
        state = self.state
        return {
            "started_s": state.started_s,
            "keys": [list(key) for key in state.keys],
            "tags": list(state.tags),
            "paths": list(state.paths),
            "clean_s": dict(state.clean_s),
            "queued": list(state.queued),
        }
