"""
Writes that do not end: the process is killed, or the caller cancelled, between the store and the tiers.

A store that keeps notes has one in the transaction of the row, and another node delivers it. For other stores the note
is in a file of the process, and its next start delivers it.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.postgres import PostgresServer
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, Cache, CacheOptions, Matrix, RegionOptions, _gates
from tiercel._process import Process

DYING = """
import os, signal, sys
from tiercel import Cache, CacheOptions, Matrix, RegionOptions, _gates
from tiercel._sync import outbox
namespace, redis, store, state, keeps_notes = sys.argv[1:]
outbox.HOLD_S = 0.5
item = RegionOptions(name="item", store=store)
cache = Cache(Matrix.of(item, CacheOptions(namespace=namespace, redis=redis, state_dir=state))).start()
if keeps_notes == "no":
    cache._assembly.cores["item"].outbox = None
region = cache.tenant("acme").region("item")
region.write("k", "v1")
assert region.read("k") == "v1"
_gates.hook = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == "write.stored" else None
region.write("k", "v2")
"""


def die(world: tuple[str, str, str], state: Path, *, keeps_notes: bool) -> None:
    """Let a process write v1, then commit v2 and be killed before Redis knows."""
    words = [*world, str(state), "yes" if keeps_notes else "no"]
    died = subprocess.run([sys.executable, "-c", DYING, *words], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL


@pytest.fixture(params=["sqlite", "postgres"])
def noting_world(request: pytest.FixtureRequest, clean_redis: RedisServer, tmp_path: Path) -> Iterator[Any]:
    """Namespace, Redis, and a store that keeps notes."""
    namespace = f"c{secrets.token_hex(6)}"
    if request.param == "sqlite":
        yield namespace, clean_redis.url, f"sqlite:///{tmp_path}/shop.db#items"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield namespace, clean_redis.url, f"{url}#items"


@pytest.fixture
def world(clean_redis: RedisServer, tmp_path: Path) -> tuple[str, str, str]:
    """Namespace, Redis, store."""
    return f"c{secrets.token_hex(6)}", clean_redis.url, f"sqlite:///{tmp_path}/shop.db#items"


def matrix_of(world: tuple[str, str, str], state: Path) -> Matrix:
    namespace, redis, store = world
    item = RegionOptions(name="item", store=store)
    return Matrix.of(item, CacheOptions(namespace=namespace, redis=redis, state_dir=str(state)))


def other_node(world: tuple[str, str, str], tmp_path: Path) -> Cache:
    """Return another node, not started yet."""
    return Cache(matrix_of(world, tmp_path / "other"), process=Process())


def seen_within(cache: Cache, value: str, seconds: float) -> bool:
    """Say whether *cache* reads *value* before *seconds* are over."""
    region, ends = cache.tenant("acme").region("item"), time.monotonic() + seconds
    while region.read("k") != value:
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def test_a_write_cut_off_by_a_kill_is_told_by_another_node(noting_world: Any, tmp_path: Path) -> None:
    """
    1. writer commits v2 to the store and is killed
    2. other nodes find v1 in Redis: without the note, until its ttl ends
    """
    die(noting_world, tmp_path / "dying", keeps_notes=True)
    with other_node(noting_world, tmp_path) as other:
        assert seen_within(other, "v2", 10.0), "v1 outlived the write that was cut off"
        assert other.recorder.event_counts()["notes_delivered", ""] == 1


def test_without_a_note_another_node_goes_on_reading_the_old_value(noting_world: Any, tmp_path: Path) -> None:
    die(noting_world, tmp_path / "dying", keeps_notes=False)
    with other_node(noting_world, tmp_path) as other:
        assert not seen_within(other, "v2", 3.0)


def test_without_a_note_it_falls_at_the_next_start(noting_world: Any, tmp_path: Path) -> None:
    state = tmp_path / "dying"
    die(noting_world, state, keeps_notes=False)
    with other_node(noting_world, tmp_path) as other, Cache(matrix_of(noting_world, state), process=Process()):
        assert seen_within(other, "v2", 10.0), "v1 outlived the write that was cut off"


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
