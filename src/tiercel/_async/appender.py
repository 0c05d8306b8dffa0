"""
Group commit: writes that arrive while the journal syncs share the next sync.

The first writer that finds the journal idle appends for everybody who waits; the others find their writes kept when
their turn comes. One sync then serves as many writers as gathered during the last one.

A caller that is cancelled while it appends for others puts their writes back, and takes its own out: the next in line
appends them again. If the first append had gone through, a write is kept twice, which the store's version guard makes
harmless. The cancelled caller does not know whether its write was kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tiercel._async.journals.protocol import AsyncJournal
from tiercel._core.journal import Accepted, Draft
from tiercel._paired import AsyncLock
from tiercel.errors import ClosedError

__all__ = ["AsyncAppender"]


class _Ticket:
    """One caller's writes and what came of them."""

    __slots__ = ("_answer", "drafts")

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self._answer: Accepted | Exception | None = None

    @property
    def is_open(self) -> bool:
        return self._answer is None

    def close(self, answer: Accepted | Exception) -> None:
        self._answer = answer

    def result(self) -> Accepted:
        if isinstance(self._answer, Accepted):
            return self._answer
        raise self._answer or ClosedError(operation="append")


class AsyncAppender:
    """
    Appends to a journal on behalf of many callers.

    Args:
        journal: Where writes go.
        max_group: Most writes in one append.
    """

    def __init__(self, journal: AsyncJournal, max_group: int = 2_000) -> None:
        self._journal = journal
        self._max_group = max_group
        self._turn = AsyncLock()
        self._guard = threading.Lock()
        self._staged: list[_Ticket] = []

    async def append(self, drafts: Sequence[Draft]) -> Accepted:
        """
        Keep *drafts* and return once they are durable.

        Raises:
            StoreError: As `AsyncJournal.append`; none of this caller's writes is promised then.
        """
        ticket = _Ticket(drafts)
        with self._guard:
            self._staged.append(ticket)
        try:
            async with self._turn:
                while ticket.is_open:
                    await self._commit()
        except BaseException:
            self._withdraw(ticket)
            raise
        return ticket.result()

    async def _commit(self) -> None:
        group = self._gather()
        try:
            accepted = await self._journal.append([draft for ticket in group for draft in ticket.drafts])
        except Exception as error:  # every caller of the group gets it
            for ticket in group:
                ticket.close(error)
        except BaseException:
            self._put_back(group)
            raise
        else:
            start = 0
            for ticket in group:
                end = start + len(ticket.drafts)
                ticket.close(Accepted(accepted.versions[start:end], accepted.size))
                start = end

    def _gather(self) -> list[_Ticket]:
        """Take staged tickets, oldest first, up to the group's bound but at least one."""
        with self._guard:
            rows, count = 0, 0
            for ticket in self._staged:
                rows += len(ticket.drafts)
                if count and rows > self._max_group:
                    break
                count += 1
            group, self._staged = self._staged[:count], self._staged[count:]
            return group

    def _put_back(self, group: list[_Ticket]) -> None:
        with self._guard:
            self._staged[:0] = group

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._guard:
            self._staged = [other for other in self._staged if other is not ticket]
