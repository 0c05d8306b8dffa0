# Generated from src/tiercel/_async/edgereader.py by tools/unasync.py. Do not edit.
"""
The reader of regions that live at the CDN alone: what is published is what is read.

A computation that reads here depends on the key, like any other read, so that what was made from it falls with it. A
published object does not keep the tokens of its tags: what is made from one that carries tags of its own is not shared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tiercel._sync.node import Place
from tiercel._sync.orders import ManyOrder, Order
from tiercel._sync.publication import Publication, Fence, Stamps
from tiercel._sync.writer import Writer
from tiercel._core.copy import NEGATIVE, Copy, values_of
from tiercel._core.tags import tag_hashes
from tiercel._core.webcontent import value_of
from tiercel._core.windows import Freshness
from tiercel._dependencies import Collector, collecting
from tiercel._flights import Flight, detached, follow, may_wait
from tiercel._paired import call
from tiercel.errors import DecodeError, NotFound, TierError
from tiercel.typing import Key, Record

_DEPENDENCY = re.compile(r"dep(?:-([0-9a-f]{16})|\.b[0-9]{2}|\.all)~.*")
"""A portable tag of what the object was made from: one thing, by its hash; or, of one with many, a bucket or all."""


class EdgeReader:
    """
    Args:
        place: The region and tenant that it reads.
        writer: Publishes what was loaded.
    """

    __slots__ = ("_own_tags", "_place", "_writer")

    def __init__(self, place: Place, writer: Writer) -> None:
        self._place = place
        self._writer = writer
        self._own_tags = tag_hashes(place.node.space, place.tenant, place.core.options.tags)

    def find(self, key: Key, *, strong: bool = False, least_version: int = 0) -> Copy | None:
        """Return what is published for *key* and fresh; never loads."""
        may_wait()
        dependency = self._place.dependency(key, self._own_tags)
        copy = self._published(key)
        # What found nothing depends on it all the same: it falls when the thing appears.
        stamps, left_s = (copy.stamps, copy.fresh_for_s) if copy is not None else ((), math.inf)
        self._place.note_read(dependency, stamps, left_s)
        return copy

    def _published(self, key: Key) -> Copy | None:
        edge, stats = self._place.core.edge, self._place.core.stats.tier("cdn")
        assert edge is not None
        if self._place.is_off("cdn", key):
            stats.misses += 1
            return None
        clock = self._place.node.process.clock
        started = clock.monotonic()
        try:
            published = edge.fetch(self._place.edge_path(key))
        except TierError as error:
            stats.errors += 1
            self._place.node.recorder.event("tier_failed", tier="cdn", why=str(error))
            return None
        stats.latency.observe(clock.monotonic() - started)
        if published is None or published.freshness(clock.wall()) != "fresh":
            stats.misses += 1
            return None
        try:
            value = value_of(published.body, published.content_type)
        except DecodeError:
            self._place.core.stats.damaged_frames += 1
            return None
        stats.hits += 1
        stats.read_bytes += len(published.body)
        left_s = published.ttl_s - published.age_s(clock.wall())
        # Their tokens are not known here, and 0 never holds.
        stamps = ((self._place.key_tag(key), 0),) if self._has_tags_of_its_own(key, published.tags) else ()
        return Copy(value, Freshness.FRESH, "cdn", 0, stamps, left_s, left_s, size_bytes=len(published.body))

    def _has_tags_of_its_own(self, key: Key, names: Sequence[str]) -> bool:
        """Say whether a published object falls by more than its key and its region's scopes and tags."""
        matches = [found for found in map(_DEPENDENCY.fullmatch, names) if found is not None]
        known = {*self._place.scopes, self._place.key_tag(key), *self._own_tags}
        return any(found[1] is None or int(found[1], 16) not in known for found in matches)

    def find_many(self, keys: Sequence[Key]) -> dict[Key, Copy]:
        """Return what is published for *keys* and fresh, by key."""
        found = {key: self.find(key) for key in keys}
        return {key: copy for key, copy in found.items() if copy is not None}

    def find_values(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return the values of what is published for *keys* and fresh, by key."""
        return values_of(self.find_many(keys))

    def load(self, key: Key, order: Order) -> Copy:
        """Return what is published for *key*; publish what the loader gives where there is nothing."""
        may_wait()
        dependency = self._place.dependency(key, order.tags)
        copy = self._published(key)
        if copy is None:
            flight, leads = self._place.node.process.flights.enter(self._place.flight_key(key))
            if leads:
                detached(self._lead, flight, key, order)
            copy = follow(flight, self._place.core.options.load_timeout_s)
        self._place.note_read(dependency, copy.stamps, copy.fresh_for_s)
        return copy

    def _lead(self, flight: Flight, key: Key, order: Order) -> None:
        """Load, publish if what it was made from still holds, and end the flight whatever happens."""
        flights, stats = self._place.node.process.flights, self._place.core.stats
        try:
            stats.loads += 1
            before = self._before([key], order.tags)
            with collecting(isolated=not self._place.core.options.track_dependencies) as found:
                answer: Any = call(order.load, key)
            value = plain(answer)
            self._publish({key: value}, before, found, order)
        except NotFound:
            flights.land(flight, self._loaded(NEGATIVE, order))
        except BaseException as error:
            stats.load_errors += 1
            flights.land(flight, error=error)
            if not isinstance(error, Exception):
                raise
        else:
            flights.land(flight, self._loaded(value, order, found))

    def _loaded(self, value: Any, order: Order | ManyOrder, found: Collector | None = None) -> Copy:
        """Return a value just loaded as a copy: what it was made from, and how long it stays fresh."""
        options = self._place.core.options
        if value is NEGATIVE:
            return Copy(value, Freshness.FRESH, "load", fresh_for_s=options.negative_ttl_s)
        ttl_s = options.ttl_s if order.ttl_s is None else order.ttl_s
        read, left_s = ((), ttl_s) if found is None else (tuple(found.tokens.items()), min(ttl_s, found.left_s))
        return Copy(value, Freshness.FRESH, "load", 0, read, left_s)

    def _before(self, keys: Sequence[Key], tags: Sequence[int]) -> Stamps | None:
        """Return what values loaded from now on are made under: the keys themselves too, so that a removal is seen."""
        own = [self._place.key_tag(key) for key in keys] if self._place.core.options.track_dependencies else []
        return self._writer.stamps((*tags, *own))

    def _publish(
        self, values: Mapping[Key, Any], before: Stamps | None, found: Collector, order: Order | ManyOrder
    ) -> None:
        """Publish loaded values, unless what was read forbids it or has changed meanwhile."""
        stamps = found.stamps_with(before)
        if stamps is None:
            self._place.node.recorder.event("dependencies_lost", region=self._place.core.options.name, tier="cdn")
            return
        ttl_s = self._loaded(None, order, found).fresh_for_s
        publication = Publication(self._place)
        fence = Fence(stamps=stamps, tags=tuple(order.tags), is_fill=True)
        for key, value in values.items():
            publication.put(key, value, fence, ttl_s)

    def load_many(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Copy]:
        """Return what is published for *keys*; load and publish the rest in one call."""
        copies = self.find_many(keys)  # which notes what it did not find as well
        missing = [key for key in dict.fromkeys(keys) if key not in copies]
        if not missing:
            return copies
        self._place.core.stats.loads += 1
        before = self._before(missing, order.tags)
        with collecting(isolated=not self._place.core.options.track_dependencies) as found:
            rows = call(order.load_many, missing)
        self._publish({key: plain(rows[key]) for key in missing if key in rows}, before, found, order)
        for key in missing:
            copies[key] = self._loaded(plain(rows[key]) if key in rows else NEGATIVE, order, found)
        return copies

    def load_values(self, keys: Sequence[Key], order: ManyOrder) -> dict[Key, Any]:
        """Return the values of what `load_many` gives, by key."""
        return values_of(self.load_many(keys, order))


def plain(answer: Any) -> Any:
    """Return the value of what a loader gave; published copies have no version."""
    return answer.value if isinstance(answer, Record) else answer
