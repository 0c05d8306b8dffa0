"""
Warm-up: a new node and a wiped Redis are filled from the keys that nodes saved, and from their values never.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.async_.engine.conftest import until
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, Matrix
from tiercel._core.keys import KeySpace
from tiercel._core.warmkeys import unpack_keys
from tiercel._paired import AsyncFunction, AsyncPoll
from tiercel._process import Process
from tiercel.typing import MISS

KEYS = [f"p{number}" for number in range(20)]
WarmNode = AsyncFunction[..., AsyncCache]


@pytest.fixture
async def warm_node(matrix: Matrix, clean_redis: RedisServer, tmp_path: Path) -> AsyncIterator[WarmNode]:
    """Make a cache with warm-up that plays a machine of its own, or the same one again under the same *name*."""
    opened: list[AsyncCache] = []

    async def make(name: str) -> AsyncCache:
        own = replace(
            matrix.cache,
            redis=clean_redis.url,
            state_dir=str(tmp_path / name),
            warm_keys=100,
            warm_every_s=0.1,
            warm_rate=100_000.0,
        )
        opened.append(AsyncCache(matrix.overlay(own), process=Process()))
        return await opened[-1].start()

    yield make
    for cache in opened:
        await cache.aclose()


async def _fill(cache: AsyncCache) -> None:
    product = cache.tenant("acme").region("product")
    await product.write_many({key: {"name": key} for key in KEYS})
    await cache.invalidate_everything()
    assert len(await product.read_many(KEYS)) == len(KEYS)


async def test_a_new_node_warms_from_what_others_saved(warm_node: WarmNode) -> None:
    first = await warm_node("first")
    await _fill(first)
    await first.aclose()
    second = await warm_node("second")
    product = second.tenant("acme").region("product")
    await until(lambda: all(product.get_local(key) is not MISS for key in KEYS))


async def test_a_wiped_redis_is_filled_again(warm_node: WarmNode, clean_redis: RedisServer) -> None:
    cache = await warm_node("first")
    await _fill(cache)
    saved = KeySpace(cache.matrix.cache.namespace).own_key("warm")
    poll = AsyncPoll(10.0)
    while not clean_redis.cli("EXISTS", saved):
        assert await poll.again(), "the list was not saved"
    clean_redis.cli("FLUSHALL")
    poll = AsyncPoll(10.0)
    while int(str(clean_redis.cli("DBSIZE"))) < len(KEYS):
        assert await poll.again(), "Redis was not filled again"


async def test_a_wiped_redis_and_a_restart_are_survived_by_the_file(
    warm_node: WarmNode, clean_redis: RedisServer
) -> None:
    first = await warm_node("first")
    await _fill(first)
    await first.aclose()
    clean_redis.cli("FLUSHALL")
    again = await warm_node("first")
    product = again.tenant("acme").region("product")
    await until(lambda: all(product.get_local(key) is not MISS for key in KEYS))


async def test_the_list_holds_keys_and_no_values(warm_node: WarmNode, tmp_path: Path) -> None:
    cache = await warm_node("first")
    await _fill(cache)
    await cache.aclose()
    saved = (tmp_path / "first" / f"{cache.matrix.cache.namespace}-warm.keys").read_bytes()
    assert {(key.tenant, key.region, key.key) for key in unpack_keys(saved)} == {
        ("acme", "product", key) for key in KEYS
    }


async def test_a_damaged_file_is_passed_over(warm_node: WarmNode, tmp_path: Path) -> None:
    cache = await warm_node("first")
    await _fill(cache)
    await cache.aclose()
    file = tmp_path / "first" / f"{cache.matrix.cache.namespace}-warm.keys"
    file.write_bytes(b"\0" * 40)
    again = await warm_node("first")
    progress = await again.warm()
    assert progress.done == len(KEYS)  # the far tier has the list as well
    assert not progress.is_running
