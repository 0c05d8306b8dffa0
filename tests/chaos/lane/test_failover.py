"""
Resharding and fail-over under load: no wrong value, no lost service, and the hooks are told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from tests.rig import RedisCluster, RedisSentinel
from tiercel._async.link import AsyncLink, open_link
from tiercel._core.slots import key_slot
from tiercel.errors import TierError

KEYS = [f"k{number}" for number in range(600)]


class Load:
    """Readers and writers in a closed loop; every key always holds its own name."""

    def __init__(self, link: AsyncLink) -> None:
        self.calls = 0
        self.wrong: list[object] = []
        self.failures: list[tuple[float, TierError]] = []
        self.answered_at: dict[str, float] = {}
        self._link = link
        self._stop = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._run(random.Random(seed))) for seed in range(16)]

    async def _run(self, draw: random.Random) -> None:
        while not self._stop.is_set():
            key = draw.choice(KEYS)
            try:
                if draw.random() < 0.2:
                    await self._link.execute("SET", key, key)
                elif (value := await self._link.execute("GET", key)) != key.encode():
                    self.wrong.append((key, value))
                self.answered_at[key] = time.monotonic()
            except TierError as error:
                self.failures.append((time.monotonic(), error))
            self.calls += 1
            await asyncio.sleep(0.002)

    async def end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


async def _until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        await asyncio.sleep(0.02)


async def test_resharding_under_load_shows_no_error(clean_redis_cluster: RedisCluster) -> None:
    cluster = clean_redis_cluster
    link = await open_link(cluster.url.replace("redis:", "redis+cluster:"))
    await link.execute_many([("SET", key, key) for key in KEYS])
    load = Load(link)

    def reshard() -> None:
        for slot in sorted({key_slot(key.encode()) for key in KEYS})[:60]:
            owner = cluster.owner_of_slot(slot)
            cluster.migrate_slot(slot, next(node for node in cluster.masters() if node is not owner))

    await asyncio.to_thread(reshard)
    await load.end()
    await link.aclose()
    assert load.calls > 300
    assert load.wrong == []
    assert load.failures == []


async def test_a_cluster_fails_over() -> None:
    with RedisCluster() as cluster:
        link = await open_link(cluster.url.replace("redis:", "redis+cluster:"))
        told: list[str] = []
        link.on_reconnect.append(told.append)
        await link.execute_many([("SET", key, key) for key in KEYS])
        await link.each_primary("WAIT", 1, 1000)
        load = Load(link)
        victim = cluster.nodes[0]
        lost = [key for key in KEYS if cluster.owner_of_key(key) is victim][:20]
        await asyncio.to_thread(cluster.kill_node, victim)
        killed_at = time.monotonic()
        await _until(lambda: all(load.answered_at.get(key, 0.0) > killed_at for key in lost), 15.0)
        recovered_s = time.monotonic() - killed_at
        await load.end()
        await link.aclose()
    assert load.wrong == []
    assert told
    # Node timeout 1 s; the promise is 3 s more; a key is drawn about once in 0.1 s.
    assert recovered_s < 1.0 + 3.0 + 1.0


async def test_sentinel_fails_over() -> None:
    with RedisSentinel() as sentinel:
        link = await open_link(sentinel.url)
        told: list[str] = []
        link.on_reconnect.append(told.append)
        await link.execute_many([("SET", key, key) for key in KEYS])
        await link.each_primary("WAIT", 2, 1000)
        load = Load(link)
        port = sentinel.master_port()
        await asyncio.to_thread(sentinel.kill_port, port)
        killed_at = time.monotonic()
        await _until(lambda: f"127.0.0.1:{sentinel.master_port()}" in link.health().nodes, 60.0)
        await _until(lambda: max(load.answered_at.values(), default=0.0) > killed_at, 20.0)
        await load.end()
        await asyncio.to_thread(sentinel.restart_port, port)
        # The old primary is back, as a replica: nobody reads from it.
        assert f"127.0.0.1:{port}" not in link.health().nodes
        assert await link.execute("SET", "after", 1) in (b"OK", "OK")
        await link.aclose()
    assert load.wrong == []
    assert told
