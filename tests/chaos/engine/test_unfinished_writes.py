"""
Writes that do not end: the process is killed, or the caller cancelled, between the store and the tiers.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.redis import RedisServer
from tiercel import AsyncCache, Cache, CacheOptions, Matrix, RegionOptions, _gates
from tiercel._process import Process

DYING = """
import os, sys
from tiercel import Cache, CacheOptions, Matrix, RegionOptions, _gates
namespace, redis, store, state = sys.argv[1:]
item = RegionOptions(name="item", store=store)
cache = Cache(Matrix.of(item, CacheOptions(namespace=namespace, redis=redis, state_dir=state))).start()
region = cache.tenant("acme").region("item")
region.write("k", "v1")
assert region.read("k") == "v1"
_gates.hook = lambda name: os._exit(9) if name == "write.stored" else None
region.write("k", "v2")
"""


@pytest.fixture
def world(clean_redis: RedisServer, tmp_path: Path) -> tuple[str, str, str]:
    """Namespace, Redis, store."""
    return f"c{secrets.token_hex(6)}", clean_redis.url, f"sqlite:///{tmp_path}/shop.db#items"


def matrix_of(world: tuple[str, str, str], state: Path) -> Matrix:
    namespace, redis, store = world
    item = RegionOptions(name="item", store=store)
    return Matrix.of(item, CacheOptions(namespace=namespace, redis=redis, state_dir=str(state)))


@pytest.fixture
def other(world: tuple[str, str, str], tmp_path: Path) -> Iterator[Cache]:
    """Another node."""
    with Cache(matrix_of(world, tmp_path / "other"), process=Process()) as cache:
        yield cache


def test_a_write_cut_off_by_a_kill_falls_at_the_next_start(
    world: tuple[str, str, str], other: Cache, tmp_path: Path
) -> None:
    """
    1. writer commits v2 to the store and is killed
    2. other nodes find v1 in Redis: without the intent, until its ttl ends
    """
    state = tmp_path / "dying"
    died = subprocess.run([sys.executable, "-c", DYING, *world, str(state)], check=False, timeout=60)
    assert died.returncode == 9
    region = other.tenant("acme").region("item")
    assert region.get("k", consistency="strong") == "v1", "the race was not set up: the tiers knew already"
    with Cache(matrix_of(world, state), process=Process()):
        ends = time.monotonic() + 20
        while region.read("k", consistency="strong") != "v2":
            assert time.monotonic() < ends, "v1 outlived the write that was cut off"
    assert other.tenant("acme").region("item").read("k", consistency="strong") == "v2"


async def test_a_cancelled_writer_leaves_no_tier_behind(world: tuple[str, str, str], tmp_path: Path) -> None:
    async with AsyncCache(matrix_of(world, tmp_path / "state"), process=Process()) as cache:
        region = cache.tenant("acme").region("item")
        await region.write("k", "v1")
        reached, go = asyncio.Event(), asyncio.Event()

        async def hold(name: str) -> None:
            if name == "write.stored":
                reached.set()
                await go.wait()

        _gates.async_hook = hold
        try:
            writer = asyncio.ensure_future(region.write("k", "v2"))
            await reached.wait()
            writer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writer
            go.set()
            while await region.get("k", consistency="strong") != "v2":
                await asyncio.sleep(0.005)
        finally:
            _gates.async_hook = None
        assert await region.read("k") == "v2"
