"""
The records of the in-process far tier: one synchronous, thread-safe object shared by both façades.

It does what the server-side scripts do, by the same pure transitions. It loses everything on exit, and no other process
sees it.
"""

from __future__ import annotations

import fnmatch
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiercel._core import record
from tiercel._core.frame import Frame
from tiercel._core.keys import hash64
from tiercel._core.record import CommitReply, FillReply, Windows
from tiercel._core.stream import StreamEntry, StreamState
from tiercel._core.tags import fresh_token
from tiercel.typing import Clock


class MemoryRecords:
    """
    Args:
        clock: The server's clock.
        max_entries: Bound; the entry stored longest ago goes first.
    """

    def __init__(self, clock: Clock, max_entries: int = 100_000) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._records: OrderedDict[bytes, Frame] = OrderedDict()
        self._tokens: dict[bytes, int] = {}
        self._streams: dict[bytes, deque[StreamEntry]] = {}
        self._last_id: dict[bytes, int] = {}
        self._documents: dict[bytes, tuple[int, bytes]] = {}
        self._notes: dict[bytes, dict[bytes, bytes]] = {}

    def now_ms(self) -> int:
        """Return the tier's time."""
        return int(self._clock.wall() * 1000)

    def _stored(self, name: bytes) -> Frame | None:
        frame = self._records.get(name)
        if frame is not None and frame.kept_until_ms <= self.now_ms():
            del self._records[name]
            return None
        return frame

    def _step(self, name: bytes, transition: Callable[[Frame | None], tuple[Frame | None, Any]]) -> Any:
        with self._lock:
            frame, reply = transition(self._stored(name))
            if frame is None:
                self._records.pop(name, None)
            else:
                self._records[name] = frame
                while len(self._records) > self._max_entries:
                    self._records.popitem(last=False)
            return reply

    def get(self, name: bytes) -> Frame | None:
        """Return the record, or None."""
        with self._lock:
            return self._stored(name)

    def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order."""
        with self._lock:
            return [self._stored(name) for name in names]

    def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*."""
        reply: FillReply = self._step(
            name, lambda stored: record.begin_fill(stored, hash64(name), self.now_ms(), token, lease_ms, unusable)
        )
        return reply

    def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """Store what was loaded, if the lease is still ours and nothing newer is known."""
        reply: CommitReply = self._step(
            name, lambda stored: record.commit_fill(stored, self.now_ms(), token, frame, windows)
        )
        return reply

    def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names under one token, each on its own."""
        known = unusable or [b""] * len(names)
        return [self.begin_fill(name, token, lease_ms, seen) for name, seen in zip(names, known, strict=True)]

    def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Store what was loaded under one token, each on its own."""
        return [self.commit_fill(name, token, frame, windows) for name, frame, windows in entries]

    def renew_fill(self, name: bytes, token: int, unmodified: bytes, windows: Windows) -> CommitReply:
        """Give an entry new windows, if the lease is still ours and its body is the one that was not modified."""
        reply: CommitReply = self._step(
            name, lambda stored: record.renew_fill(stored, self.now_ms(), token, unmodified, windows)
        )
        return reply

    def abandon_fill(self, name: bytes, token: int) -> bool:
        """Give a lease back; return whether somebody waits."""
        return bool(self._step(name, lambda stored: record.abandon_fill(stored, token)))

    def begin_write_many(self, names: Sequence[bytes], mark: int, life_ms: int) -> list[int]:
        """Leave a mark before writes go to the store; return the marks that are there."""
        now_ms = self.now_ms()
        return [int(self._step(name, _begins_write(hash64(name), now_ms, mark, life_ms))) for name in names]

    def store(
        self, name: bytes, frame: Frame, windows: Windows, mark: int | None = None, tombstone_ms: int = 0
    ) -> CommitReply:
        """Set an entry unless a newer version is known, or its mark is gone."""
        now_ms = self.now_ms()
        reply: CommitReply = self._step(
            name, lambda stored: record.store(stored, now_ms, frame, windows, mark, tombstone_ms)
        )
        return reply

    def store_many(
        self, entries: Sequence[tuple[bytes, Frame, Windows]], marks: Sequence[int] | None, tombstone_ms: int
    ) -> list[CommitReply]:
        """Set many entries, each on its own."""
        each_mark = [None] * len(entries) if marks is None else marks
        return [
            self.store(name, frame, windows, mark, tombstone_ms)
            for (name, frame, windows), mark in zip(entries, each_mark, strict=True)
        ]

    def invalidate_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Destroy values and leave tombstones."""
        return [self._fell(record.invalidate, name, floor, tombstone_ms) for name in names]

    def expire_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Mark entries stale and keep their bodies."""
        return [self._fell(record.expire, name, floor, tombstone_ms) for name in names]

    def _fell(self, transition: Callable[..., tuple[Frame, bool]], name: bytes, floor: int, tombstone_ms: int) -> bool:
        return bool(
            self._step(name, lambda stored: transition(stored, hash64(name), self.now_ms(), floor, tombstone_ms))
        )

    def touch(self, name: bytes, windows: Windows) -> bool:
        """Give a live entry a new ttl, counted from now."""
        return bool(self._step(name, lambda stored: record.touch(stored, self.now_ms(), windows)))

    def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Return the token of each tag, made now where there is none."""
        with self._lock:
            return {tag: self._tokens.setdefault(name, fresh_token()) for tag, name in tags.items()}

    def renew_tags(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Give each tag a fresh token."""
        with self._lock:
            renewed = {tag: fresh_token() for tag in tags}
            self._tokens.update({name: renewed[tag] for tag, name in tags.items()})
            return renewed

    def renew_existing_tags(self, tags: Mapping[int, bytes], life_ms: int) -> None:
        """Give a fresh token to those of *tags* that have one."""
        with self._lock:
            self._tokens.update({name: fresh_token() for name in tags.values() if name in self._tokens})

    def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        """Append a message; return its id."""
        with self._lock:
            number = self._last_id[stream] = self._last_id.get(stream, 0) + 1
            entries = self._streams.setdefault(stream, deque())
            entries.append(StreamEntry(_stream_id(number), body))
            while len(entries) > max_entries:
                entries.popleft()
            return entries[-1].id

    def read(self, stream: bytes, after: bytes) -> list[StreamEntry]:
        """Return the messages after *after*."""
        with self._lock:
            return [entry for entry in self._streams.get(stream, ()) if _number(entry.id) > _number(after)]

    def stream_state(self, stream: bytes) -> StreamState:
        """Return the stream's oldest and last id."""
        with self._lock:
            entries = self._streams.get(stream)
            first = entries[0].id if entries else b"0-0"
            return StreamState(first, _stream_id(self._last_id.get(stream, 0)))

    def document(self, name: bytes) -> tuple[int, bytes]:
        """Return a document's version and body; (0, empty) where there is none."""
        with self._lock:
            return self._documents.get(name, (0, b""))

    def swap_document(self, name: bytes, expected: int, version: int, body: bytes) -> bool:
        """Replace a document whose version is still *expected*; return whether it was."""
        with self._lock:
            if self._documents.get(name, (0, b""))[0] != expected:
                return False
            self._documents[name] = (version, body)
            return True

    def set_note(self, name: bytes, field: bytes, body: bytes) -> None:
        """Keep a note."""
        with self._lock:
            self._notes.setdefault(name, {})[field] = body

    def drop_notes(self, name: bytes, fields: Sequence[bytes]) -> None:
        """Forget notes."""
        with self._lock:
            for field in fields:
                self._notes.get(name, {}).pop(field, None)

    def notes(self, name: bytes) -> dict[bytes, bytes]:
        """Return the notes under *name*, by field."""
        with self._lock:
            return dict(self._notes.get(name, {}))

    def names(self, pattern: bytes) -> list[bytes]:
        """Return the names that match a glob *pattern*, in which a backslash makes the next character itself."""
        plain = re.sub(rb"\\(.)", rb"[\1]", pattern, flags=re.DOTALL)
        with self._lock:
            return [name for name in self._records if fnmatch.fnmatchcase(name, plain)]

    def put(self, name: bytes, frame: Frame) -> None:
        """Hold *frame*, as a promoted replica would that never got what came after it; for tests."""
        with self._lock:
            self._records[name] = frame

    def evict(self, name: bytes) -> None:
        """Forget a record, a tag, a stream or a document, as a full Redis would; for tests."""
        with self._lock:
            self._records.pop(name, None)
            self._tokens.pop(name, None)
            self._streams.pop(name, None)
            self._documents.pop(name, None)


def _begins_write(
    key_hash: int, now_ms: int, mark: int, life_ms: int
) -> Callable[[Frame | None], tuple[Frame | None, Any]]:
    return lambda stored: record.begin_write(stored, key_hash, now_ms, mark, life_ms)


def _stream_id(number: int) -> bytes:
    return b"%d-0" % number


def _number(stream_id: bytes) -> int:
    return int(stream_id.split(b"-")[0])
