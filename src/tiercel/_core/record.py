"""
The transitions of a far entry as pure functions: what the server-side scripts do, for the in-process far tier.

Each function takes the stored frame (None where there is none or it has run out) and the server's time in milliseconds,
and returns the frame to store (None to delete) and the reply. ``scripts/*.lua`` are the same machine; the contract
suite drives both.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from tiercel._core.frame import Flag, Frame, State, pack
from tiercel._core.sealing import OpenedFrame


class Windows(NamedTuple):
    """Length of an entry's three windows, milliseconds; additive."""

    ttl_ms: int
    grace_ms: int = 0
    keep_ms: int = 0

    @property
    def total_ms(self) -> int:
        """From now until the entry is gone."""
        return self.ttl_ms + self.grace_ms + self.keep_ms


class Grant(enum.Enum):
    """Answer to a request for the right to load."""

    GRANTED = "granted"
    BUSY = "busy"
    HIT = "hit"


@dataclass(frozen=True, slots=True)
class FillReply:
    """
    Answer to `begin_fill`.

    Attributes:
        grant: GRANTED: load it. BUSY: somebody else does. HIT: it is there by now.
        frame: The stored record where it has a body, usable or not; None otherwise.
        retry_after_ms: With BUSY, how long the other's lease still runs.
    """

    grant: Grant
    frame: Frame | None = None
    retry_after_ms: int = 0


class CommitOutcome(enum.Enum):
    """What became of a fill."""

    STORED = 1
    LEASE_LOST = 0
    TOO_OLD = -1
    UNSURE = 2
    """An invalidation that named no version came before, perhaps for a newer row: the next load decides."""


class CommitReply(NamedTuple):
    """Answer to `commit_fill`, `store`: outcome, whether somebody waits for it, and the server's time."""

    outcome: CommitOutcome
    is_awaited: bool
    now_ms: int


def fingerprint(frame: Frame | None) -> bytes:
    """Return what tells one stored body from another: version, creation time, checksum."""
    if frame is None or not frame.has_body:
        return b""
    if isinstance(frame, OpenedFrame) and frame.sealed is not None:
        frame = frame.sealed
    record = pack(frame)
    return record[16:32] + record[88:92]


def begin_fill(
    stored: Frame | None, key_hash: int, now_ms: int, token: int, lease_ms: int, unusable: bytes
) -> tuple[Frame, FillReply]:
    """Grant a lease, or say who has it, or that the entry is there by now."""
    if stored is None:
        leased = Frame(State.LEASED, key_hash, kept_until_ms=now_ms + lease_ms)
        return leased._replace(lease_token=token, lease_until_ms=now_ms + lease_ms), FillReply(Grant.GRANTED)
    body = stored if stored.has_body else None
    if stored.state is State.LIVE and stored.fresh_until_ms > now_ms and fingerprint(stored) != unusable:
        return stored, FillReply(Grant.HIT, stored)
    left_ms = stored.lease_until_ms - now_ms
    if stored.lease_token and left_ms > 0:
        return stored._replace(is_awaited=True), FillReply(Grant.BUSY, body, left_ms)
    granted = stored._replace(
        lease_token=token,
        lease_until_ms=now_ms + lease_ms,
        kept_until_ms=max(stored.kept_until_ms, now_ms + lease_ms),
    )
    return granted, FillReply(Grant.GRANTED, body)


def commit_fill(
    stored: Frame | None, now_ms: int, token: int, frame: Frame, windows: Windows
) -> tuple[Frame | None, CommitReply]:
    """Store what was loaded, if the lease is still ours and nothing newer is known."""
    if stored is None or stored.lease_token != token:
        return stored, CommitReply(CommitOutcome.LEASE_LOST, False, 0)
    awaited = stored.is_awaited
    if 0 < frame.version < stored.floor:
        return _unleased(stored), CommitReply(CommitOutcome.TOO_OLD, awaited, now_ms)
    return _stamped(frame, stored.floor, now_ms, windows), CommitReply(CommitOutcome.STORED, awaited, now_ms)


def renew_fill(
    stored: Frame | None, now_ms: int, token: int, unmodified: bytes, windows: Windows
) -> tuple[Frame | None, CommitReply]:
    """Give an entry new windows, if the lease is still ours and its body is the one that was not modified."""
    if stored is None or stored.lease_token != token or not unmodified or fingerprint(stored) != unmodified:
        return stored, CommitReply(CommitOutcome.LEASE_LOST, False, 0)
    awaited = stored.is_awaited
    if 0 < stored.version < stored.floor:
        return _unleased(stored), CommitReply(CommitOutcome.TOO_OLD, awaited, now_ms)
    renewed = _stamped(stored._replace(state=State.LIVE), stored.floor, now_ms, windows)
    return renewed, CommitReply(CommitOutcome.STORED, awaited, now_ms)


