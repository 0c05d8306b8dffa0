"""
Fixtures of the journal suites: one journal of each kind, made new for every test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RedisCluster, RedisServer
from tests.rig.fixtures import serving
from tiercel._async.journals import AsyncJournal, open_journal
from tiercel._async.link import AsyncLink, open_link
from tiercel._paired import AsyncFunction
from tiercel.options import Durability, JournalOptions
from tiercel.testing import ManualClock

KINDS = ("memory", "file", "redis", "cluster", "postgres")


class DurableRedis(RedisServer):
    """A Redis with an append-only file."""

    def __init__(self) -> None:
        super().__init__("--appendonly", "yes", "--appendfsync", "everysec")


@pytest.fixture(scope="session")
def durable_redis() -> Iterator[DurableRedis]:
    """The session's Redis with an append-only file."""
    with serving("durable_redis", DurableRedis) as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still; the servers' journals use their own."""
    return ManualClock()


def redis_url(request: pytest.FixtureRequest, place: str) -> str:
    """Return the address of an empty Redis, or cluster, that keeps an append-only file."""
    if place == "redis":
        server: DurableRedis = request.getfixturevalue("durable_redis")
        server.flush()
        return server.url
    cluster: RedisCluster = request.getfixturevalue("clean_redis_cluster")
    for node in cluster.masters():
        cluster.cli("CONFIG", "SET", "appendonly", "yes", node=node)
    return cluster.url.replace("redis:", "redis+cluster:")


@pytest.fixture(params=KINDS)
async def make_journal(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[AsyncFunction[..., AsyncJournal]]:
    """Open any number of journals on the same place; each is a node of its own."""
    opened: list[AsyncJournal] = []
    links: list[AsyncLink] = []
    place = request.param
    kind: Any = "redis" if place == "cluster" else place
    link, url = None, None
    if kind == "redis":
        link = await open_link(redis_url(request, place))
        links.append(link)
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")

    async def make(partitions: int = 4) -> AsyncJournal:
        if kind == "memory" and opened:
            pytest.skip("a memory journal has one node")
        durability: Durability = "memory" if kind == "memory" else "process"
        options = JournalOptions(kind=kind, durability=durability, partitions=partitions)
        journal = open_journal("profile", options, clock=clock, directory=tmp_path, link=link, url=url)
        opened.append(journal)
        await journal.open()
        return journal

    yield make
    for journal in opened:
        await journal.aclose()
    for each in links:
        await each.aclose()


@pytest.fixture
async def journal(make_journal: AsyncFunction[..., AsyncJournal]) -> AsyncJournal:
    """An open, empty journal of four partitions."""
    return await make_journal()
