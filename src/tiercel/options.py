"""
Frozen, keyword-only option objects, validated once when they are made.

A wrong value raises `ConfigurationError` that names the field, the value and what is allowed; a contradiction names
both fields. Durations are seconds as float (``*_s``), sizes are bytes (``*_bytes``). The TOML spelling (``ttl =
"30m"``, ``max_bytes = "64 MB"``) is turned into these by `tiercel.matrix`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tiercel.errors import ConfigurationError

__all__ = [
    "BackplaneOptions",
    "CacheOptions",
    "Consistency",
    "Durability",
    "EntityRule",
    "JournalOptions",
    "KeyOptions",
    "LocalOptions",
    "RegionOptions",
    "Strategy",
    "Tier",
]

Tier: TypeAlias = Literal["local", "redis", "cdn"]
Strategy: TypeAlias = Literal["write-through", "write-behind"]
Durability: TypeAlias = Literal["memory", "process", "always", "replicated"]
Consistency: TypeAlias = Literal["eventual", "strong"]
Overflow: TypeAlias = Literal["block", "reject", "write-through"]

TIERS: tuple[Tier, ...] = ("local", "redis", "cdn")
HEDGE_MOST = 0.2
"""More would double the load of a primary that is late because it is busy."""
HOT_KEYS = 32
GUTTER_LONGEST_S = 300.0
"""A gutter is for an outage: what it holds may be as old as this where another node could not reach it."""
REGION_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def require(condition: bool, message: str) -> None:
    """Raise `ConfigurationError` with *message* unless *condition*."""
    if not condition:
        raise ConfigurationError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """
    Bounds of a region's local copies, for one process.

    Args:
        max_entries: Most entries held; None where bytes bound the region.
        max_bytes: Most bytes held (keys, values and overhead, estimated); None where entries bound it.
        tenant_share: Largest part of the bound that one tenant may fill, 0 < share <= 1.
        copy: ``"shared"`` hands out the stored object itself; ``"decode"`` keeps bytes and decodes on each hit;
            ``"sealed"`` keeps them encrypted, too.
        detect_mutation: Debugging aid: raise when a caller changed a shared value.
        objective: What eviction favours: ``"objects"`` (hits per entry) or ``"bytes"`` (hits per byte).
    """

    max_entries: int | None = 10_000
    max_bytes: int | None = None
    tenant_share: float = 1.0
    copy: Literal["shared", "decode", "sealed"] = "shared"
    detect_mutation: bool = False
    objective: Literal["objects", "bytes"] = "objects"

    def __post_init__(self) -> None:
        require(
            (self.max_entries is None) != (self.max_bytes is None),
            f"max_entries={self.max_entries} and max_bytes={self.max_bytes}: set exactly one of the two",
        )
        bound = self.max_entries if self.max_entries is not None else self.max_bytes
        require(bound is not None and bound >= 1, f"max_entries or max_bytes must be at least 1, not {bound}")
        require(0.0 < self.tenant_share <= 1.0, f"tenant_share={self.tenant_share}: must lie in (0, 1]")

    @property
    def bound(self) -> int:
        """The bound that is set, in its own unit: entries or bytes."""
        return self.max_entries or self.max_bytes or 1

    def counts_like(self, other: LocalOptions) -> bool:
        """Whether entries kept under *other* mean the same under these options, whatever the bounds are."""
        return (self.max_bytes is None, self.copy, self.detect_mutation, self.objective) == (
            other.max_bytes is None,
            other.copy,
            other.detect_mutation,
            other.objective,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """
    How writes that are acknowledged before they reach the store are kept.

    Args:
        kind: ``"file"`` (a local file), ``"redis"``, ``"postgres"`` (an outbox), or ``"memory"``, which loses
            everything on exit.
        durability: What an acknowledged write survives: ``memory`` nothing, ``process`` the death of the process,
            ``always`` power loss, ``replicated`` the loss of a node.
        partitions: Independent queues; order is kept inside one, keys are spread by hash.
        batch_size: Most rows a flush writes at once.
        interval_s: Longest time that a row waits for its batch to fill.
        max_pending: Most rows waiting; None for no bound by count.
        max_pending_bytes: Most encoded bytes waiting.
        max_age_s: Oldest row allowed to wait before `overflow` applies; None for no bound by age.
        overflow: What a write does when a bound is reached: wait, raise `JournalFull`, or write through.
        retry_s: First pause after a failed flush; doubles with jitter up to *retry_max_s*.
        retry_max_s: Longest pause between tries.
        poison_after: Tries after which a row that the store refuses is parked as a dead letter.
        flush: Flush inside this process; False where ``tiercel worker`` processes do it.
        lease_s: How long a partition stays with a worker that says nothing; another takes over after that.
        replicas: Redis replicas that must have a write before it is acknowledged, where durability is ``replicated``.
    """

    kind: Literal["file", "redis", "postgres", "memory"] = "file"
    durability: Durability = "process"
    partitions: int = 4
    batch_size: int = 500
    interval_s: float = 0.5
    max_pending: int | None = 100_000
    max_pending_bytes: int | None = 256 * 1024 * 1024
    max_age_s: float | None = None
    overflow: Overflow = "block"
    retry_s: float = 0.1
    retry_max_s: float = 30.0
    poison_after: int = 3
    flush: bool = True
    lease_s: float = 10.0
    replicas: int = 1

    def __post_init__(self) -> None:
        for name in ("partitions", "batch_size", "poison_after", "replicas"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("interval_s", "retry_s", "retry_max_s", "lease_s"):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)}: must be greater than 0")
        require(
            self.retry_max_s >= self.retry_s,
            f"retry_max_s={self.retry_max_s} is below retry_s={self.retry_s}: it must be at least as long",
        )
        require(
            (self.kind == "memory") == (self.durability == "memory"),
            f"journal kind={self.kind!r} with durability={self.durability!r}: 'memory' goes only with 'memory'",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOptions:
    """
    One row of the strategy matrix: how one data type is cached and written.

    An entry is *fresh* for ``ttl_s``, then served *stale* while one refresh runs for ``grace_s``, then kept for
    ``keep_s`` more to be served only where the load fails. The three are additive.

    Args:
        name: The region's name: a lower-case letter, then letters, digits, ``_ . -``; at most 64.
        tiers: Where copies live, nearest first: any of ``local``, ``redis``, ``cdn``.
        ttl_s: How long an entry is fresh.
        strategy: How `write` reaches the store, or the far tier where there is no store.
        store: URL of the store, or ``"name#table"`` of a store that `CacheOptions` names; None for derived data.
        scope: ``tenant``: every key belongs to a tenant; ``global``: keys belong to none.
        grace_s: Stale-while-revalidate window.
        keep_s: Stale-if-error window.
        never_stale: Refuse to serve stale values whatever the windows say.
        negative_ttl_s: How long "no such record" is remembered; 0 to forget at once.
        local_ttl_s: Upper bound of the local copy's ttl; None for ``ttl_s``.
        max_staleness_s: Longest time that a local copy may outlive an invalidation elsewhere while the backplane is
            cut.
        ttl_jitter: Part of the ttl that is taken off at random, so that entries made together do not end together.
        local: Bounds of the local copies.
        journal: Write-behind settings; None for the defaults where the strategy is write-behind.
        codec: ``msgpack``, ``json``, or ``raw`` (bytes as they are).
        value_type: A msgspec Struct, dataclass or other type that values are decoded to; None for plain objects.
        compress_above_bytes: Payloads larger than this are compressed; None for never.
        load_timeout_s: Hard limit of one load.
        soft_timeout_s: With a stale copy at hand, how long a caller waits for the load before it gets that copy.
        early_refresh_beta: XFetch factor; 0 switches early refresh off.
        refresh_at: Part of its ttl after which an entry that is read is refreshed in the background; 0 for never.
        tags: Tags that every entry of the region carries.
        prefixes: Declared key prefixes; each is a tag, so that ``invalidate_prefix`` costs one write.
        track_dependencies: Hand the tags of what was read to what is being computed.
        consistency: What a plain read promises: ``eventual`` or ``strong``.
        max_value_bytes: Larger encoded values are refused with `EncodeError`.
        big_value_bytes: Encoded values larger than this are told as an event: one of them slows everybody down.
        hot_keys: Most keys that a process keeps for a moment while they are hot, in a region without the tier
            ``local``; 0 for none, None for 32 unless the region is private, strong or never stale.
        hot_ttl_s: How long such a copy is kept.
        hot_reads: Reads of a key by one process in about ten seconds that make it hot.
        stale_if: A function of a loader's error: may a stale copy be served for it? None: for every error. Objects
            only.
        private: The data is one person's (a session, a profile): an HTTP response made with it is never shared.
        purge_pages: Pages that the middleware made from this region are behind the CDN: purge them there when an entry
            changes, one purge item a change.
        shadow_share: Part of the hits that are compared with the store in the background, [0, 1]; mismatches are
            counted.
        shadow_rate: Most comparisons a second, on each node.
        encrypt: Name of the key that payloads are sealed with, in Redis, journals and backups; None for plain ones.
    """

    name: str
    tiers: tuple[Tier, ...] = ("local", "redis")
    ttl_s: float = 300.0
    strategy: Strategy = "write-through"
    store: str | None = field(default=None, repr=False)  # a URL may hold a password
    scope: Literal["tenant", "global"] = "tenant"
    grace_s: float = 0.0
    keep_s: float = 0.0
    never_stale: bool = False
    negative_ttl_s: float = 5.0
    local_ttl_s: float | None = None
    max_staleness_s: float = 5.0
    ttl_jitter: float = 0.0
    local: LocalOptions = field(default_factory=LocalOptions)
    journal: JournalOptions | None = None
    codec: Literal["msgpack", "json", "raw"] = "msgpack"
    value_type: Any = None
    compress_above_bytes: int | None = 1024
    load_timeout_s: float = 30.0
    soft_timeout_s: float | None = None
    early_refresh_beta: float = 0.0
    refresh_at: float = 0.0
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    track_dependencies: bool = True
    consistency: Consistency = "eventual"
    max_value_bytes: int = 8 * 1024 * 1024
    big_value_bytes: int = 256 * 1024
    hot_keys: int | None = None
    hot_ttl_s: float = 1.0
    hot_reads: int = 1000
    stale_if: Any = None
    private: bool = False
    purge_pages: bool = False
    shadow_share: float = 0.0
    shadow_rate: float = 5.0
    encrypt: str | None = None

    def __post_init__(self) -> None:
        require(
            REGION_NAME.fullmatch(self.name) is not None,
            f"region name {self.name!r}: must match {REGION_NAME.pattern}",
        )
        where = f"region {self.name!r}: "
        require(bool(self.tiers), where + "tiers is empty: name at least one of local, redis, cdn")
        for tier in self.tiers:
            require(tier in TIERS, where + f"tiers names {tier!r}: allowed are local, redis, cdn")
        require(len(set(self.tiers)) == len(self.tiers), where + f"tiers={self.tiers} names a tier twice")
        require(self.ttl_s > 0, where + f"ttl={self.ttl_s}: must be greater than 0")
        for name in ("grace_s", "keep_s", "negative_ttl_s", "max_staleness_s", "early_refresh_beta"):
            require(getattr(self, name) >= 0, where + f"{name}={getattr(self, name)}: must not be negative")
        require(0 <= self.shadow_share <= 1, where + f"shadow_share={self.shadow_share}: must lie in [0, 1]")
        require(self.shadow_rate > 0, where + f"shadow_rate={self.shadow_rate}: must be greater than 0")
        require(0 <= self.ttl_jitter < 1, where + f"ttl_jitter={self.ttl_jitter}: must lie in [0, 1)")
        require(self.load_timeout_s > 0, where + f"load_timeout={self.load_timeout_s}: must be greater than 0")
        self._check_pairs(where)

    @property
    def hot_limit(self) -> int:
        """Most hot keys kept near: 0 where the region has local copies anyway, or must not have any."""
        if "local" in self.tiers or "redis" not in self.tiers:
            return 0
        if self.hot_keys is not None:
            return self.hot_keys
        return 0 if self.private or self.never_stale or self.consistency == "strong" else HOT_KEYS

    def _check_refresh(self, where: str) -> None:
        require(0 <= self.refresh_at < 1, where + f"refresh_at={self.refresh_at}: must lie in [0, 1)")
        require(
            not self.refresh_at or "redis" in self.tiers,
            where + f"refresh_at={self.refresh_at} contradicts tiers={self.tiers}: it needs the tier redis; use grace",
        )

    def _check_hot(self, where: str) -> None:
        require(self.hot_keys is None or self.hot_keys >= 0, where + f"hot_keys={self.hot_keys}: must not be negative")
        require(self.hot_ttl_s > 0, where + f"hot_ttl={self.hot_ttl_s}: must be greater than 0")
        require(self.hot_reads >= 1, where + f"hot_reads={self.hot_reads}: must be at least 1")
        require(
            not self.hot_keys or "local" not in self.tiers,
            where + f"hot_keys={self.hot_keys} contradicts tiers={self.tiers}: every key is kept there already",
        )
        require(
            not self.hot_keys or self.consistency != "strong",
            where + f"hot_keys={self.hot_keys} contradicts consistency='strong': such a read asks the shared tier",
        )

    def _check_pairs(self, where: str) -> None:
        self._check_hot(where)
        self._check_refresh(where)
        require(
            not (self.never_stale and (self.grace_s or self.keep_s)),
            where + f"never_stale=true contradicts grace={self.grace_s} and keep={self.keep_s}: drop one side",
        )
        require(
            self.local_ttl_s is None or 0 < self.local_ttl_s <= self.ttl_s,
            where + f"local_ttl={self.local_ttl_s} must lie in (0, ttl={self.ttl_s}]",
        )
        require(
            self.soft_timeout_s is None or self.soft_timeout_s < self.load_timeout_s,
            where + f"soft_timeout={self.soft_timeout_s} must be below load_timeout={self.load_timeout_s}",
        )
        require(
            self.journal is None or self.strategy == "write-behind",
            where + f"journal is set but strategy is {self.strategy!r}: a journal needs strategy = 'write-behind'",
        )
        require(
            "local" not in self.tiers or self.local_ttl_s is not None or self.ttl_s > 0,
            where + "tiers has local but no ttl",
        )
        require(
            self.encrypt is None or "cdn" not in self.tiers,
            where + f"encrypt={self.encrypt!r} contradicts the tier cdn: what is published cannot be secret",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackplaneOptions:
    """
    How nodes tell each other what fell.

    Args:
        partitions: Streams that messages are spread over; the same on every node of a namespace.
        max_entries: Messages kept in each stream; a node that lags further behind treats its local copies as suspect.
        coalesce_s: How long a message waits for others to share its round trip.
    """

    partitions: int = 4
    max_entries: int = 100_000
    coalesce_s: float = 0.003

    def __post_init__(self) -> None:
        for name in ("partitions", "max_entries"):
            require(getattr(self, name) >= 1, f"backplane {name}={getattr(self, name)}: must be at least 1")
        require(0 <= self.coalesce_s <= 1, f"backplane coalesce={self.coalesce_s}: must lie in [0, 1] seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """
    What all regions of one cache share: where its tiers and stores are.

    Args:
        namespace: Prefix of every key in the shared tier; two namespaces never see each other.
        redis: URL of the shared tier (``redis://``, ``rediss://``, ``redis+sentinel://``, ``redis+cluster://``); None
            for no shared tier.
        cdn: URL of the edge (``s3+cloudfront://``, ``s3://``, ``fastly://``, ``cloudflare://``, ``varnish://``,
            ``folder://``); None for none.
        redis_timeout_s: Longest wait for one answer of the shared tier, before a read turns to the store.
        hedge_share: Most reads, as a part of all, that are asked of a replica as well where the primary is late; 0 for
            none. Only plain (``eventual``) reads.
        gutter: What takes over while the shared tier's breaker is open: the URL of another Redis, or ``local`` for this
            process's memory; None for nothing.
        gutter_ttl_s: Longest life of an entry there.
        node: Name of this node, the same after a restart, by which nodes that try a change are chosen; None for the
            host's name.
        state_dir: Folder of what must survive a restart: journals, outboxes.
        stores: Store URLs by name, so that a region says ``store = "shop#products"``.
        store_connections: Most connections to each store, and most loads that it gets at once.
        warm_keys: Keys worth being warm that nodes save, and that a new node or a wiped Redis is filled from; 0 for
            none.
        warm_every_s: Time between two savings.
        warm_rate: Most keys that a warming node loads a second.
        backplane: How nodes tell each other what fell.
    """

    namespace: str = "tiercel"
    redis: str | None = field(default=None, repr=False)  # a URL may hold a password
    cdn: str | None = field(default=None, repr=False)
    redis_timeout_s: float = 1.0
    hedge_share: float = 0.0
    gutter: str | None = field(default=None, repr=False)
    gutter_ttl_s: float = 10.0
    node: str | None = None
    state_dir: str = ".tiercel"
    stores: Mapping[str, str] = field(default_factory=dict, repr=False)
    store_connections: int = 8
    warm_keys: int = 0
    warm_every_s: float = 30.0
    warm_rate: float = 500.0
    backplane: BackplaneOptions = field(default_factory=BackplaneOptions)

    def __post_init__(self) -> None:
        require(
            REGION_NAME.fullmatch(self.namespace) is not None,
            f"namespace {self.namespace!r}: must match {REGION_NAME.pattern}",
        )
        require(bool(self.state_dir), "state_dir is empty: name a folder")
        require(self.store_connections >= 1, f"store_connections={self.store_connections}: must be at least 1")
        require(self.warm_keys >= 0, f"warm_keys={self.warm_keys}: must not be negative")
        require(
            min(self.warm_every_s, self.warm_rate) > 0,
            f"warm_every={self.warm_every_s} and warm_rate={self.warm_rate}: must be greater than 0",
        )
        require(self.redis_timeout_s > 0, f"redis_timeout={self.redis_timeout_s}: must be greater than 0")
        require(
            0 <= self.hedge_share <= HEDGE_MOST,
            f"hedge_share={self.hedge_share}: must lie in [0, {HEDGE_MOST}]",
        )
        require(
            0 < self.gutter_ttl_s <= GUTTER_LONGEST_S,
            f"gutter_ttl={self.gutter_ttl_s}: must lie in (0, {GUTTER_LONGEST_S}] seconds",
        )
        require(
            self.gutter is None or self.gutter != self.redis,
            "gutter is the same URL as redis: it must be another server, or 'local'",
        )
        for name in self.stores:
            require(REGION_NAME.fullmatch(name) is not None, f"store name {name!r}: must match {REGION_NAME.pattern}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """
    A named key, or rather a ring of them: the first seals, all of them open.

    Args:
        name: What a region's ``encrypt`` says.
        source: Where the ring is: ``file:PATH``, ``env:NAME`` or ``call:module:function``. A path or name with
            ``{tenant}`` in it, and every function, gives each tenant a ring of its own.
        subjects: Seal what belongs to one subject of the entity graph with a key of its own, so that erasing the
            subject makes every old copy unreadable, backups included.
        provider: A function of the tenant that returns the ring as text, in place of *source*. Objects only.
    """

    name: str
    source: str = ""
    subjects: bool = False
    provider: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require(
            REGION_NAME.fullmatch(self.name) is not None, f"key name {self.name!r}: must match {REGION_NAME.pattern}"
        )
        kind, _, rest = self.source.partition(":")
        require(
            self.provider is not None or (kind in ("file", "env", "call") and bool(rest)),
            f"key {self.name!r}: source must be file:PATH, env:NAME or call:module:function",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRule:
    """
    What falls when an entity changes; ``{id}`` stands for the entity's key.

    Args:
        name: The entity's name, as given to ``invalidate``.
        regions: ``"region:key template"`` for each entry that falls. A name that is no region of the matrix falls
            as the tag of the same spelling.
        tags: Tags that fall, with every entry that carries them.
        paths: URL paths purged at the CDN; may end in ``*``.
    """

    name: str
    regions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
