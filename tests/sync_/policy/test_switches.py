# Generated from tests/async_/policy/test_switches.py by tools/unasync.py. Do not edit.
"""Kill switches: a layer that is off is not used for its class of keys, and holds nothing stale when it is on again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.sync_.policy.conftest import Node
from tiercel import Cache, Region, JournalOptions, RegionOptions
from tiercel._core.policy import Switch
from tiercel.typing import MISS


def products(cache: Cache, tenant: str = "acme") -> Region:
    return cache.tenant(tenant).region("product")


def loads_of(cache: Cache, work: Any) -> int:
    """Return how many loads *work* costs."""
    before = cache.report().regions["product"].loads
    work()
    return cache.report().regions["product"].loads - before


def test_a_local_tier_that_is_off_holds_nothing_and_takes_nothing(node: Node) -> None:
    cache = node("a")
    region, other = products(cache), products(cache, "other")
    for each in (region, other):
        each.write("sku-1", {"cents": 1})
        each.read("sku-1")
        assert each.get_local("sku-1") == {"cents": 1}
    switch = Switch(layer="local", region="product", tenant="acme")
    cache.policy.change(by="ada", off=[switch])
    assert region.get_local("sku-1") is MISS
    assert region.read("sku-1") == {"cents": 1}
    assert region.get_local("sku-1") is MISS
    assert other.get_local("sku-1") == {"cents": 1}
    assert (region.explain("sku-1"))["switches"] == ["local off for region product, tenant acme"]
    assert "local off for region product, tenant acme" in cache.health().actions
    cache.policy.change(by="ada", on=[switch])
    assert region.read("sku-1") == {"cents": 1}
    assert region.get_local("sku-1") == {"cents": 1}


def test_a_decorated_function_goes_past_a_local_tier_that_is_off(node: Node) -> None:
    cache = node("a")
    made: list[str] = []

    @cache.tenant("acme").region("plain").cached(key="{name}")
    def greeting(name: str) -> str:
        made.append(name)
        return f"hello {name}"

    greeting("ada")
    cache.policy.change(by="ada", off=[Switch(layer="local"), Switch(layer="redis")])
    assert [greeting("ada") for _ in range(3)] == ["hello ada"] * 3
    assert made == ["ada"] * 4


def test_a_far_tier_that_is_off_is_not_read_and_has_nothing_stale_when_it_is_on_again(node: Node) -> None:
    one, other = node("one"), node("other")
    products(one).write("sku-1", {"cents": 1})
    switch = Switch(layer="redis", region="product")
    one.policy.change(by="ada", off=[switch])
    other.policy.adopt(other.policy.book.read())
    assert loads_of(one, lambda: products(one).read("sku-1")) == 1
    assert loads_of(one, lambda: products(one).read("sku-1")) == 0  # by the local tier, which is on
    products(one).write("sku-1", {"cents": 2})
    one.policy.change(by="ada", on=[switch])
    for cache in (one, other):
        cache.policy.adopt(cache.policy.book.read())
        assert products(cache).read("sku-1", consistency="strong") == {"cents": 2}
    assert loads_of(one, lambda: products(one).read("sku-1", consistency="strong")) == 0


def test_values_that_only_tiers_hold_stay_in_the_local_one_while_the_far_one_is_off(node: Node) -> None:
    cache = node("a")
    region = cache.tenant("acme").region("plain")
    cache.policy.change(by="ada", off=[Switch(layer="redis", region="plain")])
    region.set("k", 1)
    assert region.get("k") == 1
    cache.policy.change(by="ada", off=[Switch(layer="local", region="plain")])
    assert region.get("k", None) is None


def test_a_switch_of_a_prefix_leaves_the_other_keys_alone(node: Node) -> None:
    cache = node("a")
    for key in ("hot-1", "cold-1"):
        products(cache).write(key, {"key": key})
    off = [Switch(layer=layer, region="product", prefix="hot-") for layer in ("local", "redis")]
    cache.policy.change(by="ada", off=off)
    assert loads_of(cache, lambda: products(cache).read("hot-1")) == 1
    assert loads_of(cache, lambda: products(cache).read("hot-1")) == 1
    assert loads_of(cache, lambda: products(cache).read("cold-1")) == 0
    assert loads_of(cache, lambda: products(cache).read_many(["hot-1", "cold-1"])) == 1
    assert products(cache).read_many(["hot-1", "cold-1"]) == {
        "hot-1": {"key": "hot-1"},
        "cold-1": {"key": "cold-1"},
    }


def test_writes_reach_the_store_at_once_while_write_behind_is_off(node: Node, tmp_path: Path) -> None:
    journal = JournalOptions(interval_s=600.0)
    url = f"sqlite:///{tmp_path}/carts.db#carts"
    cart = RegionOptions(name="cart", ttl_s=60.0, strategy="write-behind", store=url, journal=journal)
    cache = node("a", cart)
    region = cache.tenant("acme").region("cart")
    region.write("c1", {"n": 1})
    assert cache.report().overall.journal_pending == 1
    cache.policy.change(by="ada", off=[Switch(layer="write-behind", region="cart")])
    handle = region.write("c1", {"n": 2})
    handle.persisted(1.0)
    assert region.read("c1", consistency="strong") == {"n": 2}
    region.delete("c1")
    assert region.read("c1", None) is None
    assert cache.drain(10.0) == 0
    assert region.read("c1", None, consistency="strong") is None


def test_nothing_is_published_or_fetched_while_the_cdn_is_off(node: Node) -> None:
    cache = node("a", RegionOptions(name="page", tiers=("cdn",), ttl_s=60.0))
    region = cache.tenant("acme").region("page")
    region.set("home", b"old")
    assert region.get("home") == b"old"
    switch = Switch(layer="cdn", region="page")
    cache.policy.change(by="ada", off=[switch])
    assert region.get("home", None) is None
    region.set("home", b"new")
    cache.policy.change(by="ada", on=[switch])
    assert region.get("home", None) is None  # the old one was taken away
