"""
The edge's storage in a region: several edges share it, and a purge at one reaches what another is about to store.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.http.asking import Origin, StandingClock, ask, origin
from tests.http.samples import NOW, cc, request, stored
from tiercel import AsyncCache, Matrix, RegionOptions, TierUnavailable
from tiercel.http.edge import Edge
from tiercel.http.regionstorage import RegionStorage
from tiercel.http.storage import Purge

numbers = itertools.count()
FRESH = ("Cache-Control", "max-age=60")


@asynccontextmanager
async def region_storage() -> AsyncIterator[RegionStorage]:
    found = Matrix.defaults()
    namespace = f"edge{next(numbers)}"  # what caches of one process and namespace share outlives them
    regions = {"edge": RegionOptions(name="edge", tiers=("local",), ttl_s=60)}
    async with AsyncCache(replace(found, regions=regions, cache=replace(found.cache, namespace=namespace))) as cache:
        yield RegionStorage(cache.tenant("edge"), "edge")


async def test_what_is_stored_comes_back_as_it_was() -> None:
    async with region_storage() as storage:
        part = stored(cc("max-age=60"), ("Content-Range", "bytes 5-9/10"), body=b"56789", status=206)
        kept = replace(part, tags=("a", "b"), selecting=(("foo", "1"),), expired_at=NOW)
        assert await storage.save(request(), kept, fence=await storage.fence(), most=8)
        assert list(await storage.load(request())) == [kept]
        assert list(await storage.load(request(target="/other"))) == []


@pytest.mark.parametrize(
    ("purge", "falls"),
    [
        (Purge(tags=["sku-1"]), True),
        (Purge(tags=["sku-2"]), False),
        (Purge(urls=["/a"]), True),
        (Purge(urls=["/a?x=1"]), True),
        (Purge(urls=["http://shop.example/a?x=1"]), True),
        (Purge(urls=["/b"]), False),
        (Purge(hosts=["shop.example"]), True),
        (Purge(hosts=["other.example"]), False),
        (Purge(prefixes=["/a"]), True),
        (Purge(everything=True), True),
    ],
)
async def test_purges(purge: Purge, falls: bool) -> None:
    async with region_storage() as storage:
        edge = Edge(origin([FRESH, ("Surrogate-Key", "sku-1")]), storage=storage, clock=StandingClock())
        await ask(edge, "/a?x=1")
        assert (await ask(edge, "/a?x=1")).is_hit
        await edge.purge(purge)
        assert (await ask(edge, "/a?x=1")).is_hit is not falls


async def test_two_edges_share_what_one_has_stored() -> None:
    async with region_storage() as storage:
        app, clock = origin([FRESH]), StandingClock()
        one, two = Edge(app, storage=storage, clock=clock), Edge(app, storage=storage, clock=clock)
        await ask(one)
        assert (await ask(two)).is_hit
        assert app.count == 1


async def test_a_purge_elsewhere_holds_back_what_was_asked_for_before_it() -> None:
    async with region_storage() as storage:
        app = Origin([(200, [FRESH, ("Surrogate-Key", "sku-1")], b"old"), (200, [FRESH], b"new")])
        one, two = (Edge(app, storage=storage, clock=StandingClock()) for _ in range(2))
        reached, release = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            reached.set()
            await release.wait()

        app.before_answer = wait
        asking = asyncio.ensure_future(ask(one))
        await reached.wait()
        await two.purge(Purge(tags=["sku-1"]))
        release.set()
        assert (await asking).body == b"old"  # it asked before the purge
        assert (await ask(two)).body == b"new"


async def test_variants_share_a_shelf() -> None:
    async with region_storage() as storage:
        edge = Edge(origin([FRESH, ("Vary", "Foo")]), storage=storage, clock=StandingClock())
        for value in ("1", "2"):
            await ask(edge, headers=[("Foo", value)])
        assert all([(await ask(edge, headers=[("Foo", value)])).is_hit for value in ("1", "2")])


async def test_a_response_of_too_many_tags_is_not_kept() -> None:
    async with region_storage() as storage:
        many = replace(stored(cc("max-age=60")), tags=tuple(map(str, range(60))))
        assert not await storage.save(request(), many, fence=await storage.fence(), most=8)


class BrokenTenant:
    """A tenant whose tiers are gone."""

    options = RegionOptions(name="edge")

    def region(self, name: str) -> BrokenTenant:
        return self

    async def get(self, key: str, default: object = None, *, consistency: str | None = None) -> object:
        raise TierUnavailable

    async def set(self, key: str, value: object, *, tags: object = (), ttl_s: float | None = None) -> None:
        raise TierUnavailable

    async def remove(self, key: str) -> None:
        raise TierUnavailable

    async def invalidate_tags(self, *tags: str) -> None:
        raise TierUnavailable


async def test_a_tier_that_is_gone_makes_misses_and_a_loud_purge() -> None:
    edge = Edge(origin([FRESH]), storage=RegionStorage(BrokenTenant(), "edge"), clock=StandingClock())
    for _ in range(2):
        answer = await ask(edge)
        assert (answer.status, answer.is_hit) == (200, False)
    with pytest.raises(TierUnavailable):
        await edge.purge(Purge(tags=["a"]))
