# Generated from src/tiercel/_async/journals/memory.py by tools/unasync.py. Do not edit.
"""
The memory journal: a queue that dies with its process, for tests and for regions whose writes may be lost.

It is used only where ``durability = "memory"`` is written out. Units as in the protocol; every method holds one lock
and costs O(rows touched).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiercel._sync.journals.payload import decode_entry, encode_identity
from tiercel._core.journal import (
    Accepted,
    DeadLetter,
    Draft,
    Fate,
    JournalEntry,
    JournalSize,
    Lease,
    partition_of,
)
from tiercel.errors import LeaseLost
from tiercel.typing import Clock, Key, Record

__all__ = ["MemoryJournal"]


@dataclass(slots=True)
class _Partition:
    """One queue by position, and who empties it."""

    rows: dict[int, tuple[bytes, int, float, bytes]] = field(default_factory=dict)
    high: int = 0
    owner: str | None = None
    fence: int = 0
    until_s: float = 0.0


class MemoryJournal:
    """
    A journal in this process's memory.

    Args:
        partitions: Number of queues.
        clock: Source of wall time.
    """

    def __init__(self, partitions: int, *, clock: Clock) -> None:
        self.partitions = partitions
        self._clock = clock
        self._lock = threading.Lock()
        self._queues = [_Partition() for _ in range(partitions)]
        self._by_identity: dict[bytes, dict[int, int]] = {}
        self._dead: dict[str, tuple[bytes, DeadLetter, bytes]] = {}
        self._workers: dict[str, float] = {}
        self._position = 0
        self._size_bytes = 0

    def open(self) -> None:
        """Nothing to connect to."""

    def append(self, drafts: Sequence[Draft]) -> Accepted:
        """Keep *drafts* in order."""
        with self._lock:
            versions = [self._place(draft.identity, draft.version, draft.accepted_s, draft.payload) for draft in drafts]
            return Accepted(versions, self._measure())

    def _place(self, identity: bytes, version: int, accepted_s: float, payload: bytes) -> int:
        queue = self._queues[partition_of(identity, self.partitions)]
        queue.high = version = max(version, queue.high + 1)
        self._insert(queue, identity, version, accepted_s, payload)
        return version

    def _insert(self, queue: _Partition, identity: bytes, version: int, accepted_s: float, payload: bytes) -> None:
        self._position += 1
        queue.rows[self._position] = (identity, version, accepted_s, payload)
        self._by_identity.setdefault(identity, {})[self._position] = version
        self._size_bytes += len(payload)

    def _remove(self, queue: _Partition, position: int) -> None:
        row = queue.rows.pop(position, None)
        if row is None:
            return
        identity, _, _, payload = row
        places = self._by_identity[identity]
        del places[position]
        if not places:
            del self._by_identity[identity]
        self._size_bytes -= len(payload)

    def _measure(self) -> JournalSize:
        oldest = [next(iter(queue.rows.values()))[2] for queue in self._queues if queue.rows]
        rows = sum(len(queue.rows) for queue in self._queues)
        return JournalSize(rows, self._size_bytes, min(oldest, default=None), len(self._dead))

    def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition*, or return None while somebody else has it."""
        now_s = self._clock.wall()
        with self._lock:
            queue = self._queues[partition]
            if queue.owner not in (None, owner) and queue.until_s > now_s:
                return None
            if queue.owner != owner:
                queue.owner, queue.fence = owner, queue.fence + 1
            queue.until_s = now_s + ttl_s
            return Lease(partition, owner, queue.fence)

    def release(self, lease: Lease) -> None:
        """Give a partition back."""
        with self._lock:
            queue = self._queues[lease.partition]
            if queue.fence == lease.fence:
                queue.owner = None

    def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive and return every living worker."""
        now_s = self._clock.wall()
        with self._lock:
            self._workers[owner] = now_s + ttl_s
            self._workers = {worker: until_s for worker, until_s in self._workers.items() if until_s > now_s}
            return sorted(self._workers)

    def resign(self, owner: str) -> None:
        """Say that *owner* goes."""
        with self._lock:
            self._workers.pop(owner, None)

    def _held(self, lease: Lease) -> _Partition:
        queue = self._queues[lease.partition]
        if queue.fence != lease.fence or queue.owner != lease.owner:
            raise LeaseLost(operation="settle")
        return queue

    def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """Return up to *limit* writes behind *after* and prolong the lease."""
        with self._lock:
            queue = self._held(lease)
            queue.until_s = self._clock.wall() + ttl_s
            chosen = [(position, row) for position, row in queue.rows.items() if position > after][:limit]
        return [decode_entry(position, version, payload) for position, (_, version, _, payload) in chosen]

    def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """Remove *done*, turn *parked* into dead letters."""
        with self._lock:
            queue = self._held(lease)
            for entry in done:
                self._remove(queue, entry.position)
            for entry, reason in parked:
                self._park(queue, entry, reason)
            return self._measure()

    def _park(self, queue: _Partition, entry: JournalEntry, reason: str) -> None:
        row = queue.rows.get(entry.position)
        if row is None:
            return
        letter = DeadLetter(f"{entry.position:020d}", entry, reason, self._clock.wall())
        self._dead[letter.id] = (row[0], letter, row[3])
        self._remove(queue, entry.position)

    def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one."""
        found: dict[Key, Record] = {}
        with self._lock:
            for key in keys:
                identity = encode_identity(tenant, key)
                places = self._by_identity.get(identity)
                if places:
                    position = max(places, key=places.__getitem__)
                    row = self._queues[partition_of(identity, self.partitions)].rows[position]
                    found[key] = Record(decode_entry(position, row[1], row[3]).change.value, row[1])
        return found

    def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write."""
        identity = encode_identity(tenant, key)
        with self._lock:
            if version in self._by_identity.get(identity, {}).values():
                return Fate.PENDING, ""
            for owner, letter, _ in self._dead.values():
                if owner == identity and letter.entry.change.version == version:
                    return Fate.PARKED, letter.reason
        return Fate.SETTLED, ""

    def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove the writes of *key* up to *version*; all, and its dead letters, for None."""
        identity = encode_identity(tenant, key)
        with self._lock:
            queue = self._queues[partition_of(identity, self.partitions)]
            places = dict(self._by_identity.get(identity, {}))
            gone = [place for place, placed in places.items() if version is None or placed <= version]
            for position in gone:
                self._remove(queue, position)
            letters = [name for name, (owner, _, _) in self._dead.items() if version is None and owner == identity]
            for name in letters:
                del self._dead[name]
            return len(gone) + len(letters)

    def size(self) -> JournalSize:
        """Return how much waits."""
        with self._lock:
            return self._measure()

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return dead letters in the order of their ids."""
        with self._lock:
            return [self._dead[name][1] for name in sorted(self._dead) if name > after][:limit]

    def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again, under their own versions."""
        with self._lock:
            letters = [self._dead.pop(name) for name in ids if name in self._dead]
            for identity, letter, payload in letters:
                queue = self._queues[partition_of(identity, self.partitions)]
                self._insert(queue, identity, letter.entry.change.version, letter.entry.accepted_s, payload)
            return len(letters)

    def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away."""
        with self._lock:
            return sum(self._dead.pop(name, None) is not None for name in ids)

    def close(self) -> None:
        """Nothing to release."""
