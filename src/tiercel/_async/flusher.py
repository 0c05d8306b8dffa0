"""
The flusher: carries one partition's writes from the journal to the store, in bulk, until the store has them.

One round: hold the lease, take what waits, coalesce by key, write the batch with a version guard, settle. A write
leaves the journal only after the store answered for it, so a crash at any point repeats work and loses none; the guard
makes the repetition without effect.

Failures are told apart:

- the store is *out* (it does not answer a ping, a batch timed out, or nothing at all goes through): nothing is blamed,
  the batch is halved, the round is repeated after a pause with jitter, other rows first;
- the store *refused a row*: that row alone waits and is tried ``poison_after`` times, then it is parked with the reason
  and the write before it, if one was coalesced away, takes its place;
- the store *refused a batch* without saying which row: the batch is bisected until the row is found. A store that
  raises `StoreError` says that it is out; a row is blamed for that only where others went through meanwhile.

One task or thread runs a flusher; `wake`, `hurry` and `stop` may be called from anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tiercel._async.journals.protocol import AsyncJournal
from tiercel._core.backoff import Backoff
from tiercel._core.batching import AdaptiveBatch
from tiercel._core.coalesce import Identity, Slot, coalesce
from tiercel._core.journal import FlushCounters, JournalEntry, JournalSize, Lease
from tiercel._paired import AsyncEvent, AsyncFunction
from tiercel.errors import LeaseLost, StoreError
from tiercel.options import JournalOptions
from tiercel.typing import AsyncStore, Change, Clock, Outcome

__all__ = ["AsyncFlusher", "Events", "Settled"]

Events: TypeAlias = Callable[[str, Mapping[str, Any]], None]

_WINDOW = 2
"""Batches' worth of entries held at most, so that a hot key's writes coalesce; more would cost garbage collection."""

_HURRY_S = 0.01
"""Pause between rounds while draining, with nothing to write."""

_HURRIED_RETRY_S = 0.5
"""Longest pause after a failure while draining: a deadline runs."""


@dataclass(frozen=True, slots=True)
class Settled:
    """
    The end of one round, told after the journal was advanced.

    Args:
        stored: The changes that the store has now.
        gone: Every (tenant, key) with a write that left the queue, parked ones included.
        version: The largest version that the store showed; a clock that lags behind it would lose to it.
        size: What still waits.
    """

    stored: Sequence[Change]
    gone: Sequence[Identity]
    version: int
    size: JournalSize


class AsyncFlusher:
    """
    Empties one partition while it holds its lease.

    Args:
        journal: Where writes wait.
        store: Where they go.
        partition: Which queue.
        owner: Name of this worker, unique.
        options: Thresholds and pauses.
        clock: Source of time.
        counters: Shared by the region's flushers.
        events: Told of ``flush``, ``flush_failed``, ``row_refused``, ``row_parked``, ``superseded`` (the store had a
            newer row, or this very one from a round whose answer was lost), ``lease_lost``.
        settled: Told at the end of each round that removed something.
    """

    def __init__(
        self,
        journal: AsyncJournal,
        store: AsyncStore,
        partition: int,
        owner: str,
        options: JournalOptions,
        *,
        clock: Clock,
        counters: FlushCounters,
        events: Events,
        settled: AsyncFunction[[Settled], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self.partition = partition
        self._owner = owner
        self._options = options
        self._clock = clock
        self._counters = counters
        self._events = events
        self._settled = settled
        self._backoff = Backoff(options.retry_s, options.retry_max_s)
        self._batch = AdaptiveBatch(options.batch_size)
        self._slots: dict[Identity, Slot] = {}
        self._cursor = 0
        self._lease: Lease | None = None
        self._failures = 0
        self._flushed_when_out = -1
        self._is_behind = False
        self._wanted = True
        self._hurried = False
        self._is_stopping = False
        self._wake = AsyncEvent()
        self._nudge = AsyncEvent()

    # -- control ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """A batch has come together: do not wait for the interval."""
        self._wake.set()

    def hurry(self, hurried: bool) -> None:
        """Say whether to flush without waiting for batches to fill."""
        self._hurried = hurried
        self._wake.set()
        self._nudge.set()

    def stop(self) -> None:
        """End `run` after the round in progress."""
        self._is_stopping = True
        self._wake.set()
        self._nudge.set()

    def want(self, wanted: bool) -> None:
        """Say whether this worker's share includes the partition; it is given back after the round if not."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Flush until stopped, then give the lease back."""
        while not self._is_stopping:
            self._wake.clear()
            self._nudge.clear()
            pause_s = await self._round()
            if self._is_stopping:
                break
            if self._failures:
                await self._nudge.wait_for(pause_s)  # new writes do not shorten it
            elif pause_s > 0:
                await self._wake.wait_for(pause_s)
        await self._give_back()

    async def _round(self) -> float:
        """Flush once and return how long to pause, in seconds."""
        try:
            if not self._wanted:
                await self._give_back()
                return self._options.interval_s
            await self.flush_once()
        except Exception as error:  # the loop must outlive any failure; it is counted, told and retried
            self._forget()
            self._fail(error)
        else:
            if self._is_behind:
                return 0.0
        if self._failures:
            pause_s = self._backoff.pause_s(self._failures, random.random())
            return min(pause_s, _HURRIED_RETRY_S) if self._hurried else pause_s
        return min(_HURRY_S, self._options.interval_s) if self._hurried else self._options.interval_s

    async def flush_once(self) -> int:
        """
        Write one batch and return how many rows were tried; 0 where nothing is due or another worker has the lease.

        Raises:
            StoreError: The journal cannot be reached. A failing store does not raise; it is counted.
        """
        lease = self._lease or await self._journal.lease(self.partition, self._owner, self._options.lease_s)
        self._is_behind = False
        if lease is None:
            return 0
        self._lease = lease
        size = self._batch.size
        try:
            await self._take(lease)
            due = self._due(size)
            self._is_behind = len(due) >= size
            if due:
                await self._write(lease, due)
            return len(due)
        except LeaseLost:
            self._forget()
            self._events("lease_lost", {"partition": self.partition})
            return 0

    async def _take(self, lease: Lease) -> None:
        limit = _WINDOW * self._options.batch_size - sum(len(slot) for slot in self._slots.values())
        entries = await self._journal.take(lease, self._cursor, max(limit, 0), self._options.lease_s)
        if entries:
            self._cursor = entries[-1].position
        elif not self._slots:
            self._cursor = 0  # a journal restored from a replica may number its entries anew
        coalesce(entries, self._slots)

    def _due(self, size: int) -> list[Slot]:
        now_s = self._clock.monotonic()
        due = [slot for slot in self._slots.values() if slot.due_s <= now_s]
        return due[:size]

    # -- one batch ----------------------------------------------------------------------------------------------

    async def _write(self, lease: Lease, due: Sequence[Slot]) -> None:
        outcomes = await self._deliver([slot.change for slot in due])
        done: list[JournalEntry] = []
        parked: list[tuple[JournalEntry, str]] = []
        stored: list[Change] = []
        for slot, outcome in zip(due, outcomes, strict=True):
            if outcome is None:
                self._slots[slot.identity] = self._slots.pop(slot.identity)
                continue
            if outcome.error is None:
                done += slot.entries
                stored.append(slot.candidate.change)
                del self._slots[slot.identity]
            else:
                parked += self._refuse(slot, outcome.error)
        if done or parked:
            size = await self._settle(lease, done, parked)
            self._counters.flushed += len(stored)
            self._counters.coalesced += len(done) - len(stored)
            self._events("flush", {"partition": self.partition, "rows": len(stored), "waiting": size.rows})
            gone = [entry.change[:2] for entry, _ in parked] + [change[:2] for change in stored]
            await self._settled(Settled(stored, gone, self._newest_of(outcomes), size))

    def _newest_of(self, outcomes: Sequence[Outcome | None]) -> int:
        """Return the largest version that the store showed; tell of writes that lost to a newer row."""
        answered = [outcome for outcome in outcomes if outcome is not None and outcome.error is None]
        lost = sum(not outcome.applied for outcome in answered)
        if lost:
            self._events("superseded", {"partition": self.partition, "rows": lost})
        return max((outcome.version for outcome in answered), default=0)

    async def _settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        size = await self._journal.settle(lease, done, parked)
        for entry, reason in parked:
            self._counters.parked += 1
            self._events("row_parked", {"partition": self.partition, "version": entry.change.version, "reason": reason})
        return size

    def _refuse(self, slot: Slot, error: Exception) -> list[tuple[JournalEntry, str]]:
        """Count a refused row; park it at its last try and put the write before it forward."""
        self._counters.retried += 1
        self._counters.last_error = reason = f"{type(error).__name__}: {error}"
        slot.tries += 1
        if slot.tries < self._options.poison_after:
            slot.due_s = self._clock.monotonic() + self._backoff.pause_s(slot.tries, random.random())
            self._events("row_refused", {"partition": self.partition, "tries": slot.tries, "reason": reason})
            return []
        refused, more = slot.refuse()
        if not more:
            del self._slots[slot.identity]
        return [(refused, reason)]

    async def _deliver(self, changes: Sequence[Change]) -> list[Outcome | None]:
        """Write *changes*, bisecting a batch that fails as a whole; None for what the store was out for."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        ranges = [(0, len(changes))]
        patience = len(changes).bit_length() + 1
        blamed: list[int] = []
        while ranges:
            start, end = ranges.pop()
            try:
                outcomes[start:end] = await self._write_range(changes[start:end])
                patience = len(changes)
            except Exception as error:  # whatever a user's store raises is told apart below
                patience -= 1
                if await self._is_out(error, end - start, hopeless=patience <= 0):
                    self._fail(error)
                    return [None if at in blamed else outcome for at, outcome in enumerate(outcomes)]
                if end - start == 1:
                    outcomes[start] = Outcome(False, 0, error)
                    blamed.append(start)
                else:
                    middle = (start + end) // 2
                    ranges += [(middle, end), (start, middle)]
        self._failures = 0
        if all(outcome is not None and outcome.error is None for outcome in outcomes):
            self._counters.last_error = None
            self._batch.grow()
        return outcomes

    async def _write_range(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await self._store.write_many(changes, guard=True)
        if len(outcomes) != len(changes):
            raise StoreError(f"the store answered {len(outcomes)} outcomes for {len(changes)} changes")
        return outcomes

    async def _is_out(self, error: Exception, rows: int, *, hopeless: bool) -> bool:
        """Say whether *error* is the store's rather than a row's; *hopeless*: no part of the batch went through."""
        if isinstance(error, TimeoutError) and rows > 1:
            return True
        try:
            await self._store.ping()
        except Exception:  # a store that cannot even be pinged is out; the first error is the one reported
            return True
        if not isinstance(error, (StoreError, TimeoutError)):
            return False
        return hopeless or self._counters.flushed == self._flushed_when_out

    # -- failures and the lease ---------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._flushed_when_out = self._counters.flushed
        self._batch.shrink()
        self._counters.retried += 1
        self._counters.last_error = reason = f"{type(error).__name__}: {error}"
        self._events("flush_failed", {"partition": self.partition, "failures": self._failures, "reason": reason})

    def _forget(self) -> None:
        """Drop what was taken: it is still in the journal and is taken again under the next lease."""
        self._slots.clear()
        self._cursor = 0
        self._lease = None

    async def _give_back(self) -> None:
        lease = self._lease
        self._forget()
        if lease is None:
            return
        try:
            await self._journal.release(lease)
        except StoreError as error:  # the lease runs out by itself
            self._events("release_failed", {"partition": self.partition, "reason": str(error)})
