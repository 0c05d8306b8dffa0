"""
The gutter tier: the far tier, and behind it another one that serves what the breaker keeps from the first.

Reads, leases and fills of a part that is away go to the gutter, with their lives capped. Writes do not: they fail here
as they would without a gutter, so that the invalidation that takes their place is journaled for the far tier. If a
write were kept in the gutter alone, this would follow:

    1. Redis is away; writer commits v2 and stores it in the gutter
    2. Redis is back, with v1; the gutter is left: v1 is served until its ttl ends

Every invalidation is told to the gutter as well (`fell`), at all times: another node may be in it while this one is
not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiercel._async.link import open_link
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.redis import AsyncRedisTier
from tiercel._async.tier import AsyncFarTier
from tiercel._core.frame import Frame
from tiercel._core.gutter import GutterFrame, GutterParts, capped
from tiercel._core.keys import KeySpace
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.record import CommitReply, FillReply, Grant, Windows, fingerprint
from tiercel._core.redisurl import parse_redis_url
from tiercel._core.resp import NodeRefused
from tiercel._core.slots import key_slot
from tiercel._core.undelivered import Undelivered
from tiercel._paired import async_gather
from tiercel._process import Process
from tiercel.errors import TierError
from tiercel.observe.recorder import Recorder
from tiercel.options import CacheOptions
from tiercel.typing import Clock


class AsyncGutterTier:
    """
    Args:
        main: The far tier.
        gutter: What takes over.
        longest_s: Longest life of an entry in the gutter.
        part_of: The part of the far tier that a name belongs to.
        space: Names of entries and tags.
        clock: Paces the probes.
        recorder: Told when a part is left to the gutter and when it is taken back.

    Attributes:
        on_change: Called after either: tokens of tags that were known until then are another tier's.
    """

    def __init__(
        self,
        main: AsyncFarTier,
        gutter: AsyncFarTier,
        *,
        longest_s: float,
        part_of: Callable[[bytes], int],
        space: KeySpace,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self.name = main.name
        self.main = main
        self.gutter = gutter
        self.on_change: Callable[[], None] = lambda: None
        self._longest_ms = int(longest_s * 1000)
        self._part_of = part_of
        self._parts = GutterParts()
        self._space = space
        self._clock = clock
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        """What is no read or fill of an entry (writes, streams, documents) goes to the far tier as it is."""
        return getattr(self.main, name)

    @property
    def parts_away(self) -> int:
        """Parts that the gutter serves at this moment."""
        return len(self._parts)

    # Which tier.

    async def _is_away(self, name: bytes) -> bool:
        """Say whether the gutter serves *name*; now and then the far tier is asked whether it is back."""
        part = self._part_of(name)
        if not self._parts.is_away(part):
            return False
        if not self._parts.may_probe(part, self._clock.monotonic()):
            return True
        try:
            await self.main.get(name)
        except TierError:
            return True
        if self._parts.leave(part):
            self._changed("gutter_left", "the far tier answers again")
        return False

    def _enter(self, name: bytes, error: NodeRefused) -> None:
        if self._parts.enter(self._part_of(name), self.gutter.now_ms(), self._clock.monotonic()):
            self._changed("gutter_entered", str(error))

    def _changed(self, event: str, why: str) -> None:
        self.on_change()
        self._recorder.gauge("gutter_parts", len(self._parts))
        self._recorder.event(event, tier=self.gutter.name, why=why)

    # Reads.

    async def get(self, name: bytes) -> Frame | None:
        """Return the record, from whichever tier serves *name*."""
        if not await self._is_away(name):
            try:
                return await self.main.get(name)
            except NodeRefused as error:
                self._enter(name, error)
        return self._counted(name, await self.gutter.get(name))

    async def get_many(self, names: Sequence[bytes]) -> list[Frame | None]:
        """Return the records in order: in one round trip a node while nothing is away, else one by one."""
        if not len(self._parts):
            try:
                return await self.main.get_many(names)
            except NodeRefused:
                pass  # which of them are away is found one by one
        return await async_gather(*[self.get(name) for name in names])

    def _counted(self, name: bytes, frame: Frame | None) -> Frame | None:
        """Return what the gutter holds, on the far tier's clock; None where it is from an earlier stay."""
        if frame is None or not self._parts.counts(self._part_of(name), frame):
            return None
        ahead_ms = self.main.now_ms() - self.gutter.now_ms()
        return GutterFrame(*frame)._replace(
            fresh_until_ms=frame.fresh_until_ms + ahead_ms,
            stale_until_ms=frame.stale_until_ms + ahead_ms,
            kept_until_ms=frame.kept_until_ms + ahead_ms,
        )

    async def tag_tokens(self, tags: Mapping[int, bytes], life_ms: int) -> dict[int, int]:
        """Return the token of each tag, from whichever tier serves its name."""
        if not len(self._parts):
            try:
                return await self.main.tag_tokens(tags, life_ms)
            except NodeRefused:
                pass  # which of them are away is found one by one
        tokens: dict[int, int] = {}
        for found in await async_gather(*[self._tag_token(tag, name, life_ms) for tag, name in tags.items()]):
            tokens.update(found)
        return tokens

    async def _tag_token(self, tag: int, name: bytes, life_ms: int) -> dict[int, int]:
        if not await self._is_away(name):
            try:
                return await self.main.tag_tokens({tag: name}, life_ms)
            except NodeRefused as error:
                self._enter(name, error)
        return await self.gutter.tag_tokens({tag: name}, life_ms)

    # Fills.

    async def begin_fill(self, name: bytes, token: int, lease_ms: int, unusable: bytes) -> FillReply:
        """Ask for the right to load *name*, where its fill will go."""
        if not await self._is_away(name):
            try:
                return await self.main.begin_fill(name, token, lease_ms, unusable)
            except NodeRefused as error:
                self._enter(name, error)
        reply = await self.gutter.begin_fill(name, token, lease_ms, unusable)
        frame = self._counted(name, reply.frame)
        if reply.grant is Grant.HIT and frame is None:
            reply = await self.gutter.begin_fill(name, token, lease_ms, fingerprint(reply.frame))
            frame = self._counted(name, reply.frame)
        return FillReply(reply.grant, frame, reply.retry_after_ms)

    async def begin_fill_many(
        self, names: Sequence[bytes], token: int, lease_ms: int, unusable: Sequence[bytes] = ()
    ) -> list[FillReply]:
        """Ask for the right to load many names, each where its fill will go."""
        if not len(self._parts):
            try:
                return await self.main.begin_fill_many(names, token, lease_ms, unusable)
            except NodeRefused:
                pass  # which of them are away is found one by one
        known = dict(zip(names, unusable, strict=True)) if unusable else {}
        return await async_gather(*[self.begin_fill(name, token, lease_ms, known.get(name, b"")) for name in names])

    async def commit_fill(self, name: bytes, token: int, frame: Frame, windows: Windows) -> CommitReply:
        """
        Store what was loaded, in the tier that serves *name* now.

        A lease of the other tier is unknown there: a load that began before the change is refused.
        """
        if not await self._is_away(name):
            return await self.main.commit_fill(name, token, frame, windows)
        return await self.gutter.commit_fill(name, token, frame, capped(windows, self._longest_ms))

    async def commit_fill_many(self, token: int, entries: Sequence[tuple[bytes, Frame, Windows]]) -> list[CommitReply]:
        """Store what was loaded under one token, each in the tier that serves its name now."""
        if not len(self._parts):
            return await self.main.commit_fill_many(token, entries)
        return await async_gather(*[self.commit_fill(name, token, frame, wide) for name, frame, wide in entries])

    async def renew_fill(self, name: bytes, token: int, unmodified: bytes, windows: Windows) -> CommitReply:
        """Give an entry new windows, in the tier that serves *name* now."""
        if not await self._is_away(name):
            return await self.main.renew_fill(name, token, unmodified, windows)
        return await self.gutter.renew_fill(name, token, unmodified, capped(windows, self._longest_ms))

    async def abandon_fill(self, name: bytes, token: int) -> bool:
        """Give a lease back, in the tier that serves *name* now; the other one's runs out."""
        tier = self.gutter if self._parts.is_away(self._part_of(name)) else self.main
        return await tier.abandon_fill(name, token)

    async def touch(self, name: bytes, windows: Windows) -> bool:
        """Give a live entry a new ttl, in the tier that serves *name* now."""
        if not await self._is_away(name):
            return await self.main.touch(name, windows)
        return await self.gutter.touch(name, capped(windows, self._longest_ms))

    # Invalidations.

    async def fell(self, record: Undelivered) -> None:
        """
        Make *record* fall in the gutter, whichever tier serves it here.

        Never raises: a gutter that cannot be told is an event, and what it holds ends by its capped life.
        """
        try:
            if record.names:
                fell = self.gutter.expire_many if record.kind == "expire" else self.gutter.invalidate_many
                await fell(record.names, record.floor, record.tombstone_ms)
            if record.tags:
                tags = {tag: self._space.tag_key(tag) for tag in record.tags}
                await self.gutter.renew_existing_tags(tags, record.tag_life_ms)
        except TierError as error:
            self._recorder.event("gutter_missed", tier=self.gutter.name, why=str(error))

    async def aclose(self) -> None:
        """Close the gutter; who opened the far tier closes it."""
        await self.gutter.aclose()


async def open_gutter(
    cache: CacheOptions, main: AsyncFarTier, process: Process, recorder: Recorder, timeouts: LinkOptions
) -> AsyncGutterTier | None:
    """
    Return *main* with the gutter behind it that *cache* names; None where it names none.

    Raises:
        TierUnavailable: the gutter's Redis is down.
    """
    if cache.gutter is None:
        return None
    gutter: AsyncFarTier = AsyncMemoryTier(process.gutter)
    if cache.gutter != "local":
        link = await open_link(cache.gutter, options=timeouts)
        gutter = AsyncRedisTier(link, process.clock, _ignore_damaged, timeout_s=cache.redis_timeout_s)
        await gutter.ping()
    in_slots = cache.redis is not None and parse_redis_url(cache.redis).topology == "cluster"
    return AsyncGutterTier(
        main,
        gutter,
        longest_s=cache.gutter_ttl_s,
        part_of=key_slot if in_slots else _whole,
        space=KeySpace(cache.namespace),
        clock=process.clock,
        recorder=recorder,
    )


def _whole(_name: bytes) -> int:
    """A single server is away or not."""
    return 0


def _ignore_damaged(_name: bytes) -> None:
    """A record of the gutter that cannot be read is a miss; it ends by itself soon."""
