# Generated from src/tiercel/_async/assembly.py by tools/unasync.py. Do not edit.
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
from tiercel._sync.backplane import Backplane
from tiercel._sync.edge import Edge, open_edge
from tiercel._sync.edge_turn import turns_by
from tiercel._sync.erasurewatch import ErasureWatch
from tiercel._sync.farstore import FarStore
from tiercel._sync.guardedstore import GuardedStore
from tiercel._sync.gutter import GutterTier, open_gutter
from tiercel._sync.hedge import Hedge
from tiercel._sync.invalidator import Invalidator
from tiercel._sync.journals.places import JournalPlaces
from tiercel._sync.link import open_link
from tiercel._sync.memory_tier import MemoryTier
from tiercel._sync.node import Node, RegionCore
from tiercel._sync.origingate import OriginGate
from tiercel._sync.outbox import Outbox
from tiercel._sync.policyfollower import PolicyFollower
from tiercel._sync.policystore import FarPolicyStore, FilePolicyStore, policy_file
from tiercel._sync.redelivery import Redelivery
from tiercel._sync.redis import RedisTier
from tiercel._sync.region import Region
from tiercel._sync.replicas import Replicas
from tiercel._sync.seals import Seals
from tiercel._sync.stores import MemoryStore, open_store
from tiercel._sync.sweeper import Sweeper
from tiercel._sync.tagbook import TagBook
from tiercel._sync.tier import FarTier
from tiercel._sync.warmer import AsyncWarmer
from tiercel._sync.writebehind import WriteBehind
from tiercel._core.keys import KeySpace
from tiercel._core.limiter import LimiterOptions
from tiercel._core.linkoptions import LinkOptions
from tiercel._core.policyplan import RegionPlan
from tiercel._core.redisurl import parse_redis_url
from tiercel._core.warmkeys import WarmKeys
from tiercel._hotspots import HotSpots
from tiercel._paired import sleep
from tiercel._process import Process
from tiercel._quiet import QuietAnnouncer
from tiercel.cdn.budget import Spending
from tiercel.codecs import ValueCodec
from tiercel.errors import ConfigurationError, StoreError
from tiercel.matrix import Matrix
from tiercel.observe.recorder import Recorder
from tiercel.options import JournalOptions, LocalOptions, RegionOptions
from tiercel.typing import OutboxStore, Store, Key

RETRY_S = 0.2
ABSENT = LocalOptions(max_entries=10_000)
RESERVED = ("region", "tier", "tenant", "key", "name")
DERIVED_JOURNAL = JournalOptions(kind="memory", durability="memory", partitions=1, interval_s=0.05, batch_size=200)
"""Derived data waits in memory: what is lost with the process is computed again."""


