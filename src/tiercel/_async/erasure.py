"""
Erasure: destroys what the tiers, journals and outer places hold of one subject, and proves it place by place.

The rows themselves are the application's: delete them first, or the next read loads them again. The order then is

1. the index, so that a crash half-way leaves a note that a restore and a second try find;
2. the journals and dead letters, so that no flush brings a write back;
3. every tier (tombstones, not stale copies: nothing is kept for the case that a load fails), then the CDN;
4. what was computed from it: every record of the tenant that carries one of its tags is destroyed, not only outdated
   (all records are looked at, unless no such tag was ever used);
5. the subject's own key, which makes copies that nobody can reach (old backups, append-only files) unreadable;
6. a look at each place, which goes into the receipt.

Other nodes hear of the entries at once and of the index soon after (`AsyncErasureWatch`): each empties its own file
journal of the subject, and drops the local copies of the tenant that could outlive a failing load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiercel._async.invalidator import AsyncInvalidator
from tiercel._async.link import AsyncLink
from tiercel._async.node import AsyncNode, AsyncRegionCore
from tiercel._async.seals import AsyncSeals
from tiercel._async.sweep import escaped
from tiercel._async.tenant import AsyncTenant
from tiercel._async.tier import AsyncFarTier
from tiercel._core.erasure import INDEX, ErasedPlace, Erasure, ErasureReceipt, pack_erasure
from tiercel._core.graph import Fall
from tiercel._core.keys import decode_key, encode_key
from tiercel._core.subjects import split_subject
from tiercel._paired import AsyncFunction
from tiercel.errors import CacheError, ConfigurationError, TierError
from tiercel.typing import Key

PAGE = 1000
FOREVER = 1_000_000_000
CDN_WAIT_S = 30.0

Forget = AsyncFunction[[str, Key], int]
"""Removes the waiting writes and dead letters of (tenant, key) from one region's journal; returns how many."""


