"""
What loses against an invalidation is not published: every order of a load, its publishing and an invalidation on
another node, and writes that still wait in the journal when what they were made from falls.

The naive way beside it is the same code without the two looks at the tokens: it leaves the old price at the edge.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.schedules import AsyncStage, async_explore
from tiercel import MISS, AsyncCache, CacheOptions, Matrix, RegionOptions
from tiercel._async import assembly
from tiercel._async.publication import AsyncPublication, Fence
from tiercel._dependencies import collecting
from tiercel._gates import async_gate
from tiercel._paired import AsyncFunction
from tiercel._process import Process
from tiercel.errors import TierUnavailable

PATIENT = replace(assembly.DERIVED_JOURNAL, interval_s=60.0)
"""Derived data waits until somebody drains it."""


@pytest.fixture
async def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[AsyncCache]]:
    """Two machines with one far tier and one edge."""
    monkeypatch.setattr(assembly, "DERIVED_JOURNAL", PATIENT)
    opened: list[AsyncCache] = []
    records, namespace = Process().records, f"f{secrets.token_hex(6)}"
    regions = [
        RegionOptions(name="page", tiers=("cdn",), ttl_s=300, strategy="write-through"),
        RegionOptions(name="api", tiers=("cdn",), ttl_s=300, strategy="write-behind"),
        RegionOptions(name="product", tiers=("redis",), ttl_s=300, private=False),
        RegionOptions(name="basket", tiers=("redis",), ttl_s=300, private=True),
    ]
    for number in range(2):
        process = Process()
        process.records = records
        state_dir = str(tmp_path / f"node{number}")
        shared = CacheOptions(namespace=namespace, cdn=f"folder://{tmp_path}/edge", state_dir=state_dir)
        cache = AsyncCache(Matrix.of(*regions, shared), process=process)
        opened.append(await cache.start())
    yield opened
    for cache in opened:
        await cache.aclose()


class Shop:
    """A price, and pages that show it; each schedule has a page of its own."""

    def __init__(self, nodes: list[AsyncCache]) -> None:
        self.acme, self.other = (cache.tenant("acme") for cache in nodes)
        self._pages = 0

    async def race(self, stage: AsyncStage) -> AsyncFunction[[], str | None]:
        self._pages += 1
        page, tag, price = f"p{self._pages}", f"t{self._pages}", {"now": 990}

        async def render() -> int:
            shown = price["now"]
            await async_gate("page.rendered")
            return shown

        async def publish() -> None:
            await self.acme.region("page").get_or_load(page, render, tags=[tag])

        async def change() -> None:
            price["now"] = 880
            await self.other.invalidate_tags(tag)

        stage.actor("publisher", publish)
        stage.actor("invalidator", change)

        async def check() -> str | None:
            seen = await self.acme.region("page").get(page)
            return None if seen in (880, MISS) else f"the edge serves {seen}"

        return check


async def test_a_page_that_loses_against_an_invalidation_is_not_published(nodes: list[AsyncCache]) -> None:
    explored = await async_explore(Shop(nodes).race, 2000)
    assert explored.violations == {}, explored.losing
    assert explored.is_exhaustive
    assert explored.gates["publish.put"] > 0


async def test_without_the_fence_the_old_page_stays_at_the_edge(
    nodes: list[AsyncCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stands(self: AsyncPublication, fence: Fence) -> bool:
        return True

    monkeypatch.setattr(AsyncPublication, "_may_stand", stands)
    explored = await async_explore(Shop(nodes).race, 2000)
    assert explored.violations["the edge serves 990"] > 0


async def test_a_response_that_waits_is_not_published_after_its_tag_fell(nodes: list[AsyncCache]) -> None:
    acme = nodes[0].tenant("acme")
    responses = acme.region("api")
    handle = await responses.write("products/1", {"price": 990}, tags=["product:1"])
    assert await responses.get("products/1") == {"price": 990}  # though it waits
    await nodes[1].tenant("acme").invalidate_tags("product:1")
    assert await responses.get("products/1", MISS, consistency="strong") is MISS
    assert await nodes[0].drain() == 0
    await handle.persisted()
    assert await responses.get("products/1", MISS) is MISS


async def test_without_the_fence_the_waiting_response_comes_back(
    nodes: list[AsyncCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stands(self: AsyncPublication, fence: Fence) -> bool:
        return True

    monkeypatch.setattr(AsyncPublication, "_may_stand", stands)
    acme = nodes[0].tenant("acme")
    await acme.region("api").write("products/1", {"price": 990}, tags=["product:1"])
    await acme.invalidate_tags("product:1")
    await nodes[0].drain()
    assert await acme.region("api").get("products/1") == {"price": 990}


@pytest.mark.parametrize("way", ["remove", "expire", "delete"])
async def test_a_response_that_waits_goes_with_its_key(nodes: list[AsyncCache], way: str) -> None:
    responses = nodes[0].tenant("acme").region("api")
    await responses.write("products/1", {"price": 990})
    await getattr(responses, way)("products/1")
    assert await responses.get("products/1", MISS) is MISS
    await nodes[0].drain()
    assert await responses.get("products/1", MISS) is MISS


async def test_what_was_loaded_from_an_entry_falls_with_it(nodes: list[AsyncCache]) -> None:
    acme = nodes[0].tenant("acme")
    await acme.region("product").set("1", 990)

    async def render() -> str:
        return f"price {await acme.region('product').get('1')}"

    assert await acme.region("page").get_or_load("p/1", render) == "price 990"
    published = await nodes[0].edge.fetch("/acme/page/p/1")  # type: ignore[union-attr]  # this matrix has an edge
    assert published is not None
    assert any(tag.startswith("dep-") for tag in published.tags)


async def test_what_was_loaded_with_a_private_entry_is_not_published(nodes: list[AsyncCache]) -> None:
    acme = nodes[0].tenant("acme")
    await acme.region("basket").set("1", "secret")

    async def render() -> Any:
        return await acme.region("basket").get("1")

    assert await acme.region("page").get_or_load("p/1", render) == "secret"
    assert await acme.region("page").get("p/1", MISS) is MISS


async def test_a_load_whose_tokens_are_not_known_is_answered_and_not_published(
    nodes: list[AsyncCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = nodes[0].tenant("acme").region("page")

    async def away(*_: Any, **__: Any) -> Any:
        raise TierUnavailable("the far tier is away")

    with monkeypatch.context() as patched:
        patched.setattr(pages.place.node.tags, "stamps", away)
        assert await pages.get_or_load("p/1", lambda: "page") == "page"
        await pages.set("p/2", "written by hand", tags=["t"])  # new as of now: published all the same
    assert await pages.get("p/1", MISS) is MISS
    assert await pages.get("p/2") == "written by hand"
    await nodes[1].tenant("acme").invalidate_tags("t")
    assert await pages.get("p/2", MISS) is MISS


async def test_a_computation_depends_on_what_it_read_at_the_cdn(nodes: list[AsyncCache]) -> None:
    """A miss too: what was made without the thing falls when it appears."""
    acme, other = (cache.tenant("acme") for cache in nodes)
    products = acme.region("product")

    async def list_page() -> str:
        return f"{await acme.region('page').get('p/1', 'nothing')}"

    assert await products.get_or_load("list", list_page, consistency="strong") == "nothing"
    await other.region("page").set("p/1", "old")
    assert await products.get_or_load("list", list_page, consistency="strong") == "old"
    await other.region("page").set("p/1", "new")
    assert await products.get_or_load("list", list_page, consistency="strong") == "new"


async def test_a_get_that_found_nothing_is_a_dependency(nodes: list[AsyncCache]) -> None:
    acme, other = (cache.tenant("acme") for cache in nodes)

    async def list_page() -> str:
        one = await acme.region("product").get("1", "nothing")
        return f"{one} {len(await acme.region('product').get_many(['2', '3']))}"

    assert await acme.region("product").get_or_load("list", list_page, consistency="strong") == "nothing 0"
    await other.region("product").set("1", 990)
    assert await acme.region("product").get_or_load("list", list_page, consistency="strong") == "990 0"
    await other.region("product").set("3", 1990)
    assert await acme.region("product").get_or_load("list", list_page, consistency="strong") == "990 1"


async def test_what_is_made_from_a_published_object_with_tags_of_its_own_is_not_shared(
    nodes: list[AsyncCache],
) -> None:
    acme = nodes[0].tenant("acme")
    await acme.region("page").set("p/1", "tagged", tags=["category:1"])
    await acme.region("page").set("p/2", "plain")
    for key, is_shared in (("p/1", False), ("p/2", True)):
        with collecting() as found:
            await acme.region("page").get(key)
        assert (found.stamps_with(()) is not None) is is_shared


async def test_a_local_read_that_may_not_wait_is_noted_by_what_is_known(
    nodes: list[AsyncCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tokens are not known here, the result is not shared rather than shared too long."""
    products = nodes[0].tenant("acme").region("product")
    with collecting() as found:
        assert products.get_local("1", "nothing") == "nothing"
    assert found.why_not_shared(()) == "mixed read"
    with collecting() as found:
        await products.get("1")  # asks for the tokens, which are known from now on
        products.get_local("1")
    tags = products.place.node.tags
    monkeypatch.setattr(tags, "_is_live", lambda: True)
    with collecting() as found:
        products.get_local("1")
    assert found.why_not_shared(()) == ""
    assert products.place.key_tag("1") in found.tokens
