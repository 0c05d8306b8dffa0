# Generated from tests/async_/engine/test_verbs.py by tools/unasync.py. Do not edit.
"""
The verbs of a region, on every kind of far tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.sync_.engine.conftest import Node, until
from tiercel import MISS, ConfigurationError, KeyRefused, Matrix, NotFound, Record, TenantRequired


class Loader:
    """A loader that counts its calls."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_get_never_loads_and_none_is_a_value(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    assert page.get("k") is MISS
    assert page.get("k", "other") == "other"
    page.set("k", None)
    assert page.get("k", "other") is None


def test_get_or_load_loads_once_and_serves_locally(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    loader = Loader({"n": 1})
    assert [page.get_or_load("k", loader) for _ in range(3)] == [{"n": 1}] * 3
    assert loader.calls == 1
    assert page.get_local("k") == {"n": 1}


def test_another_node_is_served_from_the_far_tier(node: Node) -> None:
    first, second = node(), node()
    loader = Loader([1, 2])
    first.tenant("acme").region("page").get_or_load("k", loader)
    assert second.tenant("acme").region("page").get_or_load("k", loader) == [1, 2]
    assert loader.calls == 1


def test_not_found_is_remembered_and_answered_with_the_default(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    loader = Loader(NotFound("k"))
    assert page.get_or_load("k", loader, "none") == "none"
    assert page.get_or_load("k", loader) is MISS
    assert page.get("k", "none") == "none"
    assert loader.calls == 1


def test_a_loaders_own_error_passes_untouched_and_is_not_cached(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    loader = Loader(ZeroDivisionError("mine"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            page.get_or_load("k", loader)
    assert loader.calls == 2
    loader.value = 5
    assert page.get_or_load("k", loader) == 5


def test_many(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    asked: list[list[str]] = []

    def load(keys: Sequence[Any]) -> dict[Any, Any]:
        asked.append(list(keys))
        return {key: key.upper() for key in keys if key != "none"}

    page.set("a", "kept")
    found = page.get_or_load_many(["a", "b", "none", "c", "b"], load)
    assert found == {"a": "kept", "b": "B", "c": "C"}
    assert asked == [["b", "none", "c"]]
    assert page.get_or_load_many(["b", "none", "c"], load) == {"b": "B", "c": "C"}
    assert len(asked) == 1
    assert page.get_many(["a", "b", "none", "absent"]) == {"a": "kept", "b": "B"}
    page.set_many({"x": 1, "y": 2}, ttl_s=9.0)
    assert page.get_many(["x", "y"]) == {"x": 1, "y": 2}


def test_expire_remove_touch_ttl_clear(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    page.set("k", 1, ttl_s=30.0)
    left = page.ttl("k")
    assert left is not None
    assert 25 < left <= 30
    assert page.touch("k", 300.0)
    left = page.ttl("k")
    assert left is not None
    assert left > 200
    page.expire("k")
    assert page.get("k") is MISS
    assert page.get_or_load("k", Loader(2)) == 2
    page.remove("k")
    assert page.get("k") is MISS
    assert not page.touch("k")
    assert page.ttl("k") is None
    page.set_many({"a": 1, "b": 2})
    page.clear()
    assert page.get_many(["a", "b"]) == {}


def test_expire_keeps_a_copy_for_a_failing_load_and_remove_does_not(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    failing = Loader(ConnectionError("down"))
    page.set("k", "old")
    page.expire("k")
    assert page.get_or_load("k", failing) == "old"
    page.remove("k")
    with pytest.raises(ConnectionError):
        page.get_or_load("k", failing)


def test_read_write_delete_reach_the_store(node: Node) -> None:
    first, second = node(), node()
    mine, other = first.tenant("acme").region("product"), second.tenant("acme").region("product")
    assert mine.read("sku", "none") == "none"
    mine.write("sku", {"price": 1})
    assert mine.read("sku") == {"price": 1}
    assert other.read("sku") == {"price": 1}
    mine.write_many({"sku": {"price": 2}, "sku-2": {"price": 3}})
    assert other.read("sku", consistency="strong") == {"price": 2}
    until(lambda: other.get_local("sku") != {"price": 1})
    assert other.read_many(["sku", "sku-2", "sku-3"]) == {"sku": {"price": 2}, "sku-2": {"price": 3}}
    other.delete("sku")
    until(lambda: mine.get_local("sku") is MISS)
    assert mine.read("sku") is MISS
    assert mine.read("sku-2") == {"price": 3}


def test_write_behind_is_read_back_at_once_and_reaches_the_store(node: Node) -> None:
    cache = node()
    profile = cache.tenant("acme").region("profile")
    handle = profile.write("u1", {"name": "Ada"})
    assert profile.read("u1") == {"name": "Ada"}
    handle.persisted(10.0)
    profile.remove("u1")
    assert profile.read("u1") == {"name": "Ada"}
    profile.delete("u1")
    assert profile.read("u1") is MISS
    assert cache.drain(10.0) == 0
    assert profile.read("u1") is MISS


def test_write_behind_is_seen_when_every_tier_lost_it(node: Node) -> None:
    cache = node()
    profile = cache.tenant("acme").region("profile")
    profile.write("u1", {"name": "Ada"})
    profile.remove("u1")
    assert profile.read("u1") == {"name": "Ada"}
    assert profile.read_many(["u1"]) == {"u1": {"name": "Ada"}}


def test_derived_data_is_read_back_before_its_batch_is_sent(node: Node) -> None:
    cache = node()
    search = cache.tenant("acme").region("search")
    search.write("q", ["sku-1"], tags=["search"])
    assert search.get("q") == ["sku-1"]
    assert cache.drain(10.0) == 0
    assert search.get("q") == ["sku-1"]
    cache.tenant("acme").invalidate_tags("search")
    assert search.get("q") is MISS


def test_published_content_is_read_back(node: Node) -> None:
    cache = node()
    acme = cache.tenant("acme")
    acme.region("static").write("css/site.css", "body{}")
    assert acme.region("static").get("css/site.css") == "body{}"
    assert cache.tenant("other").region("static").get("css/site.css") is MISS
    assert acme.region("api").get_or_load("products/1", Loader({"id": 1})) == {"id": 1}
    assert acme.region("api").get("products/1") == {"id": 1}


def test_tenants_never_see_each_other(node: Node) -> None:
    cache = node()
    cache.tenant("a").region("page").set("k", 1)
    assert cache.tenant("b").region("page").get("k") is MISS
    with pytest.raises(TenantRequired, match="tenant"):
        cache.region("page")
    with pytest.raises(ConfigurationError, match="global"):
        cache.tenant("a").region("settings")
    cache.region("settings").set("k", 2)
    assert cache.region("settings").get("k") == 2


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 513, "\ud800", 5, None])
def test_bad_keys_are_refused(node: Node, key: Any) -> None:
    page = (node()).tenant("acme").region("page")
    with pytest.raises(KeyRefused):
        page.get_or_load(key, Loader(1))


def test_text_and_bytes_keys_differ(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    page.set("k", "text")
    page.set(b"k", "bytes")
    assert page.get("k") == "text"
    assert page.get(b"k") == "bytes"


def test_a_loader_may_give_a_version_and_an_older_one_is_not_kept(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    assert page.get_or_load("k", Loader(Record("new", 7))) == "new"
    assert (page.explain("k"))["redis"]["version"] == 7


def test_cached_functions(node: Node) -> None:
    cache = node()
    page = cache.tenant("acme").region("page")
    calls: list[tuple[Any, ...]] = []

    @page.cached("top:{category}", tags=["category:{category}"])
    def top(category: str, limit: int = 5) -> list[Any]:
        calls.append((category, limit))
        return [category, len(calls)]

    assert top("shoes") == ["shoes", 1]
    assert top("shoes", 7) == ["shoes", 1]
    assert top(category="hats") == ["hats", 2]
    cache.tenant("acme").invalidate_tags("category:shoes")
    assert top("shoes") == ["shoes", 3]
    assert top("hats") == ["hats", 2]
    assert top.__name__ == "top"


def test_what_was_computed_falls_with_what_was_read(node: Node) -> None:
    first, second = node(), node()
    page, product = first.tenant("acme").region("page"), first.tenant("acme").region("product")
    product.write("sku", {"price": 1})

    def render() -> str:
        return f"price {(product.read('sku'))['price']}"

    assert page.get_or_load("p", render) == "price 1"
    assert page.get_or_load("p", render) == "price 1"
    second.tenant("acme").region("product").write("sku", {"price": 2})
    assert page.get("p", consistency="strong") is MISS


def test_entity_invalidation_clears_every_tier_with_a_receipt(node: Node) -> None:
    cache = node()
    acme = cache.tenant("acme")
    acme.region("page").set("p-7", "page of 7")
    acme.region("search").set("q", ["7"], tags=["search"])
    acme.region("page").set("r", "reviews", tags=["reviews:7"])
    acme.region("page").set("other", "stays")
    receipt = acme.invalidate("product", "7")
    assert receipt.wait("redis") > 0
    assert receipt.wait("local") > 0
    assert receipt.wait("cdn") > 0
    assert acme.region("page").get("p-7") is MISS
    assert acme.region("search").get("q") is MISS
    assert acme.region("page").get("r") is MISS
    assert acme.region("page").get("other") == "stays"
    assert "/acme/p/7" in receipt.state.paths
    with pytest.raises(ConfigurationError, match="unknown entity"):
        acme.invalidate("nothing", "1")


@pytest.mark.parametrize("scope", ["region of tenant", "region", "tenant", "everything"])
def test_scopes_fall_whole_and_nothing_beyond(node: Node, scope: str) -> None:
    cache = node()
    places = [("a", "page"), ("b", "page"), ("a", "search")]
    for tenant, region in places:
        cache.tenant(tenant).region(region).set("k", 1)
    if scope == "region of tenant":
        cache.tenant("a").invalidate_region("page")
        stays = {("b", "page"), ("a", "search")}
    elif scope == "region":
        cache.invalidate_region("page")
        stays = {("a", "search")}
    elif scope == "tenant":
        cache.tenant("a").invalidate_all()
        stays = {("b", "page")}
    else:
        cache.invalidate_everything()
        stays = set()
    left = {place for place in places if cache.tenant(place[0]).region(place[1]).get("k") == 1}
    assert left == stays


def test_report_counts_what_happened(node: Node) -> None:
    cache = node()
    page = cache.tenant("acme").region("page")
    loader = Loader(1)
    for _ in range(5):
        page.get_or_load("k", loader)
    figures = cache.report().regions["page"]
    assert figures.loads == 1
    assert figures.tiers["local"].hits == 4


def test_a_failing_source_is_left_alone_while_a_stale_copy_serves(node: Node) -> None:
    page = (node()).tenant("acme").region("page")
    failing = Loader(ConnectionError("down"))
    page.set("k", "old")
    page.expire("k")
    assert [page.get_or_load("k", failing) for _ in range(5)] == ["old"] * 5
    assert failing.calls == 1


def test_errors_that_the_region_does_not_excuse_are_raised(node: Node, matrix: Matrix) -> None:
    picky = replace(matrix.region("page"), stale_if=lambda error: isinstance(error, ConnectionError))
    page = (node(page=picky)).tenant("acme").region("page")
    page.set("k", "old")
    page.expire("k")
    with pytest.raises(ZeroDivisionError):
        page.get_or_load("k", Loader(ZeroDivisionError()))


def test_a_big_value_is_told(node: Node, matrix: Matrix) -> None:
    cache = node(page=replace(matrix.region("page"), big_value_bytes=100))
    cache.tenant("acme").region("page").set("k", "x" * 200)
    assert cache.report().events["big_value"] == 1


def test_what_was_computed_falls_with_a_decorated_hit_that_it_used(node: Node) -> None:
    cache = node()
    acme = cache.tenant("acme")
    query, page = acme.region("query"), acme.region("page")
    calls: list[str] = []

    @query.cached("price:{sku}", tags=["sku:{sku}"])
    def price(sku: str) -> int:
        calls.append(sku)
        return len(calls)

    def render() -> str:
        return f"costs {price('a')}"

    assert price("a") == 1
    assert price("a") == 1
    assert page.get_or_load("p", render) == "costs 1"
    acme.invalidate_tags("sku:a")
    assert page.get_or_load("p", render) == "costs 2"
    assert calls == ["a", "a"]


def test_copies_that_ended_are_removed_though_nobody_asks_for_them(node: Node) -> None:
    cache = node()
    query = cache.tenant("acme").region("query")
    query.set_many({f"k{number}": number for number in range(50)}, ttl_s=0.05)
    query.set("stays", 1)
    table = query.place.core.table
    assert table is not None
    until(lambda: table.stats().entries == 1)
    assert query.get_local("stays") == 1
