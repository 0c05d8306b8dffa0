# Generated from src/tiercel/_async/writebehind.py by tools/unasync.py. Do not edit.
"""
Write-behind of one region: a write returns once it is journaled, and reaches the store in a batch soon after.

What a caller gets, and what makes it true:

- an acknowledged write is as durable as ``JournalOptions.durability`` says: the journal has synced it;
- the last accepted write of a key wins, deletions included: the journal gives versions that grow inside a partition,
  and the store applies only newer ones;
- a read sees what waits (`pending`), whatever the tiers evicted;
- what waits is bounded by rows, bytes and age; at a bound a write waits, is refused, or goes to the store directly.

Safe for many callers at once. A write costs one encoding and its share of a group commit; `pending` costs one look-up
in the journal (none leaves the process with a file or memory journal).
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tiercel._sync.appender import Appender
from tiercel._sync.crew import FlushCrew
from tiercel._sync.flusher import Events, Settled
from tiercel._sync.journals.payload import encode_draft
from tiercel._sync.journals.protocol import Journal
from tiercel._core.coalesce import Identity
from tiercel._core.hlc import HybridClock
from tiercel._core.journal import Draft, Fate, JournalSize, JournalStats, partition_of
from tiercel._core.pressure import Bounds
from tiercel._paired import Event, Function, Job, spawn
from tiercel.errors import ClosedError, JournalFull, StoreError, StoreTimeout
from tiercel.options import JournalOptions
from tiercel.typing import DELETED, Store, Change, Clock, Key, Record

__all__ = ["WriteBehind", "WriteHandle", "worker_name"]

_POLL_S = 0.25
"""How often a waiter looks for itself, where another process may do the flushing."""

_MEASURE_S = 2.0
"""How often the size of a journal that others empty is looked up, for `stats` and the bounds."""

_TRIES_AT_STORE = 5
"""Tries of a direct write against a row that others move forward."""


def ignore_event(name: str, fields: Mapping[str, Any]) -> None:
    """Take no notice."""


def worker_name() -> str:
    """Return a name for a worker of this process that no other worker has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class WriteHandle:
    """
    A journaled write.

    Args:
        write_behind: Where it was accepted.
        tenant: Owner of the row.
        key: The row's key.
        version: The version that the row gets.
    """

    __slots__ = ("_write_behind", "key", "tenant", "version")

    def __init__(self, write_behind: WriteBehind, tenant: str, key: Key, version: int) -> None:
        self._write_behind = write_behind
        self.tenant = tenant
        self.key = key
        self.version = version

    def persisted(self, timeout_s: float | None = None) -> None:
        """
        Return once the store has the write, or a newer one of the same key.

        Raises:
            StoreError: The store refused the write and it was parked as a dead letter.
            StoreTimeout: It still waits after *timeout_s* seconds.
        """
        self._write_behind.wait_persisted(self.tenant, self.key, self.version, timeout_s)


