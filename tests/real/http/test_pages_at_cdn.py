"""
From the row to the edge: a product's price changes, and the pages that showed it fall at an edge in front of the
application, with nobody listing URLs.
"""

from __future__ import annotations

import asyncio
import itertools
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.http.asking import respond
from tests.real.http.test_edge_command import edge_process, get
from tests.real.waiting import until
from tests.rig.process import free_port
from tiercel import AsyncCache, AsyncReceipt, Matrix, RegionOptions
from tiercel.http.asgi import PageCache
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy

numbers = itertools.count()


def matrix(edge_port: int, folder: Path, *, purge_pages: bool) -> Matrix:
    regions = [
        RegionOptions(name="product", tiers=("local",), ttl_s=60, purge_pages=purge_pages, prefixes=("sku-",)),
        RegionOptions(name="pages", tiers=("local",), ttl_s=60),
    ]
    found = Matrix.defaults()
    cdn, namespace = f"varnish://127.0.0.1:{edge_port}?window=0", f"cdn{next(numbers)}"
    shared = replace(found.cache, namespace=namespace, cdn=cdn, state_dir=str(folder))
    return replace(found, regions={options.name: options for options in regions}, cache=shared)


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """Serve *app* from this loop."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    serving = asyncio.ensure_future(server.serve())

    async def is_started() -> bool:
        return server.started

    await until(is_started, "the application serves")
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def shop(folder: Path, *, purge_pages: bool) -> AsyncIterator[tuple[AsyncCache, int]]:
    """Yield a cache and the port of the edge in front of a shop of its tenant ``acme``."""
    edge_port = free_port()
    async with AsyncCache(matrix(edge_port, folder, purge_pages=purge_pages)) as cache:
        acme = cache.tenant("acme")
        products = acme.region("product")

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            skus = ["1", "2"] if path == "/list" else [path.rpartition("/")[2]]
            prices = [str(await products.get(sku)) for sku in skus]
            await respond(send, 200, [("Content-Type", "text/plain")], ",".join(prices).encode())

        routes = [RoutePolicy(path="/*", ttl_s=600, grace_s=0)]
        site = PageCache(
            application, routes=routes, tenant="acme", region=lambda name: cache.tenant(name).region("pages")
        )
        async with served(site) as port:
            with edge_process(port, "--purge-from", "127.0.0.1", port=edge_port):
                yield cache, edge_port


def status_of(port: int, path: str) -> str:
    """Return what the edge says of where its answer comes from."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        lines: list[str] = answer.headers.get_all("Cache-Status")
        return lines[-1]


async def falls_to(port: int, path: str, body: str) -> None:
    """Wait until the edge serves *body* at *path*."""

    async def shows() -> bool:
        return await get(port, path) == body

    await until(shows, f"{body} at {path}")


async def test_every_page_that_showed_a_product_falls_with_its_price(tmp_path: Path) -> None:
    async with shop(tmp_path, purge_pages=True) as (cache, port):
        products = cache.tenant("acme").region("product")
        await products.set_many({"1": 990, "2": 1990})
        assert [await get(port, path) for path in ("/p/1", "/p/2", "/list")] == ["990", "1990", "990,1990"]
        await products.set("1", 880)
        await falls_to(port, "/p/1", "880")
        await falls_to(port, "/list", "880,1990")


async def test_an_entitys_tag_reaches_pages_made_from_entries_that_carry_it(tmp_path: Path) -> None:
    async with shop(tmp_path, purge_pages=True) as (cache, port):
        acme = cache.tenant("acme")
        await acme.region("product").set("1", 990, tags=["category:5"])
        assert await get(port, "/p/1") == "990"
        receipt = await acme.invalidate_tags("category:5")
        await receipt.wait("cdn")
        assert await get(port, "/p/1") == "MISS"


WHOLE: dict[str, Callable[[AsyncCache], Awaitable[AsyncReceipt]]] = {
    "region.clear": lambda cache: cache.tenant("acme").region("product").clear(),
    "region.invalidate_prefix": lambda cache: cache.tenant("acme").region("product").invalidate_prefix("sku-"),
    "tenant.invalidate_region": lambda cache: cache.tenant("acme").invalidate_region("product"),
    "tenant.invalidate_all": lambda cache: cache.tenant("acme").invalidate_all(),
    "cache.invalidate_region": lambda cache: cache.invalidate_region("product"),
    "cache.invalidate_everything": lambda cache: cache.invalidate_everything(),
}


@pytest.mark.parametrize("way", WHOLE)
async def test_whatever_makes_many_entries_fall_takes_their_pages_along(way: str, tmp_path: Path) -> None:
    async with shop(tmp_path, purge_pages=True) as (cache, port):
        await cache.tenant("acme").region("product").set("sku-1", 990)
        await cache.tenant("other").region("product").set("sku-1", 990)
        assert await get(port, "/p/sku-1") == "990"
        receipt = await WHOLE[way](cache)
        await receipt.wait("cdn")
        assert await get(port, "/p/sku-1") == "MISS"


async def test_another_tenants_clearing_leaves_the_pages_alone(tmp_path: Path) -> None:
    async with shop(tmp_path, purge_pages=True) as (cache, port):
        acme, other = cache.tenant("acme"), cache.tenant("other")
        await acme.region("product").set("1", 990)
        await (await acme.invalidate_tags("unused")).wait("cdn")  # behind the purge of what the price replaced
        assert await get(port, "/p/1") == "990"
        for receipt in (await other.region("product").clear(), await other.invalidate_all()):
            await receipt.wait("cdn")
        assert "tiercel; hit" in await asyncio.to_thread(status_of, port, "/p/1")


async def test_without_purge_pages_the_edge_keeps_the_old_page(tmp_path: Path) -> None:
    async with shop(tmp_path, purge_pages=False) as (cache, port):
        acme = cache.tenant("acme")
        products = acme.region("product")
        await products.set("1", 990)
        assert await get(port, "/p/1") == "990"
        await products.set("1", 880)
        await (await acme.invalidate_tags("unused")).wait("cdn")  # a purge sent after it has come through
        assert await get(port, "/p/1") == "990"
