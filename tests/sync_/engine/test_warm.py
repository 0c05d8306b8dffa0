# Generated from tests/async_/engine/test_warm.py by tools/unasync.py. Do not edit.
"""
Warm-up: a new node and a wiped Redis are filled from the keys that nodes saved, and from their values never.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sync_.engine.conftest import until
from tests.rig.redis import RedisServer
from tiercel import Cache, Matrix
from tiercel._core.keys import KeySpace
from tiercel._core.warmkeys import unpack_keys
from tiercel._paired import Function, Poll
from tiercel._process import Process
from tiercel.typing import MISS

KEYS = [f"p{number}" for number in range(20)]
WarmNode = Function[..., Cache]


@pytest.fixture
def warm_node(matrix: Matrix, clean_redis: RedisServer, tmp_path: Path) -> Iterator[WarmNode]:
    """Make a cache with warm-up that plays a machine of its own, or the same one again under the same *name*."""
    opened: list[Cache] = []

    def make(name: str) -> Cache:
        own = replace(
            matrix.cache,
            redis=clean_redis.url,
            state_dir=str(tmp_path / name),
            warm_keys=100,
            warm_every_s=0.1,
            warm_rate=100_000.0,
        )
        opened.append(Cache(matrix.overlay(own), process=Process()))
        return opened[-1].start()

    yield make
    for cache in opened:
        cache.close()


def _fill(cache: Cache) -> None:
    product = cache.tenant("acme").region("product")
    product.write_many({key: {"name": key} for key in KEYS})
    cache.invalidate_everything()
    assert len(product.read_many(KEYS)) == len(KEYS)


def test_a_new_node_warms_from_what_others_saved(warm_node: WarmNode) -> None:
    first = warm_node("first")
    _fill(first)
    first.close()
    second = warm_node("second")
    product = second.tenant("acme").region("product")
    until(lambda: all(product.get_local(key) is not MISS for key in KEYS))


def test_a_wiped_redis_is_filled_again(warm_node: WarmNode, clean_redis: RedisServer) -> None:
    cache = warm_node("first")
    _fill(cache)
    saved = KeySpace(cache.matrix.cache.namespace).own_key("warm")
    poll = Poll(10.0)
    while not clean_redis.cli("EXISTS", saved):
        assert poll.again(), "the list was not saved"
    clean_redis.cli("FLUSHALL")
    poll = Poll(10.0)
    while int(str(clean_redis.cli("DBSIZE"))) < len(KEYS):
        assert poll.again(), "Redis was not filled again"


def test_a_wiped_redis_and_a_restart_are_survived_by_the_file(
    warm_node: WarmNode, clean_redis: RedisServer
) -> None:
    first = warm_node("first")
    _fill(first)
    first.close()
    clean_redis.cli("FLUSHALL")
    again = warm_node("first")
    product = again.tenant("acme").region("product")
    until(lambda: all(product.get_local(key) is not MISS for key in KEYS))


def test_the_list_holds_keys_and_no_values(warm_node: WarmNode, tmp_path: Path) -> None:
    cache = warm_node("first")
    _fill(cache)
    cache.close()
    saved = (tmp_path / "first" / f"{cache.matrix.cache.namespace}-warm.keys").read_bytes()
    assert {(key.tenant, key.region, key.key) for key in unpack_keys(saved)} == {
        ("acme", "product", key) for key in KEYS
    }


def test_a_damaged_file_is_passed_over(warm_node: WarmNode, tmp_path: Path) -> None:
    cache = warm_node("first")
    _fill(cache)
    cache.close()
    file = tmp_path / "first" / f"{cache.matrix.cache.namespace}-warm.keys"
    file.write_bytes(b"\0" * 40)
    again = warm_node("first")
    progress = again.warm()
    assert progress.done == len(KEYS)  # the far tier has the list as well
    assert not progress.is_running
