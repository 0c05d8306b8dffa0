"""
Worlds for races: one or more nodes over one far tier and one store, and a naive cache-aside to hold them against.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.async_.engine.conftest import far_url
from tests.schedules import Explored, async_explore
from tests.schedules.totals import totals
from tiercel import AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions
from tiercel._async.memory_tier import AsyncMemoryTier
from tiercel._async.redis import AsyncRedisTier
from tiercel._async.stores import AsyncMemoryStore
from tiercel._core.clock import SystemClock
from tiercel._gates import async_gate
from tiercel._paired import AsyncFunction
from tiercel._process import Process
from tiercel.typing import Change, Key, Outcome, Record

__all__ = ["far_url"]


class AsyncGatedStore:
    """A store whose reads and writes are steps of their own in a schedule."""

    def __init__(self) -> None:
        self.rows = AsyncMemoryStore()

    async def read(self, tenant: str, key: Key) -> Record | None:
        row = await self.rows.read(tenant, key)
        await async_gate("store.read")
        return row

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> Any:
        rows = await self.rows.read_many(tenant, keys)
        await async_gate("store.read")
        return rows

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        outcome = await self.rows.write(change, guard=guard)
        await async_gate("store.written")
        return outcome

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        outcomes = await self.rows.write_many(changes, guard=guard)
        await async_gate("store.written")
        return outcomes

    async def ping(self) -> None:
        await self.rows.ping()

    async def aclose(self) -> None:
        await self.rows.aclose()


class AsyncWorld:
    """
    Nodes that share a far tier and a store; each schedule plays with a key of its own.

    Attributes:
        store: The store under the region ``item``.
        nodes: The region of each node.
    """

    def __init__(self, store: AsyncGatedStore, nodes: list[AsyncRegion], caches: list[AsyncCache]) -> None:
        self.store = store
        self.nodes = nodes
        self.caches = caches
        self._keys = 0

    def key(self) -> str:
        """Return a key that no schedule has used."""
        self._keys += 1
        return f"k{self._keys}"

    async def row(self, value: Any) -> str:
        """Return a key whose row holds *value*."""
        key = self.key()
        await self.store.rows.write(Change("acme", key, value, 1))
        return key

    async def strong(self, key: str) -> Any:
        """Return what the far tier says now."""
        return await self.nodes[-1].get(key, consistency="strong")

    def ends_with(self, key: str, value: Any) -> AsyncFunction[[], str | None]:
        """Return the check that every read from now on gives *value*, from the far tier and from this node's own."""

        async def check() -> str | None:
            seen = [await node.read(key, consistency="strong") for node in self.nodes]
            return None if all(each == value for each in seen) else f"reads give {seen}, not {value}"

        return check

    async def evict(self, key: str) -> None:
        """Let the far tier forget an entry, as a full Redis does."""
        await self._forget(self.nodes[0].place.name(key))

    async def evict_tag(self, tag: str) -> None:
        """Let the far tier forget a tag."""
        space = self.nodes[0].place.node.space
        await self._forget(space.tag_key(space.tag_hash("acme", tag)))

    async def record(self, key: str) -> Any:
        """Return what the far tier holds of an entry, for `roll_back`."""
        name, far = self.nodes[0].place.name(key), self.nodes[0].place.node.far
        if isinstance(far, AsyncRedisTier):
            return await far.link.execute(b"GET", name)
        assert isinstance(far, AsyncMemoryTier)
        return await far.get(name)

    async def roll_back(self, key: str, record: Any) -> None:
        """Let the far tier hold *record* again, as a promoted replica that never got what came after it."""
        name, far = self.nodes[0].place.name(key), self.nodes[0].place.node.far
        if isinstance(far, AsyncRedisTier):
            await far.link.execute(b"SET", name, record, b"PX", 60_000)
        elif isinstance(far, AsyncMemoryTier):
            far.records.put(name, record)

    async def _forget(self, name: bytes) -> None:
        far = self.nodes[0].place.node.far
        if isinstance(far, AsyncRedisTier):
            await far.link.execute(b"DEL", name)
        elif isinstance(far, AsyncMemoryTier):
            far.records.evict(name)


class SkewedClock(SystemClock):
    """A machine's clock whose wall side is off."""

    __slots__ = ("_skew_s",)

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s

    def wall(self) -> float:
        return super().wall() + self._skew_s


MakeWorld = AsyncFunction[..., AsyncWorld]


@pytest.fixture
async def world(far_url: str | None, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Make a world of some nodes."""
    opened: list[AsyncCache] = []

    async def make(nodes: int = 1, *, skews_s: Sequence[float] = (), **options: Any) -> AsyncWorld:
        store, records = AsyncGatedStore(), Process().records
        settings: dict[str, Any] = {"tiers": ("local", "redis"), "ttl_s": 60.0, **options}
        item = RegionOptions(name="item", **settings)
        cache_options = CacheOptions(namespace=f"r{secrets.token_hex(6)}", redis=far_url)
        first = len(opened)
        for number in range(nodes):
            process = Process(SkewedClock(skews_s[number] if skews_s else 0.0))
            process.records = records
            own = replace(cache_options, state_dir=str(tmp_path / f"node{number}"))
            cache = AsyncCache(Matrix.of(item, own), stores={"item": store}, process=process)
            opened.append(await cache.start())
        caches = opened[first:]
        return AsyncWorld(store, [cache.tenant("acme").region("item") for cache in caches], caches)

    yield make
    for cache in opened:
        await cache.aclose()


async def played(race: Any, *gates: str, limit: int = 2000, exhaustive: bool = True) -> Explored:
    """
    Play *race* in every order, and hold it to no violation.

    Args:
        race: The race.
        gates: Steps that must have been taken, or the race was never run.
        limit: Most orders.
        exhaustive: Whether *limit* must suffice for all.
    """
    explored = await async_explore(race, limit)
    assert explored.violations == {}, f"{explored.violations}: {chr(32).join(explored.losing)}"
    assert explored.is_exhaustive or not exhaustive, explored.schedules
    for gate in gates:
        assert explored.gates[gate] > 0, (gate, explored.gates)
    totals.schedules += explored.schedules
    return explored


class AsyncNaive:
    """Cache-aside as everyone writes it first: get, load, set; write, delete."""

    def __init__(self, world: AsyncWorld) -> None:
        self._store = world.store
        self._cache: dict[Key, Any] = {}

    async def read(self, key: Key) -> Any:
        if key in self._cache:
            return self._cache[key]
        await async_gate("naive.missed")
        row = await self._store.read("acme", key)
        value = None if row is None else row.value
        self._cache[key] = value
        return value

    async def write(self, key: Key, value: Any) -> None:
        await self._store.write(Change("acme", key, value, 0))
        self._cache.pop(key, None)
