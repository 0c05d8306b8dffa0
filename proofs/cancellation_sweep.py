"""
Cancellation cannot mix replies: cancel a call at every turn of the loop, then let two other users read.

Every public call of the link is started, let run for 0 to 59 turns of the event loop, and cancelled. Two other users
then read keys of their own on the same connection. A reply that reaches the wrong call is a wrong value; the figure
must be 0. One sweep runs behind a proxy that delays replies by 2 ms, so that every cancelled call is still owed its
reply. The same sweep on the naive client (write, then await the reply) shows that the sweep sees the mistake
(CVE-2023-28858).

Run: ``python -m proofs.cancellation_sweep [--turns 60] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.rig import RedisCluster, RedisServer
from tiercel._async.link import AsyncLink, open_link
from tiercel.scripts import Script
from tiercel.testing import FaultProxy

TURNS = 60
SCRIPT = Script("sweep", "return redis.call('GET', KEYS[1])")
VICTIM, ALICE, BOB = "{sweep}victim", "{sweep}alice", "{sweep}bob"
Call = Callable[[], Awaitable[Any]]


class Reader(Protocol):
    """What the sweep needs of any client."""

    async def execute(self, *command: str) -> Any:
        """Send *command* and return its reply."""


@dataclass
class Sweep:
    """What a sweep saw."""

    cancelled: int = 0
    reads: int = 0
    wrong: int = 0
    failed: int = 0


class NaiveClient:
    """The client that everyone writes first: a lock, a write, and the next reply is taken for one's own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = asyncio.Lock()

    async def execute(self, *command: str) -> Any:
        """Send *command* and return what comes next."""
        async with self._lock:
            words = [word.encode() for word in command]
            head = b"*%d\r\n" % len(words)
            self._writer.write(head + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            line = await self._reader.readline()
            if not line.startswith(b"$"):
                return line.strip()
            body = await self._reader.readexactly(int(line[1:]) + 2)
            return body[:-2]


async def sweep(client: Reader, calls: Iterable[Call], turns: int = TURNS) -> Sweep:
    """Cancel each of *calls* after 0 .. *turns* - 1 turns of the loop, with two other users reading after each."""
    seen = Sweep()
    for call in calls:
        for turn in range(turns):
            task = asyncio.ensure_future(call())
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            seen.cancelled += task.cancelled()
            await _two_users_read(client, seen)
    return seen


async def _two_users_read(client: Reader, seen: Sweep) -> None:
    for key in (ALICE, BOB):
        try:
            value = await asyncio.wait_for(client.execute("GET", key), 2.0)
        except (TimeoutError, ValueError, asyncio.IncompleteReadError):
            seen.failed += 1
            continue
        seen.reads += 1
        seen.wrong += value != key.encode()


def calls_of(link: AsyncLink) -> dict[str, Call]:
    """Return every public call of *link*, reading the victim's key."""

    async def scan() -> list[list[bytes]]:
        return [batch async for batch in link.scan(b"*", 10)]

    key = VICTIM.encode()
    return {
        "execute": lambda: link.execute("GET", VICTIM),
        "execute_many": lambda: link.execute_many([("GET", VICTIM), ("PING",), ("GET", VICTIM)]),
        "script": lambda: link.script(SCRIPT, [key], []),
        "script_many": lambda: link.script_many(SCRIPT, [([key], []), ([key], [])]),
        "blocking": lambda: link.blocking("BLPOP", "{sweep}nothing", 0.005, timeout_s=0.005),
        "scan": scan,
        "each_primary": lambda: link.each_primary("PING"),
    }


@contextlib.asynccontextmanager
async def filled_link(url: str) -> AsyncIterator[AsyncLink]:
    """Open a link on which each user's key holds the key itself."""
    link = await open_link(url)
    try:
        for key in (VICTIM, ALICE, BOB):
            await link.execute("SET", key, key)
        yield link
    finally:
        await link.aclose()


async def sweep_link(url: str, turns: int = TURNS) -> Sweep:
    """Sweep every public call on the servers of *url*."""
    async with filled_link(url) as link:
        return await sweep(link, calls_of(link).values(), turns)


async def sweep_naive(port: int, turns: int = TURNS) -> Sweep:
    """Sweep the naive client on one server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = NaiveClient(reader, writer)
    try:
        for key in (VICTIM, ALICE, BOB):
            await client.execute("SET", key, key)
        return await sweep(client, [lambda: client.execute("GET", VICTIM)], turns)
    finally:
        writer.close()
        await writer.wait_closed()


def main() -> int:
    """Run the command line; exit status 1 where the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with RedisServer() as server:
        standalone = asyncio.run(sweep_link(server.url, arguments.turns))
        naive = asyncio.run(sweep_naive(server.port, arguments.turns))
        with FaultProxy(server.port) as proxy:
            proxy.slow(0.002)
            delayed = asyncio.run(sweep_link(f"redis://127.0.0.1:{proxy.port}", arguments.turns))
    with RedisCluster() as cluster:
        clustered = asyncio.run(sweep_link(cluster.url.replace("redis:", "redis+cluster:"), arguments.turns))
    sweeps = {"standalone": standalone, "delayed": delayed, "cluster": clustered}
    figures = {name: vars(seen) for name, seen in {**sweeps, "naive": naive}.items()}
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, seen in figures.items():
            print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in seen.items()))
    holds = not any(seen.wrong or seen.failed for seen in sweeps.values()) and naive.wrong > 0
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
