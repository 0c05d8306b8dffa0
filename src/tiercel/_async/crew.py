"""
The crew: one worker's flushers, one a partition, and the share of partitions that this worker should hold.

The roll is called every third of the lease: the worker says that it lives, sees who else does, and wants the
partitions of its share. A worker that stops says so, and its partitions are free at once; one that dies or freezes
is missed after ``lease_s``.
"""

from __future__ import annotations

from tiercel._async.flusher import AsyncFlusher, Events, Settled
from tiercel._async.journals.protocol import AsyncJournal
from tiercel._core.journal import FlushCounters
from tiercel._core.shares import share_of
from tiercel._paired import AsyncEvent, AsyncFunction, AsyncJob, async_spawn
from tiercel.errors import StoreError
from tiercel.options import JournalOptions
from tiercel.typing import AsyncStore, Clock

__all__ = ["AsyncFlushCrew"]


class AsyncFlushCrew:
    """
    Flushes a journal as one of any number of workers.

    Args:
        journal: Where writes wait; open.
        store: Where they go.
        owner: Name of this worker, unique among all that share the journal.
        options: Thresholds, pauses and the lease.
        clock: Source of time.
        events: Told what happens, see `AsyncFlusher`; also ``roll_failed``.
        settled: Told at the end of each round that removed something.
    """

    def __init__(
        self,
        journal: AsyncJournal,
        store: AsyncStore,
        owner: str,
        options: JournalOptions,
        *,
        clock: Clock,
        events: Events,
        settled: AsyncFunction[[Settled], None],
    ) -> None:
        self._journal = journal
        self._owner = owner
        self._options = options
        self._events = events
        self.counters = FlushCounters()
        self.flushers = [
            AsyncFlusher(
                journal,
                store,
                partition,
                owner,
                options,
                clock=clock,
                counters=self.counters,
                events=events,
                settled=settled,
            )
            for partition in range(journal.partitions)
        ]
        self._stopping = AsyncEvent()
        self._jobs: list[AsyncJob] = []

    async def start(self) -> None:
        """Call the roll once and start flushing."""
        await self.call_roll()
        for flusher in self.flushers:
            self._jobs.append(async_spawn(f"tiercel-flush-{flusher.partition}", flusher.run))
        self._jobs.append(async_spawn("tiercel-roll", self._keep_roll))

    async def call_roll(self) -> frozenset[int]:
        """Say that this worker lives and take up its share; return it."""
        workers = await self._journal.enlist(self._owner, self._options.lease_s)
        share = share_of(self._owner, workers, self._journal.partitions)
        for flusher in self.flushers:
            flusher.want(flusher.partition in share)
        return share

    async def _keep_roll(self) -> None:
        while not await self._stopping.wait_for(self._options.lease_s / 3):
            try:
                await self.call_roll()
            except StoreError as error:  # the journal is away: keep the share, the flushers back off by themselves
                self._events("roll_failed", {"reason": str(error)})

    def hurry(self, hurried: bool) -> None:
        """Say whether to flush without waiting for batches to fill."""
        for flusher in self.flushers:
            flusher.hurry(hurried)

    async def stop(self, deadline_s: float) -> bool:
        """End after the rounds in progress and hand the partitions over; False where *deadline_s* did not suffice."""
        self._stopping.set()
        for flusher in self.flushers:
            flusher.stop()
        ended = [await job.join(deadline_s) for job in self._jobs]
        self._jobs.clear()
        try:
            await self._journal.resign(self._owner)
        except StoreError as error:  # the others miss this worker after lease_s
            self._events("roll_failed", {"reason": str(error)})
        return all(ended)
