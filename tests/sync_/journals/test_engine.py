# Generated from tests/async_/journals/test_engine.py by tools/unasync.py. Do not edit.
"""
Write-behind inside a cache: each kind of journal, opened from the matrix; reads see what waits whatever was evicted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RedisServer
from tiercel import MISS, Cache, CacheOptions, Matrix, RegionOptions
from tiercel._paired import Function
from tiercel._process import Process
from tiercel.options import JournalOptions

LATER_S = 60.0
"""Nothing is flushed before this, unless drained."""

NodeMaker = Function[..., Cache]


@pytest.fixture(params=["file", "redis", "postgres"])
def make_node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeMaker]:
    """Make nodes of one cache: a shared Redis, a shared store, a state folder and local copies of their own."""
    server: RedisServer = request.getfixturevalue("durable_redis")
    kind: Any = request.param
    store = f"sqlite:///{tmp_path}/shop.db#profiles"
    if kind == "postgres":
        store = request.getfixturevalue("postgres_url") + "#profiles"
    namespace = f"t{secrets.token_hex(6)}"
    opened: list[Cache] = []

    def make(interval_s: float = LATER_S) -> Cache:
        home = tmp_path / (f"node{len(opened)}" if kind != "file" else "node")
        journal = JournalOptions(kind=kind, durability="process", interval_s=interval_s)
        region = RegionOptions(name="profile", ttl_s=60.0, strategy="write-behind", store=store, journal=journal)
        matrix = Matrix.of(region, CacheOptions(namespace=namespace, redis=server.url, state_dir=str(home)))
        cache = Cache(matrix, process=Process())
        opened.append(cache)
        return cache.start()

    yield make
    for cache in opened:
        cache.close()


def test_reads_see_what_waits_after_everything_was_evicted(make_node: NodeMaker) -> None:
    one, two = make_node(), make_node()
    profiles = one.tenant("acme").region("profile")
    for n in range(20):
        profiles.write(f"u{n % 10}", {"n": n})
    profiles.delete("u0")
    for cache in (one, two):
        region = cache.tenant("acme").region("profile")
        region.clear()
        assert [(region.read(f"u{n}"))["n"] for n in range(1, 10)] == list(range(11, 20))
        assert region.read("u0") is MISS


def test_drain_brings_every_write_to_the_store(make_node: NodeMaker) -> None:
    cache = make_node(0.02)
    profiles = cache.tenant("acme").region("profile")
    handles = profiles.write_many({f"u{n}": {"n": n} for n in range(50)})
    for handle in handles:
        handle.persisted(30.0)
    assert cache.drain(30.0) == 0
    profiles.clear()
    assert (profiles.read("u49"))["n"] == 49
