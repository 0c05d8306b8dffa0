# Generated from src/tiercel/_async/filler.py by tools/unasync.py. Do not edit.
"""
The filler: loads what no tier has, and stores it where nothing newer has come in between.

A fill is fenced. The load runs under a lease in the far tier that every invalidation and every write voids, so the
losing schedule below ends with a refused commit instead of an old value that stays:

    1. reader misses, gets the lease, loads v1 from the store
    2. writer commits v2 to the store, stores v2 or a tombstone in the far tier: the lease is gone
    3. reader commits v1: refused, its caller gets v1 (it asked before the write ended), nobody else does

Tags are read before the load (an invalidation during the load makes the entry void at birth). The local tier has a fill
token of its own, voided in the same way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercel._sync.looker import Looker, LocalFill
from tiercel._sync.node import Place
from tiercel._core.copy import NEGATIVE, Copy, Look
from tiercel._core.frame import MAX_TAGS, Flag, Frame, State, TagToken
from tiercel._core.record import CommitOutcome, FillReply, Grant, Windows, fingerprint
from tiercel._core.tags import fresh_token
from tiercel._core.windows import Freshness, jittered
from tiercel._dependencies import Collector, collecting
from tiercel._flights import follow
from tiercel._gates import gate
from tiercel._paired import call
from tiercel.errors import EncodeError, LoadTimeout, NotFound, TierError
from tiercel.typing import Key, Record

Encoded = tuple[int, Flag, bytes]
"""A value in its region's codec: codec number, flags, payload."""


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a caller wants loaded, and how it is to be kept.

    Attributes:
        load: Gives the value: a plain or awaitable function of the key; `NotFound` says that there is none.
        tags: Hashes of the tags that the entry carries.
        ttl_s: Its ttl; None for the region's.
        is_strong: Pass over everything that may lag.
        least_version: Pass over copies of an older version.
    """

    load: Callable[[Key], Any]
    tags: tuple[int, ...] = ()
    ttl_s: float | None = None
    is_strong: bool = False
    least_version: int = 0


@dataclass(frozen=True, slots=True)
class ManyOrder:
    """Like `Order`, for many keys: ``load_many`` returns the values that exist, by key."""

    load_many: Callable[[list[Any]], Any]
    tags: tuple[int, ...] = ()
    ttl_s: float | None = None


class Filler:
    """
    Args:
        place: The region and tenant that it fills.
        looker: Finds what is there already.
    """

    __slots__ = ("_looker", "_place")

    def __init__(self, place: Place, looker: Looker) -> None:
        self._place = place
        self._looker = looker

    def fill(self, key: Key, order: Order, look: Look) -> Copy:
        """
        Return a fresh copy of *key*, loaded at most once among all nodes while leases hold.

        Raises:
            Exception: the loader's own, untouched.
            LoadTimeout: another node is loading for longer than a load may take.
        """
        local = self._looker.begin_local(key)
        try:
            again = None if order.is_strong else self._looker.local_copy(key)
            if again is not None and again.is_fresh:
                return again
            return self._leased(key, order, look, local)
        finally:
            self._looker.end_local(key, local)

    def _leased(self, key: Key, order: Order, look: Look, local: LocalFill) -> Copy:
        place = self._place
        far = place.core.far
        if far is None or look.far_failed:
            stamps = self._stamps_or_none(order)
            return self._load(key, order, stamps, local, lease=0)
        try:
            stamps = self._stamps(order)
            lease, found = self._lease(key, look, order)
        except TierError as error:
            self._failed(error)
            return self._load(key, order, None, local, lease=0)
        if found is not None:
            self._looker.keep_local(key, local, found)
            return found
        gate("fill.granted")
        try:
            return self._load(key, order, stamps, local, lease)
        except BaseException:
            self._abandon(key, lease)
            raise

    def _stamps(self, order: Order) -> tuple[TagToken, ...]:
        place = self._place
        return place.node.tags.stamps(
            place.tenant, place.core.options.name, order.tags, place.core.tag_life_ms, fresh=order.is_strong
        )

    def _stamps_or_none(self, order: Order) -> tuple[TagToken, ...] | None:
        """Return the stamps; None where the tier that keeps the tokens does not answer, so nothing may be stored."""
        try:
            return self._stamps(order)
        except TierError:
            return None

    def _lease(self, key: Key, look: Look, order: Order) -> tuple[int, Copy | None]:
        """Return a lease, or a copy that somebody else stored meanwhile; waits while another node loads."""
        place = self._place
        far, clock = place.core.far, place.node.process.clock
        assert far is not None
        name, unusable = place.name(key), self._unusable(look)
        ends = clock.monotonic() + place.core.options.load_timeout_s
        while True:
            waiting = place.node.process.wakes.expect(place.name_hash(key))
            lease = fresh_token()
            reply = far.begin_fill(name, lease, place.core.lease_ms, unusable)
            if reply.grant is Grant.GRANTED:
                return lease, None
            if reply.grant is Grant.HIT:
                copy = self._usable(reply, order)
                if copy is not None:
                    return 0, copy
                unusable = fingerprint(reply.frame)
                continue
            left_s = ends - clock.monotonic()
            if left_s <= 0:
                raise LoadTimeout(f"another node has been loading for {place.core.options.load_timeout_s} s")
            gate("fill.busy")
            _wait(waiting, min(left_s, reply.retry_after_ms / 1000))

    def _unusable(self, look: Look) -> bytes:
        return look.copy.fingerprint if look.copy is not None and look.copy.tier != "local" else look.unusable

    def _usable(self, reply: FillReply, order: Order) -> Copy | None:
        frame = reply.frame
        if frame is None:
            return None
        place = self._place
        held = place.node.tags.hold(
            place.tenant, place.core.options.name, frame.tags, place.core.tag_life_ms, fresh=order.is_strong
        )
        copy = self._looker.copy_of(frame) if held else None
        return None if copy is None or copy.version < order.least_version else copy

    def _load(
        self, key: Key, order: Order, stamps: tuple[TagToken, ...] | None, local: LocalFill, lease: int
    ) -> Copy:
        place = self._place
        clock, stats = place.node.process.clock, place.core.stats
        started = clock.monotonic()
        with collecting(isolated=not place.core.options.track_dependencies) as found:
            try:
                value, version = _record(call(order.load, key))
            except NotFound:
                value, version = NEGATIVE, 0
            except BaseException:
                stats.load_errors += 1
                raise
        cost_s = clock.monotonic() - started
        stats.loads += 1
        stats.load_latency.observe(cost_s)
        place.node.process.observe_version(version)
        gate("fill.loaded")
        combined = self._with_dependencies(stamps, found)
        return self._keep(
            key, order, Copy(value, Freshness.FRESH, "load", version), combined, local, lease, cost_s
        )

    def _with_dependencies(self, stamps: tuple[TagToken, ...] | None, found: Collector) -> tuple[TagToken, ...] | None:
        """Return what the entry carries; None where it must not be kept, as its dependencies cannot be told."""
        if stamps is None or not self._place.core.options.track_dependencies:
            return stamps
        own = dict(stamps)
        extra = [(tag, value) for tag, value in found.tokens.items() if tag not in own]
        mixed = any(own.get(tag, value) != value or not value for tag, value in found.tokens.items())
        if mixed or found.overflowed or len(own) + len(extra) > MAX_TAGS:
            self._place.node.recorder.event("dependencies_lost", region=self._place.core.options.name, mixed=mixed)
            return None
        return (*stamps, *extra)

    def _keep(
        self,
        key: Key,
        order: Order,
        loaded: Copy,
        stamps: tuple[TagToken, ...] | None,
        local: LocalFill,
        lease: int,
        cost_s: float,
    ) -> Copy:
        """Store what was loaded in the tiers that may have it, and return it as a copy."""
        place = self._place
        copy, windows = self._dated(loaded, stamps, order.ttl_s, cost_s)
        if stamps is None or windows.ttl_ms <= 0:
            self._abandon(key, lease)
            return copy
        if lease:
            if not self._commit(key, copy, windows, lease):
                return copy
        elif place.core.far is not None:
            return copy  # the far tier is out of reach: what it cannot invalidate is not kept
        self._looker.keep_local(key, local, copy)
        return copy

    def _dated(
        self, loaded: Copy, stamps: tuple[TagToken, ...] | None, ttl_s: float | None, cost_s: float
    ) -> tuple[Copy, Windows]:
        """Return what was loaded with its stamps, cost and ends, and its windows."""
        windows = self.windows(ttl_s, loaded.value is NEGATIVE)
        return loaded._replace(
            stamps=stamps or (),
            fresh_for_s=windows.ttl_ms / 1000,
            kept_for_s=windows.total_ms / 1000,
            load_cost_s=cost_s,
        ), windows

    def windows(self, ttl_s: float | None, is_negative: bool) -> Windows:
        """Return how long an entry lives, its ttl jittered; a negative one has no windows beyond its ttl."""
        options = self._place.core.options
        if is_negative:
            return Windows(int(options.negative_ttl_s * 1000))
        ttl_ms = (options.ttl_s if ttl_s is None else ttl_s) * 1000
        jitter = options.ttl_jitter
        ttl_ms = jittered(ttl_ms, jitter, random.random()) if jitter else ttl_ms
        return Windows(int(ttl_ms), self._place.core.windows.grace_ms, self._place.core.windows.keep_ms)

    def frame(
        self,
        key: Key,
        value: Any,
        version: int,
        stamps: tuple[TagToken, ...],
        cost_s: float,
        encoded: Encoded | None = None,
    ) -> Frame:
        """Return the record of *value*, *encoded* already or not; raises `EncodeError`."""
        if value is NEGATIVE:
            codec, flags, payload = 0, Flag.NEGATIVE, b""
        else:
            codec, flags, payload = encoded or self._place.core.codec.encode(value)
        return Frame(
            State.LIVE,
            self._place.name_hash(key),
            codec,
            flags,
            version,
            tags=stamps,
            payload=payload,
            load_cost_us=int(cost_s * 1e6),
        )

    def _commit(self, key: Key, copy: Copy, windows: Windows, lease: int) -> bool:
        place = self._place
        far = place.core.far
        assert far is not None
        try:
            frame = self.frame(key, copy.value, copy.version, copy.stamps, copy.load_cost_s)
            reply = far.commit_fill(place.name(key), lease, frame, windows)
        except EncodeError:
            self._abandon(key, lease)
            raise
        except TierError as error:
            self._failed(error)
            return False
        return self._committed(key, frame, reply.outcome, reply.is_awaited)

    def _committed(self, key: Key, frame: Frame, outcome: CommitOutcome, is_awaited: bool) -> bool:
        place = self._place
        if is_awaited:
            place.node.announcer.filled(place.name_hash(key))
        stats = place.core.stats
        if outcome is not CommitOutcome.STORED:
            stats.fills_refused += 1
            place.node.recorder.event(
                "fill_refused", region=place.core.options.name, tenant=place.tenant, key=key, why=outcome.name.lower()
            )
            return False
        tier = stats.tier(self._far_name)
        tier.sets += 1
        tier.written_bytes += len(frame.payload)
        tier.size.observe(len(frame.payload))
        return True

    @property
    def _far_name(self) -> str:
        far = self._place.core.far
        return far.name if far is not None else "redis"

    def _abandon(self, key: Key, lease: int) -> None:
        """Give the lease back, so that nobody waits for a load that has failed."""
        far = self._place.core.far
        if not lease or far is None:
            return
        try:
            if far.abandon_fill(self._place.name(key), lease):
                self._place.node.announcer.filled(self._place.name_hash(key))
        except TierError as error:
            self._failed(error)

    def _failed(self, error: TierError) -> None:
        place = self._place
        place.core.stats.tier(self._far_name).errors += 1
        place.node.recorder.event("tier_failed", region=place.core.options.name, tier=self._far_name, why=str(error))

    def fill_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Copy]:
        """
        Return fresh copies of *keys*: one load for all that no other node is loading.

        Keys that another node is loading are waited for one by one.
        """
        fills = {key: self._looker.begin_local(key) for key in keys}
        try:
            return self._fill_many(keys, order, fills)
        finally:
            for key, local in fills.items():
                self._looker.end_local(key, local)

    def _fill_many(
        self, keys: Sequence[Key], order: ManyOrder, fills: Mapping[Key, LocalFill]
    ) -> dict[Key, Copy]:
        single = Order(lambda key: _one_of(order.load_many, key), order.tags, order.ttl_s)
        stamps = self._stamps_or_none(single)
        lease, granted = self._lease_many(keys, stamps)
        try:
            loaded = self._load_many(granted, order) if granted else {}
        except BaseException:
            for key in granted:
                self._abandon(key, lease)
            raise
        copies = self._keep_many(loaded, single, stamps, fills, lease)
        for key in keys:
            if key not in copies:
                copies[key] = self.fill(key, single, Look())
        return copies

    def _keep_many(
        self,
        loaded: Mapping[Key, tuple[Copy, Collector, float]],
        order: Order,
        stamps: tuple[TagToken, ...] | None,
        fills: Mapping[Key, LocalFill],
        lease: int,
    ) -> dict[Key, Copy]:
        """Store what a bulk load gave, in one round trip a node, and return it as copies."""
        place = self._place
        copies: dict[Key, Copy] = {}
        frames: dict[Key, tuple[Frame, Windows]] = {}
        for key, (answer, found, cost_s) in loaded.items():
            combined = self._with_dependencies(stamps, found)
            copy, windows = self._dated(answer, combined, order.ttl_s, cost_s)
            copies[key] = copy
            if combined is None or windows.ttl_ms <= 0:
                self._abandon(key, lease)
            elif lease:
                frames[key] = self.frame(key, copy.value, copy.version, combined, cost_s), windows
            elif place.core.far is None:
                self._looker.keep_local(key, fills[key], copy)
        for key in self._commit_many(frames, lease):
            self._looker.keep_local(key, fills[key], copies[key])
        return copies

    def _commit_many(self, frames: Mapping[Key, tuple[Frame, Windows]], lease: int) -> list[Key]:
        """Commit *frames*; return the keys that were stored."""
        far = self._place.core.far
        if far is None or not frames:
            return []
        entries = [(self._place.name(key), frame, windows) for key, (frame, windows) in frames.items()]
        try:
            replies = far.commit_fill_many(lease, entries)
        except TierError as error:
            self._failed(error)
            return []
        return [
            key
            for (key, (frame, _)), reply in zip(frames.items(), replies, strict=True)
            if self._committed(key, frame, reply.outcome, reply.is_awaited)
        ]

    def _lease_many(self, keys: Sequence[Key], stamps: tuple[TagToken, ...] | None) -> tuple[int, Sequence[Key]]:
        """Return a lease and the keys that it was granted for; lease 0 and all keys without a far tier."""
        far = self._place.core.far
        if far is None or stamps is None:
            return 0, keys
        lease = fresh_token()
        try:
            replies = far.begin_fill_many(
                [self._place.name(key) for key in keys], lease, self._place.core.lease_ms
            )
        except TierError:
            return 0, keys
        return lease, [key for key, reply in zip(keys, replies, strict=True) if reply.grant is Grant.GRANTED]

    def _load_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, tuple[Copy, Collector, float]]:
        place = self._place
        clock, stats = place.node.process.clock, place.core.stats
        started = clock.monotonic()
        with collecting(isolated=not place.core.options.track_dependencies) as found:
            try:
                rows: Mapping[Key, Any] = call(order.load_many, list(keys))
            except BaseException:
                stats.load_errors += 1
                raise
        cost_s = clock.monotonic() - started
        stats.loads += 1
        stats.load_latency.observe(cost_s)
        answers: dict[Key, tuple[Copy, Collector, float]] = {}
        for key in keys:
            value, version = _record(rows[key]) if key in rows else (NEGATIVE, 0)
            place.node.process.observe_version(version)
            answers[key] = (Copy(value, Freshness.FRESH, "load", version), found, cost_s / len(keys))
        return answers


def _record(answer: Any) -> tuple[Any, int]:
    """Return (value, version) of what a loader gave."""
    return (answer.value, answer.version) if isinstance(answer, Record) else (answer, 0)


def _one_of(load_many: Callable[[list[Any]], Any], key: Key) -> Any:
    rows = call(load_many, [key])
    if key not in rows:
        raise NotFound(key)
    return rows[key]


def _wait(waiting: Any, timeout_s: float) -> None:
    """Wait for a wake; a lease that runs out ends the wait as well."""
    try:
        follow(waiting, timeout_s)
    except LoadTimeout:
        return
