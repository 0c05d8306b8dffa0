"""
Two nodes on one Redis: pages and edges' responses are made once for both, and fall for both.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.http.asking import StandingClock, ask, origin, respond
from tests.real.waiting import until
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, Matrix, RegionOptions
from tiercel._process import Process
from tiercel.http.asgi import PageCache
from tiercel.http.edge import Edge
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy
from tiercel.http.regionstorage import RegionStorage
from tiercel.http.storage import Purge

numbers = itertools.count()
FRESH = ("Cache-Control", "max-age=60")


@asynccontextmanager
async def nodes(server: RedisServer, count: int = 2) -> AsyncIterator[list[AsyncCache]]:
    """Start caches that share nothing but Redis, as those of several machines do."""
    found = Matrix.defaults()
    regions = {name: RegionOptions(name=name, tiers=("redis",), ttl_s=60) for name in ("product", "pages", "edge")}
    shared = replace(found.cache, namespace=f"pages{next(numbers)}", redis=server.url)
    started = [AsyncCache(replace(found, regions=regions, cache=shared), process=Process()) for _ in range(count)]
    for cache in started:
        await cache.start()
    try:
        yield started
    finally:
        for cache in started:
            await cache.aclose()


async def test_edges_of_two_nodes_share_responses_and_purges(redis_server: RedisServer) -> None:
    async with nodes(redis_server) as caches:
        app, clock = origin([FRESH, ("Surrogate-Key", "sku-1")]), StandingClock()
        one, two = (Edge(app, storage=RegionStorage(cache.tenant("shop"), "edge"), clock=clock) for cache in caches)
        await ask(one)
        assert (await ask(two)).is_hit
        await two.purge(Purge(tags=["sku-1"]))
        assert not (await ask(two)).is_hit
        await two.purge(Purge(tags=["sku-1"]))

        async def has_fallen() -> bool:
            return (await ask(one, headers=[("Cache-Control", "only-if-cached")])).status == 504

        await until(has_fallen, "the tag falls on the other node, within the backplane's lag")


async def test_a_purge_on_one_node_holds_back_the_others_answer(redis_server: RedisServer) -> None:
    async with nodes(redis_server) as caches:
        app = origin([FRESH, ("Surrogate-Key", "sku-1")])
        one, two = (
            Edge(app, storage=RegionStorage(cache.tenant("shop"), "edge"), clock=StandingClock()) for cache in caches
        )
        await ask(one, "/warm")  # the purge clock exists
        reached, release = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            reached.set()
            await release.wait()

        app.before_answer = wait
        asking = asyncio.ensure_future(ask(one, "/p/1"))
        await reached.wait()
        await two.purge(Purge(tags=["sku-1"]))
        app.before_answer = None
        release.set()
        await asking
        assert not (await ask(one, "/p/1")).is_hit


async def test_a_page_is_made_once_for_both_nodes_and_falls_for_both(redis_server: RedisServer) -> None:
    async with nodes(redis_server) as caches:
        rendered = 0

        def site(cache: AsyncCache) -> PageCache:
            products = cache.tenant("acme").region("product")

            async def shop(scope: Scope, receive: Receive, send: Send) -> None:
                nonlocal rendered
                rendered += 1
                price = await products.get("1", consistency="strong")
                await respond(send, 200, [("Content-Type", "text/plain")], str(price).encode())

            pages = lambda tenant: cache.tenant(tenant).region("pages")  # noqa: E731  # one line, used once
            return PageCache(shop, routes=[RoutePolicy(path="/p/*", ttl_s=60)], tenant="acme", region=pages)

        one, two = map(site, caches)
        await caches[0].tenant("acme").region("product").set("1", 990)
        assert [(await ask(one, "/p/1")).body, (await ask(two, "/p/1")).body] == [b"990", b"990"]
        assert rendered == 1
        await caches[1].tenant("acme").region("product").set("1", 880)

        async def is_new() -> bool:
            return (await ask(one, "/p/1")).body == b"880"

        await until(is_new, "the page falls on the other node, within the backplane's lag")