class AsyncEraser:
    """
    Erases subjects of one tenant.

    Args:
        tenant: Whose subjects.
        node: The cache.
        cores: Its regions.
        invalidator: Makes entries fall.
        seals: Keys of subjects.
        journals: What forgets writes, by region.
    """

    def __init__(
        self,
        tenant: AsyncTenant,
        node: AsyncNode,
        cores: Mapping[str, AsyncRegionCore],
        invalidator: AsyncInvalidator,
        seals: AsyncSeals,
        journals: Mapping[str, Forget],
    ) -> None:
        self._tenant = tenant
        self._node = node
        self._cores = cores
        self._invalidator = invalidator
        self._seals = seals
        self._journals = journals

    async def erase(self, subject: str, fall: Fall) -> ErasureReceipt:
        """Erase *subject*, whose entries, tags and paths are *fall*; a place that fails does not stop the others."""
        entity, entity_id = split_subject(subject)
        receipt = ErasureReceipt(self._tenant.name, subject, self._node.process.clock.wall())
        note = self._note(subject, fall)
        await self._step(receipt, "index", "noted, so that no restore brings it back", self._index, note)
        for region, forget in self._journals.items():
            keys = [key for name, key in fall.keys if name == region]
            if keys:
                await self._step(
                    receipt, f"journal:{region}", "writes and dead letters removed", self._forget, forget, keys
                )
        carried = await self._may_be_carried(note)
        await self._fell(receipt, subject, entity, entity_id, fall)
        sweep = self._sweep if carried else self._nothing
        await self._step(receipt, "derived", "records made from it destroyed", sweep, note)
        await self._step(receipt, "local", "local copies dropped", self._drop_local, note)
        await self._step(receipt, "keys", "the subject's keys destroyed", self._destroy_keys, subject)
        await self._step(receipt, "check", "places looked at and found empty", self._check, fall)
        self._node.recorder.event("erased", tenant=self._tenant.name, complete=receipt.is_complete)
        return receipt

    async def _step(
        self, receipt: ErasureReceipt, place: str, action: str, step: AsyncFunction[..., int], *args: object
    ) -> None:
        clock = self._node.process.clock
        try:
            count = await step(*args)
        except CacheError as error:
            receipt.places.append(ErasedPlace(place, action, 0, clock.wall(), "failed", str(error)))
        else:
            receipt.places.append(ErasedPlace(place, action, count, clock.wall()))

    def _note(self, subject: str, fall: Fall) -> Erasure:
        tenant, space = self._tenant.name, self._node.space
        places = [(self._tenant.region(region).place, key) for region, key in fall.keys]
        tags = [space.tag_hash(tenant, tag) for tag in (*fall.tags, subject)]
        return Erasure(
            int(self._node.process.clock.wall() * 1000),
            tenant,
            subject,
            tuple(place.name(key) for place, key in places),
            (*tags, *(place.key_tag(key) for place, key in places)),
            tuple((region, encode_key(key)) for region, key in fall.keys),
        )

    async def _index(self, note: Erasure) -> int:
        if self._node.far is not None:
            await self._node.far.publish(self._node.space.own_key(INDEX), pack_erasure(note), FOREVER)
        return 1

    async def _forget(self, forget: Forget, keys: Sequence[Key]) -> int:
        return sum([await forget(self._tenant.name, key) for key in keys])

    async def _fell(self, receipt: ErasureReceipt, subject: str, entity: str, entity_id: str, fall: Fall) -> None:
        """Destroy the entries in every tier and purge the CDN."""
        clock = self._node.process.clock
        action = "entries destroyed, tombstones left"
        try:
            proof = await self._tenant.invalidate(entity, entity_id)
            await self._tenant.invalidate_tags(subject)
        except CacheError as error:
            receipt.places.append(ErasedPlace("redis", action, 0, clock.wall(), "failed", str(error)))
            return
        for tier in ("redis", "local"):
            if tier in proof.state.clean_s:
                receipt.places.append(ErasedPlace(tier, action, len(fall.keys), proof.state.clean_s[tier]))
            elif tier in proof.state.queued:
                receipt.places.append(ErasedPlace("notes", action, len(fall.keys), clock.wall(), "queued"))
        try:
            at_s = await proof.wait("cdn", CDN_WAIT_S)
        except ConfigurationError:
            return  # nothing of it is at a CDN
        except CacheError as error:
            receipt.places.append(
                ErasedPlace("cdn", "purge asked for", len(fall.paths), clock.wall(), "queued", str(error))
            )
        else:
            receipt.places.append(ErasedPlace("cdn", "purged", len(proof.state.paths), at_s))

    async def _may_be_carried(self, note: Erasure) -> bool:
        """
        Say whether any record can carry one of the subject's tags: a tag that has no token was never used.

        A server that evicts may have thrown a token away, so there, and where none can be asked, the answer is yes.
        """
        link: AsyncLink | None = getattr(self._node.far, "link", None)
        if link is None:
            return True
        try:
            found = await link.execute_many([(b"EXISTS", self._node.space.tag_key(tag)) for tag in note.tags])
            stats = await link.each_primary(b"INFO", b"stats")
        except TierError:
            return True
        evicts = any(b"evicted_keys:0\r" not in text for text in stats.values())
        return evicts or any(reply != 0 for reply in found)

    async def _nothing(self, note: Erasure) -> int:
        """Return 0: there is nothing that carries a tag of *note*."""
        return 0

    async def _sweep(self, note: Erasure) -> int:
        """Destroy every record of the tenant that carries one of the subject's tags, or is the subject's."""
        far, found = self._node.far, 0
        if far is None:
            return 0
        async for names in far.scan(escaped(self._node.space.entry_prefix(self._tenant.name, "")) + b"*", PAGE):
            for region, keys in (await self._marked(far, names, note)).items():
                place = self._tenant.region(region).place
                await self._invalidator.keys(place, keys, self._invalidator.receipt())
                found += len(keys)
        return found

    async def _marked(self, far: AsyncFarTier, names: Sequence[bytes], note: Erasure) -> dict[str, list[Key]]:
        """Return those of *names* that are the subject's or carry one of its tags, by region."""
        marks = set(note.tags)
        marked: dict[str, list[Key]] = {}
        for name, frame in zip(names, await far.get_many(names), strict=True):
            parsed = self._node.space.parse_entry(name)
            if frame is None or not frame.has_body or parsed is None or parsed[1] not in self._cores:
                continue
            own = self._seals.subjects.subject_of(parsed[1], parsed[2]) == note.subject
            if own or any(tag in marks for tag, _ in frame.tags):
                marked.setdefault(parsed[1], []).append(parsed[2])
        return marked

    async def _drop_local(self, note: Erasure) -> int:
        return drop_local(self._cores, note)

    async def _destroy_keys(self, subject: str) -> int:
        far = self._node.far
        if far is None:
            return 0
        return sum([await keys.destroy(self._tenant.name, subject) for keys in self._seals.subject_keys(far)])

    async def _check(self, fall: Fall) -> int:
        """Count the places that hold nothing of it any more; raise where one does."""
        looked = 0
        for region, key in fall.keys:
            place = self._tenant.region(region).place
            frame = await place.node.far.get(place.name(key)) if place.node.far and place.core.far else None
            if frame is not None and frame.has_body:
                raise TierError(f"region {region!r} holds a new copy: delete the row first, then erase", tier="redis")
            looked += 1
        return looked


def drop_local(cores: Mapping[str, AsyncRegionCore], note: Erasure) -> int:
    """
    Drop the subject's local copies, and the tenant's view where a copy made from them could outlive a failing load.

    A region that keeps nothing for that case needs no more than the renewed tags: what carries them is never served.
    """
    dropped = 0
    for region, encoded in note.keys:
        core = cores.get(region)
        for table in (core.table, core.absent) if core is not None else ():
            if table is not None:
                dropped += table.view(note.tenant).delete(decode_key(encoded))
    for core in cores.values():
        if core.table is not None and core.options.keep_s:
            core.table.view(note.tenant).clear()
    return dropped
