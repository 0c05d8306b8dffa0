"""
Write-behind inside a cache: each kind of journal, opened from the matrix; reads see what waits whatever was evicted.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RedisServer
from tiercel import MISS, AsyncCache, CacheOptions, Matrix, RegionOptions
from tiercel._paired import AsyncFunction
from tiercel._process import Process
from tiercel.options import JournalOptions

LATER_S = 60.0
"""Nothing is flushed before this, unless drained."""

NodeMaker = AsyncFunction[..., AsyncCache]


@pytest.fixture(params=["file", "redis", "postgres"])
async def make_node(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NodeMaker]:
    """Make nodes of one cache: a shared Redis, a shared store, a state folder and local copies of their own."""
    server: RedisServer = request.getfixturevalue("durable_redis")
    kind: Any = request.param
    store = f"sqlite:///{tmp_path}/shop.db#profiles"
    if kind == "postgres":
        store = request.getfixturevalue("postgres_url") + "#profiles"
    namespace = f"t{secrets.token_hex(6)}"
    opened: list[AsyncCache] = []

    async def make(interval_s: float = LATER_S) -> AsyncCache:
        home = tmp_path / (f"node{len(opened)}" if kind != "file" else "node")
        journal = JournalOptions(kind=kind, durability="process", interval_s=interval_s)
        region = RegionOptions(name="profile", ttl_s=60.0, strategy="write-behind", store=store, journal=journal)
        matrix = Matrix.of(region, CacheOptions(namespace=namespace, redis=server.url, state_dir=str(home)))
        cache = AsyncCache(matrix, process=Process())
        opened.append(cache)
        return await cache.start()

    yield make
    for cache in opened:
        await cache.aclose()


async def test_reads_see_what_waits_after_everything_was_evicted(make_node: NodeMaker) -> None:
    one, two = await make_node(), await make_node()
    profiles = one.tenant("acme").region("profile")
    for n in range(20):
        await profiles.write(f"u{n % 10}", {"n": n})
    await profiles.delete("u0")
    for cache in (one, two):
        region = cache.tenant("acme").region("profile")
        await region.clear()
        assert [(await region.read(f"u{n}"))["n"] for n in range(1, 10)] == list(range(11, 20))
        assert await region.read("u0") is MISS


async def test_drain_brings_every_write_to_the_store(make_node: NodeMaker) -> None:
    cache = await make_node(0.02)
    profiles = cache.tenant("acme").region("profile")
    handles = await profiles.write_many({f"u{n}": {"n": n} for n in range(50)})
    for handle in handles:
        await handle.persisted(30.0)
    assert await cache.drain(30.0) == 0
    await profiles.clear()
    assert (await profiles.read("u49"))["n"] == 49
