# Generated from src/tiercel/_async/tier.py by tools/unasync.py. Do not edit.
"""
The far tier: what the engine asks of the cache that all nodes share.

`RedisTier` keeps it in Redis; `MemoryTier` keeps it in this process, for unit tests and for running without a
Redis. Both pass one contract suite. Names are whole Redis keys; every call concerns one key, or many independently.

A call raises `TierUnavailable` or `TierTimeout` where the tier does not answer, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tiercel._core.frame import Frame
from tiercel._core.record import CommitReply, FillReply, Windows
from tiercel._core.stream import StreamEntry, StreamState


class FarTier(Protocol):
    """The cache that all nodes share."""

    name: str

    def now_ms(self) -> int:
        """Return the tier's time as far as it is known here, milliseconds since the epoch."""

    def get(self, name: bytes) -> Frame | None:
        """Return the record; None where there is none, or one that cannot be read (which is counted)."""

    def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order, in one round trip a node."""

    def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*; *unusable* is the fingerprint of a record judged unusable, or empty."""

    def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """Store what was loaded, if the lease is still ours and nothing newer is known."""

    def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names under one token, each on its own, in one round trip a node."""

    def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Store what was loaded under one token, each on its own, in one round trip a node."""

    def renew_fill(self, name: bytes, token: int, unmodified: bytes, windows: Windows) -> CommitReply:
        """Give an entry new windows, if the lease is still ours and its body is the one with this fingerprint."""

    def abandon_fill(self, name: bytes, token: int) -> bool:
        """Give a lease back; return whether somebody waits."""

    def store(self, name: bytes, frame: Frame, windows: Windows) -> CommitReply:
        """Set an entry unless a newer version is known."""

    def begin_write_many(self, names: Sequence[bytes], mark: int, life_ms: int) -> list[int]:
        """
        Leave *mark* before writes go to the store, in one round trip a node.

        Returns:
            For each name the mark to hand to `store_many`: another's where one was there, 0 where the record has a body
            or is a tombstone.
        """

    def store_many(
        self,
        entries: Sequence[tuple[bytes, Frame, Windows]],
        marks: Sequence[int] | None = None,
        tombstone_ms: int = 0,
    ) -> list[CommitReply]:
        """
        Set many entries, each on its own, in one round trip a node.

        Args:
            entries: Name, frame and windows of each.
            marks: What `begin_write_many` returned: an entry whose mark is gone is left to the next load, for something
                fell meanwhile. None for entries that no store stands behind.
            tombstone_ms: Life of the tombstone that is left then.
        """

    def invalidate_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Destroy values and leave tombstones; return for each whether somebody waits for a fill of it."""

    def expire_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Mark entries stale and keep their bodies; return for each whether somebody waits for a fill of it."""

    def touch(self, name: bytes, windows: Windows) -> bool:
        """Give a live entry a new ttl, counted from now."""

    def renew_existing_tags(self, tags: Mapping[int, bytes], life_ms: int) -> None:
        """Give a fresh token to those of *tags* that have one: nothing can carry the others."""

    def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Return the token of each tag (hash to key name), made now where there is none; it lives *life_ms* or more."""

    def renew_tags(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Give each tag a fresh token: whatever was stored under the old one no longer holds."""

    def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        """Append a message; return its id."""

    def listen(self, stream: bytes, after: bytes, block_s: float) -> list[StreamEntry]:
        """Return the messages after *after*, waiting up to *block_s* for the first."""

    def stream_state(self, stream: bytes) -> StreamState:
        """Return the stream's oldest and last id."""

    def document_version(self, name: bytes) -> int:
        """Return the version of a document that all nodes share; 0 where there is none."""

    def document(self, name: bytes) -> tuple[int, bytes]:
        """Return a document's version and body; (0, empty) where there is none."""

    def swap_document(self, name: bytes, expected: int, version: int, body: bytes) -> bool:
        """Replace a document whose version is still *expected*; return whether it was. It never runs out."""

    def set_note(self, name: bytes, field: bytes, body: bytes) -> None:
        """Keep one of many small notes under *name*, in place of what *field* said before."""

    def drop_notes(self, name: bytes, fields: Sequence[bytes]) -> None:
        """Forget notes."""

    def notes(self, name: bytes) -> dict[bytes, bytes]:
        """Return the notes under *name*, by field."""

    def scan(self, pattern: bytes, page: int) -> Iterator[list[bytes]]:
        """Walk the names that match a glob *pattern*, about *page* at a time; never blocks the server for long."""

    def ping(self) -> float:
        """Return the round-trip time in seconds."""

    def close(self) -> None:
        """Release connections."""
