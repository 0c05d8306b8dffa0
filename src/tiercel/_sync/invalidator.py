# Generated from src/tiercel/_async/invalidator.py by tools/unasync.py. Do not edit.
"""
The invalidator: makes entries, tags and whole scopes fall in every tier.

The order is far tier, local tier, other nodes, CDN: an outer tier purged first would fetch the old value again from
an inner one. A far tier that does not answer gets the invalidation later (`Redelivery`); it is never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tiercel._arrivals import Arrivals
from tiercel._sync.node import Node, Place
from tiercel._sync.receipt import Receipt
from tiercel._sync.redelivery import Redelivery
from tiercel._core.frame import State
from tiercel._core.keys import encode_key, hash64
from tiercel._core.message import KeysFell
from tiercel._core.receipt import ReceiptState
from tiercel._core.tags import EVERYTHING, TENANT, dependency_tag, own_tag, region_tag
from tiercel._core.undelivered import Undelivered
from tiercel._gates import gate
from tiercel.cdn.purge import PurgeRequest
from tiercel.errors import TierError
from tiercel.typing import GLOBAL, Key

TAG_LIFE_MS = 7 * 24 * 3600 * 1000
"""Life of a token renewed by hand; a shorter one would only cost misses."""


class Invalidator:
    """
    Args:
        node: The cache.
        arrivals: Applies what falls to this process.
        redelivery: Sends to the far tier; None where there is none.
    """

    def __init__(self, node: Node, arrivals: Arrivals, redelivery: Redelivery | None) -> None:
        self._node = node
        self._arrivals = arrivals
        self._redelivery = redelivery
        if redelivery is not None:
            redelivery.on_late = self._late
            redelivery.on_awaited = lambda name: node.announcer.filled(hash64(name))

    def receipt(self) -> Receipt:
        """Return an empty receipt."""
        process = self._node.process
        return Receipt(ReceiptState(process.clock.wall()), process.clock, self._node.edge)

    def keys(
        self,
        place: Place,
        keys: Sequence[Key],
        receipt: Receipt,
        *,
        floor: int = 0,
        keep_stale: bool = False,
    ) -> None:
        """
        Make *keys* fall in the far tier, here and on other nodes.

        Args:
            place: Region and tenant.
            keys: Which.
            receipt: Gets what was done.
            floor: Rows of a lower version are refused from now on.
            keep_stale: Keep the values for the case that the next load fails.

        Raises:
            StoreError: the far tier did not answer and the invalidation could not be journaled either.
        """
        core, name = place.core, place.core.options.name
        record = _record(place, keys, floor, keep_stale=keep_stale)
        tags = record.tags
        if record.names or record.tags:
            with self._node.recorder.span("invalidate", name):
                self._deliver(record, receipt)
        gate("invalidate.far_clean")
        self._drop_local(place, keys, tags, keep_stale)
        self._node.announcer.keys_fell(place.tenant, name, keys, tags)
        core.stats.invalidations += len(keys)
        receipt.state.keys += [(name, key if isinstance(key, str) else key.hex()) for key in keys]
        receipt.clean("local")
        for key in keys:
            self._node.recorder.event("invalidated", region=name, tenant=place.tenant, key=key)
        self._pages(place, keys, receipt)

    def outdated(self, place: Place, keys: Sequence[Key], receipt: Receipt, floor: int) -> None:
        """
        Make *keys* fall whose copies are older than row version *floor*, all of them for 0.

        A copy that is as new was stored by whoever wrote the row: it stays in the far tier. Local copies are dropped
        all the same, and what was computed from the old value falls.
        """
        kept = self._as_new(place, keys, floor) if floor else []
        older = [key for key in keys if key not in kept]
        if older:
            self.keys(place, older, receipt, floor=floor)
        if kept:
            self._drop_local(place, kept, (), keep_stale=False)
            self.changed(place, kept, floor)

    def _as_new(self, place: Place, keys: Sequence[Key], floor: int) -> list[Key]:
        """Return the *keys* whose far copies have *floor* or a newer version; it can only be replaced by a newer."""
        if place.core.far is None:
            return []
        try:
            frames = place.core.far.get_many([place.name(key) for key in keys])
        except TierError:
            return []  # it is away: the invalidation is journaled
        return [
            key
            for key, frame in zip(keys, frames, strict=True)
            if frame is not None and frame.state is State.LIVE and frame.version >= floor
        ]

    def changed(self, place: Place, keys: Sequence[Key], floor: int) -> None:
        """
        Tell other nodes that *keys* have new values, and make what was computed from the old ones fall.

        Should a fail-over lose the new values within the loss window, the keys fall with *floor*.
        """
        core = place.core
        if self._redelivery is not None and core.far is not None:
            names = tuple(place.name(key) for key in keys)
            replaced = Undelivered("keys", names, (), floor, core.tombstone_ms, core.tag_life_ms)
            self._redelivery.remember(replaced)
            self._fell_in_gutter(replaced)
        tags = tuple(place.key_tag(key) for key in keys) if place.core.options.track_dependencies else ()
        if tags:
            record = Undelivered("keys", tags=tags, tag_life_ms=place.core.tag_life_ms)
            self._deliver(record, self.receipt())
            self._arrivals.tags_fell_here(place.tenant, tags)
        self._node.announcer.keys_fell(place.tenant, place.core.options.name, keys, tags)
        self._pages(place, keys, self.receipt())

    def _pages(self, place: Place, keys: Sequence[Key], receipt: Receipt) -> None:
        """Purge at the CDN the pages and published responses made from the entries of *keys*."""
        options = place.core.options
        if options.purge_pages and options.track_dependencies and keys:
            shown = [key if isinstance(key, str) else key.hex() for key in keys]
            tags = {place.key_tag(key): f"{options.name}:{name}" for key, name in zip(keys, shown, strict=True)}
            self.pages(place.tenant, tags, receipt)

    def pages(self, tenant: str, tags: Mapping[int, str], receipt: Receipt) -> None:
        """
        Purge at the CDN the pages, of whatever tenant, that were made from what *tags* of *tenant* (hash to what it
        stands for) are.

        Where some region publishes, what was published under these tags is taken from the CDN's origin as well.
        """
        names = {dependency_tag(tag): name for tag, name in tags.items()}
        keep_origin = not self._node.publishes
        self.edge(PurgeRequest(tags=[*names], tenant=tenant, meanings=names, keep_origin=keep_origin), receipt)

    @contextmanager
    def intent(self, place: Place, keys: Sequence[Key]) -> Iterator[bytes | None]:
        """
        Note that the rows of *keys* are about to change, for as long as the tiers do not know.

        A store that keeps notes gets it, in the transaction of the write: the yielded bytes. Where this process dies
        inside, or Redis does not take what falls, any node acts on it. For other stores the note is in a file, and the
        next start of this process acts on it. A block that raises makes the keys fall now.
        """
        if self._redelivery is None:
            yield None
            return
        record, outbox = _record(place, keys, 0), place.core.outbox
        note = None if outbox is None else outbox.note(record)
        number = self._redelivery.intend(record) if outbox is None else 0
        try:
            yield note
        except BaseException:
            self._redelivery.fall_back(record)
            if outbox is None:
                self._redelivery.fulfil(number)
            raise
        if outbox is None or note is None:
            self._redelivery.fulfil(number)
        elif not self._redelivery.is_queued(record):
            outbox.settle(note)

    def _fell_in_gutter(self, record: Undelivered) -> None:
        if self._node.gutter is not None:
            self._node.gutter.fell(record)

    def _deliver(self, record: Undelivered, receipt: Receipt) -> None:
        self._fell_in_gutter(record)
        if self._redelivery is None:
            return
        if self._redelivery.deliver(record, receipt.taken):
            receipt.clean("redis")
        else:
            receipt.queued()

    def _late(self, record: Undelivered) -> None:
        """Tell everybody again what the far tier took late: copies of the old value may have been made meanwhile."""
        fallen: dict[tuple[str, str], list[Key]] = {}
        for name in record.names:
            parsed = self._node.space.parse_entry(name)
            if parsed is not None:
                fallen.setdefault(parsed[:2], []).append(parsed[2])
        for (tenant, region), keys in fallen.items():
            self._arrivals.apply(KeysFell(tenant, region, tuple(encode_key(key) for key in keys), record.tags))
            self._node.announcer.keys_fell(tenant, region, keys, record.tags)
        if record.tags and not fallen:
            self._arrivals.tags_fell(GLOBAL, record.tags)
            self._node.announcer.tags_fell(GLOBAL, record.tags)

    def _drop_local(self, place: Place, keys: Sequence[Key], tags: Sequence[int], keep_stale: bool) -> None:
        for key in keys:
            if keep_stale and place.view is not None and place.view.expire(key):
                self._node.process.flights.detach(place.flight_key(key))
            else:
                place.drop_local(key)
        if tags:
            self._arrivals.tags_fell_here(place.tenant, tags)

    def tags(self, tenant: str, names: Mapping[int, str], receipt: Receipt) -> None:
        """Renew the tokens of tags (hash to name): whatever carries one of them has fallen."""
        if not names:
            return
        tags = tuple(names)
        if self._redelivery is not None:
            with self._node.recorder.span("invalidate"):
                self._deliver(Undelivered("tags", tags=tags, tag_life_ms=TAG_LIFE_MS), receipt)
        gate("invalidate.tags_renewed")
        self._arrivals.tags_fell(tenant, tags)
        self._node.announcer.tags_fell(tenant, tags)
        receipt.state.tags += list(names.values())
        receipt.clean("local")
        self._node.recorder.event("tags_invalidated", tenant=tenant, count=len(tags))

    def edge(self, request: PurgeRequest, receipt: Receipt) -> None:
        """Purge at the CDN, where there is one."""
        if self._node.edge is None:
            return
        try:
            receipt.purging(self._node.edge.purge(request))
        except TierError as error:
            self._node.recorder.event("purge_failed", tier="cdn", tenant=request.tenant, why=str(error))
            raise
        receipt.state.paths += list(request.paths)

    def tag_hash(self, tenant: str, tag: str) -> int:
        """Return the identity of *tag* in *tenant*."""
        return self._node.space.tag_hash(tenant, tag)

    def tenant_scope(self, tenant: str) -> dict[int, str]:
        """Return the implied tag of everything that *tenant* has."""
        return {self._node.space.tag_hash(tenant, TENANT): TENANT}

    def region_scope(self, tenant: str, region: str) -> dict[int, str]:
        """Return the implied tag of *region*: in one tenant, or in all for `GLOBAL`."""
        name = region_tag(region) if tenant == GLOBAL else own_tag(region)
        return {self._node.space.tag_hash(tenant, name): name}

    def everything(self) -> dict[int, str]:
        """Return the implied tag of all that the namespace holds."""
        return {self._node.space.tag_hash(GLOBAL, EVERYTHING): EVERYTHING}


def _record(place: Place, keys: Sequence[Key], floor: int, *, keep_stale: bool = False) -> Undelivered:
    """Return what the far tier is told so that *keys* fall, with what was computed from them."""
    core = place.core
    return Undelivered(
        "expire" if keep_stale else "keys",
        tuple(place.name(key) for key in keys) if core.far is not None else (),
        tuple(place.key_tag(key) for key in keys) if core.options.track_dependencies else (),
        floor,
        core.tombstone_ms,
        core.tag_life_ms,
    )