class WriteBehind:
    """
    The write-behind of one region.

    Args:
        region: The region's name, for events and errors.
        options: Durability, thresholds and bounds.
        store: Where writes end up; also the far tier of derived data, behind the store protocol.
        journal: Where they wait; opened by `start`, closed by `close`.
        clock: Source of time.
        events: Told ``flush``, ``flush_failed``, ``row_refused``, ``row_parked``, ``superseded``, ``lease_lost``,
            ``roll_failed``, ``measure_failed``, ``overflow`` and ``persisted_failed`` with plain fields; must not
            block.
        on_persisted: Called with the changes that the store has, after the journal was advanced. A failure is told
            as ``persisted_failed`` and changes nothing.
    """

    def __init__(
        self,
        region: str,
        options: JournalOptions,
        store: Store,
        journal: Journal,
        *,
        clock: Clock,
        events: Events = ignore_event,
        on_persisted: Function[[Sequence[Change]], None] | None = None,
    ) -> None:
        self.region = region
        self._options = options
        self._store = store
        self._journal = journal
        self._clock = clock
        self._events = events
        self._on_persisted = on_persisted
        self._bounds = Bounds(options.max_pending, options.max_pending_bytes, options.max_age_s)
        self._versions = HybridClock()
        self._guard = threading.Lock()
        self._appender = Appender(journal)
        self._crew = FlushCrew(
            journal, store, worker_name(), options, clock=clock, events=events, settled=self._advance
        )
        self._size = JournalSize()
        self._reserved_rows = 0
        self._reserved_bytes = 0
        self._unflushed = [0] * journal.partitions
        self._waiters: dict[Identity, list[Event]] = {}
        self._blocked: list[Event] = []
        self._is_closing = False
        self._closing = Event()
        self._jobs: list[Job] = []

    def start(self) -> None:
        """
        Open the journal and begin to flush what it holds, unless workers elsewhere do (``flush=False``).

        Raises:
            ConfigurationError: The promised durability is not available.
        """
        self._journal.open()
        self._size = self._journal.size()
        if self._options.flush:
            self._crew.start()
        if not self._options.flush or self._options.kind != "memory":  # workers and operators empty it too
            self._jobs.append(spawn("tiercel-measure", self._keep_measuring))

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, tenant: str, key: Key, value: Any, *, floor: int = 0) -> WriteHandle:
        """
        Accept one write; it is durable on return.

        Args:
            tenant: Owner of the row.
            key: The row's key.
            value: Plain objects that MessagePack holds.
            floor: Version of the row that the caller has seen; the write's is larger.

        Raises:
            EncodeError: The value cannot be encoded.
            JournalFull: A bound was reached and ``overflow`` is ``"reject"``.
            StoreError: The journal could not keep the write.
        """
        return (self._accept([self._draft(tenant, key, value, floor)], [(tenant, key, value)]))[0]

    def delete(self, tenant: str, key: Key, *, floor: int = 0) -> WriteHandle:
        """Accept one deletion; as `write`."""
        return self.write(tenant, key, DELETED, floor=floor)

    def write_many(
        self, tenant: str, items: Mapping[Key, Any], *, floors: Mapping[Key, int] | None = None
    ) -> list[WriteHandle]:
        """Accept many writes with one append: all of them or none; as `write`."""
        if not items:
            return []
        floors = floors or {}
        drafts = [self._draft(tenant, key, value, floors.get(key, 0)) for key, value in items.items()]
        return self._accept(drafts, [(tenant, key, value) for key, value in items.items()])

    def write_through_many(self, tenant: str, items: Mapping[Key, Any]) -> list[WriteHandle]:
        """
        Write to the store now, each above whatever waits for its row, and forget what waits.

        Raises:
            StoreError: The store refused or could not be reached; writes before the failing one are stored.
        """
        return [self._write_through(tenant, key, value) for key, value in items.items()]

    def _draft(self, tenant: str, key: Key, value: Any, floor: int) -> Draft:
        return encode_draft(tenant, key, value, self._next_version(floor), self._clock.wall())

    def _next_version(self, floor: int) -> int:
        with self._guard:
            return self._versions.next(int(self._clock.wall() * 1_000_000), floor)

    def _accept(self, drafts: list[Draft], rows: list[tuple[str, Key, Any]]) -> list[WriteHandle]:
        if self._is_closing:
            raise ClosedError(f"write-behind of region {self.region!r} is closed", operation="write")
        size_bytes = sum(draft.size_bytes for draft in drafts)
        if not self._reserve(len(drafts), size_bytes):
            return [self._write_through(tenant, key, value) for tenant, key, value in rows]
        try:
            accepted = self._appender.append(drafts)
        finally:
            self._unreserve(len(drafts), size_bytes)
        with self._guard:
            self._size = accepted.size
            self._versions.observe(max(accepted.versions))
        self._wake(drafts)
        pairs = zip(rows, accepted.versions, strict=True)
        return [WriteHandle(self, tenant, key, version) for (tenant, key, _), version in pairs]

    def _wake(self, drafts: Sequence[Draft]) -> None:
        """Wake the flushers whose batch has come together."""
        for draft in drafts:
            partition = partition_of(draft.identity, self._journal.partitions)
            self._unflushed[partition] += 1
            if self._unflushed[partition] >= self._options.batch_size:
                self._unflushed[partition] = 0
                self._crew.flushers[partition].wake()

    # -- bounds -------------------------------------------------------------------------------------------------

    def _reserve(self, rows: int, size_bytes: int) -> bool:
        """Make room for *rows*, waiting or refusing as the options say; False where the store is to be written."""
        reason = self._try_reserve(rows, size_bytes)
        while reason is not None:
            if self._options.overflow == "reject":
                self._events("overflow", {"region": self.region, "reason": reason})
                raise JournalFull(f"region {self.region!r}: {reason}", operation="write")
            if self._options.overflow == "write-through":
                self._events("overflow", {"region": self.region, "reason": reason})
                return False
            self._wait_for_room()
            reason = self._try_reserve(rows, size_bytes)
        return True

    def _try_reserve(self, rows: int, size_bytes: int) -> str | None:
        with self._guard:
            reason = self._bounds.reached(
                self._size,
                more_rows=self._reserved_rows + rows,
                more_bytes=self._reserved_bytes + size_bytes,
                now_s=self._clock.wall(),
            )
            if reason is None:
                self._reserved_rows += rows
                self._reserved_bytes += size_bytes
            return reason

    def _unreserve(self, rows: int, size_bytes: int) -> None:
        with self._guard:
            self._reserved_rows -= rows
            self._reserved_bytes -= size_bytes

    def _wait_for_room(self) -> None:
        if self._is_closing:
            raise ClosedError(f"write-behind of region {self.region!r} is closed", operation="write")
        if not self._wait_for_flush(_POLL_S):
            self._measure()

    def _wait_for_flush(self, longest_s: float) -> bool:
        flushed = Event()
        with self._guard:
            self._blocked.append(flushed)
        try:
            return flushed.wait_for(longest_s)
        finally:
            with self._guard:
                self._blocked = [other for other in self._blocked if other is not flushed]

    def _measure(self) -> JournalSize:
        size = self._journal.size()
        with self._guard:
            self._size = size
        return size

    def _keep_measuring(self) -> None:
        while not self._closing.wait_for(_MEASURE_S):
            try:
                self._measure()
            except StoreError as error:  # the journal is away: the last figures stand
                self._events("measure_failed", {"region": self.region, "reason": str(error)})

    def _write_through(self, tenant: str, key: Key, value: Any) -> WriteHandle:
        """Write to the store at once, above whatever waits for the row, and forget what waits."""
        waiting = self.pending(tenant, key)
        floor = waiting.version if waiting is not None else 0
        for _ in range(_TRIES_AT_STORE):
            version = self._next_version(floor)
            outcome = self._store.write(Change(tenant, key, value, version), guard=True)
            if outcome.error is not None:
                raise StoreError(f"the store refused the write: {outcome.error}", key=key) from outcome.error
            if outcome.applied:
                self._journal.forget(tenant, key, version)
                return WriteHandle(self, tenant, key, version)
            floor = outcome.version
        raise StoreError("others write the row faster than this write could overtake", operation="write", key=key)

    # -- reading ------------------------------------------------------------------------------------------------

    def pending(self, tenant: str, key: Key) -> Record | None:
        """Return the newest write of *key* that waits, `DELETED` as its value for a deletion; None where none does."""
        return (self._journal.newest(tenant, [key])).get(key)

    def pending_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one, in one look-up."""
        return self._journal.newest(tenant, keys)

    def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove what waits of *key* up to *version*, or all of it and its dead letters for None; return how many."""
        return self._journal.forget(tenant, key, version)

    def wait_persisted(self, tenant: str, key: Key, version: int, timeout_s: float | None) -> None:
        """See `WriteHandle.persisted`."""
        deadline = None if timeout_s is None else self._clock.monotonic() + timeout_s
        while True:
            gone = Event()
            with self._guard:
                self._waiters.setdefault((tenant, key), []).append(gone)
            try:
                fate, reason = self._journal.fate(tenant, key, version)
                if fate is Fate.SETTLED:
                    return
                if fate is Fate.PARKED:
                    raise StoreError(f"parked as a dead letter: {reason}", operation="write", key=key)
                left_s = _POLL_S if deadline is None else min(_POLL_S, deadline - self._clock.monotonic())
                if left_s <= 0:
                    raise StoreTimeout(f"not persisted within {timeout_s} s", operation="write", key=key)
                gone.wait_for(left_s)
            finally:
                self._unwatch((tenant, key), gone)

    def _unwatch(self, identity: Identity, gone: Event) -> None:
        with self._guard:
            others = [event for event in self._waiters.get(identity, []) if event is not gone]
            if others:
                self._waiters[identity] = others
            else:
                self._waiters.pop(identity, None)

    def _advance(self, settled: Settled) -> None:
        """A flush ended: make room, wake waiters, tell the engine."""
        with self._guard:
            self._size = settled.size
            self._versions.observe(settled.version)
            woken, self._blocked = self._blocked, []
            for identity in settled.gone if self._waiters else ():
                woken += self._waiters.get(identity, [])
        for event in woken:
            event.set()
        if self._on_persisted is not None and settled.stored:
            try:
                self._on_persisted(settled.stored)
            except Exception as error:  # the rows are stored; what the engine makes of it must not stop the flush
                self._events("persisted_failed", {"region": self.region, "reason": str(error)})

    # -- the end ------------------------------------------------------------------------------------------------

    def drain(self, deadline_s: float) -> int:
        """Flush without waiting for batches, at most *deadline_s* seconds; return how many rows are left."""
        deadline = self._clock.monotonic() + deadline_s
        self._crew.hurry(True)
        try:
            size = self._measure()
            while size.rows and (left_s := deadline - self._clock.monotonic()) > 0:
                self._wait_for_flush(min(_POLL_S, left_s))
                size = self._measure()
        finally:
            self._crew.hurry(False)
        return size.rows

    def close(self, deadline_s: float = 10.0) -> None:
        """
        Refuse new writes, drain, hand the partitions over and close the journal; what is left stays journaled.

        Args:
            deadline_s: Longest time for draining, and again for the rounds in progress.
        """
        if self._is_closing:
            return
        self._is_closing = True
        self._closing.set()
        if self._options.flush:
            self.drain(deadline_s)
            self._crew.stop(deadline_s)
        for job in self._jobs:
            job.join(deadline_s)
        self._journal.close()

    def stats(self) -> JournalStats:
        """Return what waits and what was done; what waits is as of the last write or flush of this process."""
        return JournalStats.of(self._size, self._crew.counters, self._clock.wall())
