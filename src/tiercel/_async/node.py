"""
A node: everything that the regions of one cache work with.

It holds no logic of its own beyond telling others what fell; the reader, writer and invalidator do the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiercel._async.edge import AsyncEdge
from tiercel._async.tagbook import DOUBT, GENERATION, AsyncTagBook
from tiercel._async.tier import AsyncFarTier
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace, encode_key, hash64
from tiercel._core.record import Windows
from tiercel._core.stats import RegionStats
from tiercel._core.tags import dependency_tag, key_tag
from tiercel._process import Process
from tiercel.cdn.paths import edge_path
from tiercel.codecs import ValueCodec
from tiercel.local.contract import LocalTable, LocalView
from tiercel.observe.recorder import Recorder
from tiercel.options import RegionOptions
from tiercel.typing import AsyncStore, Key

LEASE_MARGIN_S = 1.0
"""A lease outlives the longest load by this, so that a loader at its limit can still commit."""


class AsyncAnnouncer(Protocol):
    """Tells other nodes what fell."""

    def is_live(self) -> bool:
        """Whether messages flow."""

    def check(self) -> None:
        """Treat everything local as suspect where messages have not flowed for too long."""

    def lag_s(self) -> float:
        """Seconds since the last sign that messages flow."""

    def keys_fell(self, tenant: str, region: str, keys: Sequence[Key], tags: Sequence[int]) -> None:
        """Announce that local copies of *keys* are out of date."""

    def tags_fell(self, tenant: str, tags: Sequence[int]) -> None:
        """Announce that *tags* have fresh tokens."""

    def filled(self, name_hash: int) -> None:
        """Wake those who wait for a load, on every node."""


@dataclass(slots=True)
class AsyncNode:
    """What the regions of one cache share."""

    process: Process
    space: KeySpace
    far: AsyncFarTier | None
    tags: AsyncTagBook
    announcer: AsyncAnnouncer
    recorder: Recorder
    edge: AsyncEdge | None = None
    is_closed: bool = False


@dataclass(slots=True)
class AsyncRegionCore:
    """One region of the matrix, for all its tenants."""

    options: RegionOptions
    stats: RegionStats
    codec: ValueCodec
    far: AsyncFarTier | None
    edge: AsyncEdge | None
    table: LocalTable | None
    absent: LocalTable | None = None
    store: AsyncStore | None = None
    behind: AsyncWriteBehind | None = None
    is_derived_behind: bool = False
    windows: Windows = field(init=False)
    tag_life_ms: int = field(init=False)
    lease_ms: int = field(init=False)
    tombstone_ms: int = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        self.windows = Windows(*(int(s * 1000) for s in (options.ttl_s, options.grace_s, options.keep_s)))
        self.lease_ms = int((options.load_timeout_s + LEASE_MARGIN_S) * 1000)
        self.tombstone_ms = 2 * self.lease_ms
        self.tag_life_ms = 2 * self.windows.total_ms + self.tombstone_ms

    def as_local(self, value: Any) -> Any:
        """Return what the local tier stores for *value*: the object, or its bytes where hits decode a copy."""
        return self.codec.encode_plain(value) if self.options.local.copy == "decode" else value


class AsyncPlace:
    """
    One region in one tenant: where its entries are called what.

    Args:
        node: The cache it belongs to.
        core: The region.
        tenant: Whose data it is.
    """

    __slots__ = ("_stamps", "absent", "core", "flight_prefix", "node", "prefix", "scopes", "tenant", "view")

    def __init__(self, node: AsyncNode, core: AsyncRegionCore, tenant: str) -> None:
        self.node = node
        self.core = core
        self.tenant = tenant
        self.prefix = node.space.entry_prefix(tenant, core.options.name)
        self.scopes = node.tags.scopes(tenant, core.options.name)
        self.view: LocalView | None = core.table.view(tenant) if core.table is not None else None
        self.absent: LocalView | None = core.absent.view(tenant) if core.absent is not None else None
        self.flight_prefix = (tenant, core.options.name)
        self._stamps: dict[tuple[TagToken, ...], tuple[TagToken, ...]] = {}

    def name(self, key: Key) -> bytes:
        """Return the entry's name in the far tier; raises `KeyRefused`."""
        return self.prefix + encode_key(key)

    def name_hash(self, key: Key) -> int:
        """Return the hash that the entry's frame carries."""
        return hash64(self.name(key))

    def edge_path(self, key: Key) -> str:
        """Return the URL path that the entry is published at: ``/tenant/region/key``."""
        return edge_path(self.tenant, self.core.options.name, key)

    def edge_tags(self, stamps: Sequence[TagToken]) -> list[str]:
        """Return what a CDN knows an entry with *stamps* by: its own tags, its region, its region in this tenant."""
        own = [tag for tag, _ in stamps if tag not in (GENERATION, DOUBT)]
        return [dependency_tag(tag) for tag in (*self.scopes[2:], *own)]

    def flight_key(self, key: Key) -> tuple[str, str, Key]:
        """Return what identifies a load of *key* in this process."""
        return (*self.flight_prefix, key)

    def drop_local(self, key: Key) -> None:
        """Remove what this process holds of *key*, and void what it is loading."""
        self.node.process.flights.detach(self.flight_key(key))
        if self.view is not None:
            self.view.delete(key)
        if self.absent is not None:
            self.absent.delete(key)

    def key_tag(self, key: Key) -> int:
        """Return the tag that stands for this one entry in what was computed from it."""
        return self.node.space.tag_hash(self.tenant, key_tag(self.core.options.name, encode_key(key)))

    def stamped(self, stamps: tuple[TagToken, ...]) -> tuple[TagToken, ...]:
        """Return *stamps*, as one object for all entries that carry the same: most of a region's entries do."""
        if len(self._stamps) >= 1024:
            self._stamps.clear()
        return self._stamps.setdefault(stamps, stamps)

    async def dependency(self, key: Key) -> tuple[TagToken, ...]:
        """Return what a computation that reads *key* depends on; to be called before the value is read."""
        tokens = await self.node.tags.tokens((*self.scopes, self.key_tag(key)), self.core.tag_life_ms)
        return tuple(tokens.items())


Places = Mapping[tuple[str, str], AsyncPlace]
