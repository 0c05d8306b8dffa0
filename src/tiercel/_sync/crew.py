# Generated from src/tiercel/_async/crew.py by tools/unasync.py. Do not edit.
"""
The crew: one worker's flushers, one a partition, and the share of partitions that this worker should hold.

The roll is called every third of the lease: the worker says that it lives, sees who else does, and wants the
partitions of its share. A worker that stops says so, and its partitions are free at once; one that dies or freezes
is missed after ``lease_s``.
"""

from __future__ import annotations

from tiercel._sync.flusher import Flusher, Events, Settled
from tiercel._sync.journals.protocol import Journal
from tiercel._core.journal import FlushCounters
from tiercel._core.shares import share_of
from tiercel._paired import Event, Function, Job, spawn
from tiercel.errors import StoreError
from tiercel.options import JournalOptions
from tiercel.typing import Store, Clock

__all__ = ["FlushCrew"]


class FlushCrew:
    """
    Flushes a journal as one of any number of workers.

    Args:
        journal: Where writes wait; open.
        store: Where they go.
        owner: Name of this worker, unique among all that share the journal.
        options: Thresholds, pauses and the lease.
        clock: Source of time.
        events: Told what happens, see `Flusher`; also ``roll_failed``.
        settled: Told at the end of each round that removed something.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        owner: str,
        options: JournalOptions,
        *,
        clock: Clock,
        events: Events,
        settled: Function[[Settled], None],
    ) -> None:
        self._journal = journal
        self._owner = owner
        self._options = options
        self._events = events
        self.counters = FlushCounters()
        self.flushers = [
            Flusher(
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
        self._stopping = Event()
        self._jobs: list[Job] = []

    def start(self) -> None:
        """Call the roll once and start flushing."""
        self.call_roll()
        for flusher in self.flushers:
            self._jobs.append(spawn(f"tiercel-flush-{flusher.partition}", flusher.run))
        self._jobs.append(spawn("tiercel-roll", self._keep_roll))

    def call_roll(self) -> frozenset[int]:
        """Say that this worker lives and take up its share; return it."""
        workers = self._journal.enlist(self._owner, self._options.lease_s)
        share = share_of(self._owner, workers, self._journal.partitions)
        for flusher in self.flushers:
            flusher.want(flusher.partition in share)
        return share

    def _keep_roll(self) -> None:
        while not self._stopping.wait_for(self._options.lease_s / 3):
            try:
                self.call_roll()
            except StoreError as error:  # the journal is away: keep the share, the flushers back off by themselves
                self._events("roll_failed", {"reason": str(error)})

    def hurry(self, hurried: bool) -> None:
        """Say whether to flush without waiting for batches to fill."""
        for flusher in self.flushers:
            flusher.hurry(hurried)

    def stop(self, deadline_s: float) -> bool:
        """End after the rounds in progress and hand the partitions over; False where *deadline_s* did not suffice."""
        self._stopping.set()
        for flusher in self.flushers:
            flusher.stop()
        ended = [job.join(deadline_s) for job in self._jobs]
        self._jobs.clear()
        try:
            self._journal.resign(self._owner)
        except StoreError as error:  # the others miss this worker after lease_s
            self._events("roll_failed", {"reason": str(error)})
        return all(ended)
