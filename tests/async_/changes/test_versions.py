"""A change that the tiers know already, by its version, throws nothing away; an older copy never survives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiercel._async.cache import AsyncCache
from tiercel._async.changes.watch import AsyncWatch
from tiercel._async.stores import AsyncMemoryStore
from tiercel._core.clock import SystemClock
from tiercel._core.graph import Fall
from tiercel._paired import AsyncPoll
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


async def test_a_watch_needs_neither_stores_nor_keys(matrix_of: Callable[[str], Matrix]) -> None:
    text = """
    [regions.product]
    store = "postgres://127.0.0.1:1/nowhere#products"
    strategy = "write-behind"
    encrypt = "vault"
    [keys.vault]
    source = "env:TIERCEL_KEY_THAT_IS_NOT_SET"
    [changes.shop]
    url = "postgres://127.0.0.1:1/nowhere"
    lease = "500ms"
    [changes.shop.tables.products]
    regions = ["product:{sku}"]
    """
    said: list[str] = []
    watch = AsyncWatch(matrix_of(text), clock=SystemClock(), events=lambda name, fields: said.append(name))
    await watch.start()
    poll = AsyncPoll(10.0)
    while "changes_interrupted" not in said and await poll.again():
        pass
    assert watch.gauges()["changes_lag"] > 0  # a database that does not answer lets its changes wait
    await watch.aclose()
