"""
The verbs of a region, on every kind of far tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.async_.engine.conftest import Node, until
from tiercel import MISS, ConfigurationError, KeyRefused, Matrix, NotFound, Record, TenantRequired


class Loader:
    """A loader that counts its calls."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.calls = 0

    async def __call__(self) -> Any:
        self.calls += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


async def test_get_never_loads_and_none_is_a_value(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    assert await page.get("k") is MISS
    assert await page.get("k", "other") == "other"
    await page.set("k", None)
    assert await page.get("k", "other") is None


async def test_get_or_load_loads_once_and_serves_locally(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    loader = Loader({"n": 1})
    assert [await page.get_or_load("k", loader) for _ in range(3)] == [{"n": 1}] * 3
    assert loader.calls == 1
    assert page.get_local("k") == {"n": 1}


async def test_another_node_is_served_from_the_far_tier(node: Node) -> None:
    first, second = await node(), await node()
    loader = Loader([1, 2])
    await first.tenant("acme").region("page").get_or_load("k", loader)
    assert await second.tenant("acme").region("page").get_or_load("k", loader) == [1, 2]
    assert loader.calls == 1


async def test_not_found_is_remembered_and_answered_with_the_default(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    loader = Loader(NotFound("k"))
    assert await page.get_or_load("k", loader, "none") == "none"
    assert await page.get_or_load("k", loader) is MISS
    assert await page.get("k", "none") == "none"
    assert loader.calls == 1


async def test_a_loaders_own_error_passes_untouched_and_is_not_cached(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    loader = Loader(ZeroDivisionError("mine"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            await page.get_or_load("k", loader)
    assert loader.calls == 2
    loader.value = 5
    assert await page.get_or_load("k", loader) == 5


async def test_many(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    asked: list[list[str]] = []

    async def load(keys: Sequence[Any]) -> dict[Any, Any]:
        asked.append(list(keys))
        return {key: key.upper() for key in keys if key != "none"}

    await page.set("a", "kept")
    found = await page.get_or_load_many(["a", "b", "none", "c", "b"], load)
    assert found == {"a": "kept", "b": "B", "c": "C"}
    assert asked == [["b", "none", "c"]]
    assert await page.get_or_load_many(["b", "none", "c"], load) == {"b": "B", "c": "C"}
    assert len(asked) == 1
    assert await page.get_many(["a", "b", "none", "absent"]) == {"a": "kept", "b": "B"}
    await page.set_many({"x": 1, "y": 2}, ttl_s=9.0)
    assert await page.get_many(["x", "y"]) == {"x": 1, "y": 2}


async def test_expire_remove_touch_ttl_clear(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    await page.set("k", 1, ttl_s=30.0)
    left = await page.ttl("k")
    assert left is not None
    assert 25 < left <= 30
    assert await page.touch("k", 300.0)
    left = await page.ttl("k")
    assert left is not None
    assert left > 200
    await page.expire("k")
    assert await page.get("k") is MISS
    assert await page.get_or_load("k", Loader(2)) == 2
    await page.remove("k")
    assert await page.get("k") is MISS
    assert not await page.touch("k")
    assert await page.ttl("k") is None
    await page.set_many({"a": 1, "b": 2})
    await page.clear()
    assert await page.get_many(["a", "b"]) == {}


async def test_expire_keeps_a_copy_for_a_failing_load_and_remove_does_not(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    failing = Loader(ConnectionError("down"))
    await page.set("k", "old")
    await page.expire("k")
    assert await page.get_or_load("k", failing) == "old"
    await page.remove("k")
    with pytest.raises(ConnectionError):
        await page.get_or_load("k", failing)


async def test_read_write_delete_reach_the_store(node: Node) -> None:
    first, second = await node(), await node()
    mine, other = first.tenant("acme").region("product"), second.tenant("acme").region("product")
    assert await mine.read("sku", "none") == "none"
    await mine.write("sku", {"price": 1})
    assert await mine.read("sku") == {"price": 1}
    assert await other.read("sku") == {"price": 1}
    await mine.write_many({"sku": {"price": 2}, "sku-2": {"price": 3}})
    assert await other.read("sku", consistency="strong") == {"price": 2}
    await until(lambda: other.get_local("sku") != {"price": 1})
    assert await other.read_many(["sku", "sku-2", "sku-3"]) == {"sku": {"price": 2}, "sku-2": {"price": 3}}
    await other.delete("sku")
    await until(lambda: mine.get_local("sku") is MISS)
    assert await mine.read("sku") is MISS
    assert await mine.read("sku-2") == {"price": 3}


async def test_write_behind_is_read_back_at_once_and_reaches_the_store(node: Node) -> None:
    cache = await node()
    profile = cache.tenant("acme").region("profile")
    handle = await profile.write("u1", {"name": "Ada"})
    assert await profile.read("u1") == {"name": "Ada"}
    await handle.persisted(10.0)
    await profile.remove("u1")
    assert await profile.read("u1") == {"name": "Ada"}
    await profile.delete("u1")
    assert await profile.read("u1") is MISS
    assert await cache.drain(10.0) == 0
    assert await profile.read("u1") is MISS


async def test_write_behind_is_seen_when_every_tier_lost_it(node: Node) -> None:
    cache = await node()
    profile = cache.tenant("acme").region("profile")
    await profile.write("u1", {"name": "Ada"})
    await profile.remove("u1")
    assert await profile.read("u1") == {"name": "Ada"}
    assert await profile.read_many(["u1"]) == {"u1": {"name": "Ada"}}


async def test_derived_data_is_read_back_before_its_batch_is_sent(node: Node) -> None:
    cache = await node()
    search = cache.tenant("acme").region("search")
    await search.write("q", ["sku-1"], tags=["search"])
    assert await search.get("q") == ["sku-1"]
    assert await cache.drain(10.0) == 0
    assert await search.get("q") == ["sku-1"]
    await cache.tenant("acme").invalidate_tags("search")
    assert await search.get("q") is MISS


async def test_published_content_is_read_back(node: Node) -> None:
    cache = await node()
    acme = cache.tenant("acme")
    await acme.region("static").write("css/site.css", "body{}")
    assert await acme.region("static").get("css/site.css") == "body{}"
    assert await cache.tenant("other").region("static").get("css/site.css") is MISS
    assert await acme.region("api").get_or_load("products/1", Loader({"id": 1})) == {"id": 1}
    assert await acme.region("api").get("products/1") == {"id": 1}


async def test_tenants_never_see_each_other(node: Node) -> None:
    cache = await node()
    await cache.tenant("a").region("page").set("k", 1)
    assert await cache.tenant("b").region("page").get("k") is MISS
    with pytest.raises(TenantRequired, match="tenant"):
        cache.region("page")
    with pytest.raises(ConfigurationError, match="global"):
        cache.tenant("a").region("settings")
    await cache.region("settings").set("k", 2)
    assert await cache.region("settings").get("k") == 2


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 513, "\ud800", 5, None])
async def test_bad_keys_are_refused(node: Node, key: Any) -> None:
    page = (await node()).tenant("acme").region("page")
    with pytest.raises(KeyRefused):
        await page.get_or_load(key, Loader(1))


async def test_text_and_bytes_keys_differ(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    await page.set("k", "text")
    await page.set(b"k", "bytes")
    assert await page.get("k") == "text"
    assert await page.get(b"k") == "bytes"


async def test_a_loader_may_give_a_version_and_an_older_one_is_not_kept(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    assert await page.get_or_load("k", Loader(Record("new", 7))) == "new"
    assert (await page.explain("k"))["redis"]["version"] == 7


async def test_cached_functions(node: Node) -> None:
    cache = await node()
    page = cache.tenant("acme").region("page")
    calls: list[tuple[Any, ...]] = []

    @page.cached("top:{category}", tags=["category:{category}"])
    async def top(category: str, limit: int = 5) -> list[Any]:
        calls.append((category, limit))
        return [category, len(calls)]

    assert await top("shoes") == ["shoes", 1]
    assert await top("shoes", 7) == ["shoes", 1]
    assert await top(category="hats") == ["hats", 2]
    await cache.tenant("acme").invalidate_tags("category:shoes")
    assert await top("shoes") == ["shoes", 3]
    assert await top("hats") == ["hats", 2]
    assert top.__name__ == "top"


async def test_what_was_computed_falls_with_what_was_read(node: Node) -> None:
    first, second = await node(), await node()
    page, product = first.tenant("acme").region("page"), first.tenant("acme").region("product")
    await product.write("sku", {"price": 1})

    async def render() -> str:
        return f"price {(await product.read('sku'))['price']}"

    assert await page.get_or_load("p", render) == "price 1"
    assert await page.get_or_load("p", render) == "price 1"
    await second.tenant("acme").region("product").write("sku", {"price": 2})
    assert await page.get("p", consistency="strong") is MISS


async def test_entity_invalidation_clears_every_tier_with_a_receipt(node: Node) -> None:
    cache = await node()
    acme = cache.tenant("acme")
    await acme.region("page").set("p-7", "page of 7")
    await acme.region("search").set("q", ["7"], tags=["search"])
    await acme.region("page").set("r", "reviews", tags=["reviews:7"])
    await acme.region("page").set("other", "stays")
    receipt = await acme.invalidate("product", "7")
    assert await receipt.wait("redis") > 0
    assert await receipt.wait("local") > 0
    assert await receipt.wait("cdn") > 0
    assert await acme.region("page").get("p-7") is MISS
    assert await acme.region("search").get("q") is MISS
    assert await acme.region("page").get("r") is MISS
    assert await acme.region("page").get("other") == "stays"
    assert "/acme/p/7" in receipt.state.paths
    with pytest.raises(ConfigurationError, match="unknown entity"):
        await acme.invalidate("nothing", "1")


@pytest.mark.parametrize("scope", ["region of tenant", "region", "tenant", "everything"])
async def test_scopes_fall_whole_and_nothing_beyond(node: Node, scope: str) -> None:
    cache = await node()
    places = [("a", "page"), ("b", "page"), ("a", "search")]
    for tenant, region in places:
        await cache.tenant(tenant).region(region).set("k", 1)
    if scope == "region of tenant":
        await cache.tenant("a").invalidate_region("page")
        stays = {("b", "page"), ("a", "search")}
    elif scope == "region":
        await cache.invalidate_region("page")
        stays = {("a", "search")}
    elif scope == "tenant":
        await cache.tenant("a").invalidate_all()
        stays = {("b", "page")}
    else:
        await cache.invalidate_everything()
        stays = set()
    left = {place for place in places if await cache.tenant(place[0]).region(place[1]).get("k") == 1}
    assert left == stays


async def test_report_counts_what_happened(node: Node) -> None:
    cache = await node()
    page = cache.tenant("acme").region("page")
    loader = Loader(1)
    for _ in range(5):
        await page.get_or_load("k", loader)
    figures = cache.report().regions["page"]
    assert figures.loads == 1
    assert figures.tiers["local"].hits == 4


async def test_a_failing_source_is_left_alone_while_a_stale_copy_serves(node: Node) -> None:
    page = (await node()).tenant("acme").region("page")
    failing = Loader(ConnectionError("down"))
    await page.set("k", "old")
    await page.expire("k")
    assert [await page.get_or_load("k", failing) for _ in range(5)] == ["old"] * 5
    assert failing.calls == 1


async def test_errors_that_the_region_does_not_excuse_are_raised(node: Node, matrix: Matrix) -> None:
    picky = replace(matrix.region("page"), stale_if=lambda error: isinstance(error, ConnectionError))
    page = (await node(page=picky)).tenant("acme").region("page")
    await page.set("k", "old")
    await page.expire("k")
    with pytest.raises(ZeroDivisionError):
        await page.get_or_load("k", Loader(ZeroDivisionError()))


async def test_a_big_value_is_told(node: Node, matrix: Matrix) -> None:
    cache = await node(page=replace(matrix.region("page"), big_value_bytes=100))
    await cache.tenant("acme").region("page").set("k", "x" * 200)
    assert cache.report().events["big_value"] == 1


async def test_what_was_computed_falls_with_a_decorated_hit_that_it_used(node: Node) -> None:
    cache = await node()
    acme = cache.tenant("acme")
    query, page = acme.region("query"), acme.region("page")
    calls: list[str] = []

    @query.cached("price:{sku}", tags=["sku:{sku}"])
    async def price(sku: str) -> int:
        calls.append(sku)
        return len(calls)

    async def render() -> str:
        return f"costs {await price('a')}"

    assert await price("a") == 1
    assert await price("a") == 1
    assert await page.get_or_load("p", render) == "costs 1"
    await acme.invalidate_tags("sku:a")
    assert await page.get_or_load("p", render) == "costs 2"
    assert calls == ["a", "a"]


async def test_copies_that_ended_are_removed_though_nobody_asks_for_them(node: Node) -> None:
    cache = await node()
    query = cache.tenant("acme").region("query")
    await query.set_many({f"k{number}": number for number in range(50)}, ttl_s=0.05)
    await query.set("stays", 1)
    table = query.place.core.table
    assert table is not None
    await until(lambda: table.stats().entries == 1)
    assert query.get_local("stays") == 1
