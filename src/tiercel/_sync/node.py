# Generated from src/tiercel/_async/node.py by tools/unasync.py. Do not edit.
"""
A node: everything that the regions of one cache work with.

It holds no logic of its own beyond telling others what fell; the reader, writer and invalidator do the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tiercel._sync.edge import Edge
from tiercel._sync.gutter import GutterTier
from tiercel._sync.hedge import Hedge
from tiercel._sync.outbox import Outbox
from tiercel._sync.tagbook import DOUBT, GENERATION, TagBook
from tiercel._sync.tier import FarTier
from tiercel._sync.writebehind import WriteBehind
from tiercel._core.frame import TagToken
from tiercel._core.keys import KeySpace, encode_key, hash64
from tiercel._core.policy import Layer
from tiercel._core.policyplan import RegionPlan
from tiercel._core.record import Windows
from tiercel._core.stats import RegionStats
from tiercel._core.tags import dependency_tag, key_tag
from tiercel._core.warmkeys import WarmKeys
from tiercel._dependencies import is_collecting, note
from tiercel._hotspots import HotSpots
from tiercel._process import Process
from tiercel.cdn.paths import edge_path
from tiercel.codecs import ValueCodec
from tiercel.codecs.vault import seal_here
from tiercel.errors import TierError
from tiercel.local.contract import LocalTable, LocalView
from tiercel.observe.recorder import Recorder
from tiercel.options import RegionOptions
from tiercel.typing import Store, Key

UNKNOWN: tuple[TagToken, ...] = ((0, 0),)
"""What a computation depends on that cannot be told: token 0 never holds."""


class Announcer(Protocol):
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

    def key_hot(self, tenant: str, region: str, key: Key) -> None:
        """Announce that *key* is read so often that nodes should keep it near for a moment."""

    def policy_changed(self, version: int) -> None:
        """Announce that the live policy has a new version."""

    def keep_for(self, keep_s: float) -> None:
        """Keep what waits to be sent for *keep_s* at least: so long may copies live from now on."""


class HitWatcher(Protocol):
    """Told of hits that leave the hot path, and of keys whose hits will not; must not block."""

    def saw(self, place: Place, key: Key) -> None:
        """Take note of a hit beyond the plain local one."""

    def kept(self, place: Place, key: Key) -> None:
        """Take note of a key that the local tier now holds."""


@dataclass(slots=True)
class Node:
    """
    What the regions of one cache share.

    Attributes:
        publishes: Whether some region publishes at the edge's origin, so that what falls must be dropped there too.
    """

    process: Process
    space: KeySpace
    far: FarTier | None
    tags: TagBook
    announcer: Announcer
    recorder: Recorder
    edge: Edge | None = None
    publishes: bool = False
    gutter: GutterTier | None = None
    hedge: Hedge | None = None
    is_closed: bool = False


@dataclass(slots=True)
class RegionCore:
    """
    One region of the matrix, for all its tenants.

    Attributes:
        plan: What a live change may change about it; swapped whole, by one assignment.
        watcher: Compares hits with the store while the plan asks for that; None else.
    """

    plan: RegionPlan
    stats: RegionStats
    codec: ValueCodec
    far: FarTier | None
    edge: Edge | None
    table: LocalTable | None
    absent: LocalTable | None = None
    store: Store | None = None
    outbox: Outbox | None = None
    behind: WriteBehind | None = None
    is_derived_behind: bool = False
    watcher: HitWatcher | None = None
    hot: HotSpots | None = None
    warm: WarmKeys | None = None

    @property
    def options(self) -> RegionOptions:
        """The region's row of the matrix as it is now; do not keep it."""
        return self.plan.options

    @property
    def windows(self) -> Windows:
        """Ttl, grace and keep of entries made now."""
        return self.plan.windows

    @property
    def lease_ms(self) -> int:
        """Life of a lease."""
        return self.plan.lease_ms

    @property
    def tombstone_ms(self) -> int:
        """Life of a tombstone."""
        return self.plan.tombstone_ms

    @property
    def tag_life_ms(self) -> int:
        """Least life of a tag's token."""
        return self.plan.tag_life_ms

    def as_local(self, value: Any) -> Any:
        """Return what the local tier stores for *value*: the object, or its bytes where hits decode a copy."""
        copy = self.options.local.copy
        if copy == "shared":
            return value
        plain = self.codec.encode_plain(value)
        return seal_here(plain) if copy == "sealed" else plain


