"""
Durability is checked at the start: what the server cannot give is refused, with what to do about it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.rig import PostgresServer, RedisCluster, RedisServer
from tiercel._async.journals import open_journal
from tiercel._async.journals.payload import encode_draft
from tiercel._async.journals.redis import AsyncRedisJournal
from tiercel._async.link import AsyncLink, open_link
from tiercel.errors import ConfigurationError, JournalFull, StoreError, StoreTimeout
from tiercel.options import Durability, JournalOptions
from tiercel.testing import ManualClock


@pytest.fixture
async def link(durable_redis: RedisServer) -> AsyncIterator[AsyncLink]:
    durable_redis.flush()
    link = await open_link(durable_redis.url)
    yield link
    await link.aclose()
    for name, value in (("maxmemory-policy", "noeviction"), ("maxmemory", "0"), ("appendfsync", "everysec")):
        durable_redis.cli("CONFIG", "SET", name, value)


def on(link: AsyncLink, durability: Durability) -> AsyncRedisJournal:
    return AsyncRedisJournal(link, "tiercel", "profile", 2, durability=durability, timeout_s=1.0)


async def test_redis_without_an_append_only_file_is_refused(redis_server: RedisServer) -> None:
    link = await open_link(redis_server.url)
    with pytest.raises(ConfigurationError, match="needs the append-only file; set appendonly yes"):
        await on(link, "process").open()
    await link.aclose()


async def test_redis_that_may_evict_the_journal_is_refused(durable_redis: RedisServer, link: AsyncLink) -> None:
    durable_redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="may evict acknowledged writes; set noeviction"):
        await on(link, "process").open()


async def test_redis_without_replicas_is_refused(link: AsyncLink) -> None:
    with pytest.raises(ConfigurationError, match="replicas=1, but 0 replicas are connected"):
        await on(link, "replicated").open()


async def test_redis_that_syncs_each_second_is_not_always(durable_redis: RedisServer, link: AsyncLink) -> None:
    version = str(durable_redis.cli("INFO", "server")).split("redis_version:")[1].split(".")[:2]
    journal = on(link, "always")
    if tuple(map(int, version)) >= (7, 2):
        await journal.open()
        assert journal._wait_command() is not None
        return
    with pytest.raises(ConfigurationError, match=r"appendfsync always, or Redis 7\.2"):
        await journal.open()
    durable_redis.cli("CONFIG", "SET", "appendfsync", "always")
    await journal.open()
    await journal.append([encode_draft("acme", "a", 1, 1, 0.0)])


async def test_waitaof_is_asked_for_where_the_server_has_it(valkey_server: RedisServer) -> None:
    valkey_server.cli("CONFIG", "SET", "appendonly", "yes")
    link = await open_link(valkey_server.url)
    try:
        journal = on(link, "always")
        await journal.open()
        assert journal._wait_command() == ("WAITAOF", 1, 0, 1000)
        assert (await journal.append([encode_draft("acme", "a", 1, 1, 0.0)])).size.rows == 1
    finally:
        await link.aclose()
        valkey_server.cli("CONFIG", "SET", "appendonly", "no")
        valkey_server.flush()


async def test_a_write_that_no_replica_has_is_not_acknowledged(link: AsyncLink) -> None:
    journal = on(link, "replicated")
    with pytest.raises(StoreTimeout, match="reached 0 of 1 replicas in time; it is not acknowledged"):
        await journal.append([encode_draft("acme", "a", 1, 1, 0.0)])


async def test_redis_out_of_memory_is_a_full_journal(durable_redis: RedisServer, link: AsyncLink) -> None:
    journal = on(link, "process")
    await journal.open()
    await journal.append([encode_draft("acme", "a", 1, 1, 0.0)])
    durable_redis.cli("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(JournalFull, match="out of memory; this write was not accepted"):
        await journal.append([encode_draft("acme", "b", 1, 1, 0.0)])
    durable_redis.cli("CONFIG", "SET", "maxmemory", "0")
    assert (await journal.size()).rows == 1


async def test_an_unreachable_redis_is_a_store_error() -> None:
    with RedisServer("--appendonly", "yes") as server:
        link = await open_link(server.url)
        journal = on(link, "process")
        await journal.open()
        server.kill()
        with pytest.raises(StoreError, match="journal in Redis"):
            await journal.size()
        await link.aclose()


async def test_a_brace_in_the_namespace_is_refused(link: AsyncLink) -> None:
    with pytest.raises(ConfigurationError, match="a brace would change the slot"):
        AsyncRedisJournal(link, "a}b", "profile", 2)


async def test_postgres_without_standbys_is_refused(postgres_url: str) -> None:
    options = JournalOptions(kind="postgres", durability="replicated")
    journal = open_journal("profile", options, clock=ManualClock(), url=postgres_url)
    with pytest.raises(ConfigurationError, match="needs synchronous_standby_names, which is empty"):
        await journal.open()
    await journal.aclose()


async def test_postgres_without_fsync_is_refused() -> None:
    with PostgresServer(fsync=False) as server:
        options = JournalOptions(kind="postgres", durability="always")
        journal = open_journal("profile", options, clock=ManualClock(), url=server.url)
        with pytest.raises(ConfigurationError, match="needs fsync = on"):
            await journal.open()
        await journal.aclose()


@pytest.mark.parametrize(
    ("kind", "says"),
    [("file", "needs a directory"), ("redis", "needs Redis"), ("postgres", "needs the URL")],
)
def test_what_a_kind_needs_is_named(kind: str, says: str) -> None:
    options = JournalOptions(kind=kind, durability="process")  # type: ignore[arg-type]  # each of the kinds
    with pytest.raises(ConfigurationError, match=says):
        open_journal("profile", options, clock=ManualClock())


async def test_replicated_waits_on_the_node_of_each_partition(redis_cluster: RedisCluster) -> None:
    redis_cluster.flush()
    link = await open_link(redis_cluster.url.replace("redis:", "redis+cluster:"))
    journal = AsyncRedisJournal(link, "tiercel", "profile", 8, durability="replicated", timeout_s=5.0)
    await journal.open()
    accepted = await journal.append([encode_draft("acme", f"key-{n}", n, 1, 0.0) for n in range(100)])
    assert len(accepted.versions) == accepted.size.rows == 100
    await link.aclose()
    redis_cluster.flush()
