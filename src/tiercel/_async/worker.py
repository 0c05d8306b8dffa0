"""
The worker: flushes the journals of any number of regions in a process of its own, beside other workers.

Application nodes then only journal (``flush = false``). Workers share the partitions of each journal by lease: start as
many as are needed, stop any of them; a stopped worker hands its partitions over at once, a dead or frozen one is missed
after ``lease_s``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercel._async.crew import AsyncFlushCrew
from tiercel._async.flusher import Events, Settled
from tiercel._async.journals.protocol import AsyncJournal
from tiercel._async.writebehind import ignore_event, worker_name
from tiercel._core.journal import JournalSize, JournalStats
from tiercel._paired import AsyncEvent
from tiercel.options import JournalOptions
from tiercel.typing import AsyncStore, Clock

__all__ = ["AsyncPost", "AsyncWorker"]

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class AsyncPost:
    """
    One region that a worker empties.

    Args:
        region: Its name.
        options: Its thresholds and pauses.
        journal: Where its writes wait.
        store: Where they go.
    """

    region: str
    options: JournalOptions
    journal: AsyncJournal
    store: AsyncStore


class AsyncWorker:
    """
    Flushes journals until stopped.

    Args:
        posts: The regions; their journals are opened by `start` and closed by `aclose`, their stores stay open.
        clock: Source of time.
        events: Told what the flushers do, with the region's name among the fields; must not block.
        name: Unique name; None to make one.
    """

    def __init__(
        self, posts: Sequence[AsyncPost], *, clock: Clock, events: Events = ignore_event, name: str | None = None
    ) -> None:
        self.name = name or worker_name()
        self._clock = clock
        self._events = events
        self._posts = posts
        self._sizes = {post.region: JournalSize() for post in posts}
        self._crews: dict[str, AsyncFlushCrew] = {}
        self._pauses = AsyncEvent()

    async def start(self) -> None:
        """
        Open the journals and begin to flush.

        Raises:
            ConfigurationError: A journal does not give the durability that is configured.
        """
        for post in self._posts:
            await post.journal.open()
            self._sizes[post.region] = await post.journal.size()
            self._crews[post.region] = AsyncFlushCrew(
                post.journal,
                post.store,
                self.name,
                post.options,
                clock=self._clock,
                events=functools.partial(self._tell, post.region),
                settled=functools.partial(self._advance, post.region),
            )
        for crew in self._crews.values():
            await crew.start()

    def _tell(self, region: str, name: str, fields: Mapping[str, Any]) -> None:
        self._events(name, {"region": region, **fields})

    async def _advance(self, region: str, settled: Settled) -> None:
        self._sizes[region] = settled.size

    async def drain(self, deadline_s: float) -> int:
        """Flush without waiting for batches, at most *deadline_s* seconds; return how many rows are left in all."""
        deadline = self._clock.monotonic() + deadline_s
        for crew in self._crews.values():
            crew.hurry(True)
        try:
            left = await self._measure()
            while left and self._clock.monotonic() < deadline:
                await self._pauses.wait_for(_LOOK_S)
                left = await self._measure()
        finally:
            for crew in self._crews.values():
                crew.hurry(False)
        return left

    async def _measure(self) -> int:
        for post in self._posts:
            self._sizes[post.region] = await post.journal.size()
        return sum(size.rows for size in self._sizes.values())

    def stats(self) -> dict[str, JournalStats]:
        """Return what waits and what was done, by region."""
        now_s = self._clock.wall()
        return {
            region: JournalStats.of(self._sizes[region], crew.counters, now_s) for region, crew in self._crews.items()
        }

    async def aclose(self, deadline_s: float = 10.0) -> None:
        """End after the rounds in progress, hand the partitions over, close the journals."""
        for crew in self._crews.values():
            await crew.stop(deadline_s)
        self._crews.clear()
        for post in self._posts:
            await post.journal.aclose()
