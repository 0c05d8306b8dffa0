"""
Time budgets: a request gets its answer or a clear error in time, and the work that it began is not lost.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

import tiercel
from tests.async_.engine.conftest import Node, until
from tests.rig.redis import RedisServer
from tiercel import MISS, ConfigurationError, LoadTimeout, RegionOptions, StoreTimeout, time_left
from tiercel._async.guardedstore import AsyncGuardedStore
from tiercel._async.origingate import AsyncOriginGate
from tiercel._async.stores import AsyncMemoryStore
from tiercel._paired import AsyncEvent, async_spawn
from tiercel._timebudget import budget
from tiercel.testing import FaultProxy

in_memory = pytest.mark.parametrize("far_url", [None], ids=["memory"])


class HeldLoader:
    """A loader that waits until it is let go, and notes what was left of its caller's budget."""

    def __init__(self, value: Any = "loaded") -> None:
        self.value = value
        self.inside = AsyncEvent()
        self.go = AsyncEvent()
        self.left_s: list[float | None] = []

    async def __call__(self) -> Any:
        self.left_s.append(time_left())
        self.inside.set()
        await self.go.wait_for(10.0)
        return self.value


@in_memory
async def test_a_caller_out_of_time_is_told_and_its_load_still_fills(node: Node) -> None:
    cache = await node()
    page, loader = cache.tenant("acme").region("page"), HeldLoader()
    with cache.budget(0.05), pytest.raises(LoadTimeout, match="time budget"):
        await page.get_or_load("k", loader)
    loader.go.set()
    await until(lambda: page.get_local("k") == "loaded")
    left_s = loader.left_s[0]
    assert 0 <= (left_s or 0.0) <= 0.05, "the loader knows how long its caller waits"


@in_memory
async def test_a_caller_out_of_time_gets_the_stale_copy(node: Node) -> None:
    page, loader = (await node()).tenant("acme").region("page"), HeldLoader()
    await page.set("k", "old")
    await page.expire("k")
    with tiercel.budget(0.05):
        assert await page.get_or_load("k", loader) == "old"
        assert await page.get_or_load_many(["k"], lambda _: {}) == {"k": "old"}
    loader.go.set()
    await until(lambda: page.get_local("k") == "loaded")


@in_memory
async def test_a_soft_timeout_serves_stale_while_the_load_goes_on(node: Node) -> None:
    options = RegionOptions(name="soft", ttl_s=60.0, keep_s=60.0, soft_timeout_s=0.02)
    soft, loader = (await node(soft=options)).tenant("acme").region("soft"), HeldLoader()
    await soft.set("k", "old")
    await soft.expire("k")
    assert await soft.get_or_load("k", loader) == "old"
    loader.go.set()
    await until(lambda: soft.get_local("k") == "loaded")


@in_memory
async def test_a_follower_with_time_does_not_fail_with_a_leader_in_a_hurry(node: Node) -> None:
    cache = await node()
    page, held = cache.tenant("acme").region("page"), HeldLoader()
    answers: list[Any] = []

    async def load() -> Any:
        if time_left() is None:
            return "second"
        await held()
        raise StoreTimeout("gave up for want of time")

    async def leader() -> None:
        with cache.budget(5.0):
            try:
                await page.get_or_load("k", load)
            except StoreTimeout as error:
                answers.append(error)

    async def follower() -> None:
        answers.append(await page.get_or_load("k", load))

    first = async_spawn("leader", leader)
    await held.inside.wait_for(10.0)
    second = async_spawn("follower", follower)
    await until(lambda: page.place.core.stats.flights_joined == 1)
    held.go.set()
    assert await first.join(10.0)
    assert await second.join(10.0)
    assert "second" in answers, "the naive way gives the follower the leader's failure"
    assert any(isinstance(answer, StoreTimeout) for answer in answers)


@in_memory
async def test_a_refresh_behind_a_stale_copy_is_in_nobodys_hurry(node: Node) -> None:
    options = RegionOptions(name="renewed", tiers=("local",), ttl_s=0.001, grace_s=60.0)
    renewed, loader = (await node(renewed=options)).tenant("acme").region("renewed"), HeldLoader()
    await renewed.set("k", "old")
    await until(lambda: renewed.get_local("k") is MISS)
    with tiercel.budget(0.5):
        assert await renewed.get_or_load("k", loader) == "old"
    await loader.inside.wait_for(10.0)
    loader.go.set()
    assert loader.left_s == [None]


@in_memory
async def test_a_load_that_hangs_does_not_hold_its_key_for_ever(node: Node) -> None:
    options = RegionOptions(name="slow", tiers=("local",), ttl_s=60.0, load_timeout_s=0.05)
    slow, loader = (await node(slow=options)).tenant("acme").region("slow"), HeldLoader()

    async def hang() -> None:
        try:
            await slow.get_or_load("k", loader)
        except LoadTimeout:
            return

    first = async_spawn("first", hang)
    await loader.inside.wait_for(10.0)
    with pytest.raises(LoadTimeout):
        await slow.get_or_load("k", lambda: "other")
    assert await slow.get_or_load("k", lambda: "new") == "new"
    loader.go.set()
    assert await first.join(10.0)


async def test_a_store_is_not_asked_for_a_request_whose_time_is_over() -> None:
    class CountedStore(AsyncMemoryStore):
        asked = 0

        async def read(self, tenant: str, key: tiercel.Key) -> tiercel.Record | None:
            self.asked += 1
            return await super().read(tenant, key)

    store = CountedStore()
    guarded = AsyncGuardedStore(store, AsyncOriginGate("shop"), 10.0)
    with budget(0.001):
        await AsyncEvent().wait_for(0.002)
        with pytest.raises(LoadTimeout, match="shop"):
            await guarded.read("acme", "k")
    assert store.asked == 0
    await guarded.read("acme", "k")
    assert store.asked == 1


async def test_budgets_nest_and_end_with_their_block() -> None:
    assert time_left() is None
    with budget(10.0):
        with budget(60.0):
            outer_s = time_left()
            assert (outer_s or 60.0) <= 10.0, "an inner budget gives no time that the outer has not"
        with budget(0.001):
            await AsyncEvent().wait_for(0.002)
            assert time_left() == 0.0
        left_s = time_left()
        assert (left_s or 0.0) > 1.0
    assert time_left() is None
    with pytest.raises(ConfigurationError, match="greater than 0"), budget(0.0):
        pass


@in_memory
async def test_a_deaf_redis_costs_a_share_of_the_budget(node: Node, redis_server: RedisServer) -> None:
    with FaultProxy(port=redis_server.port) as proxy:
        cache = await node(redis=f"redis://127.0.0.1:{proxy.port}")
        page = cache.tenant("acme").region("page")
        assert await page.get_or_load("warm", lambda: 1) == 1
        proxy.deaf()
        try:
            started = time.monotonic()
            with cache.budget(0.4):
                assert await page.get_or_load("k", lambda: "from the store") == "from the store"
                left_s = time_left()
            took_s = time.monotonic() - started
            assert (left_s or 0.0) > 0, "the load had time, too"
            assert took_s < 0.4
            started = time.monotonic()
            assert await page.get_or_load("naive", lambda: "late") == "late"
            assert time.monotonic() - started > took_s, "without a budget each command has its own second"
        finally:
            proxy.heal()
