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
from tiercel import AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions
from tiercel._async.stores import AsyncMemoryStore
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


MakeWorld = AsyncFunction[..., AsyncWorld]


@pytest.fixture
async def world(far_url: str | None, tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Make a world of some nodes."""
    opened: list[AsyncCache] = []

    async def make(nodes: int = 1, **options: Any) -> AsyncWorld:
        store, records = AsyncGatedStore(), Process().records
        settings: dict[str, Any] = {"tiers": ("local", "redis"), "ttl_s": 60.0, **options}
        item = RegionOptions(name="item", **settings)
        cache_options = CacheOptions(namespace=f"r{secrets.token_hex(6)}", redis=far_url)
        for number in range(nodes):
            process = Process()
            process.records = records
            own = replace(cache_options, state_dir=str(tmp_path / f"node{number}"))
            cache = AsyncCache(Matrix.of(item, own), stores={"item": store}, process=process)
            opened.append(await cache.start())
        regions = [cache.tenant("acme").region("item") for cache in opened]
        return AsyncWorld(store, regions, opened)

    yield make
    for cache in opened:
        await cache.aclose()


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
