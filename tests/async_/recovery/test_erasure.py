"""Erasure: every place is empty afterwards, and the receipt says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.async_.recovery.conftest import CANARY, Open
from tiercel._async.erasurewatch import AsyncErasureWatch
from tiercel.errors import ConfigurationError, KeyRefused
from tiercel.options import RegionOptions
from tiercel.typing import MISS


async def test_every_place_is_empty_afterwards(open_cache: Open) -> None:
    cache = await open_cache()
    tenant = cache.tenant("acme")
    await tenant.region("profile").set("7", CANARY)
    await tenant.region("plain").set("7", CANARY)
    await tenant.region("order").write("of-7", CANARY)
    await tenant.region("order").write("of-8", "another's")
    await tenant.region("page").set("shown", CANARY, tags=["user:7"])
    await tenant.region("page").set("other", "another's")
    receipt = await cache.erase("acme", "user:7")
    assert receipt.is_complete, receipt.as_dict()
    places = {place.place: place.count for place in receipt.places}
    assert places["journal:order"] == 1
    assert places["derived"] == 1
    assert {"index", "redis", "local", "keys", "check"} <= places.keys()
    assert receipt.took_s < 60
    for region, key in (("profile", "7"), ("plain", "7"), ("page", "shown"), ("order", "of-7")):
        assert await tenant.region(region).get(key) is MISS
    assert await tenant.region("page").get("other") == "another's"
    assert await tenant.region("order").read("of-8") == "another's"


async def test_what_was_computed_from_it_is_destroyed_too(open_cache: Open) -> None:
    cache = await open_cache()
    tenant = cache.tenant("acme")
    await tenant.region("plain").set("7", CANARY)

    async def compute() -> Any:
        return {"greeting": await tenant.region("plain").get("7")}

    assert await tenant.region("page").get_or_load("hello", compute) == {"greeting": CANARY}
    receipt = await cache.erase("acme", "user:7")
    assert receipt.is_complete, receipt.as_dict()
    far: Any = tenant.region("page").place.node.far
    frame = await far.get(tenant.region("page").place.name("hello"))
    assert frame is None or not frame.has_body


async def test_a_failing_load_does_not_bring_it_back(open_cache: Open) -> None:
    """R15: what stale-if-error would serve is destroyed, not only expired."""
    region = RegionOptions(name="plain", tiers=("local", "redis"), keep_s=600.0)
    cache = await open_cache(region)
    plain = cache.tenant("acme").region("plain")
    await plain.set("7", CANARY)
    assert await plain.get("7") == CANARY
    await cache.erase("acme", "user:7")
    cache._process.doubt()

    async def fail() -> Any:
        raise RuntimeError("the store is down")

    with pytest.raises(RuntimeError):
        await plain.get_or_load("7", fail)


async def test_another_node_empties_its_own_journal(open_cache: Open) -> None:
    here, there = await open_cache(), await open_cache()
    node: Any = there._assembly
    watch = AsyncErasureWatch(node.node, node.cores, None)
    assert await watch.look() == 0
    await there.tenant("acme").region("order").write("of-7", CANARY)
    await here.erase("acme", "user:7")
    assert await watch.look() == 1
    assert await node.cores["order"].behind.pending("acme", "of-7") is None
    await there.tenant("acme").region("order").write("of-7", "registered again")
    assert await watch.look() == 0
    waiting = await node.cores["order"].behind.pending("acme", "of-7")
    assert waiting is not None


async def test_a_second_erasure_does_no_harm(open_cache: Open) -> None:
    cache = await open_cache()
    for _ in range(2):
        assert (await cache.erase("acme", "user:7")).is_complete


async def test_what_is_no_subject_is_refused(open_cache: Open) -> None:
    cache = await open_cache()
    with pytest.raises(KeyRefused):
        await cache.erase("acme", "7")
    with pytest.raises(ConfigurationError):
        await cache.erase("acme", "robot:7")
