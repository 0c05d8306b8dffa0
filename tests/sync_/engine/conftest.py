# Generated from tests/async_/engine/conftest.py by tools/unasync.py. Do not edit.
"""
Nodes for engine tests: caches that share one far tier and nothing else, as machines do.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.rig.cluster import RedisCluster
from tests.rig.redis import RedisServer, ValkeyServer
from tiercel import Cache, Store, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._paired import Function, Poll
from tiercel._process import Process

ENGINES = ["memory", "redis", "valkey", "cluster"]


@pytest.fixture(params=ENGINES)
def far_url(request: pytest.FixtureRequest) -> str | None:
    """URL of a far tier of each kind; None for the one in this process."""
    if request.param == "memory":
        return None
    fixture = {"redis": "redis_server", "valkey": "valkey_server", "cluster": "redis_cluster"}[request.param]
    server: RedisServer | ValkeyServer | RedisCluster = request.getfixturevalue(fixture)
    return server.url.replace("redis://", "redis+cluster://") if request.param == "cluster" else server.url


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    """The built-in data types with a store for products and profiles, in a namespace of this test's own."""
    base = Matrix.defaults()
    product = replace(base.region("product"), store=f"sqlite:///{tmp_path}/shop.db#products")
    profile = replace(base.region("profile"), store=f"sqlite:///{tmp_path}/shop.db#profiles")
    page = RegionOptions(name="page", ttl_s=60.0, grace_s=5.0, keep_s=60.0)
    far_page = RegionOptions(name="far_page", tiers=("redis",), ttl_s=60.0)
    settings = RegionOptions(name="settings", scope="global", ttl_s=60.0)
    graph = EntityRule(
        name="product",
        regions=("product:{id}", "page:p-{id}", "reviews:{id}"),
        tags=("search",),
        paths=("/p/{id}",),
    )
    cache = CacheOptions(namespace=f"t{secrets.token_hex(6)}", state_dir=str(tmp_path / "state"))
    return base.overlay(product, profile, page, far_page, settings, graph, cache)


Node = Function[..., Cache]


@pytest.fixture
def node(matrix: Matrix, far_url: str | None, tmp_path: Path) -> Iterator[Node]:
    """Make a cache that plays a machine of its own; all of one test share the far tier."""
    opened: list[Cache] = []
    records = Process().records

    def make(
        redis: str | None = far_url,
        gutter: str | None = None,
        hedge_share: float = 0.0,
        redis_timeout_s: float = 1.0,
        stores: dict[str, Store] | None = None,
        **regions: RegionOptions,
    ) -> Cache:
        process = Process()
        process.records = records
        state_dir = str(tmp_path / f"node{len(opened)}")
        far = replace(matrix.cache, redis=redis, redis_timeout_s=redis_timeout_s, gutter=gutter)
        own = replace(far, hedge_share=hedge_share, state_dir=state_dir)
        cache = Cache(matrix.overlay(own, *regions.values()), stores=stores, process=process)
        opened.append(cache)
        return cache.start()

    yield make
    for cache in opened:
        cache.close()


def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for what another node's message brings about."""
    poll = Poll(timeout_s)
    while not holds():
        assert poll.again(), "it did not come about"
