"""
The gate before a store: a cold cache cannot take the database down.
"""

from __future__ import annotations

import pytest

from tiercel import LoadTimeout
from tiercel._async.guardedstore import AsyncGuardedStore
from tiercel._async.origingate import AsyncOriginGate
from tiercel._async.stores import AsyncMemoryStore
from tiercel._core.limiter import LimiterOptions
from tiercel._paired import AsyncEvent, async_gather, async_spawn
from tiercel.typing import Change, Key, Record


class AsyncSlowStore(AsyncMemoryStore):
    """A store that holds its readers until it is told, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.go = AsyncEvent()
        self.inside = 0
        self.most = 0
        self.served = 0

    async def read(self, tenant: str, key: Key) -> Record | None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.go.wait_for(10.0)
        self.inside -= 1
        self.served += 1
        return await super().read(tenant, key)


async def test_never_more_loads_at_once_than_the_limit_and_all_are_served() -> None:
    slow = AsyncSlowStore()
    await slow.write_many([Change("acme", str(number), number, 1) for number in range(40)])
    guarded = AsyncGuardedStore(slow, AsyncOriginGate("shop", LimiterOptions(start=4, most=4)), 10.0)
    readers = [async_spawn("reader", guarded.read, "acme", str(number)) for number in range(40)]
    while slow.inside < 4:
        await AsyncEvent().wait_for(0.002)
    slow.go.set()
    joined = await async_gather(*[reader.join(10.0) for reader in readers])
    assert all(joined)
    assert slow.served == 40
    assert slow.most <= 4


async def test_who_would_wait_too_long_is_refused_at_once() -> None:
    slow = AsyncSlowStore()
    guarded = AsyncGuardedStore(slow, AsyncOriginGate("shop", LimiterOptions(start=1, most=1, queue=0)), 10.0)
    first = async_spawn("first", guarded.read, "acme", "a")
    while slow.inside < 1:
        await AsyncEvent().wait_for(0.002)
    with pytest.raises(LoadTimeout, match="shop"):
        await guarded.read("acme", "b")
    slow.go.set()
    assert await first.join(10.0)


async def test_a_failing_store_gives_its_place_back() -> None:
    class AsyncFailingStore(AsyncMemoryStore):
        async def read(self, tenant: str, key: Key) -> Record | None:
            raise ConnectionError("down")

    guarded = AsyncGuardedStore(AsyncFailingStore(), AsyncOriginGate("shop", LimiterOptions(start=1, most=1)), 1.0)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await guarded.read("acme", "a")
