"""
From the row to the edge: a price changes in the store, and the page, the API response and the list that showed it
fall in Redis, in the process and at the edge, with nobody listing URLs, tags or paths.

The matrix says only ``purge_pages``; what a page was made from is known from the reads of its handler. The same
application, with its rows in SQLite and its copies in a real Redis, stands behind a real Varnish, behind CloudFront
(the stand-in with its real limits, on moto's S3) and behind the embedded edge in a process of its own. The naive way
beside it is the same matrix without ``purge_pages``: the edge keeps the old price.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.http.asking import respond
from tests.real.cdn.test_price_change import cloudfront_edge, embedded_edge, varnish_edge
from tests.real.http.test_pages_at_cdn import served
from tests.real.waiting import until
from tests.rig.moto import MotoServer
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, AsyncTenant, EntityRule, Matrix, RegionOptions
from tiercel.http.asgi import PageCache
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy

OpenEdge = Callable[[int], AbstractContextManager[tuple[int, str]]]
SHOWING_ONE = ("/p/1", "/api/products/1", "/list")
OLD = {"/p/1": "990", "/api/products/1": '{"price": 990}', "/list": "990,1990", "/p/2": "1990"}
NEW = {"/p/1": "880", "/api/products/1": '{"price": 880}', "/list": "880,1990", "/p/2": "1990"}
numbers = itertools.count()


@dataclass
class Shop:
    """The application behind the edge; counts what it rendered."""

    acme: AsyncTenant
    rendered: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.rendered[path] += 1
        skus = ["1", "2"] if path == "/list" else [path.rpartition("/")[2]]
        prices = [(await self.acme.region("product").read(sku))["price"] for sku in skus]
        text = json.dumps({"price": prices[0]}) if path.startswith("/api") else ",".join(map(str, prices))
        await respond(send, 200, [("Content-Type", "text/plain")], text.encode())


def matrix(home: Path, redis: str, cdn: str, *, purge_pages: bool) -> Matrix:
    base = Matrix.defaults()
    rows = f"sqlite:///{home}/shop.db#products"
    product = RegionOptions(
        name="product", tiers=("local", "redis"), ttl_s=3600, store=rows, purge_pages=purge_pages, local_ttl_s=3600
    )
    pages = RegionOptions(name="pages", tiers=("redis",), ttl_s=3600)
    rule = EntityRule(name="product", regions=("product:{id}",))
    cache = replace(base.cache, namespace=f"fall{next(numbers)}", redis=redis, cdn=cdn, state_dir=str(home / "state"))
    return replace(base, regions={"product": product, "pages": pages}, entities={"product": rule}, cache=cache)


async def price_set_by_somebody_else(home: Path, sku: str, price: int) -> None:
    """Change a row as a program would that knows nothing of the tiers above it."""
    base = Matrix.defaults()
    alone = RegionOptions(name="product", tiers=("local",), ttl_s=60, store=f"sqlite:///{home}/shop.db#products")
    cache = replace(base.cache, namespace=f"batch{next(numbers)}", state_dir=str(home / "batch"))
    async with AsyncCache(replace(base, regions={"product": alone}, entities={}, cache=cache)) as other:
        await other.tenant("acme").region("product").write(sku, {"price": price})


@contextmanager
def cloudfront_on_moto(origin_port: int, moto: MotoServer) -> Iterator[tuple[int, str]]:
    """The stand-in for invalidations, moto for the bucket."""
    import boto3

    client = boto3.client("s3", endpoint_url=moto.url, region_name=moto.region)
    client.create_bucket(Bucket="shop")
    client.close()
    with cloudfront_edge(origin_port) as (port, url):
        api = url.partition("endpoint=")[2]
        yield port, f"s3+cloudfront://shop/E1?window=0.01&endpoint={moto.url}&cloudfront_endpoint={api}"


@pytest.fixture(params=["varnish", "cloudfront", "embedded"])
def open_edge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OpenEdge:
    if request.param != "cloudfront":
        return varnish_edge if request.param == "varnish" else embedded_edge
    moto: MotoServer = request.getfixturevalue("clean_moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    return lambda origin_port: cloudfront_on_moto(origin_port, moto)


@asynccontextmanager
async def shop_behind(
    open_edge: OpenEdge, redis: RedisServer, home: Path, *, purge_pages: bool = True
) -> AsyncIterator[tuple[Shop, int]]:
    """Yield the application with two priced products, and the port of the edge in front of it."""
    relay = Relay()
    async with served(relay) as application_port:
        with open_edge(application_port) as (edge_port, cdn):
            async with AsyncCache(matrix(home, redis.url, cdn, purge_pages=purge_pages)) as cache:
                shop = Shop(cache.tenant("acme"))
                await shop.acme.region("product").write_many({"1": {"price": 990}, "2": {"price": 1990}})
                routes = [RoutePolicy(path="/*", ttl_s=3600)]
                relay.site = PageCache(
                    shop, routes=routes, tenant="acme", region=lambda name: cache.tenant(name).region("pages")
                )
                yield shop, edge_port


class Relay:
    """An application that is known only after its port is."""

    site: PageCache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.site(scope, receive, send)


async def seen(port: int, paths: tuple[str, ...] = tuple(OLD)) -> dict[str, str]:
    """Return what a visitor sees at each path."""

    def get(path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": "acme.example"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return {path: await asyncio.to_thread(get, path) for path in paths}


async def test_what_showed_the_price_falls_and_the_receipt_says_when(
    open_edge: OpenEdge, clean_redis: RedisServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with shop_behind(open_edge, clean_redis, tmp_path) as (shop, port):
        assert [await seen(port) for _ in range(2)] == [OLD, OLD]
        assert set(shop.rendered.values()) == {1}  # the second time from the edge
        await price_set_by_somebody_else(tmp_path, "1", 880)
        assert await seen(port) == OLD  # nobody has said so yet

        receipt = await shop.acme.invalidate("product", "1")
        await receipt.wait("cdn")

        assert await seen(port) == NEW  # at once, not after a while
        assert shop.rendered == {**dict.fromkeys(SHOWING_ONE, 2), "/p/2": 1}  # the other product's page stayed
        assert (receipt.state.paths, receipt.state.tags) == ([], [])  # nobody listed anything
        clean_s = receipt.state.clean_s
        assert receipt.state.started_s <= clean_s["redis"] <= clean_s["local"] <= clean_s["cdn"]
        after_ms = {tier: round(1000 * (at - receipt.state.started_s), 1) for tier, at in clean_s.items()}
        print(f"{request.node.callspec.id}: clean after (ms) {after_ms}")


async def test_a_write_fells_what_showed_the_old_price(
    open_edge: OpenEdge, clean_redis: RedisServer, tmp_path: Path
) -> None:
    async with shop_behind(open_edge, clean_redis, tmp_path) as (shop, port):
        assert await seen(port) == OLD
        await shop.acme.region("product").write("1", {"price": 880})

        async def is_new() -> bool:
            return await seen(port) == NEW

        await until(is_new, "the new price at the edge")
        assert shop.rendered["/p/2"] == 1


async def test_without_purge_pages_the_edge_keeps_the_old_price(clean_redis: RedisServer, tmp_path: Path) -> None:
    async with shop_behind(varnish_edge, clean_redis, tmp_path, purge_pages=False) as (shop, port):
        assert await seen(port) == OLD
        await price_set_by_somebody_else(tmp_path, "1", 880)
        receipt = await shop.acme.invalidate("product", "1")
        assert set(receipt.state.clean_s) == {"redis", "local"}
        assert await seen(port) == OLD
