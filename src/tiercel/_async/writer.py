"""
The writer: takes a value to its store by the region's strategy, then to the tiers.

*Through*: the store first, then the tiers with the row's version (an older one never replaces a newer). *Behind*: the
journal first, then the tiers; the flusher brings it to the store. A region without a store applies the same strategy to
its far tier. If the far tier cannot be reached once the store has the row, an invalidation is journaled in its place;
if the store's answer is lost, the entry falls, for the row may have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

from tiercel._async.invalidator import AsyncInvalidator
from tiercel._async.keeper import AsyncKeeper, Encoded
from tiercel._async.node import AsyncPlace
from tiercel._async.publication import AsyncPublication, Fence
from tiercel._async.writebehind import AsyncWriteHandle
from tiercel._async.writeguard import WriteGuard, guard_write
from tiercel._core.frame import TagToken
from tiercel._core.record import CommitOutcome, Windows
from tiercel._core.webcontent import content_of
from tiercel._flights import async_finishing, async_may_wait
from tiercel._gates import async_gate
from tiercel.errors import StoreError, TierError
from tiercel.typing import DELETED, Change, Key, Outcome


class Row(NamedTuple):
    """A value on its way to the tiers, with its version, encoded already or not."""

    value: Any
    version: int = 0
    encoded: Encoded | None = None


class AsyncStored:
    """
    The handle of a write that is where it belongs by the time that the caller gets it.

    Attributes:
        version: The row's version; 0 for derived data.
    """

    def __init__(self, version: int) -> None:
        self.version = version

    async def persisted(self, timeout_s: float | None = None) -> None:
        """Return at once."""


AsyncHandle: TypeAlias = AsyncWriteHandle | AsyncStored
"""What a write gives back: ``version``, and ``persisted()``, which waits for the store."""


class AsyncWriter:
    """
    Args:
        place: The region and tenant that it writes to.
        keeper: Makes records.
        invalidator: Makes what cannot be updated fall.
    """

    __slots__ = ("_invalidator", "_keeper", "_place")

    def __init__(self, place: AsyncPlace, keeper: AsyncKeeper, invalidator: AsyncInvalidator) -> None:
        self._place = place
        self._keeper = keeper
        self._invalidator = invalidator

    async def write_many(self, items: Mapping[Key, Any], tags: Sequence[int], ttl_s: float | None) -> list[AsyncHandle]:
        """
        Write many values: one bulk statement, or one journal append.

        Raises:
            StoreError: the store refused or could not be reached; rows that it took are cached or invalidated.
            JournalFull: write-behind only, by the region's overflow policy.
            EncodeError: a value cannot be encoded; nothing was written.
        """
        async_may_wait()
        encoded = self._encoded(items)
        with self._place.node.recorder.span("write", self._place.core.options.name):
            handles: list[AsyncHandle] = await async_finishing(self._write_many, items, encoded, tags, ttl_s)
        return handles

    async def _write_many(
        self,
        items: Mapping[Key, Any],
        encoded: Mapping[Key, Encoded],
        tags: Sequence[int],
        ttl_s: float | None,
    ) -> list[AsyncHandle]:
        """Write; a caller that is cancelled meanwhile leaves no tier behind the store."""
        place = self._place
        clock = place.node.process.clock
        started = clock.monotonic()
        stamps = await self.stamps(tags)
        fence = Fence(stamps=stamps, tags=tuple(tags), must_be_known=False)
        with self._intent(list(items)) as note:
            guard = await guard_write(place, list(items)) if place.core.store is not None else None
            try:
                handles = await self._to_store(items, note)
                await async_gate("write.stored")
                rows = {key: Row(items[key], handle.version, encoded.get(key)) for key, handle in handles.items()}
                await self.spread(rows, fence, ttl_s, guard)
            finally:
                if guard is not None:
                    guard.release(place)
        place.core.stats.write_latency.observe(clock.monotonic() - started)
        return list(handles.values())

    def _intent(self, keys: Sequence[Key]) -> AbstractContextManager[bytes | None]:
        core = self._place.core
        if core.store is None and core.behind is None:
            return nullcontext()
        return self._invalidator.intent(self._place, keys)

    async def _to_store(self, items: Mapping[Key, Any], note: bytes | None) -> dict[Key, AsyncHandle]:
        """Take values to the journal, or to the store with *note*; return the handles by key."""
        place = self._place
        if place.core.behind is not None:
            through = place.core.plan.is_any_off("write-behind", place.tenant, items) and place.core.store is not None
            write = place.core.behind.write_through_many if through else place.core.behind.write_many
            return dict(zip(items, await write(place.tenant, items), strict=True))
        if place.core.store is not None:
            return {key: AsyncStored(version) for key, version in (await self._through(items, note)).items()}
        return {key: AsyncStored(0) for key in items}

    async def put(self, items: Mapping[Key, Any], tags: Sequence[int], ttl_s: float | None) -> None:
        """Put values into the tiers alone."""
        encoded = self._encoded(items)
        fence = Fence(stamps=await self.stamps(tags), tags=tuple(tags), must_be_known=False)
        await self.spread({key: Row(value, 0, encoded.get(key)) for key, value in items.items()}, fence, ttl_s)

    async def write_behind(
        self, items: Mapping[Key, Any], tags: Sequence[int], ttl_s: float | None
    ) -> list[AsyncHandle]:
        """Write derived data in the background: it waits with its tags' tokens of now, in memory, for its batch."""
        async_may_wait()
        return await self.write_stamped(items, await self.stamps(tags), ttl_s)

    async def write_stamped(
        self, items: Mapping[Key, Any], stamps: tuple[TagToken, ...] | None, ttl_s: float | None
    ) -> list[AsyncHandle]:
        """Write derived data, made under *stamps*, in the background; it is dropped if they fall before its batch."""
        place = self._place
        behind = place.core.behind
        assert behind is not None
        self._encoded(items)
        started = place.node.process.clock.monotonic()
        encode = place.core.codec.encode_plain
        wrapped = {key: {"value": encode(value), "stamps": stamps, "ttl_s": ttl_s} for key, value in items.items()}
        handles = await behind.write_many(place.tenant, wrapped)
        for key in items:
            place.drop_local(key)
        place.core.stats.write_latency.observe(place.node.process.clock.monotonic() - started)
        return [*handles]

    async def unwrap(self, items: Mapping[Key, Any]) -> None:
        """Put a batch of derived data into the tiers; one write to the far tier for all with the same tags and ttl."""
        gone = [key for key, value in items.items() if value is DELETED]
        if gone:
            await self.fell(gone)
        decode = self._place.core.codec.decode_plain
        groups: dict[tuple[Any, float | None], dict[Key, Row]] = {}
        for key, wrapped in items.items():
            if wrapped is not DELETED:
                stamps = wrapped["stamps"]
                pairs = None if stamps is None else tuple((tag, token) for tag, token in stamps)
                groups.setdefault((pairs, wrapped["ttl_s"]), {})[key] = Row(decode(wrapped["value"]))
        for (stamps, ttl_s), group in groups.items():
            await self.spread(group, Fence(stamps=stamps), ttl_s)

    def _encoded(self, items: Mapping[Key, Any]) -> dict[Key, Encoded]:
        """Encode for the far tier, and refuse what cannot be cached before the store has it."""
        core = self._place.core
        encoded: dict[Key, Encoded] = {}
        for key, value in items.items():
            self._place.name(key)
            if core.far is not None:
                encoded[key] = core.codec.encode(value)
            if core.edge is not None:
                content_of(key, value)
        return encoded

    async def stamps(self, tags: Sequence[int]) -> tuple[TagToken, ...] | None:
        """Return what entries written now carry, taken before the write; None where that cannot be known."""
        place = self._place
        try:
            return await place.node.tags.stamps(place.tenant, place.core.options.name, tags, place.core.tag_life_ms)
        except TierError:
            return None

    async def _through(self, items: Mapping[Key, Any], note: bytes | None) -> dict[Key, int]:
        place = self._place
        version = place.node.process.next_version()
        changes = [Change(place.tenant, key, value, version) for key, value in items.items()]
        outcomes = await self._stored(changes, note)
        versions = {change.key: outcome.version for change, outcome in zip(changes, outcomes, strict=True)}
        errors = {change.key: o.error for change, o in zip(changes, outcomes, strict=True) if o.error is not None}
        for key in errors:
            del versions[key]
        if errors:
            await self.fell(list(items))
            raise next(iter(errors.values()))
        return versions

    async def _stored(self, changes: Sequence[Change], note: bytes | None) -> list[Outcome]:
        """Write *changes* to the store, with *note*; where its answer is lost, make the entries fall and raise."""
        place = self._place
        store, outbox = place.core.store, place.core.outbox
        assert store is not None
        place.core.stats.store_writes += len(changes)
        try:
            if outbox is not None and note is not None:
                outcomes = await outbox.write_many(changes, note)
            elif len(changes) == 1:
                outcomes = [await store.write(changes[0])]
            else:
                outcomes = await store.write_many(changes)
        except StoreError:
            await self.fell([change.key for change in changes])
            raise
        for outcome in outcomes:
            place.node.process.observe_version(outcome.version)
        return outcomes

    async def fell(self, keys: Sequence[Key], floor: int = 0) -> None:
        """Make *keys* fall in every tier."""
        await self._invalidator.keys(self._place, keys, self._invalidator.receipt(), floor=floor)

    async def spread(
        self, items: Mapping[Key, Row], fence: Fence, ttl_s: float | None, guard: WriteGuard | None = None
    ) -> None:
        """Put rows into the tiers where *guard* holds, and tell other nodes; at the CDN only what still holds."""
        place, stamps = self._place, fence.stamps
        if place.core.edge is not None:
            publication = AsyncPublication(place)
            for key, row in items.items():
                await publication.put(key, row.value, fence, ttl_s)
        if place.core.far is not None and not await self._to_far(items, stamps, ttl_s, guard):
            await self.fell(list(items), max(row.version for row in items.values()))
            if place.core.plan.is_any_off("redis", place.tenant, items):
                self._to_local(items, stamps, ttl_s, guard)
            return
        await async_gate("write.far_stored")
        self._to_local(items, stamps, ttl_s, guard)
        await self._tell(list(items), min((row.version for row in items.values()), default=0))

    async def _to_far(
        self,
        items: Mapping[Key, Row],
        stamps: tuple[TagToken, ...] | None,
        ttl_s: float | None,
        guard: WriteGuard | None,
    ) -> bool:
        """Store rows in the far tier; return False where it did not take them."""
        place = self._place
        far = place.core.far
        if far is None or stamps is None or place.core.plan.is_any_off("redis", place.tenant, items):
            return False
        windows = self._keeper.windows(ttl_s, False)
        try:
            entries = [
                (place.name(key), self._keeper.frame(key, row.value, row.version, stamps, 0.0, row.encoded), windows)
                for key, row in items.items()
            ]
            marks = [guard.marks.get(key, 0) for key in items] if guard is not None and guard.marks else None
            replies = await far.store_many(entries, marks, place.core.tombstone_ms)
        except TierError as error:
            place.core.stats.tier(far.name).errors += 1
            place.node.recorder.event("tier_failed", region=place.core.options.name, tier=far.name, why=str(error))
            return False
        tier = place.core.stats.tier(far.name)
        for (_, frame, _), reply in zip(entries, replies, strict=True):
            if reply.is_awaited:
                place.node.announcer.filled(frame.key_hash)
            if reply.outcome is CommitOutcome.STORED:
                tier.sets += 1
                tier.written_bytes += len(frame.payload)
                tier.size.observe(len(frame.payload))
            elif reply.outcome is CommitOutcome.TOO_OLD:
                place.node.recorder.event("write_superseded", region=place.core.options.name, tenant=place.tenant)
        return True

    def _to_local(
        self,
        items: Mapping[Key, Row],
        stamps: tuple[TagToken, ...] | None,
        ttl_s: float | None,
        guard: WriteGuard | None,
    ) -> None:
        """Let later reads here load or look anew; a region that is only local gets the value itself."""
        place = self._place
        windows: Windows = self._keeper.windows(ttl_s, False)
        for key, row in items.items():
            is_kept = place.view is not None and place.far_for(key) is None and stamps is not None
            if not is_kept or not self._keep_local(key, row, place.stamped(stamps or ()), windows, guard):
                place.drop_local(key)

    def _keep_local(
        self, key: Key, row: Row, stamps: tuple[TagToken, ...], windows: Windows, guard: WriteGuard | None
    ) -> bool:
        """Keep *row* in this process alone; return False where it fell since the write began."""
        place = self._place
        assert place.view is not None
        kept_as: dict[str, Any] = {
            "ttl_s": windows.ttl_ms / 1000,
            "keep_s": (windows.grace_ms + windows.keep_ms) / 1000,
            "version": row.version,
            "tags": stamps,
        }
        value, token = place.core.as_local(row.value), 0 if guard is None else guard.fills.get(key, 0)
        place.forget_loads(key)
        kept = True
        if guard is None:
            place.view.set(key, value, **kept_as)
        else:
            kept = bool(token and row.version) and place.view.commit_fill(key, token, value, **kept_as)
        if place.core.watcher is not None:
            place.core.watcher.kept(place, key)
        if place.is_off("local", key):  # looked at after the set: a table emptied before it stays empty
            place.view.delete(key)
        return kept

    async def _tell(self, keys: Sequence[Key], floor: int) -> None:
        """Tell other nodes, and make what was computed from these entries fall."""
        await self._invalidator.changed(self._place, keys, floor)

    async def delete(self, key: Key) -> AsyncHandle:
        """Delete the row by the strategy, and the entry from every tier."""
        async_may_wait()
        self._place.name(key)
        handle: AsyncHandle = await async_finishing(self._delete, key)
        return handle

    async def _delete(self, key: Key) -> AsyncHandle:
        place = self._place
        with self._intent([key]) as note:
            handle = await self._delete_row(key, note)
            await async_gate("delete.stored")
            await self.fell([key], handle.version)
        if place.core.edge is not None:
            await place.core.edge.remove(place.edge_path(key))
        return handle

    async def _delete_row(self, key: Key, note: bytes | None) -> AsyncHandle:
        """Take the deletion to the journal, or to the store with *note*."""
        place = self._place
        if place.core.behind is not None:
            if place.core.store is not None and place.is_off("write-behind", key):
                return (await place.core.behind.write_through_many(place.tenant, {key: DELETED}))[0]
            return await place.core.behind.delete(place.tenant, key)
        if place.core.store is None:
            return AsyncStored(0)
        change = Change(place.tenant, key, DELETED, place.node.process.next_version())
        outcome = (await self._stored([change], note))[0]
        if outcome.error is not None:
            raise outcome.error
        return AsyncStored(outcome.version)
