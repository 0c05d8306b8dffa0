"""
Slots that move while they are used: MOVED and ASK are followed, in single calls and in batches.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.rig import RedisCluster
from tiercel._async.link import AsyncLink, open_link
from tiercel.scripts import Script

KEY = "move:key"
ECHO = Script("echo", "return redis.call('GET', KEYS[1])")


@pytest.fixture
async def link(clean_redis_cluster: RedisCluster) -> AsyncIterator[AsyncLink]:
    opened = await open_link(clean_redis_cluster.url.replace("redis:", "redis+cluster:"))
    await opened.execute("SET", KEY, "here")
    yield opened
    await opened.aclose()


@pytest.fixture
def half_moved(link: AsyncLink, clean_redis_cluster: RedisCluster) -> Iterator[None]:
    """The key has left for another node; its slot has not yet."""
    cluster = clean_redis_cluster
    source = cluster.owner_of_key(KEY)
    target = next(node for node in cluster.masters() if node is not source)
    slot = cluster.cli("CLUSTER", "KEYSLOT", KEY)
    assert isinstance(slot, int)
    cluster.begin_migration(slot, source, target)
    cluster.cli("MIGRATE", "127.0.0.1", target.port, KEY, 0, 5000, node=source)
    yield
    cluster.finish_migration(slot, target)


async def test_moved_is_followed_and_remembered(link: AsyncLink, clean_redis_cluster: RedisCluster) -> None:
    cluster = clean_redis_cluster
    source = cluster.owner_of_key(KEY)
    slot = cluster.cli("CLUSTER", "KEYSLOT", KEY)
    assert isinstance(slot, int)
    cluster.migrate_slot(slot, next(node for node in cluster.masters() if node is not source))
    assert await link.execute("GET", KEY) == b"here"
    before = link.health().nodes[f"127.0.0.1:{source.port}"].commands
    assert await link.execute_many([("GET", KEY)] * 3) == [b"here"] * 3
    assert link.health().nodes[f"127.0.0.1:{source.port}"].commands == before


@pytest.mark.usefixtures("half_moved")
async def test_ask_is_followed_by_every_call(link: AsyncLink) -> None:
    for _ in range(50):
        assert await link.execute("GET", KEY) == b"here"
    assert await link.execute_many([("GET", KEY)] * 10) == [b"here"] * 10
    assert await link.script(ECHO, [KEY.encode()], []) == b"here"
    assert await link.script_many(ECHO, [([KEY.encode()], [])] * 3) == [b"here"] * 3


async def test_a_command_without_a_key_goes_to_some_primary(link: AsyncLink) -> None:
    assert isinstance(await link.execute("TIME"), list)
    assert await link.execute("EVAL", "return 7", 0) == 7


async def test_keys_of_two_slots_in_one_command_are_the_servers_error(link: AsyncLink) -> None:
    replies = await link.execute_many([("MGET", "a", "b")])
    assert getattr(replies[0], "code", None) == "CROSSSLOT"


async def test_a_slot_that_nobody_serves_for_a_moment_is_waited_for(
    link: AsyncLink, clean_redis_cluster: RedisCluster
) -> None:
    """CLUSTERDOWN: the slot comes back within the budget, and nobody sees that it was gone."""
    owner = clean_redis_cluster.owner_of_key(KEY)
    slot = clean_redis_cluster.cli("CLUSTER", "KEYSLOT", KEY)
    assert isinstance(slot, int)

    def give_back() -> None:
        clean_redis_cluster.cli("CLUSTER", "ADDSLOTS", slot, node=owner)

    clean_redis_cluster.cli("CLUSTER", "DELSLOTS", slot, node=owner)
    back = threading.Timer(0.1, give_back)
    back.start()
    try:
        assert await link.execute("EXISTS", KEY, timeout_s=5.0) in (0, 1)
    finally:
        back.join()
