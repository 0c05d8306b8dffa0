"""Kill switches: a layer that is off is not used for its class of keys, and holds nothing stale when it is on again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.async_.policy.conftest import Node
from tiercel import AsyncCache, AsyncRegion, JournalOptions, RegionOptions
from tiercel._core.policy import Switch
from tiercel.typing import MISS


def products(cache: AsyncCache, tenant: str = "acme") -> AsyncRegion:
    return cache.tenant(tenant).region("product")


async def loads_of(cache: AsyncCache, work: Any) -> int:
    """Return how many loads *work* costs."""
    before = cache.report().regions["product"].loads
    await work()
    return cache.report().regions["product"].loads - before


async def test_a_local_tier_that_is_off_holds_nothing_and_takes_nothing(node: Node) -> None:
    cache = await node("a")
    region, other = products(cache), products(cache, "other")
    for each in (region, other):
        await each.write("sku-1", {"cents": 1})
        await each.read("sku-1")
        assert each.get_local("sku-1") == {"cents": 1}
    switch = Switch(layer="local", region="product", tenant="acme")
    await cache.policy.change(by="ada", off=[switch])
    assert region.get_local("sku-1") is MISS
    assert await region.read("sku-1") == {"cents": 1}
    assert region.get_local("sku-1") is MISS
    assert other.get_local("sku-1") == {"cents": 1}
    assert (await region.explain("sku-1"))["switches"] == ["local off for region product, tenant acme"]
    assert "local off for region product, tenant acme" in cache.health().actions
    await cache.policy.change(by="ada", on=[switch])
    assert await region.read("sku-1") == {"cents": 1}
    assert region.get_local("sku-1") == {"cents": 1}


async def test_a_decorated_function_goes_past_a_local_tier_that_is_off(node: Node) -> None:
    cache = await node("a")
    made: list[str] = []

    @cache.tenant("acme").region("plain").cached(key="{name}")
    async def greeting(name: str) -> str:
        made.append(name)
        return f"hello {name}"

    await greeting("ada")
    await cache.policy.change(by="ada", off=[Switch(layer="local"), Switch(layer="redis")])
    assert [await greeting("ada") for _ in range(3)] == ["hello ada"] * 3
    assert made == ["ada"] * 4


async def test_a_far_tier_that_is_off_is_not_read_and_has_nothing_stale_when_it_is_on_again(node: Node) -> None:
    one, other = await node("one"), await node("other")
    await products(one).write("sku-1", {"cents": 1})
    switch = Switch(layer="redis", region="product")
    await one.policy.change(by="ada", off=[switch])
    other.policy.adopt(await other.policy.book.read())
    assert await loads_of(one, lambda: products(one).read("sku-1")) == 1
    assert await loads_of(one, lambda: products(one).read("sku-1")) == 0  # by the local tier, which is on
    await products(one).write("sku-1", {"cents": 2})
    await one.policy.change(by="ada", on=[switch])
    for cache in (one, other):
        cache.policy.adopt(await cache.policy.book.read())
        assert await products(cache).read("sku-1", consistency="strong") == {"cents": 2}
    assert await loads_of(one, lambda: products(one).read("sku-1", consistency="strong")) == 0


async def test_values_that_only_tiers_hold_stay_in_the_local_one_while_the_far_one_is_off(node: Node) -> None:
    cache = await node("a")
    region = cache.tenant("acme").region("plain")
    await cache.policy.change(by="ada", off=[Switch(layer="redis", region="plain")])
    await region.set("k", 1)
    assert await region.get("k") == 1
    await cache.policy.change(by="ada", off=[Switch(layer="local", region="plain")])
    assert await region.get("k", None) is None


async def test_a_switch_of_a_prefix_leaves_the_other_keys_alone(node: Node) -> None:
    cache = await node("a")
    for key in ("hot-1", "cold-1"):
        await products(cache).write(key, {"key": key})
    off = [Switch(layer=layer, region="product", prefix="hot-") for layer in ("local", "redis")]
    await cache.policy.change(by="ada", off=off)
    assert await loads_of(cache, lambda: products(cache).read("hot-1")) == 1
    assert await loads_of(cache, lambda: products(cache).read("hot-1")) == 1
    assert await loads_of(cache, lambda: products(cache).read("cold-1")) == 0
    assert await loads_of(cache, lambda: products(cache).read_many(["hot-1", "cold-1"])) == 1
    assert await products(cache).read_many(["hot-1", "cold-1"]) == {
        "hot-1": {"key": "hot-1"},
        "cold-1": {"key": "cold-1"},
    }


async def test_writes_reach_the_store_at_once_while_write_behind_is_off(node: Node, tmp_path: Path) -> None:
    journal = JournalOptions(interval_s=600.0)
    url = f"sqlite:///{tmp_path}/carts.db#carts"
    cart = RegionOptions(name="cart", ttl_s=60.0, strategy="write-behind", store=url, journal=journal)
    cache = await node("a", cart)
    region = cache.tenant("acme").region("cart")
    await region.write("c1", {"n": 1})
    assert cache.report().overall.journal_pending == 1
    await cache.policy.change(by="ada", off=[Switch(layer="write-behind", region="cart")])
    handle = await region.write("c1", {"n": 2})
    await handle.persisted(1.0)
    assert await region.read("c1", consistency="strong") == {"n": 2}
    await region.delete("c1")
    assert await region.read("c1", None) is None
    assert await cache.drain(10.0) == 0
    assert await region.read("c1", None, consistency="strong") is None


async def test_nothing_is_published_or_fetched_while_the_cdn_is_off(node: Node) -> None:
    cache = await node("a", RegionOptions(name="page", tiers=("cdn",), ttl_s=60.0))
    region = cache.tenant("acme").region("page")
    await region.set("home", b"old")
    assert await region.get("home") == b"old"
    switch = Switch(layer="cdn", region="page")
    await cache.policy.change(by="ada", off=[switch])
    assert await region.get("home", None) is None
    await region.set("home", b"new")
    await cache.policy.change(by="ada", on=[switch])
    assert await region.get("home", None) is None  # the old one was taken away
