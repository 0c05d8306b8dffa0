# Generated from src/tiercel/_async/journals/_filedb.py by tools/unasync.py. Do not edit.
"""
The file journal's database: one SQLite file in WAL mode, its tables and every statement run on it.

Blocking and thread-safe: one connection writes under a lock, another reads under its own, so that a look-up never waits
for a sync. Several processes may open the same file on one machine; SQLite's locks keep them apart. A file on a network
disk is not supported, because its locks and syncs do not hold.

``synchronous=FULL`` syncs the WAL at every commit (survives power loss), ``NORMAL`` leaves that to the kernel (survives
the death of the process). After a failed sync or a damaged page nothing is retried: the kernel may have dropped the
pages and report success the next time, so the journal stops with `JournalBroken` and is recovered at the next start.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from tiercel._core.journal import Draft, JournalSize, Lease, partition_of
from tiercel.errors import ConfigurationError, JournalBroken, JournalFull, LeaseLost, StoreError, StoreTimeout

__all__ = ["FileDatabase", "Row"]

_FORMAT: Final = 1
_BUSY_S: Final = 5.0
_IMPLAUSIBLE: Final = 10
"""A lease that ends further away than this many times its life was given before the clock was set back."""

_SCHEMA: Final = """
CREATE TABLE entry (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    identity BLOB NOT NULL,
    version INTEGER NOT NULL,
    accepted_s REAL NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX entry_queue ON entry (partition, position);
CREATE INDEX entry_row ON entry (identity, version);
CREATE TABLE partition (
    partition INTEGER PRIMARY KEY,
    high INTEGER NOT NULL DEFAULT 0,
    row_count INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    fence INTEGER NOT NULL DEFAULT 0,
    until_s REAL NOT NULL DEFAULT 0
);
CREATE TABLE dead (
    position INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    identity BLOB NOT NULL,
    version INTEGER NOT NULL,
    accepted_s REAL NOT NULL,
    payload BLOB NOT NULL,
    reason TEXT NOT NULL,
    parked_s REAL NOT NULL
);
CREATE INDEX dead_row ON dead (identity, version);
CREATE TABLE worker (owner TEXT PRIMARY KEY, until_s REAL NOT NULL);
"""

_COLUMNS: Final = "position, partition, identity, version, accepted_s, payload"

_SIZE: Final = """
SELECT coalesce(sum(row_count), 0), coalesce(sum(size_bytes), 0),
       (SELECT accepted_s FROM entry ORDER BY position LIMIT 1), (SELECT count(*) FROM dead)
FROM partition
"""


class Row(NamedTuple):
    """One journaled write as stored."""

    position: int
    version: int
    payload: bytes


class FileDatabase:
    """
    A journal file.

    Args:
        path: The file; its directory must exist.
        partitions: Number of queues.
        synced: Sync at every commit.

    Raises:
        ConfigurationError: The file is of another format, or holds rows under another number of partitions.
        StoreError: The file cannot be opened.
    """

    def __init__(self, path: Path, partitions: int, *, synced: bool) -> None:
        self._path = path
        self._partitions = partitions
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._broken: str | None = None
        self._process = os.getpid()
        try:
            self._writer = self._connect("FULL" if synced else "NORMAL")
            self._prepare()
            self._reader = self._connect("NORMAL")
        except sqlite3.Error as error:
            raise StoreError(f"journal file {path}: {error}", tier="journal", operation="open") from error

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = FAST")
        return connection

    def _prepare(self) -> None:
        with self._transaction() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise ConfigurationError(f"journal file {self._path}: format {found} is not {_FORMAT}")
            if found == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            self._check_partitions(connection)

    def _check_partitions(self, connection: sqlite3.Connection) -> None:
        made, waiting = connection.execute("SELECT count(*), coalesce(sum(row_count), 0) FROM partition").fetchone()
        if made == self._partitions:
            return
        if waiting:
            raise ConfigurationError(
                f"journal file {self._path} holds {waiting} rows in {made} partitions, but"
                f" partitions={self._partitions}: drain it under the old number first (tiercel journal drain)"
            )
        (high,) = connection.execute("SELECT coalesce(max(high), 0) FROM partition").fetchone()
        connection.execute("DELETE FROM partition")
        numbers = [(partition, high) for partition in range(self._partitions)]
        connection.executemany("INSERT INTO partition (partition, high) VALUES (?, ?)", numbers)

    # -- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction of the writing connection, all or nothing."""
        self._check_process()
        with self._write_lock:
            if self._broken is not None:
                raise JournalBroken(self._broken, tier="journal")
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                self._rollback()
                self._translate(error)
            except BaseException:
                self._rollback()
                raise

    def _check_process(self) -> None:
        """Refuse a connection that came through a fork: two processes on it would damage the file."""
        if os.getpid() != self._process:
            message = f"journal file {self._path} was opened before a fork: open the cache in each process"
            raise StoreError(message, tier="journal")

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error as error:  # the file is beyond use: an open transaction must not be added to
                self._broken = f"journal file {self._path}: a transaction could not be rolled back: {error}"

    def _translate(self, error: sqlite3.Error) -> NoReturn:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        where = f"journal file {self._path}: "
        if code == sqlite3.SQLITE_FULL:
            message = where + "the disk is full; this write was not accepted, those before it are kept"
            raise JournalFull(message, tier="journal") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreTimeout(where + "another process keeps it locked", tier="journal") from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._broken = where + f"{error}; it has stopped, restart the process once the disk is well"
            raise JournalBroken(self._broken, tier="journal") from error
        raise StoreError(where + str(error), tier="journal") from error

    def _read(self, query: Callable[[sqlite3.Connection], Any]) -> Any:
        self._check_process()
        with self._read_lock:
            try:
                return query(self._reader)
            except sqlite3.Error as error:
                self._translate(error)

    # -- the queue ----------------------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> tuple[list[int], JournalSize]:
        """Keep *drafts* in one transaction; return their versions and what waits."""
        with self._transaction() as connection:
            highs = dict(connection.execute("SELECT partition, high FROM partition"))
            grown: dict[int, list[int]] = {}
            rows = []
            for draft in drafts:
                partition = partition_of(draft.identity, self._partitions)
                version = highs[partition] = max(draft.version, highs[partition] + 1)
                growth = grown.setdefault(partition, [0, 0])
                growth[0] += 1
                growth[1] += draft.size_bytes
                rows.append((partition, draft.identity, version, draft.accepted_s, draft.payload))
            connection.executemany(
                "INSERT INTO entry (partition, identity, version, accepted_s, payload) VALUES (?, ?, ?, ?, ?)", rows
            )
            connection.executemany(
                "UPDATE partition SET high = ?, row_count = row_count + ?, size_bytes = size_bytes + ?"
                " WHERE partition = ?",
                [(highs[partition], count, size, partition) for partition, (count, size) in grown.items()],
            )
            return [row[2] for row in rows], self._measure(connection)

    def take(self, lease: Lease, after: int, limit: int, now_s: float, ttl_s: float) -> list[Row]:
        """Return writes behind *after*, oldest first; prolong a lease only once half is gone: an idle look is free."""
        with self._transaction() as connection:
            self._check_lease(connection, lease)
            connection.execute(
                "UPDATE partition SET until_s = ? WHERE partition = ? AND until_s < ?",
                (now_s + ttl_s, lease.partition, now_s + ttl_s / 2),
            )
            return self._rows(
                connection,
                "SELECT position, version, payload FROM entry WHERE partition = ? AND position > ?"
                " ORDER BY position LIMIT ?",
                (lease.partition, after, limit),
            )

    def settle(self, lease: Lease, done: Sequence[int], parked: Sequence[tuple[int, str]], now_s: float) -> JournalSize:
        """Remove *done*, turn *parked* into dead letters, in one transaction."""
        with self._transaction() as connection:
            self._check_lease(connection, lease)
            connection.executemany(
                f"INSERT OR REPLACE INTO dead SELECT {_COLUMNS}, ?, ? FROM entry WHERE position = ?",
                [(reason, now_s, position) for position, reason in parked],
            )
            self._delete(connection, lease.partition, [*done, *(position for position, _ in parked)])
            return self._measure(connection)

    def _delete(self, connection: sqlite3.Connection, partition: int, positions: Sequence[int]) -> int:
        """Remove entries of one partition and keep its counters true; return how many there were."""
        if not positions:
            return 0
        measure = "SELECT count(*), coalesce(sum(length(payload)), 0) "
        among = "FROM entry WHERE partition = ? AND position BETWEEN ? AND ?"
        wanted: tuple[int | str, ...] = (partition, min(positions), max(positions))
        count, size_bytes = connection.execute(measure + among, wanted).fetchone()
        if count != len(positions):  # others wait between them
            among = "FROM entry WHERE position IN (SELECT value FROM json_each(?))"
            wanted = (json.dumps(positions),)
            count, size_bytes = connection.execute(measure + among, wanted).fetchone()
        connection.execute("DELETE " + among, wanted)
        connection.execute(
            "UPDATE partition SET row_count = row_count - ?, size_bytes = size_bytes - ? WHERE partition = ?",
            (count, size_bytes, partition),
        )
        return int(count)

    def _rows(self, connection: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> list[Row]:
        return list(map(Row._make, connection.execute(query, values)))

    def _measure(self, connection: sqlite3.Connection) -> JournalSize:
        return JournalSize(*connection.execute(_SIZE).fetchone())

    def size(self) -> JournalSize:
        """Return what waits."""
        measured: JournalSize = self._read(self._measure)
        return measured

    def newest(self, identity: bytes) -> Row | None:
        """Return the newest waiting write of a row."""
        query = "SELECT position, version, payload FROM entry WHERE identity = ? ORDER BY version DESC LIMIT 1"
        rows: list[Row] = self._read(lambda connection: self._rows(connection, query, (identity,)))
        return rows[0] if rows else None

    def is_waiting(self, identity: bytes, version: int) -> bool:
        """Say whether one write waits."""
        query = "SELECT 1 FROM entry WHERE identity = ? AND version = ?"
        return self._read(lambda reader: reader.execute(query, (identity, version)).fetchone()) is not None

    def forget(self, identity: bytes, version: int | None) -> int:
        """Remove a row's writes up to *version*; all of them and its dead letters, and every trace, for None."""
        gone = self._forget(identity, version)
        if version is None:
            self._scrub()
        return gone

    def _scrub(self) -> None:
        """Write the file anew without its free pages and empty the log: both may still hold what was removed."""
        with self._write_lock:
            if self._broken is not None:
                raise JournalBroken(self._broken, tier="journal")
            try:
                self._writer.execute("VACUUM")
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                self._translate(error)

    def _forget(self, identity: bytes, version: int | None) -> int:
        with self._transaction() as connection:
            query = "SELECT position FROM entry WHERE identity = ? AND (? IS NULL OR version <= ?)"
            places = [place for (place,) in connection.execute(query, (identity, version, version))]
            gone = self._delete(connection, partition_of(identity, self._partitions), places)
            if version is None:
                gone += connection.execute("DELETE FROM dead WHERE identity = ?", (identity,)).rowcount
            return gone

    # -- leases and workers -------------------------------------------------------------------------------------

    def _check_lease(self, connection: sqlite3.Connection, lease: Lease) -> None:
        query = "SELECT owner, fence FROM partition WHERE partition = ?"
        if connection.execute(query, (lease.partition,)).fetchone() != (lease.owner, lease.fence):
            raise LeaseLost(operation="settle")

    def lease(self, partition: int, owner: str, now_s: float, ttl_s: float) -> Lease | None:
        """Take a partition that is free, mine, or whose lease ran out."""
        with self._transaction() as connection:
            query = "SELECT owner, fence, until_s FROM partition WHERE partition = ?"
            holder, fence, until_s = connection.execute(query, (partition,)).fetchone()
            if holder not in (None, owner) and now_s < until_s < now_s + _IMPLAUSIBLE * ttl_s:
                return None
            fence += holder != owner
            connection.execute(
                "UPDATE partition SET owner = ?, fence = ?, until_s = ? WHERE partition = ?",
                (owner, fence, now_s + ttl_s, partition),
            )
            return Lease(partition, owner, fence)

    def release(self, lease: Lease) -> None:
        """Give a partition back if it is still held."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE partition SET owner = NULL WHERE partition = ? AND owner = ? AND fence = ?",
                (lease.partition, lease.owner, lease.fence),
            )

    def enlist(self, owner: str, now_s: float, ttl_s: float) -> list[str]:
        """Note a living worker; return all of them."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM worker WHERE until_s <= ?", (now_s,))
            connection.execute("INSERT OR REPLACE INTO worker VALUES (?, ?)", (owner, now_s + ttl_s))
            return [name for (name,) in connection.execute("SELECT owner FROM worker ORDER BY owner")]

    def resign(self, owner: str) -> None:
        """Strike a worker off."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM worker WHERE owner = ?", (owner,))

    # -- dead letters -------------------------------------------------------------------------------------------

    def dead_letters(self, limit: int, after: int) -> list[tuple[Row, str, float]]:
        """Return dead letters with reason and time, by position."""
        query = (
            "SELECT position, version, payload, reason, parked_s FROM dead WHERE position > ? ORDER BY position LIMIT ?"
        )
        found = self._read(lambda connection: connection.execute(query, (after, limit)).fetchall())
        return [(Row(*row[:3]), row[3], row[4]) for row in found]

    def reason(self, identity: bytes, version: int) -> str | None:
        """Return why a write was parked, None where it was not."""
        query = "SELECT reason FROM dead WHERE identity = ? AND version = ?"
        found = self._read(lambda connection: connection.execute(query, (identity, version)).fetchone())
        return None if found is None else str(found[0])

    def retry(self, positions: Sequence[int]) -> int:
        """Queue dead letters again, at the end, under their own versions."""
        columns = "partition, identity, version, accepted_s, payload"
        with self._transaction() as connection:
            return sum(self._requeue(connection, columns, position) for position in positions)

    def _requeue(self, connection: sqlite3.Connection, columns: str, position: int) -> int:
        values = connection.execute(f"SELECT {columns} FROM dead WHERE position = ?", (position,)).fetchone()
        if values is None:
            return 0
        partition = partition_of(values[1], self._partitions)
        connection.execute(f"INSERT INTO entry ({columns}) VALUES (?, ?, ?, ?, ?)", (partition, *values[1:]))
        connection.execute("DELETE FROM dead WHERE position = ?", (position,))
        connection.execute(
            "UPDATE partition SET row_count = row_count + 1, size_bytes = size_bytes + ? WHERE partition = ?",
            (len(values[4]), partition),
        )
        return 1

    def drop(self, positions: Sequence[int]) -> int:
        """Throw dead letters away."""
        with self._transaction() as connection:
            query = "DELETE FROM dead WHERE position = ?"
            return sum(connection.execute(query, (position,)).rowcount for position in positions)

    def close(self) -> None:
        """Close both connections once nobody is inside."""
        with self._write_lock, self._read_lock:
            self._broken = self._broken or f"journal file {self._path} is closed"
            self._reader.close()
            self._writer.close()
