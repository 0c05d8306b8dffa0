"""
What callers see while Redis is killed, frozen, slow, deaf or cut off: an answer or a clear error in time, no wrong
value.

The faults are those of the proof, shortened.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator

import pytest

from proofs.redis_faults import (
    BUDGET_S,
    CALLERS,
    Seen,
    breaker,
    faults,
    fill,
    server_for_faults,
    strike,
    under_load,
    until,
)
from tests.rig import RedisServer
from tiercel._async.link import LinkOptions, open_link
from tiercel.errors import ReplyError, TierError
from tiercel.testing import FaultProxy


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with server_for_faults() as server:
        yield server


@pytest.fixture
def proxy(clean_redis: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(clean_redis.port) as proxy:
        yield proxy


@pytest.mark.parametrize("name", faults())
async def test_a_fault_costs_no_more_than_the_budget(server: RedisServer, name: str) -> None:
    fault = faults()[name]
    seen, figures = await strike(server, fault, 0.8)
    assert seen.wrong == 0
    assert seen.ends_in_time()
    assert figures["recovered_after_s"] <= 5.0
    if fault.opens_breaker:
        assert figures["breaker_opened_after_s"] is not None
    else:
        assert figures["breaker_opened_after_s"] is None
        assert figures["failed"] <= CALLERS


def _has_answered(seen: Seen, count: int) -> bool:
    return len(seen.answered_at) > count


async def test_resets_are_hidden_from_readers(clean_redis: RedisServer, proxy: FaultProxy) -> None:
    """A read may be sent again; within the retry budget nobody sees a connection that was cut half-way."""
    await fill(clean_redis.port)
    link = await open_link(f"redis://127.0.0.1:{proxy.port}")
    async with under_load(lambda key: link.execute("GET", key, timeout_s=BUDGET_S)) as seen:
        assert await until(lambda: len(seen.answered_at) > 300, 5.0) < 5.0
        for cut in range(5):
            await asyncio.to_thread(proxy.reset)
            done = len(seen.answered_at)
            assert await until(functools.partial(_has_answered, seen, done + 300), 5.0) < 5.0
            assert cut < next(iter(link.health().nodes.values())).reconnects
    await link.aclose()
    assert seen.wrong == 0
    assert seen.failures <= 5 * CALLERS * 0.5


async def test_a_full_server_still_reads(clean_redis: RedisServer) -> None:
    """OOM refuses writes only: it is the write's error, and the breaker stays closed."""
    link = await open_link(clean_redis.url)
    try:
        await link.execute("SET", "a", "1")
        clean_redis.cli("CONFIG", "SET", "maxmemory", "1")
        for _ in range(20):
            with pytest.raises(ReplyError, match="OOM"):
                await link.execute("SET", "b", "x" * 100)
        assert await link.execute("GET", "a") == b"1"
        assert breaker(link) == "closed"
    finally:
        clean_redis.cli("CONFIG", "SET", "maxmemory", "0")
        await link.aclose()


async def test_a_silent_connection_is_given_up_and_made_anew(proxy: FaultProxy) -> None:
    """Half-open: the peer is gone and nobody said so. After the stall timeout the connection is replaced."""
    link = await open_link(
        f"redis://127.0.0.1:{proxy.port}", options=LinkOptions(stall_timeout_s=0.3, command_timeout_s=0.1)
    )
    try:
        await link.execute("SET", "a", "1")
        proxy.deaf()
        with pytest.raises(TierError):
            await link.execute("GET", "a")
        assert await until(lambda: not next(iter(link.health().nodes.values())).is_connected, 2.0) < 2.0
        proxy.heal()
        assert await link.execute("GET", "a", timeout_s=2.0) == b"1"
        assert next(iter(link.health().nodes.values())).reconnects == 1
    finally:
        await link.aclose()
