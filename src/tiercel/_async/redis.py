"""
The far tier in Redis (or Valkey): one record per key, every script touches one key.

Freshness is judged on the server's clock: the tier knows how far this machine's clock is off (`now_ms`), measured at
`open` and again by every `ping`. A record that cannot be read is a miss and is counted, never an exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from tiercel import _timebudget
from tiercel._async.link import AsyncLink
from tiercel._core.frame import Frame, pack, unpack
from tiercel._core.keys import hash64
from tiercel._core.record import CommitOutcome, CommitReply, FillReply, Grant, Windows
from tiercel._core.resp import Word
from tiercel._core.stream import StreamEntry, StreamState
from tiercel._core.tags import fresh_token
from tiercel._timebudget import tier_time_s
from tiercel.errors import DecodeError, ReplyError
from tiercel.scripts import load_script
from tiercel.typing import Clock

BEGIN_FILL = load_script("begin_fill")
COMMIT_FILL = load_script("commit_fill")
RENEW_FILL = load_script("renew_fill")
ABANDON_FILL = load_script("abandon_fill")
BEGIN_WRITE = load_script("begin_write")
STORE = load_script("store")
INVALIDATE = load_script("invalidate")
EXPIRE = load_script("expire")
TOUCH = load_script("touch")
TAG_TOKEN = load_script("tag_token")
SWAP_DOCUMENT = load_script("swap_document")

ScriptCall = tuple[list[bytes], list[Word]]


class AsyncRedisTier:
    """
    Args:
        link: The way to the servers.
        clock: This machine's clock.
        on_damaged: Called with the name of a record that cannot be read.
        timeout_s: Longest time that a read takes inside a time budget; a larger budget does not make it longer.
    """

    name = "redis"

    def __init__(
        self, link: AsyncLink, clock: Clock, on_damaged: Callable[[bytes], None], *, timeout_s: float = 1.0
    ) -> None:
        self.link = link
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_damaged = on_damaged
        self._offset_ms = 0.0

    def now_ms(self) -> int:
        """Return the server's time as far as it is known here."""
        return int(self._clock.wall() * 1000 + self._offset_ms)

    def frame(self, name: bytes, record: Any) -> Frame | None:
        """Return the record that Redis told of *name*; None where there is none, or one that cannot be read."""
        if not isinstance(record, bytes):
            return None
        try:
            return unpack(record, hash64(name))
        except DecodeError:
            self._on_damaged(name)
            return None

    def _replied(self, reply: Sequence[Any]) -> CommitReply:
        outcome, awaited, now_ms = reply
        self._learn_time(now_ms)
        return CommitReply(CommitOutcome(outcome), bool(awaited), now_ms)

    def _learn_time(self, server_ms: int) -> None:
        """Correct the clock offset where a reply shows it to be off by more than a round trip can explain."""
        if server_ms and abs(server_ms - self.now_ms()) > 1000:
            self._offset_ms = server_ms - self._clock.wall() * 1000

    def read_time_s(self) -> float | None:
        """Return how long a read may take: None for the link's own limit, where no request has a budget."""
        return tier_time_s(self._timeout_s) if _timebudget.open_budgets else None

    async def get(self, name: bytes) -> Frame | None:
        """Return the record, or None."""
        return self.frame(name, await self.link.execute(b"GET", name, timeout_s=self.read_time_s()))

    async def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order, in one round trip a node; raise where a node does not answer."""
        replies = await self.link.get_many(names, self.read_time_s())
        return [self.frame(name, reply) for name, reply in zip(names, replies, strict=True)]

    async def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*."""
        reply = await self.link.script(BEGIN_FILL, [name], _lease_arguments(name, token, lease_ms, unusable))
        granted = self._granted(name, reply)
        if granted is not None:
            return granted
        return await self._begin_anew(name, token, lease_ms)

    async def _begin_anew(self, name: bytes, token: int, lease_ms: int) -> FillReply:
        """Remove a record that cannot be read, whose floor means nothing either, and ask again."""
        await self.link.execute(b"DEL", name)
        return await self.begin_fill(name, token, lease_ms, b"")

    def _granted(self, name: bytes, reply: Any) -> FillReply | None:
        """Read begin_fill's answer; None where it names a record that the script could read and we cannot."""
        kind, frame = bytes(reply[0]), self.frame(name, reply[-1])
        if kind == b"BUSY":
            return FillReply(Grant.BUSY, frame, int(reply[1]))
        if kind == b"HIT":
            return None if frame is None else FillReply(Grant.HIT, frame)
        return FillReply(Grant.GRANTED, frame) if frame is not None or not isinstance(reply[-1], bytes) else None

    async def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names under one token, each on its own, in one round trip a node."""
        known = unusable or [b""] * len(names)
        calls: list[ScriptCall] = [
            ([name], _lease_arguments(name, token, lease_ms, seen)) for name, seen in zip(names, known, strict=True)
        ]
        replies = await self.link.script_many(BEGIN_FILL, calls)
        granted = [self._granted(name, _sound(reply)) for name, reply in zip(names, replies, strict=True)]
        return [
            reply if reply is not None else await self._begin_anew(name, token, lease_ms)
            for name, reply in zip(names, granted, strict=True)
        ]

    async def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Store what was loaded under one token, each on its own, in one round trip a node."""
        calls: list[ScriptCall] = [([name], [_u64(token), pack(frame), *windows]) for name, frame, windows in entries]
        return [self._replied(_sound(reply)) for reply in await self.link.script_many(COMMIT_FILL, calls)]

    async def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """Store what was loaded, if the lease is still ours and nothing newer is known."""
        return self._replied(await self.link.script(COMMIT_FILL, [name], [_u64(token), pack(frame), *windows]))

    async def renew_fill(self, name: bytes, token: int, unmodified: bytes, windows: Windows) -> CommitReply:
        """Give an entry new windows, if the lease is still ours and its body is the one that was not modified."""
        return self._replied(await self.link.script(RENEW_FILL, [name], [_u64(token), unmodified, *windows]))

    async def abandon_fill(self, name: bytes, token: int) -> bool:
        """Give a lease back; return whether somebody waits."""
        return bool(await self.link.script(ABANDON_FILL, [name], [_u64(token)]))

    async def store(self, name: bytes, frame: Frame, windows: Windows) -> CommitReply:
        """Set an entry unless a newer version is known."""
        return _stored(await self.link.script(STORE, [name], [pack(frame), *windows, b"", 0]))

    async def begin_write_many(self, names: Sequence[bytes], mark: int, life_ms: int) -> list[int]:
        """Leave a mark before writes go to the store; return the marks that are there."""
        calls: list[ScriptCall] = [([name], [_u64(mark), life_ms, _u64(hash64(name))]) for name in names]
        return [int.from_bytes(_sound(reply), "big") for reply in await self.link.script_many(BEGIN_WRITE, calls)]

    async def store_many(
        self,
        entries: Sequence[tuple[bytes, Frame, Windows]],
        marks: Sequence[int] | None = None,
        tombstone_ms: int = 0,
    ) -> list[CommitReply]:
        """Set many entries, each on its own, in one round trip a node."""
        each_mark = [b""] * len(entries) if marks is None else [_u64(mark) for mark in marks]
        calls: list[ScriptCall] = [
            ([name], [pack(frame), *windows, mark, tombstone_ms])
            for (name, frame, windows), mark in zip(entries, each_mark, strict=True)
        ]
        return [_stored(_sound(reply)) for reply in await self.link.script_many(STORE, calls)]

    async def invalidate_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Destroy values and leave tombstones; return for each whether somebody waits for a fill of it."""
        return await self._fell(INVALIDATE, names, floor, tombstone_ms)

    async def expire_many(self, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        """Mark entries stale and keep their bodies; return for each whether somebody waits for a fill of it."""
        return await self._fell(EXPIRE, names, floor, tombstone_ms)

    async def _fell(self, script: Any, names: Sequence[bytes], floor: int, tombstone_ms: int) -> list[bool]:
        calls: list[ScriptCall] = [([name], [_u64(hash64(name)), _u64(floor), tombstone_ms]) for name in names]
        replies = await self.link.script_many(script, calls)
        await self._delete_refused(names, replies)
        return [bool(_sound(reply)[0]) for reply in replies]

    async def _delete_refused(self, names: Sequence[bytes], replies: Sequence[Any]) -> None:
        """
        Delete what a full server refused to overwrite, which it never refuses; the call itself has failed all the same.

        Nothing old is read then, and no fill or write in flight finds its lease or mark. What the deletion does not
        leave is a version floor, so the caller says it again.
        """
        refused = [name for name, reply in zip(names, replies, strict=True) if _is_full(reply)]
        if refused:
            await self.link.execute_many([(b"DEL", name) for name in refused])

    async def touch(self, name: bytes, windows: Windows) -> bool:
        """Give a live entry a new ttl, counted from now."""
        return bool(await self.link.script(TOUCH, [name], [*windows]))

    async def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Return the token of each tag, made now where there is none."""
        calls: list[ScriptCall] = [([name], [_u64(fresh_token()), life_ms]) for name in tags.values()]
        replies = await self.link.script_many(TAG_TOKEN, calls, timeout_s=self.read_time_s())
        return {tag: int.from_bytes(_sound(reply), "big") for tag, reply in zip(tags, replies, strict=True)}

    async def renew_tags(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Give each tag a fresh token."""
        renewed = {tag: fresh_token() for tag in tags}
        commands = [(b"SET", name, _u64(renewed[tag]), b"PX", life_ms) for tag, name in tags.items()]
        replies = await self.link.execute_many(commands)
        await self._delete_refused(list(tags.values()), replies)
        for reply in replies:
            _sound(reply)
        return renewed

    async def renew_existing_tags(self, tags: Mapping[int, bytes], life_ms: int) -> None:
        """Give a fresh token to those of *tags* that have one."""
        commands = [(b"SET", name, _u64(fresh_token()), b"XX", b"PX", life_ms) for name in tags.values()]
        replies = await self.link.execute_many(commands)
        await self._delete_refused(list(tags.values()), replies)
        for reply in replies:
            _sound(reply)

    async def publish(self, stream: bytes, body: bytes, max_entries: int) -> bytes:
        """Append a message; return its id."""
        return bytes(await self.link.execute(b"XADD", stream, b"MAXLEN", b"~", max_entries, b"*", b"m", body))

    async def listen(self, stream: bytes, after: bytes, block_s: float) -> list[StreamEntry]:
        """Return the messages after *after*, waiting up to *block_s* for the first."""
        block_ms = max(1, int(block_s * 1000))
        command = (b"XREAD", b"COUNT", 1000, b"BLOCK", block_ms, b"STREAMS", stream, after)
        reply = await self.link.blocking(*command, timeout_s=block_s + 2.0)
        return _entries(reply)

    async def stream_state(self, stream: bytes) -> StreamState:
        """Return the stream's oldest and last id."""
        first, info = await self.link.execute_many(
            [(b"XRANGE", stream, b"-", b"+", b"COUNT", 1), (b"XREVRANGE", stream, b"+", b"-", b"COUNT", 1)]
        )
        return StreamState(_first_id(_sound(first)), _first_id(_sound(info)))

    async def document_version(self, name: bytes) -> int:
        """Return a document's version; 0 where there is none."""
        return int.from_bytes(await self.link.execute(b"GETRANGE", name, 0, 7), "big")

    async def document(self, name: bytes) -> tuple[int, bytes]:
        """Return a document's version and body."""
        stored = await self.link.execute(b"GET", name) or b""
        return int.from_bytes(stored[:8], "big"), bytes(stored[8:])

    async def swap_document(self, name: bytes, expected: int, version: int, body: bytes) -> bool:
        """Replace a document whose version is still *expected*."""
        return bool(await self.link.script(SWAP_DOCUMENT, [name], [_u64(expected), _u64(version) + body]))

    async def set_note(self, name: bytes, field: bytes, body: bytes) -> None:
        """Keep a note, in a hash."""
        await self.link.execute(b"HSET", name, field, body)

    async def drop_notes(self, name: bytes, fields: Sequence[bytes]) -> None:
        """Forget notes."""
        if fields:
            await self.link.execute(b"HDEL", name, *fields)

    async def notes(self, name: bytes) -> dict[bytes, bytes]:
        """Return the notes under *name*."""
        found: Any = await self.link.execute(b"HGETALL", name)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {bytes(field): bytes(body) for field, body in pairs}

    async def scan(self, pattern: bytes, page: int) -> AsyncIterator[list[bytes]]:
        """Walk the names that match a glob *pattern*, about *page* at a time."""
        async for names in self.link.scan(pattern, page):
            yield names

    async def ping(self) -> float:
        """Return the round-trip time in seconds, and measure the clock offset."""
        before = self._clock.monotonic()
        seconds, micros = await self.link.execute(b"TIME")
        took = self._clock.monotonic() - before
        server_ms = int(seconds) * 1000 + int(micros) / 1000
        self._offset_ms = server_ms + took * 500 - self._clock.wall() * 1000
        return took

    async def aclose(self) -> None:
        """Release connections."""
        await self.link.aclose()


def _lease_arguments(name: bytes, token: int, lease_ms: int, unusable: bytes) -> list[Word]:
    return [_u64(token), lease_ms, _u64(hash64(name)), unusable]


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _sound(reply: Any) -> Any:
    """Return *reply*, raising it where it is an error."""
    if isinstance(reply, Exception):
        raise reply
    return reply


def _is_full(reply: Any) -> bool:
    return isinstance(reply, ReplyError) and reply.code == "OOM"


def _stored(reply: Sequence[Any]) -> CommitReply:
    outcome, awaited, _, now_ms = reply
    return CommitReply(CommitOutcome(outcome) if outcome else CommitOutcome.TOO_OLD, bool(awaited), int(now_ms))


def _entries(reply: Any) -> list[StreamEntry]:
    """Read XREAD's answer to one stream, in RESP2's and in RESP3's form."""
    if not reply:
        return []
    entries = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], list):
        entries = entries[0]
    return [StreamEntry(bytes(entry_id), bytes(fields[1])) for entry_id, fields in entries]


def _first_id(entries: Any) -> bytes:
    return bytes(entries[0][0]) if entries else b"0-0"
