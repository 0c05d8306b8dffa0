# Generated from src/tiercel/_async/sealed_tier.py by tools/unasync.py. Do not edit.
"""
The sealed tier: the far tier as an encrypted region sees it.

Payloads are sealed on the way in and opened on the way out, in place of the plain far tier and of no other code: a
region that is not encrypted never comes here. A payload that does not open (a wrong or missing key, moved from another
entry, changed, or not sealed at all) is a miss and an event; a value that cannot be sealed for want of a key is not
kept, as if the tier were away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tiercel._sync.subjectkeys import SubjectKeys
from tiercel._sync.tier import FarTier
from tiercel._core.frame import Flag, Frame
from tiercel._core.keys import KeySpace
from tiercel._core.record import CommitReply, FillReply, Grant, Windows, fingerprint
from tiercel._core.sealing import FORMAT, Owner, opened, schema_of
from tiercel._core.subjects import SubjectBook
from tiercel.codecs.sealer import Sealer, open_for_subject, seal_for_subject
from tiercel.errors import DecodeError, TierUnavailable

PURPOSE = "entry"


class SealedTier:
    """
    Args:
        tier: The far tier.
        space: Names of its entries.
        sealer: Seals and opens.
        subjects: Whose data an entry is.
        subject_keys: Keys of single subjects; None where the tenant's key seals everything.
        on_refused: Told the name of a payload that does not open, and why.
    """

    def __init__(
        self,
        tier: FarTier,
        space: KeySpace,
        sealer: Sealer,
        subjects: SubjectBook,
        subject_keys: SubjectKeys | None,
        on_refused: Callable[[bytes, str], None],
    ) -> None:
        self.name = tier.name
        self._tier = tier
        self._space = space
        self._sealer = sealer
        self._subjects = subjects
        self._subject_keys = subject_keys
        self._on_refused = on_refused

    # Sealing and opening.

    def _sealed(self, name: bytes, frame: Frame) -> Frame:
        if frame.is_negative or not frame.has_body:
            return frame
        tenant, subject = self._owner(name)
        schema = schema_of(frame)
        try:
            if subject is not None and self._subject_keys is not None:
                key = self._subject_keys.make(tenant, subject)
                payload = seal_for_subject(key, PURPOSE, name, schema, frame.payload)
            else:
                payload = self._sealer.seal(tenant, PURPOSE, name, schema, frame.payload)
        except DecodeError as error:
            raise TierUnavailable(f"the value is not kept: {error}", tier=self.name, operation="seal") from error
        return frame._replace(flags=frame.flags | Flag.ENCRYPTED, payload=payload)

    def _opened(self, name: bytes, frame: Frame | None) -> Frame | None:
        if frame is None or frame.is_negative or not frame.has_body:
            return frame
        try:
            return self._open(name, frame)
        except DecodeError as error:
            self._on_refused(name, str(error))
            return None

    def _open(self, name: bytes, frame: Frame) -> Frame:
        if not frame.flags & Flag.ENCRYPTED:
            raise DecodeError("the payload is not sealed, and the region is encrypted")
        flags = frame.flags & ~Flag.ENCRYPTED
        schema = schema_of(frame._replace(flags=flags))
        tenant, subject = self._owner(name)
        if subject is not None and self._subject_keys is not None and _is_subjects(frame.payload):
            key = self._subject_keys.find(tenant, subject)
            return opened(frame, flags, open_for_subject(key, PURPOSE, name, schema, frame.payload))
        return opened(frame, flags, self._sealer.open(tenant, PURPOSE, name, schema, frame.payload))

    def _owner(self, name: bytes) -> tuple[str, str | None]:
        parsed = self._space.parse_entry(name)
        if parsed is None:
            raise DecodeError("the record is no entry of this namespace")
        tenant, region, key = parsed
        return tenant, self._subjects.subject_of(region, key)

    def _replied(self, name: bytes, token: int, lease_ms: int, reply: FillReply) -> FillReply:
        """Open what a fill's answer brings; a hit that does not open is asked for again as unusable."""
        frame = self._opened(name, reply.frame)
        if reply.frame is not None and frame is None and reply.grant is Grant.HIT:
            again = self._tier.begin_fill(name, token, lease_ms, fingerprint(reply.frame))
            return self._replied(name, token, lease_ms, again)
        return FillReply(reply.grant, frame, reply.retry_after_ms)

    # The far tier's calls.

    def get(self, name: bytes) -> Frame | None:
        """Return the record, opened; None where there is none or it does not open."""
        return self._opened(name, self._tier.get(name))

    def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order, opened."""
        frames = self._tier.get_many(names)
        return [self._opened(name, frame) for name, frame in zip(names, frames, strict=True)]

    def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*."""
        reply = self._tier.begin_fill(name, token, lease_ms, unusable)
        return self._replied(name, token, lease_ms, reply)

    def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names."""
        replies = self._tier.begin_fill_many(names, token, lease_ms, unusable)
        return [self._replied(name, token, lease_ms, reply) for name, reply in zip(names, replies, strict=True)]

    def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """Seal and store what was loaded."""
        return self._tier.commit_fill(name, token, self._sealed(name, frame), windows)

    def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Seal and store what was loaded under one token."""
        return self._tier.commit_fill_many(token, self._sealed_many(entries))

    def store(self, name: bytes, frame: Frame, windows: Windows) -> CommitReply:
        """Seal and set an entry."""
        return self._tier.store(name, self._sealed(name, frame), windows)

    def store_many(self, entries: Sequence[tuple[bytes, Frame, Windows]], *marks: Any) -> list[CommitReply]:
        """Seal and set many entries."""
        return self._tier.store_many(self._sealed_many(entries), *marks)

    def _sealed_many(self, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[tuple[bytes, Frame, Windows]]:
        return [(name, self._sealed(name, frame), windows) for name, frame, windows in entries]

    def __getattr__(self, name: str) -> Any:
        """Everything else of the far tier carries no payload and goes there as it is."""
        return getattr(self._tier, name)


def _is_subjects(payload: bytes) -> bool:
    return payload[:2] == bytes((FORMAT, Owner.SUBJECT))
