"""
The looker: finds a copy of a key in the tiers, nearest first, and proves it by its tags.

It never loads. What the far tier holds is put into the local tier on the way back, under a local fill token taken
before the far tier was asked, so that an invalidation that arrives meanwhile is not overtaken (a copy read before it
must not be stored after it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tiercel._async.hotplace import AsyncHotPlace
from tiercel._async.node import AsyncPlace
from tiercel._async.tagbook import DOUBT
from tiercel._async.warmth import AsyncWarmth
from tiercel._core.copy import NEGATIVE, Copy, Fetched, Look
from tiercel._core.frame import Frame, State, TagToken
from tiercel._core.gutter import GutterFrame
from tiercel._core.record import fingerprint
from tiercel._core.windows import Freshness, freshness
from tiercel._gates import async_gate
from tiercel.errors import DecodeError, TierError
from tiercel.local.contract import LocalView
from tiercel.local.entry import LocalEntry
from tiercel.typing import MISS, Key

LEAST_VERSION = 1
"""What a row without a version counts as where only this process keeps it: older than every write, which has one."""


class LocalFill(NamedTuple):
    """A value on its way to the local tier: the tables' tokens, and how often messages had been missed by then."""

    token: int
    absent_token: int
    doubts: int


class AsyncLooker:
    """
    Args:
        place: The region and tenant whose keys it looks for.

    Attributes:
        hot: The keys of a region without local copies that are read most; None where nothing is kept near.
    """

    __slots__ = ("_hedge", "_place", "hot", "warm")

    def __init__(self, place: AsyncPlace) -> None:
        self._place = place
        self._hedge = place.node.hedge if place.core.far is place.node.far else None
        self.hot = AsyncHotPlace(place, place.core.hot, self) if place.core.hot is not None else None
        self.warm = AsyncWarmth(place, place.core.warm) if place.core.warm is not None else None

    async def look(
        self, key: Key, *, strong: bool = False, fetched: Fetched | None = None, least_version: int = 0
    ) -> Look:
        """
        Find a copy of *key*.

        Args:
            key: The entry's key.
            strong: Pass over the local tier, and ask the far tier for the tags as well.
            fetched: What the far tier told already; it is asked where that is None.
            least_version: What the caller asks for; nothing that may lag is asked for it.
        """
        local = None if strong else await self._local(key)
        if local is None and not strong and fetched is None and self.hot is not None:
            local = self._hot_copy(self.hot.view, key)
        if local is not None and local.is_fresh:
            return Look(local)
        if self._place.far_for(key) is None:
            return Look(local)
        return await self._far(key, local, strong, fetched, least_version)

    async def look_many(self, keys: Sequence[Key], told: Mapping[Key, Fetched] | None = None) -> dict[Key, Look]:
        """
        Find copies of many keys: one round trip a node for the entries, one for the tags not known here.

        Args:
            keys: The entries' keys.
            told: What the far tier told already of each of them; it is asked where that is None or empty.
        """
        looks: dict[Key, Look] = {}
        missing: list[Key] = []
        for key in keys:
            local = await self._local(key)
            looks[key] = Look(local)
            if local is None or not local.is_fresh:
                missing.append(key)
        missing = [key for key in missing if self._place.far_for(key) is not None]
        if missing:
            looks.update(await self._far_many(missing, looks, told))
        return looks

    def begin_local(self, key: Key) -> LocalFill:
        """Announce that a value for the local tier is about to be read; call it before asking the far tier."""
        view, absent, process = self._place.view, self._place.absent, self._place.node.process
        if view is None or absent is None:
            return LocalFill(0, 0, process.doubts)
        return LocalFill(view.begin_fill(key), absent.begin_fill(key), process.doubts)

    def end_local(self, key: Key, fill: LocalFill) -> None:
        """Forget a local fill; harmless after it was stored."""
        if self._place.view is not None and self._place.absent is not None:
            self._place.view.abandon_fill(key, fill.token)
            self._place.absent.abandon_fill(key, fill.absent_token)

    def local_copy(self, key: Key) -> Copy | None:
        """Return the local copy if it holds as far as is known here; needs no round trip."""
        place = self._place
        if place.view is None:
            return None
        place.node.announcer.check()
        value = place.view.get(key)
        if value is not MISS:
            place.core.stats.recounted += 1
        view, entry = self._entry(key)
        if view is None or entry is None:
            return Copy(value, Freshness.FRESH, "local") if value is not MISS else None
        if not entry.is_suspect:
            return self._from_local(entry)
        if self._is_doubted(entry):
            return self._last_resort(entry)
        if self._is_unsettled(key, entry.tags, place.node.process.unsettled.mark()):
            return None
        if place.node.tags.hold_by_memo(place.tenant, place.core.options.name, entry.tags):
            view.restamp(key, entry)
            return self._from_local(entry)
        return None

    def _hot_copy(self, view: LocalView, key: Key) -> Copy | None:
        """Return the copy of a hot key, for a moment kept here although the region has no local tier."""
        self._place.node.announcer.check()
        entry = view.entry(key) if view.get(key) is not MISS else None
        return None if entry is None or entry.is_suspect else self._from_local(entry)

    def _entry(self, key: Key) -> tuple[LocalView | None, LocalEntry | None]:
        """Return what this process holds of *key*, be it a value or the fact that there is none, and where."""
        for view in (self._place.view, self._place.absent):
            entry = view.entry(key) if view is not None else None
            if entry is not None:
                return view, entry
        return None, None

    async def _local(self, key: Key) -> Copy | None:
        """Return the local copy that holds, asking the far tier for tags that are not known here."""
        copy = self.local_copy(key)
        place = self._place
        if copy is not None or place.view is None or place.core.far is None:
            return copy
        view, entry = self._entry(key)
        if view is None or entry is None or not entry.is_suspect:
            return None
        region = place.core.options.name
        if place.node.tags.hold_by_memo(place.tenant, region, entry.tags) is False:
            view.delete(key)
            return None
        mark = place.node.process.unsettled.mark()
        try:
            held = await self.holds(key, entry.tags, mark)
        except TierError:
            return None
        if not held or not view.restamp(key, entry):
            return None
        return self._from_local(entry)

    def _is_doubted(self, entry: LocalEntry) -> bool:
        """Say whether a message about this very key may have been missed, which its tags would not show."""
        return self._place.core.far is not None and dict(entry.tags).get(DOUBT) != self._place.node.process.doubts

    def _last_resort(self, entry: LocalEntry) -> Copy | None:
        """Return a doubted copy as one to serve only where everything else fails, if the region keeps such."""
        copy = self._from_local(entry) if self._place.core.options.keep_s else None
        return None if copy is None or copy.value is NEGATIVE else copy._replace(freshness=Freshness.KEPT)

    def _from_local(self, entry: LocalEntry) -> Copy | None:
        now = self._place.node.process.clock.monotonic()
        grace_ends = entry.fresh_until + self._place.core.options.grace_s
        window = freshness(entry.fresh_until, min(grace_ends, entry.stale_until), entry.stale_until, now)
        if window is Freshness.EXPIRED:
            return None
        return Copy(
            entry.value,
            window,
            "local",
            entry.version,
            tuple(stamp for stamp in entry.tags if stamp[0] != DOUBT),
            max(0.0, entry.fresh_until - now),
            entry.stale_until - now,
        )

    async def _far(
        self, key: Key, local: Copy | None, strong: bool, fetched: Fetched | None, least_version: int
    ) -> Look:
        place = self._place
        far = place.core.far
        assert far is not None
        fill = self.begin_local(key)
        started, mark = place.node.process.clock.monotonic(), place.node.process.unsettled.mark()
        try:
            if fetched is None:
                name, hedge = place.name(key), None if strong or least_version else self._hedge
                frame = await (far.get(name) if hedge is None else hedge.get(name, place.flight_key(key)))
                await async_gate("look.far_read")
            else:
                frame, error, mark, started = fetched
                if error is not None:
                    raise error
            held = await self._holds(key, frame, strong, mark)
        except TierError as error:
            self.end_local(key, fill)
            self._failed(error)
            return Look(local, far_failed=True)
        place.core.stats.tier(far.name).latency.observe(place.node.process.clock.monotonic() - started)
        return self._judged(key, frame, held, fill, local, strong)

    async def _holds(self, key: Key, frame: Frame | None, strong: bool, mark: int) -> bool:
        return frame is not None and frame.has_body and await self.frame_holds(key, frame, mark, strong=strong)

    async def frame_holds(self, key: Key, frame: Frame, mark: int, *, strong: bool = False) -> bool:
        """Say whether a far record with a body may be relied on; see `holds`."""
        if await self.holds(key, frame.tags, mark, strong=strong):
            return True
        if not isinstance(frame, GutterFrame):
            return False
        # The gutter knows by now what the far tier has not taken yet.
        place = self._place
        return await place.node.tags.hold(
            place.tenant, place.core.options.name, frame.tags, place.core.tag_life_ms, fresh=strong
        )

    async def holds(self, key: Key, stamps: Sequence[TagToken], mark: int, *, strong: bool = False) -> bool:
        """
        Say whether what the far tier told of *key*, with *stamps*, may be relied on.

        Args:
            key: The entry.
            stamps: What it carries.
            mark: `Unsettled.mark` from before the far tier was asked.
            strong: Ask the far tier for the tokens, whatever the memo knows.

        Raises:
            TierError: that cannot be known.
        """
        place = self._place
        region = place.core.options.name
        if not await place.node.tags.hold(place.tenant, region, stamps, place.core.tag_life_ms, fresh=strong):
            return False
        return not self._is_unsettled(key, stamps, mark)

    def _is_unsettled(self, key: Key, stamps: Sequence[TagToken], mark: int) -> bool:
        """Say whether the far tier may not know yet that *key* fell, or one of the tags that it carries."""
        unsettled = self._place.node.process.unsettled
        if unsettled.is_quiet(mark):
            return False
        return unsettled.touches(mark, self._place.name(key), (*self._place.scopes, *(tag for tag, _ in stamps)))

    async def _far_many(
        self, keys: Sequence[Key], looks: dict[Key, Look], told: Mapping[Key, Fetched] | None
    ) -> dict[Key, Look]:
        place = self._place
        far = place.core.far
        assert far is not None
        fills, mark = {key: self.begin_local(key) for key in keys}, place.node.process.unsettled.mark()
        try:
            if told:
                frames, mark = _frames([told[key] for key in keys])
            else:
                frames = await far.get_many([place.name(key) for key in keys])
            tags = {tag for frame in frames if frame is not None for tag, _ in frame.tags if tag}
            await place.node.tags.tokens((*place.scopes, *tags), place.core.tag_life_ms)
            held = [await self._holds(key, frame, False, mark) for key, frame in zip(keys, frames, strict=True)]
        except TierError as error:
            for key, fill in fills.items():
                self.end_local(key, fill)
            self._failed(error)
            return {key: Look(looks[key].copy, far_failed=True) for key in keys}
        return {
            key: self._judged(key, frame, holds, fills[key], looks[key].copy, False)
            for key, frame, holds in zip(keys, frames, held, strict=True)
        }

    def _judged(
        self, key: Key, frame: Frame | None, held: bool, fill: LocalFill, local: Copy | None, strong: bool
    ) -> Look:
        """Turn a far record into a look, and put a fresh one into the local tier."""
        copy = self.copy_of(frame) if frame is not None and held else None
        stats = self._place.core.stats.tier(self._far_name)
        if copy is None or (strong and not copy.is_fresh):
            stats.misses += 1
            self.end_local(key, fill)
            unusable = fingerprint(frame) if not held else b""
            return Look(None if strong else local, unusable)
        if not copy.is_fresh:
            stats.stale_hits += 1
            self.end_local(key, fill)
            return Look(copy)
        if self.hot is not None:
            self.hot.read(key)
        if self.warm is not None:
            self.warm.read(key)
        stats.hits += 1
        stats.read_bytes += copy.size_bytes
        if self._place.core.watcher is not None:
            self._place.core.watcher.saw(self._place, key)
        if copy.value is NEGATIVE:
            self._place.core.stats.negative_hits += 1
        self.keep_local(key, fill, copy)
        return Look(copy)

    @property
    def _far_name(self) -> str:
        far = self._place.core.far
        return far.name if far is not None else "redis"

    def copy_of(self, frame: Frame) -> Copy | None:
        """Decode a far record; None where it has no body, has run out, or cannot be read."""
        if not frame.has_body:
            return None
        now = self._now_ms()
        window = freshness(frame.fresh_until_ms, frame.stale_until_ms, frame.kept_until_ms, now)
        if frame.state is State.STALE and window is not Freshness.EXPIRED:
            window = Freshness.KEPT  # whatever this node's idea of the time: it was expired by hand
        if window is Freshness.EXPIRED:
            return None
        try:
            value = NEGATIVE if frame.is_negative else self._decoded(frame)
        except DecodeError as error:
            self._place.core.stats.damaged_frames += 1
            self._place.node.recorder.event("damaged", region=self._place.core.options.name, why=str(error))
            return None
        return Copy(
            value,
            window,
            self._far_name,
            frame.version,
            frame.tags,
            max(0, min(frame.fresh_until_ms - now, frame.fresh_until_ms - frame.created_ms)) / 1000,
            (frame.kept_until_ms - now) / 1000,
            frame.load_cost_us / 1e6,
            frame,
            len(frame.payload),
        )

    def _decoded(self, frame: Frame) -> Any:
        return self._place.core.codec.decode(frame.codec, frame.flags, frame.payload)

    def _now_ms(self) -> int:
        far = self._place.core.far
        assert far is not None
        return far.now_ms()

    def keep_local(self, key: Key, fill: LocalFill, copy: Copy) -> None:
        """Put a fresh copy into the local tier, for no longer than it stays fresh in the far one."""
        place = self._place
        if place.view is None or place.absent is None or place.is_off("local", key):
            return
        if place.core.watcher is not None:
            place.core.watcher.kept(place, key)
        tags = place.stamped((*copy.stamps, (DOUBT, fill.doubts)))
        ttl_s = min(self._fresh_here_s(copy), self._local_ttl_s())
        if ttl_s <= 0:
            return
        if copy.value is NEGATIVE:
            place.view.delete(key)
            place.absent.commit_fill(key, fill.absent_token, NEGATIVE, ttl_s=ttl_s, tags=tags)
            return
        place.view.commit_fill(
            key,
            fill.token,
            place.core.as_local(copy.value),
            ttl_s=ttl_s,
            keep_s=max(0.0, copy.kept_for_s - ttl_s),
            version=copy.version or (LEAST_VERSION if place.core.far is None else 0),
            tags=tags,
        )

    def _fresh_here_s(self, copy: Copy) -> float:
        """Return how long *copy* is fresh, or until its refresh is due: then a read must come by the far tier."""
        part = self._place.core.options.refresh_at
        return copy.fresh_for_s - copy.ttl_s * (1.0 - part) if part else copy.fresh_for_s

    def _local_ttl_s(self) -> float:
        """Return the longest life of a local copy: bounded while messages do not flow."""
        options = self._place.core.options
        ttl_s = options.local_ttl_s or options.ttl_s
        if self._place.core.far is not None and not self._place.node.announcer.is_live():
            return min(ttl_s, options.max_staleness_s)
        return ttl_s

    def _failed(self, error: TierError) -> None:
        self._place.core.stats.tier(self._far_name).errors += 1
        self._place.node.recorder.event(
            "tier_failed", region=self._place.core.options.name, tier=self._far_name, why=str(error)
        )


def _frames(told: Sequence[Fetched]) -> tuple[list[Frame | None], int]:
    """Return the records that the far tier told together, and the mark from before; raises where it did not answer."""
    if told[0].error is not None:
        raise told[0].error
    return [fetched.frame for fetched in told], told[0].mark
