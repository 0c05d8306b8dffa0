"""
The audit log: one JSON line for each change that was asked for and one for how it ended, only ever appended to.

The line that says what is asked is on its way to the disk before anything is done: where it cannot be written, nothing
is done.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from tiercel.errors import StoreError

__all__ = ["AuditLog", "AuditRecord"]

TAIL_BYTES: Final = 1024 * 1024
MOST_TARGET: Final = 2000


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line.

    Attributes:
        at_s: Seconds since the epoch.
        id: The same for what was asked and how it ended.
        user: Who; empty where nobody was signed in.
        role: As what.
        address: From where.
        action: What, for example ``POST /api/invalidations``.
        target: On what, shortened; never a value and never a password.
        outcome: ``asked``, ``done``, or why not.
    """

    at_s: float
    id: str
    user: str
    role: str
    address: str
    action: str
    target: str
    outcome: str


class AuditLog:
    """
    One file; safe for many threads, and for several processes on a local disk.

    Args:
        path: The file; made with its folder at the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def write(self, record: AuditRecord) -> None:
        """Append one line; raises StoreError where that fails."""
        line = msgspec.json.encode(record) + b"\n"
        try:
            with self._lock:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, line)
                finally:
                    os.close(handle)
        except OSError as error:
            raise StoreError(f"the audit log {self._path} cannot be written: {error.strerror or error}") from error

    def newest(self, limit: int = 200) -> list[AuditRecord]:
        """Return up to *limit* records of the last megabyte, newest first."""
        try:
            with self._path.open("rb") as file:
                size_bytes = file.seek(0, os.SEEK_END)
                file.seek(max(0, size_bytes - TAIL_BYTES))
                lines = file.read().splitlines()[1 if size_bytes > TAIL_BYTES else 0 :]
        except FileNotFoundError:
            return []
        records = (_record(line) for line in reversed(lines[-limit:]))
        return [record for record in records if record is not None]


def _record(line: bytes) -> AuditRecord | None:
    """Return the record of one line; None for what a full disk or a crash left of one."""
    try:
        return msgspec.json.decode(line, type=AuditRecord)
    except msgspec.MsgspecError:
        return None


def target_of(body: Any) -> str:
    """Return what a request was about, as short JSON."""
    text = "" if body is None else msgspec.json.encode(body).decode()
    return text if len(text) <= MOST_TARGET else text[:MOST_TARGET] + "…"
