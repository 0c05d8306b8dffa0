"""Journals and dead letters in a backup, and the walk over a cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.async_.recovery.test_backup import settled
from tests.rig.cluster import RedisCluster
from tests.rig.fixtures import serving
from tests.rig.redis import RedisServer
from tiercel import AsyncCache, CacheOptions, EntityRule, Matrix, RegionOptions
from tiercel._async.journals import AsyncJournal
from tiercel._async.journals.payload import encode_draft
from tiercel._async.journals.places import AsyncJournalPlaces
from tiercel._async.link import open_link
from tiercel._async.recovery import AsyncRecovery
from tiercel._process import Process
from tiercel.options import JournalOptions
from tiercel.testing import ManualClock


class DurableRedis(RedisServer):
    """A Redis with an append-only file, as a journal asks for."""

    def __init__(self) -> None:
        super().__init__("--appendonly", "yes")


@pytest.fixture(scope="module")
def durable_redis() -> Iterator[DurableRedis]:
    with serving("durable_redis", DurableRedis) as server:
        yield server


def journaled(url: str, folder: Path) -> Matrix:
    journal = JournalOptions(kind="redis", partitions=1, flush=False)
    order = RegionOptions(
        name="order", tiers=("redis",), strategy="write-behind", store="sqlite:///:memory:#o", journal=journal
    )
    names = CacheOptions(namespace=f"t{secrets.token_hex(6)}", redis=url, state_dir=str(folder / "state"))
    return Matrix.of(order, EntityRule(name="user", regions=("order:{id}",)), names)


async def opened_journal(places: AsyncJournalPlaces) -> AsyncJournal:
    journal = await places.journal("order")
    await journal.open()
    return journal


async def test_waiting_writes_and_dead_letters_come_back_where_the_journal_was_lost(
    durable_redis: DurableRedis, tmp_path: Path
) -> None:
    matrix = journaled(durable_redis.url, tmp_path)
    places = AsyncJournalPlaces(matrix, clock=ManualClock())
    recovery = AsyncRecovery(matrix)
    journal = await opened_journal(places)
    await journal.append([encode_draft("acme", f"k{n}", {"n": n}, 10 + n, 1.0) for n in range(5)])
    lease = await journal.lease(0, "me", 5.0)
    assert lease is not None
    entries = await journal.take(lease, 0, 10, 5.0)
    await journal.settle(lease, [], [(entries[0], "refused")])
    report = await recovery.backup(tmp_path / "b")
    assert (report["journal"], report["dead"]) == (4, 1)

    same = await recovery.restore(tmp_path / "b")
    assert (same.journal, same.dead, same.journal_left) == (0, 0, 5)

    link = await open_link(durable_redis.url)
    prefix = f"{{{matrix.cache.namespace}:order:0}}:"
    for part in ("state", "queue", "newest", "dead", "why"):
        await link.execute(b"DEL", f"{prefix}{part}".encode())
    await link.aclose()
    lost = await recovery.restore(tmp_path / "b")
    assert (lost.journal, lost.dead) == (4, 1)
    found = await journal.newest("acme", ["k0", "k1", "k4"])
    assert {key: record.value for key, record in found.items()} == {"k1": {"n": 1}, "k4": {"n": 4}}
    assert [letter.reason for letter in await journal.dead_letters()] == ["refused"]
    again = await recovery.restore(tmp_path / "b")
    assert (again.journal, again.dead) == (0, 0)
    accepted = await journal.append([encode_draft("acme", "k1", {"n": 99}, 1, 2.0)])
    assert accepted.versions[0] > 14
    await journal.aclose()
    await places.aclose()


async def test_an_erased_subjects_writes_stay_out(durable_redis: DurableRedis, tmp_path: Path) -> None:
    matrix = journaled(durable_redis.url, tmp_path)
    cache = await AsyncCache(matrix, process=Process(), drain_s=0.0).start()
    await cache.tenant("acme").region("order").write("7", {"n": 7})
    await AsyncRecovery(matrix).backup(tmp_path / "b")
    receipt = await cache.erase("acme", "user:7")
    assert receipt.is_complete, receipt.as_dict()
    await cache.aclose()
    link = await open_link(durable_redis.url)
    for part in ("state", "queue", "newest"):
        await link.execute(b"DEL", f"{{{matrix.cache.namespace}:order:0}}:{part}".encode())
    await link.aclose()
    report = await AsyncRecovery(matrix).restore(tmp_path / "b")
    assert (report.journal, report.journal_left) == (0, 1)


async def test_every_node_of_a_cluster_is_walked(clean_redis_cluster: RedisCluster, tmp_path: Path) -> None:
    url = clean_redis_cluster.url.replace("redis://", "redis+cluster://")
    names = CacheOptions(namespace=f"t{secrets.token_hex(6)}", redis=url, state_dir=str(tmp_path / "state"))
    matrix = Matrix.of(RegionOptions(name="page", tiers=("redis",)), names)
    cache = await AsyncCache(matrix, process=Process()).start()
    page = cache.tenant("acme").region("page")
    await page.set_many({f"p{n}": n for n in range(200)})
    await settled(cache)
    report = await AsyncRecovery(matrix).backup(tmp_path / "b")
    assert report["entries"] == 200
    link = await open_link(url)
    async for found in link.scan(matrix.cache.namespace.encode() + b"{}:acme*"):
        await link.execute_many([(b"DEL", name) for name in found])
    await link.aclose()
    restored = await AsyncRecovery(matrix).restore(tmp_path / "b")
    assert restored.restored == 200
    assert await page.get("p7") == 7
    await cache.aclose()
