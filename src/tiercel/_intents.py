"""
The file of intents: what is about to be written to a store, kept until the tiers know of it.

    1. writer commits v2 to the store
    2. the process is killed before it could tell the far tier
    3. everybody is served v1 until its ttl ends

So a writer says first what it is about to change; the next start of the process makes fall what was left unfinished.
SQLite in WAL mode, synchronised at checkpoints only: an intent survives the death of the process and costs some ten
microseconds; a loss of power may lose the last ones. Processes may share the file: making an entry fall that did not
have to costs a miss.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from tiercel._core.undelivered import Undelivered, pack_undelivered, unpack_undelivered
from tiercel.errors import DecodeError, StoreError

SCHEMA = "CREATE TABLE IF NOT EXISTS intended (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)"


class IntentFile:
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
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"the file of intents cannot be opened: {error}") from error

    def add(self, record: Undelivered) -> int:
        """Keep what is about to fall; return its number. Raises `StoreError` where it cannot be kept."""
        try:
            with self._lock:
                row = self._database.execute("INSERT INTO intended (body) VALUES (?)", (pack_undelivered(record),))
                return int(row.lastrowid or 0)
        except sqlite3.Error as error:
            raise StoreError(f"what is about to be written could not be noted: {error}") from error

    def remove(self, number: int) -> None:
        """Forget an intent: the tiers know."""
        with self._lock:
            self._database.execute("DELETE FROM intended WHERE id = ?", (number,))

    def take_all(self) -> list[Undelivered]:
        """Remove and return what was left unfinished; damaged records are dropped."""
        with self._lock:
            rows = self._database.execute("DELETE FROM intended RETURNING body").fetchall()
        found: list[Undelivered] = []
        for (body,) in rows:
            try:
                found.append(unpack_undelivered(body))
            except DecodeError:
                continue
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
