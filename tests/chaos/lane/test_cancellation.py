"""
Cancelling a call at any turn of the loop gives nobody another call's reply; the naive client does.
"""

from __future__ import annotations

import asyncio

import pytest

from proofs.cancellation_sweep import (
    ALICE,
    BOB,
    calls_of,
    filled_link,
    sweep,
    sweep_naive,
)
from tests.rig import RedisCluster, RedisServer
from tiercel.testing import FaultProxy


@pytest.mark.parametrize(
    "call", ["execute", "execute_many", "script", "script_many", "blocking", "scan", "each_primary"]
)
@pytest.mark.parametrize("server", ["redis_server", "redis_cluster"])
async def test_no_reply_reaches_another_call(request: pytest.FixtureRequest, server: str, call: str) -> None:
    rig: RedisServer | RedisCluster = request.getfixturevalue(server)
    url = rig.url.replace("redis:", "redis+cluster:") if isinstance(rig, RedisCluster) else rig.url
    async with filled_link(url) as link:
        seen = await sweep(link, [calls_of(link)[call]])
    assert seen.cancelled > 0
    assert (seen.wrong, seen.failed) == (0, 0)


async def test_no_owed_reply_reaches_another_call(redis_server: RedisServer) -> None:
    with FaultProxy(redis_server.port) as proxy:
        async with filled_link(f"redis://127.0.0.1:{proxy.port}") as link:
            proxy.slow(0.01)
            calls = calls_of(link)
            seen = await sweep(link, [calls["execute"], calls["execute_many"]])
    # The first turn cancels before the call has begun, the later ones while its reply is owed; a machine that is kept
    # busy may take longer for a turn than the proxy does for the reply.
    assert seen.cancelled > 100
    assert (seen.wrong, seen.failed) == (0, 0)


async def test_the_sweep_sees_the_naive_clients_mistake(redis_server: RedisServer) -> None:
    seen = await sweep_naive(redis_server.port)
    assert seen.wrong > seen.reads / 2


async def test_cancelling_many_at_once_keeps_the_others(redis_server: RedisServer) -> None:
    async with filled_link(redis_server.url) as link:
        for _ in range(50):
            tasks = [asyncio.ensure_future(link.execute("GET", ALICE if at % 2 else BOB)) for at in range(40)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            replies = await asyncio.gather(*tasks, return_exceptions=True)
            for at, reply in enumerate(replies):
                if at % 3:
                    assert reply == (ALICE if at % 2 else BOB).encode()
                else:
                    assert isinstance(reply, asyncio.CancelledError)


async def test_a_cancelled_first_call_leaves_a_working_link(redis_server: RedisServer) -> None:
    """The first call on a loop makes the connection; its cancellation must not spoil it for those who wait, too."""
    with FaultProxy(redis_server.port) as proxy:
        for turn in range(30):
            async with filled_link(f"redis://127.0.0.1:{proxy.port}") as link:
                proxy.reset()
                first, second = (asyncio.ensure_future(link.execute("GET", ALICE)) for _ in range(2))
                for _ in range(turn):
                    await asyncio.sleep(0)
                first.cancel()
                assert await second == ALICE.encode()
                await asyncio.gather(first, return_exceptions=True)
