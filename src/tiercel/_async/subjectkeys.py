"""
Subjects' keys: one random key a subject, kept wrapped in the far tier, and destroyed with the subject.

A key is made once, however many nodes ask (a fenced fill like any other), and wrapped with the tenant's key. A node
remembers it for `MEMO_S` seconds; within that time after an erasure another node may still seal with the destroyed key,
which makes a miss for everybody else.
"""

from __future__ import annotations

import os
import time

from tiercel._async.tier import AsyncFarTier
from tiercel._core.frame import Flag, Frame, State
from tiercel._core.keys import KeySpace, hash64
from tiercel._core.record import CommitOutcome, Grant, Windows
from tiercel._core.sealing import KEY_BYTES
from tiercel._core.tags import fresh_token
from tiercel._paired import async_sleep
from tiercel.codecs.sealer import Sealer
from tiercel.errors import DecodeError, TierUnavailable

MEMO_S = 10.0
MEMO = 10_000
LIFE = Windows(10 * 365 * 86_400_000)
LEASE_MS = 2_000
TOMBSTONE_MS = 60_000
PAUSE_S = 0.02
TRIES = 200


class AsyncSubjectKeys:
    """
    Args:
        tier: Where the wrapped keys are.
        space: Their names.
        sealer: Wraps them.
    """

    def __init__(self, tier: AsyncFarTier, space: KeySpace, sealer: Sealer) -> None:
        self._tier = tier
        self._space = space
        self._sealer = sealer
        self._memo: dict[bytes, tuple[float, bytes]] = {}

    async def find(self, tenant: str, subject: str) -> bytes:
        """Return the subject's key; raises `DecodeError` where it has none or none that opens, `TierError`."""
        name = self._space.subject_key(tenant, subject)
        found = self._remembered(name)
        if found is not None:
            return found
        frame = await self._tier.get(name)
        if frame is None or not frame.has_body:
            raise DecodeError("the subject's key is gone")
        return self._unwrapped(tenant, name, frame)

    async def make(self, tenant: str, subject: str) -> bytes:
        """Return the subject's key, made now where there is none; raises `DecodeError`, `TierError`."""
        name = self._space.subject_key(tenant, subject)
        for _ in range(TRIES):
            found = self._remembered(name)
            if found is not None:
                return found
            token = fresh_token()
            reply = await self._tier.begin_fill(name, token, LEASE_MS, b"")
            if reply.frame is not None:
                return self._unwrapped(tenant, name, reply.frame)
            if reply.grant is Grant.GRANTED:
                frame = self._wrapped(tenant, name)
                committed = await self._tier.commit_fill(name, token, frame, LIFE)
                if committed.outcome is CommitOutcome.STORED:
                    return self._unwrapped(tenant, name, frame)
            await async_sleep(PAUSE_S)
        raise TierUnavailable("a subject's key could not be made: another node holds its lease", tier=self._tier.name)

    async def destroy(self, tenant: str, subject: str) -> bool:
        """Destroy the subject's key: what it sealed opens nowhere any more. Return whether there was one."""
        name = self._space.subject_key(tenant, subject)
        frame = await self._tier.get(name)
        await self._tier.invalidate_many([name], 0, TOMBSTONE_MS)
        self._memo.pop(name, None)
        return frame is not None and frame.has_body

    def _remembered(self, name: bytes) -> bytes | None:
        read_at, key = self._memo.get(name, (-1e18, b""))
        return key if time.monotonic() - read_at < MEMO_S else None

    def _wrapped(self, tenant: str, name: bytes) -> Frame:
        payload = self._sealer.seal(tenant, "subject", name, b"", os.urandom(KEY_BYTES))
        return Frame(State.LIVE, hash64(name), codec=3, flags=Flag.ENCRYPTED, payload=payload)

    def _unwrapped(self, tenant: str, name: bytes, frame: Frame) -> bytes:
        key = self._sealer.open(tenant, "subject", name, b"", frame.payload)
        if len(self._memo) >= MEMO:
            self._memo.clear()
        self._memo[name] = time.monotonic(), key
        return key
