# Generated from src/tiercel/_async/keeper.py by tools/unasync.py. Do not edit.
"""
The keeper: makes records of values, and stores what was loaded in the tiers that may have it.

A commit needs the lease that the load ran under; what an invalidation has overtaken goes to its caller and nowhere
else (`tiercel._sync.filler`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tiercel._sync.looker import Looker, LocalFill
from tiercel._sync.node import Place
from tiercel._sync.orders import Order
from tiercel._core.copy import NEGATIVE, Copy
from tiercel._core.frame import MAX_TAGS, Flag, Frame, State, TagToken
from tiercel._core.record import CommitOutcome, Windows
from tiercel._core.windows import Freshness, jittered
from tiercel._dependencies import Collector
from tiercel.errors import EncodeError, TierError
from tiercel.typing import Key

Encoded = tuple[int, Flag, bytes]
"""A value in its region's codec: codec number, flags, payload."""


class Keeper:
    """
    Args:
        place: The region and tenant that it stores for.
        looker: Puts copies into the local tier.
    """

    __slots__ = ("_looker", "_place")

    def __init__(self, place: Place, looker: Looker) -> None:
        self._place = place
        self._looker = looker

    def keep(
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
            self.abandon(key, lease)
            return copy
        if lease:
            if not self._commit(key, copy, windows, lease):
                return copy
        elif place.far_for(key) is not None:
            return copy  # the far tier is out of reach: what it cannot invalidate is not kept
        self._looker.keep_local(key, local, copy)
        return copy

    def keep_unmodified(
        self,
        key: Key,
        order: Order,
        offered: Copy,
        stamps: tuple[TagToken, ...] | None,
        local: LocalFill,
        lease: int,
        cost_s: float,
    ) -> Copy:
        """
        Give *offered*, which its source has not modified, new windows, and return it as a copy.

        Where its tags are those of now, the record stays where it is and its header changes. Where they are not, or
        the record is in this process alone, the value is stored anew.
        """
        place = self._place
        place.core.stats.not_modified += 1
        unmodified = offered.fingerprint
        far = place.far_for(key)
        if stamps is None or far is None or not lease or not unmodified or not set(stamps) <= set(offered.stamps):
            carried = stamps and (*stamps, *(stamp for stamp in offered.stamps if stamp[0] not in dict(stamps)))
            return self.keep(key, order, _as_loaded(offered), carried, local, lease, cost_s)
        copy, windows = self._dated(_as_loaded(offered), offered.stamps, order.ttl_s, cost_s)
        try:
            reply = far.renew_fill(place.name(key), lease, unmodified, windows)
        except TierError as error:
            self.failed(error)
            return copy
        if self._committed(key, None, reply.outcome, reply.is_awaited):
            self._looker.keep_local(key, local, copy)
        return copy

    def keep_many(
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
            combined = self.with_dependencies(stamps, found)
            copy, windows = self._dated(answer, combined, order.ttl_s, cost_s)
            copies[key] = copy
            if combined is None or windows.ttl_ms <= 0:
                self.abandon(key, lease)
            elif lease:
                frames[key] = self.frame(key, copy.value, copy.version, combined, cost_s), windows
            elif place.far_for(key) is None:
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
            self.failed(error)
            return []
        return [
            key
            for (key, (frame, _)), reply in zip(frames.items(), replies, strict=True)
            if self._committed(key, frame, reply.outcome, reply.is_awaited)
        ]

    def with_dependencies(self, stamps: tuple[TagToken, ...] | None, found: Collector) -> tuple[TagToken, ...] | None:
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
        plan = self._place.core.plan
        options = plan.options
        if is_negative:
            return Windows(int(options.negative_ttl_s * 1000))
        ttl_ms = (options.ttl_s if ttl_s is None else ttl_s) * 1000
        jitter = options.ttl_jitter
        ttl_ms = jittered(ttl_ms, jitter, random.random()) if jitter else ttl_ms
        return Windows(int(ttl_ms), plan.windows.grace_ms, plan.windows.keep_ms)

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
            self.abandon(key, lease)
            raise
        except TierError as error:
            self.failed(error)
            return False
        return self._committed(key, frame, reply.outcome, reply.is_awaited)

    def _committed(self, key: Key, frame: Frame | None, outcome: CommitOutcome, is_awaited: bool) -> bool:
        """Tell and count what became of a fill, of *frame* or of a record's header alone; say whether it was stored."""
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
        if frame is None:
            return True
        tier = stats.tier(self._far_name)
        tier.sets += 1
        tier.written_bytes += len(frame.payload)
        tier.size.observe(len(frame.payload))
        return True

    @property
    def _far_name(self) -> str:
        far = self._place.core.far
        return far.name if far is not None else "redis"

    def abandon(self, key: Key, lease: int) -> None:
        """Give the lease back, so that nobody waits for a load that has failed."""
        far = self._place.core.far
        if not lease or far is None:
            return
        try:
            if far.abandon_fill(self._place.name(key), lease):
                self._place.node.announcer.filled(self._place.name_hash(key))
        except TierError as error:
            self.failed(error)

    def failed(self, error: TierError) -> None:
        place = self._place
        place.core.stats.tier(self._far_name).errors += 1
        place.node.recorder.event("tier_failed", region=place.core.options.name, tier=self._far_name, why=str(error))


def _as_loaded(copy: Copy) -> Copy:
    """Return *copy* as one that was just loaded."""
    return Copy(copy.value, Freshness.FRESH, "load", copy.version)
