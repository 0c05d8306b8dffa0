"""
The refill race on a Redis Cluster whose master dies in the middle: the kill comes at a chosen step of the reader or the
writer, and both go on once a replica took its place. Whatever the dead master took with it, nothing old is left.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.rig import RedisCluster
from tiercel import AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions, _gates
from tiercel._process import Process

STEPS = ["fill.loaded", "write.stored", "write.far_stored"]
ENDS_S = 25.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """A cluster of this module's own, whose masters may be killed."""
    with RedisCluster() as started:
        yield started


@pytest.fixture
async def nodes(cluster: RedisCluster, tmp_path: Path) -> AsyncIterator[list[AsyncRegion]]:
    """Two nodes over one cluster and one store."""
    url = cluster.url.replace("redis://", "redis+cluster://")
    item = RegionOptions(name="item", store=f"sqlite:///{tmp_path}/shop.db#items")
    namespace, opened = f"c{secrets.token_hex(6)}", list[AsyncCache]()
    for number in range(2):
        options = CacheOptions(namespace=namespace, redis=url, state_dir=str(tmp_path / str(number)))
        opened.append(await AsyncCache(Matrix.of(item, options), process=Process()).start())
    yield [cache.tenant("acme").region("item") for cache in opened]
    for cache in opened:
        await cache.aclose()


def fail_over(cluster: RedisCluster, name: str) -> None:
    """Kill the master of *name*, wait until another node owns its slot, and bring the dead one back."""
    dead = cluster.owner_of_key(name)
    cluster.kill_node(dead)
    ends = time.monotonic() + 15.0
    while cluster.owner_of_key(name) is dead or not cluster.owner_of_key(name).is_master:
        assert time.monotonic() < ends, "no replica was promoted"
        time.sleep(0.05)
    cluster.restart_node(dead)
    cluster.wait_ready()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_a_master_killed_in_the_middle_leaves_nothing_old(
    cluster: RedisCluster, nodes: list[AsyncRegion], step: str
) -> None:
    """
    1. reader misses, gets the lease, loads v1
    2. writer commits v2 and stores it; the master acknowledges, and dies before its replica has that
    3. reader stores v1 in the promoted replica, which knows no lease and no v2
    """
    first, second = nodes
    await first.write("k", "v1")
    await first.remove("k")
    name = first.place.name("k").decode()
    killed = asyncio.Event()

    async def kill_at(gate: str) -> None:
        if gate == step and not killed.is_set():
            killed.set()
            await asyncio.to_thread(fail_over, cluster, name)

    _gates.async_hook = kill_at
    try:
        await asyncio.wait_for(asyncio.gather(first.read("k"), second.write("k", "v2")), ENDS_S)
    finally:
        _gates.async_hook = None
    assert killed.is_set()
    ends = time.monotonic() + ENDS_S
    while [await node.read("k", consistency="strong") for node in nodes] != ["v2", "v2"]:
        assert time.monotonic() < ends, "v1 outlived the fail-over"
        await asyncio.sleep(0.1)
    assert [await node.read("k") for node in nodes] == ["v2", "v2"]
