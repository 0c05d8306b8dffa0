# Generated from src/tiercel/_async/journals/protocol.py by tools/unasync.py. Do not edit.
"""
The journal protocol: where acknowledged writes wait for the store.

One contract for four journals (file, Redis, PostgreSQL, memory); ``tests/sync_/journals`` runs one suite on all. A
journal promises five things:

1. `append` returns only once all the writes are as durable as promised. Where it raises, none is promised, though
   some may have been kept; with a file, PostgreSQL or memory none was.
2. Versions grow strictly inside a partition, whichever node appends, so the last accepted write of a key wins.
3. `take` gives a partition's writes in the order of their positions, and gives them again until `settle` removed them.
4. A worker whose lease went to somebody else is refused by `take` and `settle` with `LeaseLost`.
5. `settle` removes and parks in one step: a write is never in neither place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tiercel._core.journal import Accepted, DeadLetter, Draft, Fate, JournalEntry, JournalSize, Lease
from tiercel.typing import Key, Record

__all__ = ["Journal"]


class Journal(Protocol):
    """
    A durable queue of writes in partitions.

    Every method may raise `StoreError` when the journal cannot be reached, `JournalBroken` once it cannot promise
    durability any more. Safe for many callers at once.
    """

    partitions: int

    def open(self) -> None:
        """
        Connect, check that the promised durability is there, and make what is missing.

        Raises:
            ConfigurationError: The durability is not available, or the journal holds rows under another number
                of partitions.
        """

    def append(self, drafts: Sequence[Draft]) -> Accepted:
        """
        Keep *drafts*, in order, and return their final versions.

        Raises:
            JournalFull: No room.
        """

    def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition* for *ttl_s* seconds, or return None while somebody else has it."""

    def release(self, lease: Lease) -> None:
        """Give a partition back early; harmless where it was lost already."""

    def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive for *ttl_s* seconds and return every living worker."""

    def resign(self, owner: str) -> None:
        """Say that *owner* goes."""

    def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """
        Return up to *limit* writes behind position *after*, oldest first, and prolong the lease.

        Raises:
            LeaseLost: Another worker holds the partition.
        """

    def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """
        Remove the writes in *done*, turn those in *parked* into dead letters with their reason.

        Raises:
            LeaseLost: Another worker holds the partition; nothing was changed.
        """

    def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one; a deletion's value is `DELETED`."""

    def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write, and the reason where it was parked."""

    def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """
        Remove the writes of *key* up to *version*, all of them and its dead letters for None; return how many.

        For a write that went to the store directly, and for erasure.
        """

    def size(self) -> JournalSize:
        """Return how much waits."""

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return up to *limit* dead letters behind *after*, in the order of their ids."""

    def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again, under their own versions; return how many there were."""

    def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away; return how many there were."""

    def close(self) -> None:
        """Release files and connections; calling twice is harmless."""