def abandon_fill(stored: Frame | None, token: int) -> tuple[Frame | None, bool]:
    """Give a lease back; return whether somebody waits."""
    if stored is None or stored.lease_token != token:
        return stored, False
    return (None if stored.state is State.LEASED else _unleased(stored)), stored.is_awaited


def begin_write(stored: Frame | None, key_hash: int, now_ms: int, mark: int, life_ms: int) -> tuple[Frame, int]:
    """Leave a mark before a write goes to the store; return the one that is there, 0 with a body or a tombstone."""
    ends_ms = now_ms + life_ms
    if stored is None:
        return Frame(State.LEASED, key_hash, created_ms=mark, kept_until_ms=ends_ms), mark
    if stored.state is not State.LEASED:
        return stored, 0
    marked = stored._replace(created_ms=stored.created_ms or mark, kept_until_ms=max(stored.kept_until_ms, ends_ms))
    return marked, marked.created_ms


def store(
    stored: Frame | None, now_ms: int, frame: Frame, windows: Windows, mark: int | None = None, tombstone_ms: int = 0
) -> tuple[Frame | None, CommitReply]:
    """Set an entry unless a newer version is known, or its *mark*, where there is one, is gone; void any lease."""
    floor = stored.floor if stored else 0
    if 0 < frame.version < floor:
        return stored, CommitReply(CommitOutcome.TOO_OLD, False, now_ms)
    awaited = stored.is_awaited if stored else False
    if stored is not None and frame.version and _fell(stored):
        return _awaiting_load(stored, frame.version), CommitReply(CommitOutcome.UNSURE, awaited, now_ms)
    if frame.version and mark is not None and _lost_mark(stored, mark):
        ends_ms = now_ms + tombstone_ms
        tombstone = Frame(State.TOMBSTONE, frame.key_hash, kept_until_ms=ends_ms, floor=frame.version)
        return tombstone, CommitReply(CommitOutcome.UNSURE, awaited, now_ms)
    return _stamped(frame, floor, now_ms, windows), CommitReply(CommitOutcome.STORED, awaited, now_ms)


def invalidate(stored: Frame | None, key_hash: int, now_ms: int, floor: int, tombstone_ms: int) -> tuple[Frame, bool]:
    """Destroy the value, leave a tombstone with a version floor; return whether somebody waits."""
    known = stored.floor if stored else 0
    tombstone = Frame(State.TOMBSTONE, key_hash, kept_until_ms=now_ms + tombstone_ms, floor=max(floor, known))
    return tombstone, stored.is_awaited if stored else False


def expire(stored: Frame | None, key_hash: int, now_ms: int, floor: int, tombstone_ms: int) -> tuple[Frame, bool]:
    """Mark an entry stale and keep its body; return whether somebody waits."""
    if stored is None or not stored.has_body:
        return invalidate(stored, key_hash, now_ms, floor, tombstone_ms)
    stale = _unleased(stored)._replace(
        state=State.STALE,
        fresh_until_ms=now_ms,
        stale_until_ms=now_ms,
        floor=max(floor, stored.floor),
    )
    return stale, stored.is_awaited


def touch(stored: Frame | None, now_ms: int, windows: Windows) -> tuple[Frame | None, bool]:
    """Give a live entry a new ttl; return whether it was live."""
    if stored is None or stored.state is not State.LIVE:
        return stored, False
    return _timed(stored, now_ms, windows), True


def negative(key_hash: int, tags: tuple[tuple[int, int], ...], version: int = 0) -> Frame:
    """Return the frame that says "no such record"."""
    return Frame(State.LIVE, key_hash, flags=Flag.NEGATIVE, tags=tags, version=version)


def _unleased(stored: Frame) -> Frame:
    return stored._replace(lease_token=0, lease_until_ms=0, is_awaited=False)


def _fell(stored: Frame) -> bool:
    return stored.state in (State.STALE, State.TOMBSTONE) or (stored.state is State.LIVE and stored.is_negative)


def _lost_mark(stored: Frame | None, mark: int) -> bool:
    if stored is None:
        return True
    return stored.state is State.LEASED and (not mark or stored.created_ms != mark)


def _awaiting_load(stored: Frame, floor: int) -> Frame:
    state = State.STALE if stored.state is State.STALE else State.TOMBSTONE
    return _unleased(stored)._replace(state=state, floor=floor)


def _timed(frame: Frame, now_ms: int, windows: Windows) -> Frame:
    fresh = now_ms + windows.ttl_ms
    stale = fresh + windows.grace_ms
    return frame._replace(fresh_until_ms=fresh, stale_until_ms=stale, kept_until_ms=stale + windows.keep_ms)


def _stamped(frame: Frame, floor: int, now_ms: int, windows: Windows) -> Frame:
    return _timed(_unleased(frame)._replace(created_ms=now_ms, floor=max(floor, frame.version)), now_ms, windows)