class Place:
    """
    One region in one tenant: where its entries are called what.

    Args:
        node: The cache it belongs to.
        core: The region.
        tenant: Whose data it is.
    """

    __slots__ = ("_stamps", "absent", "core", "flight_prefix", "hot_view", "node", "prefix", "scopes", "tenant", "view")

    def __init__(self, node: Node, core: RegionCore, tenant: str) -> None:
        self.node = node
        self.core = core
        self.tenant = tenant
        self.prefix = node.space.entry_prefix(tenant, core.options.name)
        self.scopes = node.tags.scopes(tenant, core.options.name)
        self.view: LocalView | None = core.table.view(tenant) if core.table is not None else None
        self.absent: LocalView | None = core.absent.view(tenant) if core.absent is not None else None
        self.hot_view: LocalView | None = core.hot.table.view(tenant) if core.hot is not None else None
        self.flight_prefix = (tenant, core.options.name)
        self._stamps: dict[tuple[TagToken, ...], tuple[TagToken, ...]] = {}

    def far_for(self, key: Key) -> FarTier | None:
        """Return the far tier that *key* is read from and stored in; None where there is none, or it is off for it."""
        core = self.core
        return None if core.plan.off and core.plan.is_off("redis", self.tenant, key) else core.far

    def is_off(self, layer: Layer, key: Key) -> bool:
        """Say whether *layer* is switched off for *key*."""
        plan = self.core.plan
        return bool(plan.off) and plan.is_off(layer, self.tenant, key)

    def name(self, key: Key) -> bytes:
        """Return the entry's name in the far tier; raises `KeyRefused`."""
        return self.prefix + encode_key(key)

    def name_hash(self, key: Key) -> int:
        """Return the hash that the entry's frame carries."""
        return hash64(self.name(key))

    def edge_path(self, key: Key) -> str:
        """Return the URL path that the entry is published at: ``/tenant/region/key``."""
        return edge_path(self.tenant, self.core.options.name, key)

    def edge_tags(self, tags: Sequence[int]) -> list[str]:
        """Return what a CDN knows an entry with *tags* by: these, its region, its region in this tenant."""
        own = [tag for tag in tags if tag not in (GENERATION, DOUBT)]
        return [dependency_tag(tag) for tag in dict.fromkeys((*self.scopes[2:], *own))]

    def flight_key(self, key: Key) -> tuple[str, str, Key]:
        """Return what identifies a load of *key* in this process."""
        return (*self.flight_prefix, key)

    def drop_local(self, key: Key) -> None:
        """Remove what this process holds of *key*, and void what it is loading."""
        self.forget_loads(key)
        if self.view is not None:
            self.view.delete(key)
        if self.hot_view is not None:
            self.hot_view.delete(key)

    def forget_loads(self, key: Key) -> None:
        """Let nobody join a load of *key* that is under way, and remove that there is no such record."""
        self.node.process.flights.detach(self.flight_key(key))
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

    def dependency(self, key: Key, tags: Sequence[int] = ()) -> tuple[TagToken, ...] | None:
        """
        Return what a computation around a read of *key* depends on; to be called before the value is read.

        Args:
            key: What is read.
            tags: What the entry carries, where that is known before it is read.

        Returns:
            Tags with their tokens; None where nobody collects. Where the tokens cannot be told, a token that never
            holds: whatever is being computed must not be kept.
        """
        if not is_collecting() or not self.core.options.track_dependencies:
            return None
        try:
            found = self.node.tags.tokens((*self.scopes, self.key_tag(key), *tags), self.core.tag_life_ms)
        except TierError:
            return UNKNOWN
        return tuple(found.items())

    def note_read(self, dependency: tuple[TagToken, ...] | None, stamps: Sequence[TagToken], left_s: float) -> None:
        """Add a read to the computation around it: what it depends on, and how long what was read stays fresh."""
        if dependency is not None:
            tokens = (*dependency, *(stamp for stamp in stamps if stamp[0] not in (GENERATION, DOUBT)))
            note(tokens, self.core.options.tags, private=self.core.options.private, left_s=left_s)

    def noted(self, read: Callable[[Key], Any], key: Key) -> Any:
        """
        Return what *read* finds in this process, as a read of the computation around it.

        Noted before and after: an entry that another thread changes in between leaves two tokens, which never hold.
        """
        self.note_local_read(key)
        value = read(key)
        self.note_local_read(key)
        return value

    def note_local_read(self, key: Key) -> None:
        """
        Add a read that may not wait to the computation around it, by the tokens that this process knows.

        A token that is not known here never holds, so that the result is not shared rather than shared too long.
        """
        if is_collecting() and self.core.options.track_dependencies:
            entry = None if self.view is None else self.view.entry(key)
            left_s = math.inf if entry is None else entry.fresh_until - self.node.process.clock.monotonic()
            dependency = self.node.tags.known_tokens((*self.scopes, self.key_tag(key)))
            self.note_read(dependency, () if entry is None else entry.tags, max(0.0, left_s))


Places = Mapping[tuple[str, str], Place]
