# Generated from src/tiercel/_async/journals/sealed.py by tools/unasync.py. Do not edit.
"""
The sealed journal: the journal of an encrypted region.

Values and the reasons of dead letters are sealed before any journal sees them; tenants, keys and versions stay
readable, for a journal sorts by them. What does not open stops the partition with a `StoreError` until its key is back:
an acknowledged write is not thrown away for want of a key.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiercel._sync.journals.discreet import MARK
from tiercel._sync.journals.payload import SealedValue, open_value, seal_draft
from tiercel._sync.journals.protocol import Journal
from tiercel._core.journal import Accepted, DeadLetter, Draft, Fate, JournalEntry, JournalSize, Lease
from tiercel._core.keys import KeySpace, encode_key
from tiercel.codecs.sealer import Sealer
from tiercel.errors import DecodeError, StoreError
from tiercel.typing import Change, Key, Record

VALUE, REASON = "journal", "reason"


class SealedJournal:
    """
    Args:
        journal: Where sealed writes wait.
        sealer: Seals and opens.
        space: Names of entries; a write is bound to its entry's.
        region: The region.
    """

    def __init__(self, journal: Journal, sealer: Sealer, space: KeySpace, region: str) -> None:
        self.partitions = journal.partitions
        self._journal = journal
        self._sealer = sealer
        self._space = space
        self._region = region

    def _name(self, tenant: str, key: Key) -> bytes:
        return self._space.entry_prefix(tenant, self._region) + encode_key(key)

    def _seal(self, tenant: str, key: Key, plain: bytes) -> bytes:
        return self._sealer.seal(tenant, VALUE, self._name(tenant, key), b"", plain)

    def _opened(self, entry: JournalEntry) -> JournalEntry:
        change = entry.change
        if not isinstance(change.value, SealedValue):
            return entry
        name = self._name(change.tenant, change.key)
        try:
            value = open_value(self._sealer.open(change.tenant, VALUE, name, b"", change.value.sealed))
        except DecodeError as error:
            raise StoreError(f"a journaled write cannot be opened: {error}", key=change.key) from error
        return entry._replace(change=Change(change.tenant, change.key, value, change.version))

    def seal_words(self, tenant: str, key: Key, words: bytes) -> bytes:
        """Seal what a store says of a row: it may quote it."""
        return self._sealer.seal(tenant, REASON, self._name(tenant, key), b"", words)

    def _sealed_reason(self, entry: JournalEntry, reason: str) -> str:
        change = entry.change
        if MARK in reason:
            return reason
        return MARK + base64.b64encode(self.seal_words(change.tenant, change.key, reason.encode())).decode()

    def _reason(self, tenant: str, key: Key, reason: str) -> str:
        said, mark, words = reason.partition(MARK)
        if not mark:
            return reason
        try:
            sealed = base64.b64decode(words, validate=True)
            return said + self._sealer.open(tenant, REASON, self._name(tenant, key), b"", sealed).decode()
        except (DecodeError, ValueError):
            return f"{said}sealed with a key that is gone"

    def open(self) -> None:
        """Connect; see `Journal.open`."""
        self._journal.open()
        self.partitions = self._journal.partitions

    def append(self, drafts: Sequence[Draft]) -> Accepted:
        """Seal and keep *drafts*; raises `StoreError` where there is no key."""
        try:
            sealed = [seal_draft(draft, self._seal) for draft in drafts]
        except DecodeError as error:
            raise StoreError(f"the write cannot be sealed: {error}", operation="append") from error
        return self._journal.append(sealed)

    def lease(self, partition: int, owner: str, ttl_s: float) -> Lease | None:
        """Take *partition*."""
        return self._journal.lease(partition, owner, ttl_s)

    def release(self, lease: Lease) -> None:
        """Give a partition back."""
        self._journal.release(lease)

    def enlist(self, owner: str, ttl_s: float) -> list[str]:
        """Say that *owner* is alive and return every living worker."""
        return self._journal.enlist(owner, ttl_s)

    def resign(self, owner: str) -> None:
        """Say that *owner* goes."""
        self._journal.resign(owner)

    def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        """Return waiting writes, opened."""
        return [self._opened(entry) for entry in self._journal.take(lease, after, limit, ttl_s)]

    def settle(
        self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[tuple[JournalEntry, str]]
    ) -> JournalSize:
        """Remove *done*, park *parked* with their reasons sealed."""
        sealed = [(entry, self._sealed_reason(entry, reason)) for entry, reason in parked]
        return self._journal.settle(lease, done, sealed)

    def newest(self, tenant: str, keys: Sequence[Key]) -> Mapping[Key, Record]:
        """Return the newest waiting write of each key that has one, opened."""
        found: dict[Key, Record] = {}
        for key, record in (self._journal.newest(tenant, keys)).items():
            value = record.value
            if isinstance(value, SealedValue):
                try:
                    plain = self._sealer.open(tenant, VALUE, self._name(tenant, key), b"", value.sealed)
                except DecodeError as error:
                    raise StoreError(f"a journaled write cannot be opened: {error}", key=key) from error
                record = record._replace(value=open_value(plain))  # noqa: PLW2901  # the same record, readable
            found[key] = record
        return found

    def fate(self, tenant: str, key: Key, version: int) -> tuple[Fate, str]:
        """Say what became of one write."""
        fate, reason = self._journal.fate(tenant, key, version)
        return fate, self._reason(tenant, key, reason)

    def forget(self, tenant: str, key: Key, version: int | None = None) -> int:
        """Remove the writes of *key*."""
        return self._journal.forget(tenant, key, version)

    def size(self) -> JournalSize:
        """Return how much waits."""
        return self._journal.size()

    def dead_letters(self, limit: int = 100, after: str = "") -> list[DeadLetter]:
        """Return dead letters, opened; one whose key is gone keeps its sealed value."""
        return [self._opened_letter(letter) for letter in self._journal.dead_letters(limit, after)]

    def _opened_letter(self, letter: DeadLetter) -> DeadLetter:
        change = letter.entry.change
        reason = self._reason(change.tenant, change.key, letter.reason)
        try:
            return replace(letter, entry=self._opened(letter.entry), reason=reason)
        except StoreError:
            return replace(letter, reason=reason)

    def retry(self, ids: Sequence[str]) -> int:
        """Queue dead letters again."""
        return self._journal.retry(ids)

    def drop(self, ids: Sequence[str]) -> int:
        """Throw dead letters away."""
        return self._journal.drop(ids)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()
