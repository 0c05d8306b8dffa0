# Generated from src/tiercel/_async/stores/memory.py by tools/unasync.py. Do not edit.
"""The memory store: a store for tests, with the semantics of the real ones and nothing on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from tiercel._core.documents import decode_document, encode_document
from tiercel._core.storerows import NO_ROW, PreparedChange, StoredKey, encode_key, fold, prepare, spread
from tiercel._core.storeurl import KeyType
from tiercel._paired import Lock
from tiercel.errors import ClosedError
from tiercel.typing import DELETED, Change, Key, Note, Outcome, Record

__all__ = ["MemoryStore"]


class MemoryStore:
    """Rows in a dict; every value is kept as its JSON text, so that a caller's later change does not reach it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, StoredKey], tuple[str | None, int]] = {}
        self._notes: dict[int, bytes] = {}
        self._claimed_until: dict[int, float] = {}
        self._next_note = 1
        self._lock = Lock()
        self._closed = False

    def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row, or None where there is none."""
        return (self.read_many(tenant, [key])).get(key)

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the rows that exist, by key."""
        found = {}
        with self._lock:
            self._check_open()
            for key in keys:
                text, version = self._rows.get((tenant, encode_key(key, "tagged")), (None, 0))
                if text is not None:
                    found[key] = Record(decode_document(text), version)
        return found

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply one change."""
        return (self.write_many([change], guard=guard))[0]

    def write_many(
        self, changes: Sequence[Change], *, guard: bool = False, note: bytes | None = None, hold_s: float = 0.0
    ) -> list[Outcome]:
        """Apply *changes* at once, and keep *note*."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        prepared = prepare(changes, _CODEC, outcomes)
        with self._lock:
            self._check_open()
            self._apply(prepared, outcomes, guard=guard)
            if note is not None:
                self._notes[self._next_note] = note
                self._claimed_until[self._next_note] = time.monotonic() + hold_s
                self._next_note += 1
        return [outcome for outcome in outcomes if outcome is not None]

    def _apply(self, changes: Sequence[PreparedChange], outcomes: list[Outcome | None], *, guard: bool) -> None:
        for row in fold(changes, guard=guard):
            _, present = self._rows.get((row.tenant, row.key), (None, NO_ROW))
            version = row.result(present, guard=guard)
            if version is not None:
                self._rows[row.tenant, row.key] = (None if row.value is DELETED else row.value, version)
            spread(outcomes, row, applied=version is not None, version=present if version is None else version)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the memory store was closed", tier="memory")

    def settle_notes(self, payloads: Sequence[bytes]) -> None:
        """Forget notes by what they say."""
        self.delete_notes([number for number, payload in self._notes.items() if payload in payloads])

    def read_notes(self, limit: int, *, lease_s: float = 30.0, prefix: bytes = b"") -> list[Note]:
        """Claim up to *limit* of the oldest notes for *lease_s* seconds."""
        now = time.monotonic()
        with self._lock:
            wanted = [number for number, payload in self._notes.items() if payload.startswith(prefix)]
            free = [number for number in wanted if self._claimed_until[number] <= now][:limit]
            self._claimed_until.update(dict.fromkeys(free, now + lease_s))
            return [Note(number, self._notes[number]) for number in free]

    def delete_notes(self, ids: Sequence[int]) -> None:
        """Forget notes that were acted on."""
        with self._lock:
            for number in ids:
                self._notes.pop(number, None)
                self._claimed_until.pop(number, None)

    def ping(self) -> None:
        """Raise `ClosedError` once closed."""
        self._check_open()

    def close(self) -> None:
        """Refuse further calls; calling twice is harmless."""
        self._closed = True


class _DocumentCodec:
    key_type: KeyType = "tagged"

    def tenant_of(self, tenant: str) -> str:
        """Return *tenant*."""
        return tenant

    def encode(self, key: Key, value: Any) -> Any:
        """Return *value* as JSON text."""
        return DELETED if value is DELETED else encode_document(value)


_CODEC = _DocumentCodec()
