"""
What is published at a folder, served over HTTP: headers, conditions, variants, age, and what is refused.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.asking import ask
from tiercel._async.edge import open_edge
from tiercel._async.edge_distribution import AsyncDistribution
from tiercel._core.clock import ManualClock
from tiercel.http.published import PublishedSite

HTML = "text/html; charset=utf-8"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def edge(tmp_path: Path, clock: ManualClock) -> AsyncIterator[AsyncDistribution]:
    opened = await open_edge(f"folder://{tmp_path}/edge", clock=clock)
    page = b"<p>hello</p>" * 100
    await opened.publish(
        "/index.html", page, content_type=HTML, ttl_s=60, browser_ttl_s=5, tags=["home"], tenant="acme"
    )
    await opened.publish("/ä.txt", b"umlaut", content_type="text/plain; charset=utf-8", ttl_s=60, grace_s=30)
    yield opened
    await opened.aclose()


@pytest.fixture
def site(edge: AsyncDistribution, clock: ManualClock) -> PublishedSite:
    return PublishedSite(edge, clock)


async def test_an_object_is_served_as_it_was_published(
    site: PublishedSite, edge: AsyncDistribution, clock: ManualClock
) -> None:
    clock.advance(7.0)
    answer = await ask(site, "/")
    assert (answer.status, answer.body) == (200, b"<p>hello</p>" * 100)
    assert answer.headers.get("content-type") == HTML
    assert answer.headers.get("cache-control") == "public, max-age=5"
    assert answer.headers.get("cdn-cache-control") == "max-age=60"
    assert answer.headers.get("age") == "7"
    assert edge.codec.encode("acme", "home") in (answer.headers.get("surrogate-key") or "").split()


async def test_a_variant_goes_to_who_takes_it(site: PublishedSite) -> None:
    packed = await ask(site, "/index.html", headers=[("accept-encoding", "gzip")])
    assert gzip.decompress(packed.body) == (await ask(site, "/index.html")).body
    assert packed.headers.get("vary") == "Accept-Encoding"


async def test_who_has_it_gets_304_without_a_body(site: PublishedSite) -> None:
    etag = (await ask(site, "/")).headers.get("etag") or ""
    for condition in (etag, f'"other", W/{etag}', "*"):
        answer = await ask(site, "/", headers=[("if-none-match", condition)])
        assert (answer.status, answer.body, answer.headers.get("etag")) == (304, b"", etag)
    assert (await ask(site, "/", headers=[("if-none-match", '"other"')])).status == 200


async def test_a_head_has_the_length_and_no_body(site: PublishedSite) -> None:
    answer = await ask(site, "/", method="HEAD")
    assert (answer.status, answer.body, answer.headers.get("content-length")) == (200, b"", "1200")


async def test_an_escaped_path_finds_its_object(site: PublishedSite) -> None:
    assert (await ask(site, "/%C3%A4.txt")).body == b"umlaut"


@pytest.mark.parametrize(
    "target", ["/nothing", "/../index.html", "/%2e%2e/index.html", "/a\\b", "/.tiercel/variants/gzip/index.html"]
)
async def test_nothing_else_is_served(site: PublishedSite, target: str) -> None:
    assert (await ask(site, target)).status == 404


async def test_other_methods_are_refused(site: PublishedSite) -> None:
    assert (await ask(site, "/", method="POST")).status == 405


async def test_expired_copies_are_refused_where_that_is_the_setting(
    edge: AsyncDistribution, clock: ManualClock
) -> None:
    files, copies = PublishedSite(edge, clock), PublishedSite(edge, clock, expired="refuse")
    clock.advance(89.0)
    assert (await ask(copies, "/%C3%A4.txt")).status == 200  # stale, and so its age says
    clock.advance(1.0)
    assert (await ask(copies, "/%C3%A4.txt")).status == 404
    assert (await ask(files, "/%C3%A4.txt")).status == 200
