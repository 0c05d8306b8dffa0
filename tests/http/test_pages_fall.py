"""
Pages in a real region: a page falls when something changes that its handler read, with nobody listing URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.http.asking import Answered, ask, environ_of, respond
from tiercel import AsyncCache, AsyncTenant, Cache, Matrix, RegionOptions
from tiercel._core.clock import ManualClock
from tiercel._process import Process
from tiercel.http.asgi import PageCache
from tiercel.http.exchange import Receive, Scope, Send
from tiercel.http.policy import RoutePolicy
from tiercel.http.wsgi import WsgiPageCache


def matrix(namespace: str) -> Matrix:
    regions = [
        RegionOptions(name="product", tiers=("local",), ttl_s=60),
        RegionOptions(name="offer", tiers=("local",), ttl_s=60, grace_s=60),
        RegionOptions(name="basket", tiers=("local",), ttl_s=60, private=True),
        RegionOptions(name="pages", tiers=("local",), ttl_s=60),
    ]
    found = Matrix.defaults()

    return replace(
        found, regions={options.name: options for options in regions}, cache=replace(found.cache, namespace=namespace)
    )


class Shop:
    """Renders a product's page from its region; counts."""

    def __init__(self, acme: AsyncTenant) -> None:
        self._acme = acme
        self.rendered = 0
        self.before_answer: asyncio.Event | None = None
        self.has_read = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.rendered += 1
        sku = scope["path"].rpartition("/")[2]
        row = await self._row(scope["path"].split("/")[1], sku)
        self.has_read.set()
        if self.before_answer is not None:
            await self.before_answer.wait()
        await respond(send, 200, [("Content-Type", "text/plain")], str(row).encode())

    async def _row(self, kind: str, sku: str) -> object:
        if kind == "offer":
            return await self._acme.region("offer").get_or_load(sku, lambda: "880")
        return await self._acme.region("basket" if kind == "basket" else "product").get(sku)


@asynccontextmanager
async def shop(namespace: str, process: Process | None = None) -> AsyncIterator[tuple[AsyncTenant, Shop, PageCache]]:
    async with AsyncCache(matrix(namespace), process=process) as cache:
        acme = cache.tenant("acme")
        app = Shop(acme)
        routes = [RoutePolicy(path="/p/{sku}", ttl_s=60, tags=("pages",))]
        routes += [RoutePolicy(path=path, ttl_s=60) for path in ("/basket/*", "/offer/*")]
        yield (
            acme,
            app,
            PageCache(app, routes=routes, tenant="acme", region=lambda name: cache.tenant(name).region("pages")),
        )


async def test_a_page_falls_with_what_it_showed() -> None:
    async with shop("pages-fall") as (acme, app, site):
        await acme.region("product").set("1", "990")
        await acme.region("product").set("2", "1990")
        assert [(await ask(site, "/p/1")).body for _ in range(2)] == [b"990", b"990"]
        await ask(site, "/p/2")
        assert app.rendered == 2
        await acme.region("product").set("1", "880")
        assert (await ask(site, "/p/1")).body == b"880"
        assert (await ask(site, "/p/2")).is_hit
        assert app.rendered == 3


async def test_a_page_falls_by_its_tag() -> None:
    async with shop("pages-tag") as (acme, app, site):
        await ask(site, "/p/1")
        await acme.invalidate_tags("pages")
        assert not (await ask(site, "/p/1")).is_hit
        assert app.rendered == 2


async def test_a_page_that_was_being_made_while_its_product_changed_is_not_kept() -> None:
    async with shop("pages-race") as (acme, app, site):
        await acme.region("product").set("1", "old")
        app.before_answer = asyncio.Event()
        making: asyncio.Task[Answered] = asyncio.ensure_future(ask(site, "/p/1"))
        await app.has_read.wait()
        await acme.region("product").set("1", "new")
        app.before_answer.set()
        overtaken = await making
        assert overtaken.body == b"old"  # it asked before the change ended
        assert overtaken.headers.lines("cache-control") == ["private, no-store"]  # and no CDN may keep it
        assert (await ask(site, "/p/1")).body == b"new"


