"""
A far tier in this process: for unit tests, and for running without a Redis.

All caches of one process and namespace share its records (`tiercel._memory_records`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from tiercel._core.frame import Frame
from tiercel._core.record import CommitReply, FillReply, Windows
from tiercel._core.stream import StreamEntry, StreamState
from tiercel._memory_records import MemoryRecords
from tiercel._paired import AsyncPoll


class AsyncMemoryTier:
    """
    Args:
        records: Where the records are; shared by the tiers of both colours.
    """

    name = "memory"

    def __init__(self, records: MemoryRecords) -> None:
        self.records = records

    def now_ms(self) -> int:
        """Return the tier's time."""
        return self.records.now_ms()

    async def get(self, name: bytes) -> Frame | None:
        """Return the record, or None."""
        return self.records.get(name)

    async def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order."""
        return self.records.get_many(names)

    async def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*."""
        return self.records.begin_fill(name, token, lease_ms, unusable)

    async def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """Store what was loaded, if the lease is still ours and nothing newer is known."""
        return self.records.commit_fill(name, token, frame, windows)

    async def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names under one token, each on its own."""
        return self.records.begin_fill_many(names, token, lease_ms, unusable)

    async def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Store what was loaded under one token, each on its own."""
        return self.records.commit_fill_many(token, entries)

    async def renew_fill(self, name: bytes, token: int, unmodified: bytes, windows: Windows) -> CommitReply:
        """Give an entry new windows, if the lease is still ours and its body is the one that was not modified."""
        return self.records.renew_fill(name, token, unmodified, windows)

    async def abandon_fill(self, name: bytes, token: int) -> bool:
        """Give a lease back; return whether somebody waits."""
        return self.records.abandon_fill(name, token)

    async def store(self, name: bytes, frame: Frame, windows: Windows) -> CommitReply:
        """Set an entry unless a newer version is known."""
        return self.records.store(name, frame, windows)

    async def begin_write_many(self, names: Sequence[bytes], mark: int, life_ms: int) -> list[int]:
        """Leave a mark before writes go to the store; return the marks that are there."""
        return self.records.begin_write_many(names, mark, life_ms)

    async def store_many(
        self,
        entries: Sequence[tuple[bytes, Frame, Windows]],
        marks: Sequence[int] | None = None,
        tombstone_ms: int = 0,
    ) -> list[CommitReply]:
        """Set many entries, each on its own."""
        return self.records.store_many(entries, marks, tombstone_ms)

    async def invalidate_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Destroy values and leave tombstones."""
        return self.records.invalidate_many(names, floor, tombstone_ms)

    async def expire_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Mark entries stale and keep their bodies."""
        return self.records.expire_many(names, floor, tombstone_ms)

    async def touch(self, name: bytes, windows: Windows) -> bool:
        """Give a live entry a new ttl, counted from now."""
        return self.records.touch(name, windows)

    async def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Return the token of each tag, made now where there is none."""
        return self.records.tag_tokens(tags, life_ms)

    async def renew_tags(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Give each tag a fresh token."""
        return self.records.renew_tags(tags, life_ms)

    async def renew_existing_tags(self, tags: Mapping[int, bytes], life_ms: int) -> None:
        """Give a fresh token to those of *tags* that have one."""
        self.records.renew_existing_tags(tags, life_ms)

    async def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        """Append a message; return its id."""
        return self.records.publish(stream, body, max_entries)

    async def listen(self, stream: bytes, after: bytes, block_s: float) -> list[StreamEntry]:
        """Return the messages after *after*, waiting up to *block_s* for the first."""
        poll = AsyncPoll(block_s)
        while True:
            found = self.records.read(stream, after)
            if found or not await poll.again():
                return found

    async def stream_state(self, stream: bytes) -> StreamState:
        """Return the stream's oldest and last id."""
        return self.records.stream_state(stream)

    async def document_version(self, name: bytes) -> int:
        """Return a document's version; 0 where there is none."""
        return self.records.document(name)[0]

    async def document(self, name: bytes) -> tuple[int, bytes]:
        """Return a document's version and body."""
        return self.records.document(name)

    async def swap_document(self, name: bytes, expected: int, version: int, body: bytes) -> bool:
        """Replace a document whose version is still *expected*."""
        return self.records.swap_document(name, expected, version, body)

    async def set_note(self, name: bytes, field: bytes, body: bytes) -> None:
        """Keep a note."""
        self.records.set_note(name, field, body)

    async def drop_notes(self, name: bytes, fields: Sequence[bytes]) -> None:
        """Forget notes."""
        self.records.drop_notes(name, fields)

    async def notes(self, name: bytes) -> dict[bytes, bytes]:
        """Return the notes under *name*."""
        return self.records.notes(name)

    async def scan(self, pattern: bytes, page: int) -> AsyncIterator[list[bytes]]:
        """Walk the names that match a glob *pattern*."""
        names = self.records.names(pattern)
        for start in range(0, len(names), page):
            yield names[start : start + page]

    async def ping(self) -> float:
        """Return 0: it is in this process."""
        return 0.0

    async def aclose(self) -> None:
        """Leave the records: other caches of the process use them."""
