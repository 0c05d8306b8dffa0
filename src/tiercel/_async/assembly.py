"""
The assembly: turns a matrix into the parts of a running cache, and takes them down again.

Everything that can be wrong with the surroundings shows here: a store or a Redis that is down at the start is tried
again for ``connect_timeout_s`` and then named in a clear error, and what was opened until then is closed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from tiercel._arrivals import Arrivals
from tiercel._async.backplane import AsyncBackplane
from tiercel._async.edge import AsyncEdge, open_edge
from tiercel._async.edge_turn import turns_by
from tiercel._async.erasurewatch import AsyncErasureWatch
from tiercel._async.farstore import AsyncFarStore
from tiercel._async.guardedstore import AsyncGuardedStore
from tiercel._async.gutter import AsyncGutterTier, open_gutter
from tiercel._async.hedge import AsyncHedge
from tiercel._async.invalidator import AsyncInvalidator
from tiercel._async.journals.places import AsyncJournalPlaces
from tiercel._async.link import open_link
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.node import AsyncNode, AsyncRegionCore
from tiercel._async.origingate import AsyncOriginGate
from tiercel._async.outbox import AsyncOutbox
from tiercel._async.policyfollower import AsyncPolicyFollower
from tiercel._async.policystore import AsyncFarPolicyStore, AsyncFilePolicyStore, policy_file
from tiercel._async.redelivery import AsyncRedelivery
from tiercel._async.redis import AsyncRedisTier
from tiercel._async.region import AsyncRegion
from tiercel._async.replicas import AsyncReplicas
from tiercel._async.seals import AsyncSeals
from tiercel._async.stores import AsyncMemoryStore, open_store
from tiercel._async.sweeper import AsyncSweeper
from tiercel._async.tagbook import AsyncTagBook
from tiercel._async.tier import AsyncFarTier
from tiercel._async.warmer import AsyncWarmer
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.keys import KeySpace
from tiercel._core.limiter import LimiterOptions
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.policyplan import RegionPlan
from tiercel._core.redisurl import parse_redis_url
from tiercel._core.warmkeys import WarmKeys
from tiercel._hotspots import HotSpots
from tiercel._paired import async_sleep
from tiercel._process import Process
from tiercel._quiet import QuietAnnouncer
from tiercel.cdn.budget import Spending
from tiercel.codecs import ValueCodec
from tiercel.errors import ConfigurationError, StoreError
from tiercel.matrix import Matrix
from tiercel.observe.recorder import Recorder
from tiercel.options import JournalOptions, LocalOptions, RegionOptions
from tiercel.typing import AsyncOutboxStore, AsyncStore, Key

RETRY_S = 0.2
ABSENT = LocalOptions(max_entries=10_000)
RESERVED = ("region", "tier", "tenant", "key", "name")
DERIVED_JOURNAL = JournalOptions(kind="memory", durability="memory", partitions=1, interval_s=0.05, batch_size=200)
"""Derived data waits in memory: what is lost with the process is computed again."""


class AsyncAssembly:
    """
    The parts of one cache.

    Args:
        matrix: Regions and what they share.
        process: What the caches of this process share.
        stores: Stores made by the user, by region; they are used as they are and not closed.
        far: A far tier made by the user, in place of the one that the matrix names.
        connect_timeout_s: How long to try what is down at the start.
    """

    def __init__(
        self,
        matrix: Matrix,
        process: Process,
        stores: Mapping[str, AsyncStore],
        far: AsyncFarTier | None,
        connect_timeout_s: float,
    ) -> None:
        self.matrix = matrix
        self.process = process
        self.recorder = Recorder(wall=process.clock.wall)
        self.seals = AsyncSeals(matrix)
        self.cores: dict[str, AsyncRegionCore] = {}
        self.warm_keys = WarmKeys(matrix.cache.warm_keys) if matrix.cache.warm_keys else None
        self.backplane: AsyncBackplane | None = None
        self.redelivery: AsyncRedelivery | None = None
        self.node: AsyncNode
        self.invalidator: AsyncInvalidator
        self.policy: AsyncPolicyFollower
        self._given_stores = stores
        self._given_far = far
        self._connect_timeout_s = connect_timeout_s
        self._journals = AsyncJournalPlaces(matrix, clock=process.clock, connect_timeout_s=connect_timeout_s)
        self._opened: list[Any] = [self._journals]
        self._stores: dict[str, AsyncStore] = {}
        self._outboxes: dict[AsyncOutboxStore, AsyncOutbox] = {}
        self._state_dir = Path(matrix.cache.state_dir)

    async def open(self) -> None:
        """Open everything; close what was opened where something cannot be."""
        try:
            await self._open()
        except BaseException:
            await self.aclose(0.0)
            raise

    async def _open(self) -> None:
        cache, process = self.matrix.cache, self.process
        space = KeySpace(cache.namespace)
        far = await self._far()
        edge = await self._edge(far, space)
        seen, gutter = await self._guttered(far)
        tags = AsyncTagBook(seen, space, process.clock, self._max_staleness_s(), self._is_live, process.tokens)
        arrivals = Arrivals(process, tags, self._doubted)
        arrivals.on_hot = self._promoted
        hedge = await self._hedge(far)
        self.node = AsyncNode(process, space, far, tags, QuietAnnouncer(process), self.recorder, edge)
        self.node.publishes = self._uses("cdn")
        self.node.hedge = hedge
        if gutter is not None:
            self.node.gutter, gutter.on_change = gutter, tags.forget_all
        if far is not None:
            await self._join(far, space, arrivals)
            tags.forget_all()  # another cache of this process may have read them before messages came here
        self.invalidator = AsyncInvalidator(self.node, arrivals, self.redelivery)
        if self._uses("local") or any(options.hot_limit for options in self.matrix.regions.values()):
            sweeper = AsyncSweeper(process)
            sweeper.start()
            self._opened.append(sweeper)
        for options in self.matrix.regions.values():
            self.cores[options.name] = await self._core(options, seen, edge)
        if cache.redis is not None:
            watch = AsyncErasureWatch(self.node, self.cores, self._state_dir / f"{cache.namespace}-erasures.position")
            watch.start()
            self._opened.append(watch)
        await self._follow_policy(far, space, arrivals)

    async def _follow_policy(self, far: AsyncFarTier | None, space: KeySpace, arrivals: Arrivals) -> None:
        """Begin with the live policy in force and follow it; it is kept in a file where no tier is shared."""
        cache, store = self.matrix.cache, AsyncFilePolicyStore(policy_file(self._state_dir, space.namespace))
        is_shared = far is not None and (cache.redis is not None or self._given_far is not None)
        self.policy = AsyncPolicyFollower(
            AsyncFarPolicyStore(far, space) if is_shared and far is not None else store,
            self.node,
            cache.node or socket.gethostname(),
            self.cores,
            self.matrix.regions,
        )
        arrivals.on_policy = self.policy.heard
        await self.policy.start()
        self._opened.append(self.policy)

    def _is_live(self) -> bool:
        return self.backplane is not None and self.backplane.is_live()

    def _doubted(self, why: str) -> None:
        self.recorder.event("local_doubted", tier="local", why=why)

    def _max_staleness_s(self) -> float:
        return min((options.max_staleness_s for options in self.matrix.regions.values()), default=5.0)

    def _uses(self, tier: str) -> bool:
        return any(tier in options.tiers for options in self.matrix.regions.values())

    async def _far(self) -> AsyncFarTier | None:
        if self._given_far is not None:
            return self._given_far
        url = self.matrix.cache.redis
        if url is None:
            return AsyncMemoryTier(self.process.records) if self._uses("redis") else None
        link = await open_link(url, options=self._timeouts())
        tier = AsyncRedisTier(link, self.process.clock, self._damaged, timeout_s=self.matrix.cache.redis_timeout_s)
        self._opened.append(tier)
        await tier.ping()
        link.on_reconnect.append(self._reconnected)
        return tier

    def _timeouts(self) -> LinkOptions:
        return LinkOptions(
            connect_timeout_s=self._connect_timeout_s, command_timeout_s=self.matrix.cache.redis_timeout_s
        )

    async def _guttered(self, far: AsyncFarTier | None) -> tuple[AsyncFarTier | None, AsyncGutterTier | None]:
        """Return the far tier as regions see it, and the gutter in it where the matrix names one."""
        if far is None:
            return None, None
        gutter = await open_gutter(self.matrix.cache, far, self.process, self.recorder, self._timeouts())
        if gutter is None:
            return far, None
        self._opened.append(gutter)
        return cast("AsyncFarTier", gutter), gutter

    def _damaged(self, name: bytes) -> None:
        parsed = self.node.space.parse_entry(name) if hasattr(self, "node") else None
        region = parsed[1] if parsed else ""
        if region in self.cores:
            self.cores[region].stats.damaged_frames += 1
        self.recorder.event("damaged", region=region, tier="redis", why="the record is no frame of this key")

    def _refused(self, name: bytes, why: str) -> None:
        region = (self.node.space.parse_entry(name) or ("", ""))[1]
        if region in self.cores:
            self.cores[region].stats.damaged_frames += 1
        self.recorder.event("unopened", region=region, tier="redis", why=why)

    def _reconnected(self, server: str) -> None:
        self.recorder.event("reconnected", tier="redis", server=server)
        if self.redelivery is not None:
            self.redelivery.repeat_recent()
        if hasattr(self, "policy"):
            self.policy.suspect()

    async def _edge(self, far: AsyncFarTier | None, space: KeySpace) -> AsyncEdge | None:
        if self.matrix.cache.cdn is None and not self._uses("cdn"):
            return None
        url = self.matrix.cache.cdn or f"folder://{(self._state_dir / 'edge').resolve()}"
        link = getattr(far, "link", None)
        edge = await open_edge(
            url,
            state_dir=self._state_dir,
            clock=self.process.clock,
            on_spending=self._purges_cost,
            turns=None if link is None else turns_by(link, space),
        )
        self._opened.append(edge)
        return edge

    def _purges_cost(self, spending: Spending) -> None:
        self.recorder.gauge("purge_budget_used", spending.budget_used)

    async def _join(self, far: AsyncFarTier, space: KeySpace, arrivals: Arrivals) -> None:
        cache = self.matrix.cache
        longest_s = max((o.ttl_s + o.grace_s + o.keep_s for o in self.matrix.regions.values()), default=3600.0)
        self.backplane = AsyncBackplane(
            far,
            space,
            self.process.node_id,
            arrivals,
            clock=self.process.clock,
            options=cache.backplane,
            max_staleness_s=self._max_staleness_s(),
            keep_s=longest_s,
            recorder=self.recorder,
        )
        await self.backplane.start()
        self._opened.append(self.backplane)
        self.node.announcer = self.backplane
        path = None if cache.redis is None else self._state_dir / f"{cache.namespace}-undelivered.db"
        self.redelivery = AsyncRedelivery(far, space, path, self.process.clock, self.recorder, self.process.unsettled)
        await self.redelivery.start()
        self._opened.append(self.redelivery)

    async def _core(self, options: RegionOptions, far: AsyncFarTier | None, edge: AsyncEdge | None) -> AsyncRegionCore:
        codec = ValueCodec(options, self._big_alarm(options.name))
        table = absent = None
        if "local" in options.tiers:
            decode = codec.local_decoder(options.local.copy)
            table = self.process.local.table(options.name, options.local, decode)
            absent = self.process.absent.table(options.name, ABSENT)
        core = AsyncRegionCore(
            RegionPlan(options),
            self.recorder.region(options.name),
            codec,
            self.seals.far_of(options, far, self._refused) if "redis" in options.tiers else None,
            edge if "cdn" in options.tiers else None,
            table,
            absent,
        )
        core.hot = self._hot(options, codec)
        core.warm = self.warm_keys
        core.store = await self._store(options)
        if options.strategy == "write-behind":
            await self._behind(core)
        else:
            core.outbox = self._outbox(core.store)
        return core

    def _outbox(self, store: AsyncStore | None) -> AsyncOutbox | None:
        """Return the outbox of a store that keeps notes: one for all its regions."""
        inner = store.store if isinstance(store, AsyncGuardedStore) else store
        if self.redelivery is None or not isinstance(inner, AsyncOutboxStore) or isinstance(inner, AsyncMemoryStore):
            return None  # what a store in memory keeps dies with this process
        if inner not in self._outboxes:
            namespace = self.matrix.cache.namespace
            outbox = AsyncOutbox(inner, namespace, self.redelivery, self.recorder)
            outbox.start()
            self._opened.append(outbox)
            self._outboxes[inner] = outbox
        return self._outboxes[inner]

    async def _hedge(self, far: AsyncFarTier | None) -> AsyncHedge | None:
        """Return what asks replicas where the primary is late; None where the matrix wants no such reads."""
        cache, process = self.matrix.cache, self.process
        if not cache.hedge_share or cache.redis is None or not isinstance(far, AsyncRedisTier):
            return None
        replicas = AsyncReplicas(far.link, parse_redis_url(cache.redis), self._timeouts())
        self._opened.append(replicas)
        await replicas.start()
        return AsyncHedge(far, replicas, process.keep_floors(), cache.hedge_share, process.clock, self.recorder)

    def _hot(self, options: RegionOptions, codec: ValueCodec) -> HotSpots | None:
        """Return the hot keys of a region that keeps no local copies of the others."""
        if not options.hot_limit:
            return None
        bounds = LocalOptions(max_entries=options.hot_limit, copy="decode")
        table = self.process.local.table(options.name, bounds, codec.decode_plain)
        return HotSpots(options, table, self.process.clock, self.recorder)

    def _promoted(self, tenant: str, region: str, key: Key) -> None:
        """Keep near what another node found hot."""
        core = self.cores.get(region)
        if core is not None and core.hot is not None:
            core.hot.promote(tenant, key)

    def _big_alarm(self, region: str) -> Callable[[int], None]:
        def alarm(size_bytes: int) -> None:
            self.recorder.event("big_value", region=region, tier="redis", size_bytes=size_bytes)

        return alarm

    async def _store(self, options: RegionOptions) -> AsyncStore | None:
        given = self._given_stores.get(options.name)
        if given is not None:
            return given
        url = self.matrix.store_url(options.name)
        if url is None:
            return None
        if url not in self._stores:
            opened = await self._opened_store(url, options.name)
            gate = AsyncOriginGate(options.name, LimiterOptions.up_to(self.matrix.cache.store_connections))
            self._stores[url] = AsyncGuardedStore(opened, gate, options.load_timeout_s)
            self._opened.append(self._stores[url])
        return self._stores[url]

    def warmer(self, region_of: Callable[[str, str], AsyncRegion]) -> AsyncWarmer:
        """Return what fills a cold cache; it keeps its own list where ``warm_keys`` says so."""
        cache = self.matrix.cache
        path = None if cache.redis is None else self._state_dir / f"{cache.namespace}-warm.keys"
        keys = WarmKeys(1) if self.warm_keys is None else self.warm_keys
        return AsyncWarmer(self.node, self.cores, keys, cache, path, region_of)

    def keep_warm(self, region_of: Callable[[str, str], AsyncRegion]) -> None:
        """Warm from what was saved, and save from now on, where ``warm_keys`` says so."""
        if self.warm_keys is not None:
            warmer = self.warmer(region_of)
            warmer.start()
            self._opened.append(warmer)

    async def _opened_store(self, url: str, region: str) -> AsyncStore:
        clock = self.process.clock
        ends = clock.monotonic() + self._connect_timeout_s
        while True:
            try:
                return await open_store(url, pool_size=self.matrix.cache.store_connections)
            except StoreError as error:
                if clock.monotonic() >= ends:
                    raise StoreError(
                        f"the store of region {region!r} is down; tried for {self._connect_timeout_s:g} s: {error}"
                    ) from error
                self.recorder.event("store_retry", region=region, why=str(error))
            await async_sleep(RETRY_S)

    async def _behind(self, core: AsyncRegionCore) -> None:
        options = core.options
        store = core.store
        if store is None and core.far is None and core.edge is None:
            return  # local alone: there is nothing behind it to write to
        if store is None:
            core.is_derived_behind = True
            store = AsyncFarStore(self._unwrapping(options.name))
        journal_options = DERIVED_JOURNAL if core.is_derived_behind else options.journal or JournalOptions()
        journal = await self._journals.journal(options.name, journal_options)
        behind = AsyncWriteBehind(
            options.name,
            journal_options,
            self._journals.discreet(journal, store),
            journal,
            clock=self.process.clock,
            events=self._events_of(options.name),
        )
        await behind.start()
        core.behind = behind
        self._opened.append(behind)

    def _events_of(self, region: str) -> Any:
        def tell(name: str, fields: Mapping[str, Any]) -> None:
            plain: dict[str, Any] = {
                key: value
                for key, value in fields.items()
                if isinstance(value, (str, int, float, bool)) and key not in RESERVED
            }
            self.recorder.event(name, region=region, tier="store", **plain)

        return tell

    def _unwrapping(self, region: str) -> Any:
        async def spread(tenant: str, items: Mapping[Any, Any]) -> None:
            await self.unwrap(region, tenant, items)

        return spread

    async def unwrap(self, region: str, tenant: str, items: Mapping[Any, Any]) -> None:
        """Put a batch of derived data into the tiers; the cache replaces this once its regions exist."""
        raise ConfigurationError(f"region {region!r} of tenant {tenant!r} is not open yet")

    async def aclose(self, deadline_s: float) -> None:
        """Close everything, last opened first; journals drain within *deadline_s*."""
        while self._opened:
            part = self._opened.pop()
            if isinstance(part, AsyncWriteBehind):
                await part.aclose(deadline_s)
            else:
                await part.aclose()
