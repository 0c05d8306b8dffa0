"""
The gate before a store: loads pass a few at a time, as many as the store bears, and the others wait or are shed in
time.

So a cold or restarted cache cannot take the database down: what exceeds the limit is refused while its caller can still
be served stale or told clearly, and the loads that run finish at full speed. The decisions are `Limiter`'s.
"""

from __future__ import annotations

import threading
import time

from tiercel._core.limiter import Limiter, LimiterOptions, Ticket, TicketState
from tiercel._paired import AsyncEvent
from tiercel.errors import LoadTimeout

__all__ = ["AsyncOriginGate"]


class AsyncOriginGate:
    """
    Admission to one store.

    Args:
        name: The store's name, for error texts.
        options: Bounds of the limit.
    """

    def __init__(self, name: str, options: LimiterOptions | None = None) -> None:
        self.name = name
        self.limiter = Limiter(options)
        # Held for a few instructions and never while waiting, so that both colours use the same kind.
        self._mutex = threading.Lock()
        self._waiting: dict[Ticket, AsyncEvent] = {}

    async def enter(self, timeout_s: float) -> Ticket:
        """
        Wait for a place, and return the ticket that `leave` must be called with.

        Raises:
            LoadTimeout: No place within *timeout_s*; raised at once where it is clear that there will be none.
        """
        now = time.monotonic()
        turn = AsyncEvent()
        with self._mutex:
            ticket = self.limiter.enter(now, now + timeout_s)
            if ticket.state is TicketState.QUEUED:
                self._waiting[ticket] = turn
        if ticket.state is TicketState.QUEUED:
            await self._wait(ticket, turn, timeout_s)
        if ticket.state is not TicketState.ADMITTED:
            raise LoadTimeout(
                f"store {self.name!r} is busy: {self.limiter.in_flight} loads run, more would wait too long"
            )
        return ticket

    def leave(self, ticket: Ticket, *, failed: bool = False) -> None:
        """End a load; *failed* where the store timed out or refused it. Never blocks."""
        with self._mutex:
            changed = self.limiter.leave(ticket, time.monotonic(), failed=failed)
            turns = [self._waiting.pop(other) for other in changed if other in self._waiting]
        for turn in turns:
            turn.set()

    async def _wait(self, ticket: Ticket, turn: AsyncEvent, timeout_s: float) -> None:
        try:
            await turn.wait_for(timeout_s)
        except BaseException:
            self.leave(ticket)
            raise
        finally:
            with self._mutex:
                self._waiting.pop(ticket, None)
                is_late = ticket.state is TicketState.QUEUED
            if is_late:
                self.leave(ticket)
