# Generated from src/tiercel/_async/authority.py by tools/unasync.py. Do not edit.
"""
The authority of a restore: the Redis that knows what happened since a backup was made.

It is the Redis that is restored into, or the one that the backup came from where that is still alive. It answers three
questions: is the invalidation stream whole from the backup's position on; what fell, was written or erased since; which
token does each tag have now. What it cannot answer is not restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiercel._sync.link import Link
from tiercel._core.backupfile import Header
from tiercel._core.erasure import INDEX, Erasure, unpack_erasure
from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace, hash64
from tiercel._core.message import KeysFell, TagsFell, unpack_batch
from tiercel._core.tags import generation_hashes, mix
from tiercel.errors import DecodeError, TierError

PAGE = 1000
MEMO = 200_000
SKEW_MS = 60_000
"""Erasures are dated by the clock of who asked for them: those this much older than the backup count as well."""


class Authority:
    """
    Args:
        link: The way to it.
        space: Names in it.
        header: The backup.
    """

    def __init__(self, link: Link, space: KeySpace, header: Header) -> None:
        self._link = link
        self._space = space
        self._header = header
        self._after = list(header.positions)
        self._fallen: set[int] = set()
        self._tokens: dict[int, int | None] = {}
        self._erased_after = b"-"
        self._erasures: list[Erasure] = []
        self._erased_names: set[bytes] = set()
        self._erased_tags: set[int] = set()
        self.erased_subjects: set[tuple[str, str]] = set()

    def gap(self) -> str:
        """Say what of the stream since the backup is lost; empty for nothing."""
        if not self._after:
            return "the backup knows no position of the invalidation stream"
        for number, position in enumerate(self._after):
            stream = self._space.stream_key(number)
            first = self._link.execute(b"XRANGE", stream, b"-", b"+", b"COUNT", 1)
            last = self._link.execute(b"XREVRANGE", stream, b"+", b"-", b"COUNT", 1)
            if not first or _order(last[0][0]) < _order(position):
                return f"partition {number} of the invalidation stream is not the one that the backup saw"
            if _order(first[0][0]) > _order(position):
                return f"partition {number} of the invalidation stream no longer reaches back to the backup"
        return ""

    def catch_up(self) -> tuple[list[bytes], list[int]]:
        """
        Read what was said since the last look.

        Returns:
            Names of the entries that fell or were written, and hashes of the tags that were renewed.

        Raises:
            DecodeError: A message cannot be read: it may have said anything.
        """
        names: list[bytes] = []
        tags: list[int] = []
        for number, position in enumerate(self._after):
            stream, after = self._space.stream_key(number), position
            while entries := self._link.execute(b"XRANGE", stream, b"(" + after, b"+", b"COUNT", PAGE):
                for entry_id, fields in entries:
                    self._heard(_body(fields), names, tags)
                    after = bytes(entry_id)
            self._after[number] = after
        self._fallen.update(map(hash64, names))
        for tag in tags:
            self._tokens.pop(tag, None)
        self._read_erasures()
        return names, tags

    def _heard(self, body: bytes, names: list[bytes], tags: list[int]) -> None:
        for message in unpack_batch(body).messages:
            if isinstance(message, KeysFell):
                prefix = self._space.entry_prefix(message.tenant, message.region)
                names += [prefix + key for key in message.keys]
                tags += message.tags
            elif isinstance(message, TagsFell):
                tags += message.tags

    def _read_erasures(self) -> None:
        index = self._space.own_key(INDEX)
        while entries := self._link.execute(b"XRANGE", index, self._erased_after, b"+", b"COUNT", PAGE):
            for entry_id, fields in entries:
                self._erased_after = b"(" + bytes(entry_id)
                note = unpack_erasure(_body(fields))
                if note.at_ms >= self._header.wall_ms - SKEW_MS:
                    self._erased_names.update(note.names)
                    self._erased_tags.update(note.tags)
                    self.erased_subjects.add((note.tenant, note.subject))

    def has_fallen(self, name: bytes) -> bool:
        """Say whether an entry fell or was written since the backup."""
        return hash64(name) in self._fallen

    def is_erased(self, name: bytes, tags: Iterable[TagToken]) -> bool:
        """Say whether an entry, or something that it was made from, was erased since the backup."""
        return name in self._erased_names or any(tag in self._erased_tags for tag, _ in tags)

    def learn(self, tags: Iterable[int]) -> None:
        """Read the tokens of *tags* that are not known yet."""
        if len(self._tokens) > MEMO:
            self._tokens.clear()
        wanted = [tag for tag in set(tags) if tag not in self._tokens]
        replies = self._link.execute_many([(b"GET", self._space.tag_key(tag)) for tag in wanted])
        for tag, reply in zip(wanted, replies, strict=True):
            if isinstance(reply, TierError):
                raise reply
            self._tokens[tag] = int.from_bytes(reply, "big") if isinstance(reply, bytes) else None

    def token(self, tag: int) -> int | None:
        """Return a tag's token as it was learned; None where the authority has none."""
        return self._tokens.get(tag)

    def holds(self, tenant: str, region: str, tags: Sequence[TagToken]) -> bool:
        """Say whether an entry with *tags* holds by the tokens that were learned; an unknown token does not."""
        for tag, token in tags:
            if tag:
                current = self._tokens.get(tag)
            else:
                scopes = [self._tokens.get(scope) for scope in generation_hashes(self._space, tenant, region)]
                current = None if None in scopes else mix([scope for scope in scopes if scope is not None])
            if current is None or current != token:
                return False
        return True


def _body(fields: object) -> bytes:
    """Return the message of a stream entry, whichever form the protocol gives its fields."""
    if isinstance(fields, dict):
        return bytes(fields[b"m"])
    if isinstance(fields, list) and len(fields) >= 2:
        return bytes(fields[1])
    raise DecodeError("a stream entry has no message")


def _order(stream_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = bytes(stream_id).partition(b"-")
    return int(milliseconds), int(sequence or 0)
