"""
The file of undelivered invalidations: what Redis did not take survives this process.

SQLite in WAL mode with full synchronisation: when `add` returns, a crash or a power cut does not lose the record.
Processes may share the file. Without a path it lives in memory, and a crash loses what was not delivered.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from tiercel._core.undelivered import Undelivered, pack_undelivered, unpack_undelivered
from tiercel.errors import DecodeError, StoreError

SCHEMA = "CREATE TABLE IF NOT EXISTS undelivered (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, body BLOB NOT NULL)"


class RedeliveryFile:
    """
    Args:
        path: The file; None for memory alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(
                str(path) if path else ":memory:", check_same_thread=False, isolation_level=None, timeout=10.0
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"the file of undelivered invalidations cannot be opened: {error}") from error

    def add(self, records: Sequence[Undelivered], at_s: float) -> list[int]:
        """
        Keep *records*, with one synchronisation for all; return their numbers.

        Raises:
            StoreError: they cannot be kept.
        """
        insert = "INSERT INTO undelivered (at, body) VALUES (?, ?)"
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN")
                rows = [self._database.execute(insert, (at_s, pack_undelivered(record))) for record in records]
                return [int(row.lastrowid or 0) for row in rows]
        except sqlite3.Error as error:
            raise StoreError(f"an invalidation could be neither delivered nor journaled: {error}") from error

    def oldest(self, limit: int) -> list[tuple[int, Undelivered]]:
        """Return up to *limit* records with their numbers, oldest first; damaged ones are dropped."""
        with self._lock:
            rows = self._database.execute("SELECT id, body FROM undelivered ORDER BY id LIMIT ?", (limit,)).fetchall()
        found: list[tuple[int, Undelivered]] = []
        for number, body in rows:
            try:
                found.append((number, unpack_undelivered(body)))
            except DecodeError:
                self.remove([number])
        return found

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget records that were delivered."""
        with self._lock, self._database:
            self._database.execute("BEGIN")
            self._database.executemany("DELETE FROM undelivered WHERE id = ?", [(number,) for number in numbers])

    def missing(self, numbers: Sequence[int]) -> list[int]:
        """Return those of *numbers* that are no longer here: another process delivered them."""
        with self._lock:
            kept = {number for (number,) in self._database.execute("SELECT id FROM undelivered")}
        return [number for number in numbers if number not in kept]

    def __len__(self) -> int:
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM undelivered").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
