"""
A key that is being moved to another node is read right, however many connections are idle.

While a slot moves, the old node answers ASK for keys that have left, and the new one serves them only to the command
that follows ASKING on the same connection. A client that sends the two on different connections of a pool fails every
time that the pool gives it two (redis-py 8.1's asyncio client: 50 of 50 with an even number of idle connections). The
link sends both in one write on one connection. For 1 to 16 connections with idle ones, 50 reads each: all must be
right.

Run: ``python -m proofs.ask_reads [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import Iterator

import redis.asyncio
import redis.exceptions

from tests.rig import RedisCluster
from tiercel._async.link import open_link

READS = 50
CONNECTIONS = range(1, 17)
KEY = "ask:key"


@contextlib.contextmanager
def half_moved(cluster: RedisCluster) -> Iterator[None]:
    """Move `KEY` to another node and leave its slot half-way; finish the move at the end."""
    source = cluster.owner_of_key(KEY)
    target = next(node for node in cluster.masters() if node is not source)
    slot = cluster.cli("CLUSTER", "KEYSLOT", KEY)
    assert isinstance(slot, int)
    cluster.begin_migration(slot, source, target)
    cluster.cli("MIGRATE", "127.0.0.1", target.port, KEY, 0, 5000, node=source)
    try:
        yield
    finally:
        cluster.finish_migration(slot, target)


async def read_with_link(url: str, callers: int) -> int:
    """Return how many of `READS` reads are right after *callers* calls at once warmed the connections."""
    link = await open_link(url)
    try:
        await asyncio.gather(*[link.execute("EXISTS", "ask:other") for _ in range(callers)])
        return sum([await link.execute("GET", KEY) == b"moved" for _ in range(READS)])
    finally:
        await link.aclose()


async def read_with_redis_py(port: int, callers: int) -> int:
    """Return the same figure for redis-py's asyncio cluster client."""
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=port)
    right = 0
    # It leaves the nodes of a replaced slot map unclosed, and says so when they are collected.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    try:
        for node in (await client.initialize()).get_primaries():
            await asyncio.gather(*[client.execute_command("PING", target_nodes=node) for _ in range(callers)])
        for _ in range(READS):
            with contextlib.suppress(redis.exceptions.RedisError):
                right += await client.get(KEY) == b"moved"
    finally:
        await client.aclose()
    return right


async def measure(cluster: RedisCluster, connections: range, *, with_peer: bool) -> dict[str, dict[int, int]]:
    """Return right reads of `READS` by number of connections, for the link and where asked for redis-py."""
    url = cluster.url.replace("redis:", "redis+cluster:")
    figures: dict[str, dict[int, int]] = {"link": {}}
    for count in connections:
        figures["link"][count] = await read_with_link(url, count)
    if with_peer:
        figures["redis_py"] = {count: await read_with_redis_py(cluster.ports[0], count) for count in connections}
    return figures


def main() -> int:
    """Run the command line; exit status 1 where a read of the link was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with RedisCluster() as cluster:
        cluster.cli("SET", KEY, "moved", node=cluster.owner_of_key(KEY))
        with half_moved(cluster):
            figures = asyncio.run(measure(cluster, CONNECTIONS, with_peer=True))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, by_count in figures.items():
            print(f"{name}: right of {READS}, by connections: {by_count}")
    return 0 if all(right == READS for right in figures["link"].values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
