"""A change that the tiers know already, by its version, throws nothing away; an older copy never survives it."""

from __future__ import annotations

import pytest

from tiercel._async.cache import AsyncCache
from tiercel._async.stores import AsyncMemoryStore
from tiercel._core.graph import Fall
from tiercel._process import Process
from tiercel.matrix import Matrix
from tiercel.options import RegionOptions
from tiercel.typing import MISS

TIERS = [("local", "redis"), ("redis",), ("local",)]


@pytest.mark.parametrize("tiers", TIERS)
async def test_a_copy_as_new_as_the_change_stays(tiers: tuple[str, ...]) -> None:
    store = AsyncMemoryStore()
    options = RegionOptions(name="product", tiers=tiers, ttl_s=60.0, store="given")  # type: ignore[arg-type]
    matrix = Matrix.of(options)
    process = Process.shared(f"{AsyncCache.__name__}-versions-{'-'.join(tiers)}")
    async with AsyncCache(matrix, stores={"product": store}, process=process) as cache:
        tenant = cache.tenant("acme")
        products = tenant.region("product")
        await products.write("p1", {"price": 1})
        record = await store.read("acme", "p1")
        assert record is not None
        change = Fall(keys=(("product", "p1"),))
        await tenant.fall(change, floor=record.version)  # its own write, seen again in the database's log
        if "redis" in tiers:
            assert await products.get("p1") == {"price": 1}
        await tenant.fall(change, floor=record.version + 1)  # somebody else's
        assert await products.get("p1") is MISS
        await products.write("p1", {"price": 2})
        await tenant.fall(change)  # of unknown version
        assert await products.get("p1") is MISS
