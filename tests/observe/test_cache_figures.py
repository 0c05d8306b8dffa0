"""The figures of a real cache, from its verbs to the report, the exposition, the time series and its health."""

from __future__ import annotations

from pathlib import Path

from tiercel import MISS, AsyncCache, Cache, Matrix
from tiercel._process import Process
from tiercel.observe import Event
from tiercel.observe.prometheus import exposition

MATRIX = """
[cache]
state_dir = "{folder}/state"
[regions.product]
store = "sqlite:///{folder}/shop.db#products"
[regions.profile]
store = "sqlite:///{folder}/shop.db#users"
"""


def _matrix(folder: Path) -> Matrix:
    return Matrix.from_text(MATRIX.format(folder=folder))


async def test_reads_and_writes_are_counted(tmp_path: Path) -> None:
    async with AsyncCache(_matrix(tmp_path)) as cache:
        products = cache.tenant("acme").region("product")
        await products.write("sku-1", {"price": 1})
        for _ in range(9):
            assert await products.read("sku-1") == {"price": 1}
        await products.read_many(["sku-1", "sku-2"])
        product = cache.report().regions["product"]
        assert product.requests >= 9
        assert product.hit_rate > 0.8
        assert product.database_load_saved > 0.8
        assert product.tiers["local"].hits >= 9
        assert product.tiers["local"].entries >= 1
        assert product.store_writes == 1
        text = exposition(cache.snapshot()).decode()
        assert 'tiercel_reads_total{outcome="hit",region="product"}' in text


async def test_each_read_is_counted_once_whatever_its_way(tmp_path: Path) -> None:
    async with AsyncCache(_matrix(tmp_path), process=Process()) as cache:
        products = cache.tenant("acme").region("product")
        await products.write("a", 1)  # kept in every tier
        reads, hits = 0, 0
        for key, is_hit in (("a", True), ("none", False), ("none", True), ("a", True)):
            await products.read(key)
            reads, hits = reads + 1, hits + is_hit
        await products.read_many(["a", "none", "b"])
        assert await products.get("c") is MISS
        reads, hits = reads + 4, hits + 2
        await cache.invalidate_region("product")
        for is_hit in (False, True):
            await products.read("a")
            reads, hits = reads + 1, hits + is_hit
        product = cache.report().regions["product"]
        assert (product.requests, product.hits) == (reads, hits)
        assert product.loads == 3
        tenants = cache.report().tenants["product"]
        assert tenants == {"acme": {"hit": hits - 2, "miss": reads - hits}}  # two were absences known here


async def test_health_is_known_before_during_and_after(tmp_path: Path) -> None:
    cache = AsyncCache(_matrix(tmp_path))
    async with cache:
        await cache.tenant("acme").region("profile").write("u1", {"name": "a"})
        health = cache.health()
        assert (health.live, health.ready) == (True, True)
        assert health.parts["journal profile"].state == "up"
    assert (cache.health().live, cache.health().ready) == (False, False)


async def test_a_read_inside_a_computation_is_counted_once(tmp_path: Path) -> None:
    async with AsyncCache(_matrix(tmp_path), process=Process()) as cache:
        acme = cache.tenant("acme")
        products = acme.region("product")
        await products.write("a", 1)

        async def top() -> int:
            total = 0
            for _ in range(5):
                total += await products.read("a")
            return total

        assert await acme.region("query").get_or_load("top", top) == 5
        product = cache.report().regions["product"]
        assert (product.requests, product.hits) == (5, 5)


class Listener:
    """An observer that remembers names."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_event(self, event: Event) -> None:
        self.heard.append(event.name)


async def test_an_observer_hears_what_is_rare(tmp_path: Path) -> None:
    listener = Listener()
    cache = AsyncCache(_matrix(tmp_path), process=Process())
    cache.recorder.observers.append(listener)
    async with cache:
        await cache.tenant("acme").region("product").remove("sku-1")
    assert "invalidated" in listener.heard


def test_the_blocking_facade_has_the_same_figures(tmp_path: Path) -> None:
    with Cache(_matrix(tmp_path)) as cache:
        products = cache.tenant("acme").region("product")
        products.write("sku-1", {"price": 1})
        for _ in range(9):
            products.read("sku-1")
        assert cache.report().regions["product"].tiers["local"].hits >= 9
        assert cache.health().ready
