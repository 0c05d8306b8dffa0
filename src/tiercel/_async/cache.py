"""
The cache: the object that applications open, and that gives out tenants and regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from types import TracebackType
from typing import Any, Self

from msgspec import structs

from tiercel._async.assembly import AsyncAssembly
from tiercel._async.edge import AsyncEdge
from tiercel._async.erasure import AsyncEraser, Forget
from tiercel._async.keeper import AsyncKeeper
from tiercel._async.looker import AsyncLooker
from tiercel._async.node import AsyncPlace
from tiercel._async.policyfollower import AsyncPolicyFollower
from tiercel._async.receipt import AsyncReceipt
from tiercel._async.region import AsyncRegion
from tiercel._async.tenant import AsyncTenant
from tiercel._async.tier import AsyncFarTier
from tiercel._async.warmer import WarmProgress
from tiercel._async.writer import AsyncWriter
from tiercel._core.erasure import ErasureReceipt
from tiercel._core.graph import Fall, fall_of, rule_named
from tiercel._core.keys import check_tenant
from tiercel._core.subjects import split_subject
from tiercel._core.warmkeys import WarmKey
from tiercel._process import Process
from tiercel._timebudget import budget
from tiercel.cdn.purge import PurgeRequest
from tiercel.errors import ClosedError, ConfigurationError, TenantRequired
from tiercel.matrix import Matrix
from tiercel.observe.health import Health, judge_health
from tiercel.observe.recorder import Recorder
from tiercel.observe.report import Report
from tiercel.observe.snapshot import Snapshot, take_snapshot
from tiercel.options import RegionOptions
from tiercel.typing import GLOBAL, AsyncStore


class AsyncCache:
    """
    A multi-layer cache.

    ::

        async with AsyncCache.from_toml("tiercel.toml") as cache:
            products = cache.tenant("acme").region("product")
            document = await products.read("sku-42")

    Args:
        matrix: The strategy matrix; None for the eight built-in data types.
        stores: Stores by region name, in place of the matrix's URLs: any object with the `AsyncStore` methods.
        far: A far tier in place of the one that the matrix names.
        process: What caches of this process share; None for the one of the namespace. Tests that play several nodes in
            one process give each its own.
        connect_timeout_s: How long servers that are down are tried at the start.
        drain_s: How long `aclose` waits for journals to reach their stores.

    Without a Redis URL in the matrix the tier called ``redis`` is kept in this process, which suits one process alone.
    """

    def __init__(
        self,
        matrix: Matrix | None = None,
        *,
        stores: Mapping[str, AsyncStore] | None = None,
        far: AsyncFarTier | None = None,
        process: Process | None = None,
        connect_timeout_s: float = 10.0,
        drain_s: float = 10.0,
    ) -> None:
        self.matrix = matrix or Matrix.defaults()
        self._process = process or Process.shared(self.matrix.cache.namespace)
        self._assembly = AsyncAssembly(self.matrix, self._process, dict(stores or {}), far, connect_timeout_s)
        self._assembly.unwrap = self._unwrap  # type: ignore[method-assign]  # regions exist only here
        self._drain_s = drain_s
        self._tenants: dict[str, AsyncTenant] = {}
        self._is_started = False
        unknown = set(stores or {}) - set(self.matrix.regions)
        if unknown:
            raise ConfigurationError(f"stores= names unknown regions: {', '.join(sorted(unknown))}")

    @classmethod
    def from_toml(cls, path: str | PathLike[str], **options: Any) -> Self:
        """Return a cache of the matrix in a TOML file; *options* are those of the class."""
        return cls(Matrix.from_toml(path), **options)

    @classmethod
    async def open(cls, matrix: Matrix | str | PathLike[str] | None = None, **options: Any) -> Self:
        """Return a started cache of a matrix, of a TOML file, or of the built-in data types; close it when done."""
        cache = cls(matrix if isinstance(matrix, Matrix) or matrix is None else Matrix.from_toml(matrix), **options)
        await cache.start()
        return cache

    async def start(self) -> Self:
        """
        Connect to everything that the matrix names; calling twice is harmless.

        Raises:
            TierUnavailable: Redis is down.
            StoreError: a store is down.
            ConfigurationError: something does not fit, or an extra is not installed.
        """
        if self.is_closed:
            raise ClosedError
        if not self._is_started:
            await self._assembly.open()
            self._is_started = True
            self._assembly.keep_warm(self._region_of)
        return self

    async def aclose(self) -> None:
        """Drain the journals, send what waits, release everything; calling twice is harmless."""
        if self._is_started and not self.is_closed:
            self._assembly.node.is_closed = True
            await self._assembly.aclose(self._drain_s)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_started and self._assembly.node.is_closed

    def tenant(self, name: str) -> AsyncTenant:
        """
        Return a tenant's scope: the same object each time.

        Raises:
            KeyRefused: the name cannot be used.
            ConfigurationError: the cache was not started.
        """
        self._check_started()
        found = self._tenants.get(name)
        if found is None:
            names = [o.name for o in self.matrix.regions.values() if name == GLOBAL or o.scope == "tenant"]
            found = AsyncTenant(check_tenant(name), self._region, self._fall, self._assembly.invalidator, names)
            self._tenants[name] = found
        return found

    def region(self, name: str) -> AsyncRegion:
        """
        Return a region of scope ``global``.

        Raises:
            TenantRequired: the region holds tenants' data.
        """
        if self.matrix.region(name).scope == "tenant":
            raise TenantRequired(
                f'region {name!r} holds tenants\' data: use cache.tenant("name").region({name!r}),'
                " or cache.tenant(GLOBAL) for data that belongs to none"
            )
        return self.tenant(GLOBAL).region(name)

    def _region_of(self, tenant: str, name: str) -> AsyncRegion:
        return self.tenant(tenant).region(name)

    async def warm(
        self, on_progress: Callable[[WarmProgress], None] | None = None, most: int | None = None
    ) -> WarmProgress:
        """
        Fill the tiers with the keys that nodes saved as worth being warm, worthiest first; see ``warm_keys``.

        Args:
            on_progress: Told how far it is, after each batch.
            most: Most keys; None for ``warm_keys``, or for all that were saved where that is 0.
        """
        self._check_started()
        return await self._assembly.warmer(self._region_of).warm(on_progress, most)

    async def saved_warm_keys(self, most: int | None = None) -> list[WarmKey]:
        """Return the keys that nodes saved as worth being warm, worthiest first."""
        self._check_started()
        return await self._assembly.warmer(self._region_of).saved(most)

    def _region(self, tenant: str, name: str) -> AsyncRegion:
        options = self.matrix.region(name)
        if options.scope == "global" and tenant != GLOBAL:
            raise ConfigurationError(f"region {name!r} has scope 'global': use cache.region({name!r})")
        return AsyncRegion(self._place(tenant, options), self._assembly.invalidator)

    def _place(self, tenant: str, options: RegionOptions) -> AsyncPlace:
        return AsyncPlace(self._assembly.node, self._assembly.cores[options.name], tenant)

    def _fall(self, entity: str, entity_id: str) -> Fall:
        rule = rule_named(list(self.matrix.entities.values()), entity)
        return fall_of(rule, entity_id, self.matrix.regions)

    async def _unwrap(self, region: str, tenant: str, items: Mapping[Any, Any]) -> None:
        place = self._place(tenant, self.matrix.region(region))
        writer = AsyncWriter(place, AsyncKeeper(place, AsyncLooker(place)), self._assembly.invalidator)
        await writer.unwrap(items)

    async def invalidate_region(self, name: str) -> AsyncReceipt:
        """Make everything of one region fall, in all tenants."""
        self._check_started()
        invalidator = self._assembly.invalidator
        receipt = invalidator.receipt()
        options, scope = self.matrix.region(name), invalidator.region_scope(GLOBAL, name)
        await invalidator.tags(GLOBAL, scope, receipt)
        if "cdn" in options.tiers or options.purge_pages:
            await invalidator.pages(GLOBAL, scope, receipt)
        return receipt

    async def invalidate_everything(self) -> AsyncReceipt:
        """Make everything in this namespace fall, in all tenants and every tier."""
        self._check_started()
        invalidator = self._assembly.invalidator
        receipt = invalidator.receipt()
        await invalidator.tags(GLOBAL, invalidator.everything(), receipt)
        await invalidator.edge(PurgeRequest(everything=True), receipt)
        return receipt

    async def erase(self, tenant: str, subject: str, *, journals: Mapping[str, Forget] | None = None) -> ErasureReceipt:
        """
        Destroy what the tiers, journals, dead letters and outer places hold of one subject, and prove it.

        Delete the subject's rows first: what is still in a store is loaded again by the next read. Where anything was
        computed from the subject's data, the call looks at every record of the tenant in the far tier.

        Args:
            tenant: Whose subject.
            subject: ``entity:id``, an entity of the matrix: what its rule names is the subject's.
            journals: What forgets writes, by region, in place of this cache's own journals.

        Returns:
            What was done in each place; ``is_complete`` is false where a place failed or has yet to take it. A second
            call does no harm.

        Raises:
            ConfigurationError: no such entity.
        """
        scope = self.tenant(tenant)
        fall = self._fall(*split_subject(subject))
        cores = self._assembly.cores
        own = {name: core.behind.forget for name, core in cores.items() if core.behind is not None}
        eraser = AsyncEraser(
            scope, self._assembly.node, cores, self._assembly.invalidator, self._assembly.seals, journals or own
        )
        return await eraser.erase(subject, fall)

    async def drain(self, deadline_s: float = 10.0) -> int:
        """Wait for journaled writes to reach their stores; return how many are left after *deadline_s*."""
        self._check_started()
        behinds = [core.behind for core in self._assembly.cores.values() if core.behind is not None]
        return sum([await behind.drain(deadline_s) for behind in behinds])

    @property
    def is_settled(self) -> bool:
        """Whether the far tier took every invalidation so far, and every other node can read of it."""
        redelivery, backplane = self._assembly.redelivery, self._assembly.backplane
        return not (redelivery is not None and redelivery.depth) and not (backplane is not None and backplane.unsent)

    @property
    def edge(self) -> AsyncEdge | None:
        """The CDN tier: publish, fetch, purge, and what pages were served (`served`); None where there is none."""
        self._check_started()
        return self._assembly.node.edge

    def budget(self, seconds: float) -> AbstractContextManager[None]:
        """
        Give everything that is read inside a ``with`` block *seconds* in all; the same as `tiercel.budget`.

        Raises:
            ConfigurationError: *seconds* is not greater than 0.
        """
        return budget(seconds)

    @property
    def policy(self) -> AsyncPolicyFollower:
        """The live policy: what differs from the matrix file now, and how to change it on every node."""
        self._check_started()
        return self._assembly.policy

    @property
    def recorder(self) -> Recorder:
        """The live counters and rare events of this node; append to its ``observers`` to hear the events."""
        return self._assembly.recorder

    def report(self) -> Report:
        """Return the figures of this node since its start: hit rates, memory, response times, loads, journals."""
        return Report.of(self.snapshot())

    def health(self) -> Health:
        """Say whether this node is live and ready, how each tier is and why, and what is done about it."""
        health = judge_health(self._figures(), is_closed=self.is_closed)
        switches = {str(switch) for core in self._assembly.cores.values() for switch in core.plan.off}
        return structs.replace(health, actions=[*health.actions, *sorted(switches)]) if switches else health

    def snapshot(self) -> Snapshot:
        """Return every figure of this node at this moment, for `report`, exporters and alerts."""
        self._check_started()
        return self._figures()

    def _figures(self) -> Snapshot:
        assembly, process = self._assembly, self._process
        journals = {name: core.behind.stats() for name, core in assembly.cores.items() if core.behind is not None}
        link = getattr(assembly.node.far, "link", None)
        snapshot = take_snapshot(
            assembly.recorder,
            process.clock.wall(),
            local_tier=process.local,
            links={"redis": link.health()} if link is not None else None,
            journals=journals,
            policies=self.matrix.regions,
            gauges={"backplane_lag": assembly.backplane.lag_s()} if assembly.backplane is not None else None,
        )
        hottest = {name: core.hot.report() for name, core in assembly.cores.items() if core.hot is not None}
        snapshot.hot_keys.update({name: keys for name, keys in hottest.items() if keys})
        return snapshot

    def _check_started(self) -> None:
        if not self._is_started:
            raise ConfigurationError(
                "the cache was not started: use it as a context manager, or call open() or start()"
            )
        if self.is_closed:
            raise ClosedError
