"""
A tenant: the scope in which keys exist.

Everything asked of it stays inside it; no key, tag or path of one tenant can name another's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tiercel._async.apiresponse import AsyncApiResponse
from tiercel._async.receipt import AsyncReceipt
from tiercel._async.region import AsyncRegion
from tiercel._async.sweep import count_tagged
from tiercel._core.keys import check_tag
from tiercel._core.tags import dependency_tag
from tiercel.cdn.paths import tenant_prefix
from tiercel.cdn.purge import PurgeRequest
from tiercel.typing import GLOBAL

if TYPE_CHECKING:
    from tiercel._async.invalidator import AsyncInvalidator
    from tiercel._core.graph import Fall


class AsyncTenant:
    """
    One tenant's view of the cache; made by ``cache.tenant(…)`` and cheap to keep.

    Attributes:
        name: The tenant's name, or `GLOBAL`.
    """

    def __init__(
        self,
        name: str,
        region: Callable[[str, str], AsyncRegion],
        fall: Callable[[str, str], Fall],
        invalidator: AsyncInvalidator,
        region_names: Sequence[str],
    ) -> None:
        self.name = name
        self._region_names = region_names
        self._region = region
        self._fall = fall
        self._invalidator = invalidator
        self._regions: dict[str, AsyncRegion] = {}

    def region(self, name: str) -> AsyncRegion:
        """
        Return a region in this tenant: the same object each time.

        Raises:
            ConfigurationError: no such region, or one whose scope does not fit.
        """
        found = self._regions.get(name)
        if found is None:
            found = self._regions[name] = self._region(self.name, name)
        return found

    async def invalidate(self, entity: str, entity_id: str) -> AsyncReceipt:
        """
        Make everything fall that the entity graph says depends on an entity: entries, tags and paths, in every tier.

        Args:
            entity: Name of the entity in the matrix, say ``"product"``.
            entity_id: Its key.

        Returns:
            A receipt: when each tier was clean, and ``wait(tier)``.

        Raises:
            ConfigurationError: no such entity.
            StoreError: the far tier did not answer and the invalidation could not be journaled either.
        """
        return await self.fall(self._fall(entity, entity_id))

    async def fall(self, fall: Fall, *, floor: int = 0) -> AsyncReceipt:
        """
        Make what *fall* names fall, in every tier.

        Args:
            fall: Entries, tags and paths of this tenant.
            floor: Entries of a lower version are refused from now on.

        Raises:
            StoreError: the far tier did not answer and the invalidation could not be journaled either.
        """
        receipt = self._invalidator.receipt()
        by_region: dict[str, list[str]] = {}
        for region, key in fall.keys:
            by_region.setdefault(region, []).append(key)
        for region, keys in by_region.items():
            await self.region(region).fell_with(keys, receipt, floor=floor)
        await self._invalidator.tags(self.name, self._hashes(fall.tags), receipt)
        paths = [*self._paths(fall.paths), *self._published(by_region)]
        if paths or fall.tags:
            await self._invalidator.edge(self._purge(fall.tags, paths), receipt)
        return receipt

    async def cache_api_response(
        self, path: str, response: Any, *, tags: Sequence[str] = (), ttl_s: float | None = None, region: str = "api"
    ) -> AsyncApiResponse:
        """
        Hand an API response or a page to the CDN; it falls by its tags, and with what was read to compute it.

        Args:
            path: Its path below the region's, say ``products/42``; the answer's ``path`` is the whole one. The ending
                of a page or a file tells its type; text without one is HTML, anything but text and bytes is JSON.
            response: The response, or better a function that computes it (plain, or awaitable on `AsyncCache`): what it
                reads is noted, and nothing is published if one of these entries changes meanwhile.
            tags: Tags by which it falls besides.
            ttl_s: Seconds at the CDN; None for the region's. Shorter where something that it shows ends sooner.
            region: The region that it belongs to; its tiers name ``cdn``. Written behind (the default matrix), it is at
                the CDN's origin after `persisted`; written through, when this returns.

        Returns:
            The value, its path, and ``why_not`` where it must not be shared.

        Raises:
            ConfigurationError: the region has no CDN tier.
            EncodeError: the response has no form to publish.
            TierUnavailable: the region writes through, and the CDN's origin failed.
            Exception: the function's own.
        """
        return await self.region(region).publish(path.lstrip("/"), response, tags=tags, ttl_s=ttl_s)

    async def would_fall(self, entity: str, entity_id: str) -> dict[str, int]:
        """
        Say what `invalidate` would make fall, and change nothing: live entries by region and by tag.

        It looks at every record of the tenant; for dry runs only.
        """
        fall = self._fall(entity, entity_id)
        counts: dict[str, int] = {}
        for region, key in fall.keys:
            held = await self.region(region).holds(key)
            counts[region] = counts.get(region, 0) + int(held)
        return {**counts, **await self.would_fall_by_tags(*fall.tags)}

    async def would_fall_by_tags(self, *tags: str) -> dict[str, int]:
        """Count the live entries that carry each of *tags*, and change nothing; looks at every record of the tenant."""
        places = [self.region(name).place for name in self._region_names]
        return await count_tagged(places, self._hashes(tags))

    async def invalidate_tags(self, *tags: str) -> AsyncReceipt:
        """Make everything fall that carries one of *tags*: one write a tag, however many entries that is."""
        receipt = self._invalidator.receipt()
        await self._invalidator.tags(self.name, self._hashes(tags), receipt)
        await self._invalidator.edge(self._purge(tags), receipt)
        return receipt

    async def invalidate_region(self, name: str) -> AsyncReceipt:
        """Make everything of one region in this tenant fall."""
        region = self.region(name)
        receipt = await region.clear()
        if "cdn" in region.options.tiers:
            prefix = f"{self._prefix()}{name}/"
            await self._invalidator.edge(PurgeRequest(prefixes=[prefix], tenant=self.name), receipt)
        return receipt

    async def invalidate_all(self) -> AsyncReceipt:
        """Make everything that this tenant has fall, in every tier."""
        receipt = self._invalidator.receipt()
        scope = self._invalidator.tenant_scope(self.name)
        await self._invalidator.tags(self.name, scope, receipt)
        await self._invalidator.edge(PurgeRequest(prefixes=[self._prefix()], tenant=self.name), receipt)
        await self._invalidator.pages(self.name, scope, receipt)
        if self.name != GLOBAL:
            pages = PurgeRequest(everything=True, tenant=self.name, keep_origin=True)
            await self._invalidator.edge(pages, receipt)  # those that were made from nothing cached
        return receipt

    def _prefix(self) -> str:
        return f"/{GLOBAL}/" if self.name == GLOBAL else tenant_prefix(self.name)

    def _paths(self, paths: Sequence[str]) -> list[str]:
        return [self._prefix() + path.lstrip("/") for path in paths]

    def _published(self, by_region: dict[str, list[str]]) -> list[str]:
        return [path for region, keys in by_region.items() for path in self.region(region).published_paths(keys)]

    def _purge(self, tags: Sequence[str], paths: Sequence[str] = ()) -> PurgeRequest:
        """Return the purge of *tags*, by their names and by what entries and pages made from them carry."""
        regions = [self.region(name).options for name in self._region_names]
        meanings = {}
        if any(options.purge_pages or "cdn" in options.tiers for options in regions):
            meanings = {dependency_tag(hashed): tag for hashed, tag in self._hashes(tags).items()}
        return PurgeRequest(paths=paths, tags=[*tags, *meanings], tenant=self.name, meanings=meanings)

    def _hashes(self, tags: Sequence[str]) -> dict[int, str]:
        return {self._invalidator.tag_hash(self.name, check_tag(tag)): tag for tag in tags}
