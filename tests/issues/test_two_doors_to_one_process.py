"""
Two caches of one namespace in one process: a tag that one of them renews is unknown to the other too.

The story: `Cache` and `AsyncCache` share local copies, but each remembered tag tokens by itself, and a node does not
listen to its own messages.

    1. both caches have read the token of T, t1; an entry that carries T is in the shared local tier
    2. the async cache invalidates T: t2; local entries become suspect
    3. the blocking cache proves the suspect entry by its own memory of t1 and stamps it as current
    4. both caches serve it as a plain hit, until its ttl ends

A cache that was opened anew had the opposite: it invented tokens of its own, and an unrelated purge dropped what the
one before it had kept.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from tests.rig.redis import RedisServer
from tiercel import MISS, AsyncCache, Cache, Matrix, RegionOptions

NUMBERS = itertools.count()
WAYS = ["local", "local, embedded redis", "local, redis", "redis"]


@pytest.fixture(params=WAYS)
def matrix(request: pytest.FixtureRequest) -> Matrix:
    base = Matrix.defaults()
    server: RedisServer | None = None
    if request.param in WAYS[2:]:
        server = request.getfixturevalue("clean_redis")
    tiers = tuple(name.removeprefix("embedded ") for name in request.param.split(", "))
    product = RegionOptions(name="product", tiers=tiers, ttl_s=60)
    cache = replace(base.cache, namespace=f"doors{next(NUMBERS)}", redis=server.url if server is not None else None)
    return replace(base, regions={"product": product}, entities={}, cache=cache)


async def test_a_tag_that_one_cache_renews_falls_for_the_other(matrix: Matrix) -> None:
    blocking = await asyncio.to_thread(Cache(matrix).start)
    try:
        theirs = blocking.tenant("acme").region("product")
        async with AsyncCache(matrix) as cache:
            acme = cache.tenant("acme")
            await asyncio.to_thread(lambda: theirs.set("1", "old", tags=["t"]))
            assert await acme.region("product").get("1") == "old"
            await acme.invalidate_tags("t")
            assert await asyncio.to_thread(theirs.get, "1", MISS) is MISS
            assert await acme.region("product").get("1", MISS) is MISS
    finally:
        await asyncio.to_thread(blocking.close)


async def test_a_cache_opened_anew_keeps_what_an_unrelated_purge_leaves(matrix: Matrix) -> None:
    async with AsyncCache(matrix) as cache:
        await cache.tenant("acme").region("product").set("1", "kept", tags=["t"])
    async with AsyncCache(matrix) as cache:
        acme = cache.tenant("acme")
        await acme.invalidate_tags("unrelated")
        assert await acme.region("product").get("1") == "kept"
        await acme.invalidate_tags("t")
        assert await acme.region("product").get("1", MISS) is MISS