class Assembly:
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
        stores: Mapping[str, Store],
        far: FarTier | None,
        connect_timeout_s: float,
    ) -> None:
        self.matrix = matrix
        self.process = process
        self.recorder = Recorder(wall=process.clock.wall)
        self.seals = Seals(matrix)
        self.cores: dict[str, RegionCore] = {}
        self.warm_keys = WarmKeys(matrix.cache.warm_keys) if matrix.cache.warm_keys else None
        self.backplane: Backplane | None = None
        self.redelivery: Redelivery | None = None
        self.node: Node
        self.invalidator: Invalidator
        self.policy: PolicyFollower
        self._given_stores = stores
        self._given_far = far
        self._connect_timeout_s = connect_timeout_s
        self._journals = JournalPlaces(matrix, clock=process.clock, connect_timeout_s=connect_timeout_s)
        self._opened: list[Any] = [self._journals]
        self._stores: dict[str, Store] = {}
        self._outboxes: dict[OutboxStore, Outbox] = {}
        self._state_dir = Path(matrix.cache.state_dir)

    def open(self) -> None:
        """Open everything; close what was opened where something cannot be."""
        try:
            self._open()
        except BaseException:
            self.close(0.0)
            raise

    def _open(self) -> None:
        cache, process = self.matrix.cache, self.process
        space = KeySpace(cache.namespace)
        far = self._far()
        edge = self._edge(far, space)
        seen, gutter = self._guttered(far)
        tags = TagBook(seen, space, process.clock, self._max_staleness_s(), self._is_live, process.tokens)
        arrivals = Arrivals(process, tags, self._doubted)
        arrivals.on_hot = self._promoted
        hedge = self._hedge(far)
        self.node = Node(process, space, far, tags, QuietAnnouncer(process), self.recorder, edge)
        self.node.publishes = self._uses("cdn")
        self.node.hedge = hedge
        if gutter is not None:
            self.node.gutter, gutter.on_change = gutter, tags.forget_all
        if far is not None:
            self._join(far, space, arrivals)
            tags.forget_all()  # another cache of this process may have read them before messages came here
        self.invalidator = Invalidator(self.node, arrivals, self.redelivery)
        if self._uses("local") or any(options.hot_limit for options in self.matrix.regions.values()):
            sweeper = Sweeper(process)
            sweeper.start()
            self._opened.append(sweeper)
        for options in self.matrix.regions.values():
            self.cores[options.name] = self._core(options, seen, edge)
        if cache.redis is not None:
            watch = ErasureWatch(self.node, self.cores, self._state_dir / f"{cache.namespace}-erasures.position")
            watch.start()
            self._opened.append(watch)
        self._follow_policy(far, space, arrivals)

    def _follow_policy(self, far: FarTier | None, space: KeySpace, arrivals: Arrivals) -> None:
        """Begin with the live policy in force and follow it; it is kept in a file where no tier is shared."""
        cache, store = self.matrix.cache, FilePolicyStore(policy_file(self._state_dir, space.namespace))
        is_shared = far is not None and (cache.redis is not None or self._given_far is not None)
        self.policy = PolicyFollower(
            FarPolicyStore(far, space) if is_shared and far is not None else store,
            self.node,
            cache.node or socket.gethostname(),
            self.cores,
            self.matrix.regions,
        )
        arrivals.on_policy = self.policy.heard
        self.policy.start()
        self._opened.append(self.policy)

    def _is_live(self) -> bool:
        return self.backplane is not None and self.backplane.is_live()

    def _doubted(self, why: str) -> None:
        self.recorder.event("local_doubted", tier="local", why=why)

    def _max_staleness_s(self) -> float:
        return min((options.max_staleness_s for options in self.matrix.regions.values()), default=5.0)

    def _uses(self, tier: str) -> bool:
        return any(tier in options.tiers for options in self.matrix.regions.values())

    def _far(self) -> FarTier | None:
        if self._given_far is not None:
            return self._given_far
        url = self.matrix.cache.redis
        if url is None:
            return MemoryTier(self.process.records) if self._uses("redis") else None
        link = open_link(url, options=self._timeouts())
        tier = RedisTier(link, self.process.clock, self._damaged, timeout_s=self.matrix.cache.redis_timeout_s)
        self._opened.append(tier)
        tier.ping()
        link.on_reconnect.append(self._reconnected)
        return tier

    def _timeouts(self) -> LinkOptions:
        return LinkOptions(
            connect_timeout_s=self._connect_timeout_s, command_timeout_s=self.matrix.cache.redis_timeout_s
        )

    def _guttered(self, far: FarTier | None) -> tuple[FarTier | None, GutterTier | None]:
        """Return the far tier as regions see it, and the gutter in it where the matrix names one."""
        if far is None:
            return None, None
        gutter = open_gutter(self.matrix.cache, far, self.process, self.recorder, self._timeouts())
        if gutter is None:
            return far, None
        self._opened.append(gutter)
        return cast("FarTier", gutter), gutter

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

    def _edge(self, far: FarTier | None, space: KeySpace) -> Edge | None:
        if self.matrix.cache.cdn is None and not self._uses("cdn"):
            return None
        url = self.matrix.cache.cdn or f"folder://{(self._state_dir / 'edge').resolve()}"
        link = getattr(far, "link", None)
        edge = open_edge(
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

    def _join(self, far: FarTier, space: KeySpace, arrivals: Arrivals) -> None:
        cache = self.matrix.cache
        longest_s = max((o.ttl_s + o.grace_s + o.keep_s for o in self.matrix.regions.values()), default=3600.0)
        self.backplane = Backplane(
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
        self.backplane.start()
        self._opened.append(self.backplane)
        self.node.announcer = self.backplane
        path = None if cache.redis is None else self._state_dir / f"{cache.namespace}-undelivered.db"
        self.redelivery = Redelivery(far, space, path, self.process.clock, self.recorder, self.process.unsettled)
        self.redelivery.start()
        self._opened.append(self.redelivery)

    def _core(self, options: RegionOptions, far: FarTier | None, edge: Edge | None) -> RegionCore:
        codec = ValueCodec(options, self._big_alarm(options.name))
        table = absent = None
        if "local" in options.tiers:
            decode = codec.local_decoder(options.local.copy)
            table = self.process.local.table(options.name, options.local, decode)
            absent = self.process.absent.table(options.name, ABSENT)
        core = RegionCore(
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
        core.store = self._store(options)
        if options.strategy == "write-behind":
            self._behind(core)
        else:
            core.outbox = self._outbox(core.store)
        return core

    def _outbox(self, store: Store | None) -> Outbox | None:
        """Return the outbox of a store that keeps notes: one for all its regions."""
        inner = store.store if isinstance(store, GuardedStore) else store
        if self.redelivery is None or not isinstance(inner, OutboxStore) or isinstance(inner, MemoryStore):
            return None  # what a store in memory keeps dies with this process
        if inner not in self._outboxes:
            namespace = self.matrix.cache.namespace
            outbox = Outbox(inner, namespace, self.redelivery, self.recorder)
            outbox.start()
            self._opened.append(outbox)
            self._outboxes[inner] = outbox
        return self._outboxes[inner]

    def _hedge(self, far: FarTier | None) -> Hedge | None:
        """Return what asks replicas where the primary is late; None where the matrix wants no such reads."""
        cache, process = self.matrix.cache, self.process
        if not cache.hedge_share or cache.redis is None or not isinstance(far, RedisTier):
            return None
        replicas = Replicas(far.link, parse_redis_url(cache.redis), self._timeouts())
        self._opened.append(replicas)
        replicas.start()
        return Hedge(far, replicas, process.keep_floors(), cache.hedge_share, process.clock, self.recorder)

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

    def _store(self, options: RegionOptions) -> Store | None:
        given = self._given_stores.get(options.name)
        if given is not None:
            return given
        url = self.matrix.store_url(options.name)
        if url is None:
            return None
        if url not in self._stores:
            opened = self._opened_store(url, options.name)
            gate = OriginGate(options.name, LimiterOptions.up_to(self.matrix.cache.store_connections))
            self._stores[url] = GuardedStore(opened, gate, options.load_timeout_s)
            self._opened.append(self._stores[url])
        return self._stores[url]

    def warmer(self, region_of: Callable[[str, str], Region]) -> AsyncWarmer:
        """Return what fills a cold cache; it keeps its own list where ``warm_keys`` says so."""
        cache = self.matrix.cache
        path = None if cache.redis is None else self._state_dir / f"{cache.namespace}-warm.keys"
        keys = WarmKeys(1) if self.warm_keys is None else self.warm_keys
        return AsyncWarmer(self.node, self.cores, keys, cache, path, region_of)

    def keep_warm(self, region_of: Callable[[str, str], Region]) -> None:
        """Warm from what was saved, and save from now on, where ``warm_keys`` says so."""
        if self.warm_keys is not None:
            warmer = self.warmer(region_of)
            warmer.start()
            self._opened.append(warmer)

    def _opened_store(self, url: str, region: str) -> Store:
        clock = self.process.clock
        ends = clock.monotonic() + self._connect_timeout_s
        while True:
            try:
                return open_store(url, pool_size=self.matrix.cache.store_connections)
            except StoreError as error:
                if clock.monotonic() >= ends:
                    raise StoreError(
                        f"the store of region {region!r} is down; tried for {self._connect_timeout_s:g} s: {error}"
                    ) from error
                self.recorder.event("store_retry", region=region, why=str(error))
            sleep(RETRY_S)

    def _behind(self, core: RegionCore) -> None:
        options = core.options
        store = core.store
        if store is None and core.far is None and core.edge is None:
            return  # local alone: there is nothing behind it to write to
        if store is None:
            core.is_derived_behind = True
            store = FarStore(self._unwrapping(options.name))
        journal_options = DERIVED_JOURNAL if core.is_derived_behind else options.journal or JournalOptions()
        journal = self._journals.journal(options.name, journal_options)
        behind = WriteBehind(
            options.name,
            journal_options,
            self._journals.discreet(journal, store),
            journal,
            clock=self.process.clock,
            events=self._events_of(options.name),
        )
        behind.start()
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
        def spread(tenant: str, items: Mapping[Any, Any]) -> None:
            self.unwrap(region, tenant, items)

        return spread

    def unwrap(self, region: str, tenant: str, items: Mapping[Any, Any]) -> None:
        """Put a batch of derived data into the tiers; the cache replaces this once its regions exist."""
        raise ConfigurationError(f"region {region!r} of tenant {tenant!r} is not open yet")

    def close(self, deadline_s: float) -> None:
        """Close everything, last opened first; journals drain within *deadline_s*."""
        while self._opened:
            part = self._opened.pop()
            if isinstance(part, WriteBehind):
                part.close(deadline_s)
            else:
                part.close()
