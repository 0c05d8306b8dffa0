# Generated from src/tiercel/_async/journals/file.py by tools/unasync.py. Do not edit.
"""
The file journal: acknowledged writes in one local SQLite file per region; the default where there is no Redis.

``durability = "process"`` survives the death of the process, ``"always"`` the loss of power as well: the file is synced
before a write is acknowledged. Writers that arrive together share a sync. Processes of one machine may share the file,
and so may ``tiercel worker`` and ``tiercel journal``. Why SQLite and not a log of our own: docs/design/write-behind.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tiercel._sync.journals._filedb import FileDatabase, Row
from tiercel._sync.journals.payload import decode_entry, encode_identity
from tiercel._core.journal import Accepted, DeadLetter, Draft, Fate, JournalEntry, JournalSize, Lease
from tiercel._paired import run_blocking
from tiercel.errors import ClosedError, ConfigurationError
from tiercel.options import Durability
from tiercel.typing import Clock, Key, Record

__all__ = ["FileJournal"]


class FileJournal:
    """
    A journal in a local file.

    Args:
        path: The file; made with its directory where it is missing. Two side files ``-wal`` and ``-shm`` belong to it.
        partitions: Number of queues.
        durability: ``"process"`` or ``"always"``.
        clock: Source of wall time; processes that share the file share the machine's clock.

    Raises:
        ConfigurationError: A local file cannot give this durability.
    """

    def __init__(self, path: str | Path, partitions: int, *, durability: Durability = "process", clock: Clock) -> None:
        if durability not in ("process", "always"):
            raise ConfigurationError(
                f"journal kind='file' with durability={durability!r}: a local file gives 'process' or 'always';"
                " for 'replicated' use kind='redis'"
            )
        self.partitions = partitions
        self._path = Path(path)
        self._synced = durability == "always"
        self._clock = clock
        self._opened: FileDatabase | None = None

    @property
    def _database(self) -> FileDatabase:
        if self._opened is None:
            raise ClosedError(f"journal file {self._path} is not open", tier="journal")
        return self._opened

    def open(self) -> None:
        """Open or make the file; what an earlier process left in it waits to be flushed."""
        if self._opened is None:
            self._opened = run_blocking(self._open_file)

    def _open_file(self) -> FileDatabase:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return FileDatabase(self._path, self.partitions, synced=self._synced)

    def append(self, drafts: Sequence[Draft]) -> Accepted:
        """Keep *drafts* in one transaction, synced where durability is ``"always"``."""
        versions, size = run_blocking(self._database.append, drafts)
        return Accepted(versions, size)

    def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition*, or return None while somebody else has it."""
        return run_blocking(self._database.lease, partition, owner, self._clock.wall(), ttl_s)

    def release(self, lease: Lease) -> None:
        """Give a partition back."""
        run_blocking(self._database.release, lease)

    def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive and return every living worker."""
        return run_blocking(self._database.enlist, owner, self._clock.wall(), ttl_s)

    def resign(self, owner: str) -> None:
        """Say that *owner* goes."""
        run_blocking(self._database.resign, owner)

    def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """Return up to *limit* writes behind *after* and prolong the lease."""
        rows = run_blocking(self._database.take, lease, after, limit, self._clock.wall(), ttl_s)
        return [decode_entry(*row) for row in rows]

    def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """Remove *done*, turn *parked* into dead letters, in one transaction."""
        return run_blocking(
            self._database.settle,
            lease,
            [entry.position for entry in done],
            [(entry.position, reason) for entry, reason in parked],
            self._clock.wall(),
        )

    def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one; looks into the file's page cache, in place."""
        found: dict[Key, Record] = {}
        for key in keys:
            row = self._database.newest(encode_identity(tenant, key))
            if row is not None:
                found[key] = Record(decode_entry(*row).change.value, row.version)
        return found

    def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write."""
        identity = encode_identity(tenant, key)
        if self._database.is_waiting(identity, version):
            return Fate.PENDING, ""
        reason = self._database.reason(identity, version)
        return (Fate.SETTLED, "") if reason is None else (Fate.PARKED, reason)

    def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove the writes of *key* up to *version*; all, and its dead letters, for None."""
        return run_blocking(self._database.forget, encode_identity(tenant, key), version)

    def size(self) -> JournalSize:
        """Return how much waits."""
        return self._database.size()

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return dead letters in the order of their ids."""
        rows = run_blocking(self._database.dead_letters, limit, _position(after))
        return [_letter(row, reason, parked_s) for row, reason, parked_s in rows]

    def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again, under their own versions."""
        return run_blocking(self._database.retry, [_position(name) for name in ids])

    def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away."""
        return run_blocking(self._database.drop, [_position(name) for name in ids])

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        if self._opened is not None:
            run_blocking(self._opened.close)
            self._opened = None


def _letter(row: Row, reason: str, parked_s: float) -> DeadLetter:
    return DeadLetter(f"{row.position:020d}", decode_entry(*row), reason, parked_s)


def _position(name: str) -> int:
    """Return the position that a dead letter's id stands for; 0, which no letter has, for anything else."""
    return int(name) if name.isascii() and name.isdigit() else 0