async def test_many_requests_for_one_page_make_it_once() -> None:
    async with shop("pages-once") as (acme, app, site):
        await acme.region("product").set("1", "990")
        answers = await asyncio.gather(*(ask(site, "/p/1") for _ in range(30)))
        assert {answer.body for answer in answers} == {b"990"}
        assert app.rendered == 1


async def test_a_page_made_with_a_private_region_is_nobody_elses() -> None:
    async with shop("pages-private") as (acme, app, site):
        await acme.region("basket").set("1", "secret")
        for _ in range(2):
            assert (await ask(site, "/basket/1")).headers.lines("cache-control") == ["private, no-store"]
        assert app.rendered == 2


async def test_a_page_is_handed_out_for_no_longer_than_what_is_left_of_what_it_shows() -> None:
    clock = ManualClock()
    async with shop("pages-left", Process(clock)) as (acme, app, site):
        await acme.region("product").set("1", "990", ttl_s=30)
        clock.advance(10)
        first = await ask(site, "/p/1")
        assert first.headers.lines("cdn-cache-control") == ["max-age=20"]
        clock.advance(19)
        assert (await ask(site, "/p/1")).is_hit
        clock.advance(2)
        await ask(site, "/p/1")  # the page went with the price that it showed, though its route says 60 seconds
        assert app.rendered == 2


async def test_a_page_made_from_a_stale_copy_is_shared_for_a_second() -> None:
    clock = ManualClock()
    async with shop("pages-stale", Process(clock)) as (acme, _, site):
        await acme.region("offer").set("1", "990", ttl_s=30)
        clock.advance(31)
        made = await ask(site, "/offer/1")
        assert (made.body, made.headers.lines("cdn-cache-control")) == (b"990", ["max-age=1"])


async def test_what_goes_out_is_told_with_its_tags() -> None:
    """What an edge without tags is purged by; a hit is told as well, for the page may have fallen out of the index."""
    async with AsyncCache(matrix("pages-served")) as cache:
        acme, told = cache.tenant("acme"), list[tuple[str, Sequence[str], str]]()
        site = PageCache(
            Shop(acme),
            routes=[
                RoutePolicy(path="/p/{sku}", ttl_s=60, tags=("page:{sku}",)),
                RoutePolicy(path="/basket/*", ttl_s=60),
            ],
            tenant="acme",
            region=lambda name: cache.tenant(name).region("pages"),
            served=lambda target, tags, tenant: told.append((target, tags, tenant)),
        )
        await acme.region("product").set("1", "990")
        for path in ("/p/1", "/p/1?utm=x", "/basket/1"):
            await ask(site, path)
        assert [(target, tenant) for target, _, tenant in told] == [("/p/1", "acme"), ("/p/1?utm=x", "acme")]
        assert all("page:1" in tags and any(tag.startswith("@dep:") for tag in tags) for _, tags, _ in told)


def test_the_blocking_middleware_shares_the_same_way() -> None:
    with Cache(matrix("pages-wsgi")) as cache:
        products = cache.tenant("acme").region("product")
        rendered = 0

        def application(environ: dict[str, object], start_response: object) -> list[bytes]:
            nonlocal rendered
            rendered += 1
            start_response("200 OK", [("Content-Type", "text/plain")])  # type: ignore[operator]
            return [str(products.get("1")).encode()]

        site = WsgiPageCache(
            application,
            routes=[RoutePolicy(path="/p/*", ttl_s=60)],
            tenant="acme",
            region=lambda name: cache.tenant(name).region("pages"),
        )

        def get() -> bytes:
            return b"".join(site(environ_of("/p/1"), lambda *_: None))

        products.set("1", "990")
        assert [get(), get()] == [b"990", b"990"]
        assert rendered == 1
        products.set("1", "880")
        assert get() == b"880"
