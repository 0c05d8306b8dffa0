"""
Where the live policy is kept: in the far tier for all nodes, or in a file for the processes of one machine.

Both replace the document only where its version is still the one that a change was made on. The file is a small SQLite
database, so that this holds between processes as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

from tiercel._async.tier import AsyncFarTier
from tiercel._core.keys import KeySpace
from tiercel._core.policy import PolicyDocument, pack_document, unpack_document
from tiercel._paired import async_run_blocking
from tiercel.errors import StoreError

__all__ = ["AsyncFarPolicyStore", "AsyncFilePolicyStore", "AsyncPolicyStore", "policy_file"]

_BUSY_S: Final = 5.0
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS policy (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER, body BLOB)",
    "CREATE TABLE IF NOT EXISTS notes (field TEXT PRIMARY KEY, body BLOB)",
)


class AsyncPolicyStore(Protocol):
    """Keeps one document and small notes; raises `TierError` or `StoreError` where it cannot be reached."""

    async def version(self) -> int:
        """Return the stored version; 0 where there is none."""

    async def read(self) -> PolicyDocument:
        """Return the stored document; an empty one where there is none; raises `DecodeError` for one of the future."""

    async def swap(self, expected: int, document: PolicyDocument) -> bool:
        """Replace the document whose version is still *expected*; return whether it was."""

    async def set_note(self, field: str, body: bytes) -> None:
        """Keep a note."""

    async def notes(self) -> dict[str, bytes]:
        """Return all notes by field."""

    async def drop_notes(self, fields: Sequence[str]) -> None:
        """Forget notes."""


class AsyncFarPolicyStore:
    """
    The policy in the far tier.

    Args:
        far: The tier.
        space: Names.
    """

    def __init__(self, far: AsyncFarTier, space: KeySpace) -> None:
        self._far = far
        self._name, self._notes = space.policy_key(), space.nodes_key()

    async def version(self) -> int:
        """Return the stored version; one command of eight bytes."""
        return await self._far.document_version(self._name)

    async def read(self) -> PolicyDocument:
        """Return the stored document."""
        version, body = await self._far.document(self._name)
        return unpack_document(body) if version else PolicyDocument()

    async def swap(self, expected: int, document: PolicyDocument) -> bool:
        """Replace the document whose version is still *expected*."""
        return await self._far.swap_document(self._name, expected, document.version, pack_document(document))

    async def set_note(self, field: str, body: bytes) -> None:
        """Keep a note."""
        await self._far.set_note(self._notes, field.encode(), body)

    async def notes(self) -> dict[str, bytes]:
        """Return all notes by field."""
        return {field.decode(): body for field, body in (await self._far.notes(self._notes)).items()}

    async def drop_notes(self, fields: Sequence[str]) -> None:
        """Forget notes."""
        await self._far.drop_notes(self._notes, [field.encode() for field in fields])


class AsyncFilePolicyStore:
    """
    The policy in a file, for caches without a shared tier.

    Args:
        path: The file; made with its folder at the first change, so that a cache whose policy nobody touches has none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def version(self) -> int:
        """Return the stored version."""
        return (await self.read()).version

    async def read(self) -> PolicyDocument:
        """Return the stored document."""
        rows = await self._asked("SELECT body FROM policy")
        return unpack_document(rows[0][0]) if rows else PolicyDocument()

    async def swap(self, expected: int, document: PolicyDocument) -> bool:
        """Replace the document whose version is still *expected*, in one transaction."""

        def replace(database: sqlite3.Connection) -> bool:
            found = database.execute("SELECT version FROM policy").fetchone()
            if (found[0] if found else 0) != expected:
                return False
            row = (document.version, pack_document(document))
            database.execute("INSERT OR REPLACE INTO policy VALUES (1, ?, ?)", row)
            return True

        return bool(await self._changed(replace))

    async def set_note(self, field: str, body: bytes) -> None:
        """Keep a note, where there is a policy that it could be about."""
        if self._path.exists():
            await self._changed(lambda database: database.execute("REPLACE INTO notes VALUES (?, ?)", (field, body)))

    async def notes(self) -> dict[str, bytes]:
        """Return all notes by field."""
        return {str(field): bytes(body) for field, body in await self._asked("SELECT field, body FROM notes")}

    async def drop_notes(self, fields: Sequence[str]) -> None:
        """Forget notes."""
        rows = [(field,) for field in fields]
        if rows and self._path.exists():
            await self._changed(lambda database: database.executemany("DELETE FROM notes WHERE field = ?", rows))

    async def _asked(self, query: str) -> list[Any]:
        def ask() -> list[Any]:
            if not self._path.exists():
                return []
            with closing(self._opened()) as database:
                return database.execute(query).fetchall()

        rows: list[Any] = await self._translated(ask)
        return rows

    async def _changed(self, change: Callable[[sqlite3.Connection], Any]) -> Any:
        def carry_out() -> Any:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._opened()) as database, database:
                database.execute("BEGIN IMMEDIATE")
                return change(database)

        return await self._translated(carry_out)

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        for statement in _SCHEMA:
            database.execute(statement)
        return database

    async def _translated(self, work: Callable[[], Any]) -> Any:
        try:
            return await async_run_blocking(work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the policy file {self._path} cannot be used: {error}") from error


def policy_file(state_dir: str | Path, namespace: str) -> Path:
    """Return where a cache without a shared tier keeps its policy."""
    return Path(state_dir) / f"{namespace}-policy.db"
