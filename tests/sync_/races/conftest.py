# Generated from tests/async_/races/conftest.py by tools/unasync.py. Do not edit.
"""
Worlds for races: one or more nodes over one far tier and one store, and a naive cache-aside to hold them against.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sync_.engine.conftest import far_url
from tests.schedules import Explored, explore
from tests.schedules.totals import totals
from tiercel import Cache, Region, CacheOptions, Matrix, RegionOptions
from tiercel._sync.memory_tier import MemoryTier
from tiercel._sync.redis import RedisTier
from tiercel._sync.stores import MemoryStore
from tiercel._core.clock import SystemClock
from tiercel._gates import gate
from tiercel._paired import Function
from tiercel._process import Process
from tiercel.typing import Change, Key, Outcome, Record

__all__ = ["far_url"]


class GatedStore:
    """A store whose reads and writes are steps of their own in a schedule."""

    def __init__(self) -> None:
        self.rows = MemoryStore()

    def read(self, tenant: str, key: Key) -> Record | None:
        row = self.rows.read(tenant, key)
        gate("store.read")
        return row

    def read_many(self, tenant: str, keys: Sequence[Key]) -> Any:
        rows = self.rows.read_many(tenant, keys)
        gate("store.read")
        return rows

    def write(self, change: Change, *, guard: bool = False) -> Outcome:
        outcome = self.rows.write(change, guard=guard)
        gate("store.written")
        return outcome

    def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        outcomes = self.rows.write_many(changes, guard=guard)
        gate("store.written")
        return outcomes

    def ping(self) -> None:
        self.rows.ping()

    def close(self) -> None:
        self.rows.close()


class World:
    """
    Nodes that share a far tier and a store; each schedule plays with a key of its own.

    Attributes:
        store: The store under the region ``item``.
        nodes: The region of each node.
    """

    def __init__(self, store: GatedStore, nodes: list[Region], caches: list[Cache]) -> None:
        self.store = store
        self.nodes = nodes
        self.caches = caches
        self._keys = 0

    def key(self) -> str:
        """Return a key that no schedule has used."""
        self._keys += 1
        return f"k{self._keys}"

    def row(self, value: Any) -> str:
        """Return a key whose row holds *value*."""
        key = self.key()
        self.store.rows.write(Change("acme", key, value, 1))
        return key

    def strong(self, key: str) -> Any:
        """Return what the far tier says now."""
        return self.nodes[-1].get(key, consistency="strong")

    def ends_with(self, key: str, value: Any) -> Function[[], str | None]:
        """Return the check that every read from now on gives *value*, from the far tier and from this node's own."""

        def check() -> str | None:
            seen = [node.read(key, consistency="strong") for node in self.nodes]
            return None if all(each == value for each in seen) else f"reads give {seen}, not {value}"

        return check

    def evict(self, key: str) -> None:
        """Let the far tier forget an entry, as a full Redis does."""
        self._forget(self.nodes[0].place.name(key))

    def evict_tag(self, tag: str) -> None:
        """Let the far tier forget a tag."""
        space = self.nodes[0].place.node.space
        self._forget(space.tag_key(space.tag_hash("acme", tag)))

    def record(self, key: str) -> Any:
        """Return what the far tier holds of an entry, for `roll_back`."""
        name, far = self.nodes[0].place.name(key), self.nodes[0].place.node.far
        if isinstance(far, RedisTier):
            return far.link.execute(b"GET", name)
        assert isinstance(far, MemoryTier)
        return far.get(name)

    def roll_back(self, key: str, record: Any) -> None:
        """Let the far tier hold *record* again, as a promoted replica that never got what came after it."""
        name, far = self.nodes[0].place.name(key), self.nodes[0].place.node.far
        if isinstance(far, RedisTier):
            far.link.execute(b"SET", name, record, b"PX", 60_000)
        elif isinstance(far, MemoryTier):
            far.records.put(name, record)

    def _forget(self, name: bytes) -> None:
        far = self.nodes[0].place.node.far
        if isinstance(far, RedisTier):
            far.link.execute(b"DEL", name)
        elif isinstance(far, MemoryTier):
            far.records.evict(name)


class SkewedClock(SystemClock):
    """A machine's clock whose wall side is off."""

    __slots__ = ("_skew_s",)

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s

    def wall(self) -> float:
        return super().wall() + self._skew_s


MakeWorld = Function[..., World]


@pytest.fixture
def world(far_url: str | None, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a world of some nodes."""
    opened: list[Cache] = []

    def make(nodes: int = 1, *, skews_s: Sequence[float] = (), **options: Any) -> World:
        store, records = GatedStore(), Process().records
        settings: dict[str, Any] = {"tiers": ("local", "redis"), "ttl_s": 60.0, **options}
        item = RegionOptions(name="item", **settings)
        cache_options = CacheOptions(namespace=f"r{secrets.token_hex(6)}", redis=far_url)
        first = len(opened)
        for number in range(nodes):
            process = Process(SkewedClock(skews_s[number] if skews_s else 0.0))
            process.records = records
            own = replace(cache_options, state_dir=str(tmp_path / f"node{number}"))
            cache = Cache(Matrix.of(item, own), stores={"item": store}, process=process)
            opened.append(cache.start())
        caches = opened[first:]
        return World(store, [cache.tenant("acme").region("item") for cache in caches], caches)

    yield make
    for cache in opened:
        cache.close()


def played(race: Any, *gates: str, limit: int = 2000, exhaustive: bool = True) -> Explored:
    """
    Play *race* in every order, and hold it to no violation.

    Args:
        race: The race.
        gates: Steps that must have been taken, or the race was never run.
        limit: Most orders.
        exhaustive: Whether *limit* must suffice for all.
    """
    explored = explore(race, limit)
    assert explored.violations == {}, f"{explored.violations}: {chr(32).join(explored.losing)}"
    assert explored.is_exhaustive or not exhaustive, explored.schedules
    for gate in gates:
        assert explored.gates[gate] > 0, (gate, explored.gates)
    totals.schedules += explored.schedules
    return explored


class Naive:
    """Cache-aside as everyone writes it first: get, load, set; write, delete."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self._cache: dict[Key, Any] = {}

    def read(self, key: Key) -> Any:
        if key in self._cache:
            return self._cache[key]
        gate("naive.missed")
        row = self._store.read("acme", key)
        value = None if row is None else row.value
        self._cache[key] = value
        return value

    def write(self, key: Key, value: Any) -> None:
        self._store.write(Change("acme", key, value, 0))
        self._cache.pop(key, None)
