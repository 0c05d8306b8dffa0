"""The gate before a store: never more than the limit at once, nobody forgotten, nobody waiting in vain."""

from __future__ import annotations

import time

import pytest

from tiercel._async.origingate import AsyncOriginGate
from tiercel._core.limiter import LimiterOptions
from tiercel._paired import async_sleep, async_spawn
from tiercel.errors import LoadTimeout

THREE = LimiterOptions(start=3, most=3)


class Store:
    """Counts how many loads run at once."""

    def __init__(self, gate: AsyncOriginGate) -> None:
        self.gate = gate
        self.running = 0
        self.most = 0
        self.done = 0
        self.shed = 0

    async def load(self, timeout_s: float) -> None:
        try:
            ticket = await self.gate.enter(timeout_s)
        except LoadTimeout:
            self.shed += 1
            return
        self.running += 1
        self.most = max(self.most, self.running)
        await async_sleep(0.01)
        self.running -= 1
        self.done += 1
        self.gate.leave(ticket)


async def test_no_more_than_the_limit_run_at_once() -> None:
    store = Store(AsyncOriginGate("shop", THREE))
    jobs = [async_spawn("load", store.load, 5.0) for _ in range(30)]
    for job in jobs:
        assert await job.join(10.0)
    assert store.done == 30
    assert store.most <= 3
    assert (store.gate.limiter.in_flight, store.gate.limiter.waiting) == (0, 0)


async def test_what_cannot_be_served_in_time_is_told_so() -> None:
    gate = AsyncOriginGate("shop", THREE)
    tickets = [await gate.enter(1.0) for _ in range(3)]
    started = time.monotonic()
    with pytest.raises(LoadTimeout, match="shop"):
        await gate.enter(0.05)
    assert time.monotonic() - started < 1.0
    for ticket in tickets:
        gate.leave(ticket)
    assert (gate.limiter.in_flight, gate.limiter.waiting) == (0, 0)
    gate.leave(await gate.enter(0.05))


async def test_a_burst_beyond_the_deadline_is_shed_and_the_rest_served() -> None:
    store = Store(AsyncOriginGate("shop", LimiterOptions(start=3, most=3, queue=10)))
    jobs = [async_spawn("load", store.load, 5.0) for _ in range(40)]
    for job in jobs:
        assert await job.join(10.0)
    assert store.done + store.shed == 40
    assert store.done >= 13
    assert store.most <= 3
