"""
Strong reads are linearizable and tokens give read-your-writes: histories of four processes, checked key by key.

Four processes read, write and delete a few keys through their own caches, one Redis and one store. What every call
was given and gave is noted with the machine's monotonic clock, which they share. *strong*: one order of all calls must
explain every read (Wing and Gong's search, `tests.models.linearizability`). *read_your_writes*: a read with the token
of a write, often another process's, must give that write's row or a later one. Then some reads are altered, and the
checker must object. The naive way is cache-aside on redis-py in the same processes.

Run: ``python -m proofs.linearizable [--operations 400] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import redis.asyncio

from tests.models.linearizability import UNKNOWN, Operation, unexplained
from tests.rig import RedisServer
from tiercel import AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions, read_your_writes
from tiercel._async.stores import open_store
from tiercel.errors import CacheError
from tiercel.typing import DELETED, Change

PROCESSES = 4
TASKS = 3
KEYS = 8
PAUSE_S = 0.004


class TokenRead(NamedTuple):
    """A read with the version of a write: what it asked for, and the version of the row that it gave."""

    asked: int
    given: int


class Client:
    """One task of a process, and its part of the histories."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = random.Random(seed)
        self.histories: dict[str, list[Operation]] = {}
        self.token_reads: list[TokenRead] = []
        self.versions: dict[Any, int] = {}
        self.numbers = 0

    async def run(self, operations: int) -> None:
        """Make *operations* calls."""
        for _ in range(operations):
            key = f"k{self.random.randrange(KEYS)}"
            history, chance = self.histories.setdefault(key, []), self.random.random()
            called, value = time.monotonic(), None
            kind: Literal["read", "write"] = "write" if chance < 0.4 else "read"
            if chance < 0.35:
                self.numbers += 1
                value = f"{self.name}-{self.numbers}"
            try:
                if kind == "write":
                    await self.write(key, value)
                else:
                    value = await self.read(key)
            except CacheError:
                history.append(Operation(called, UNKNOWN, kind, value))
                continue
            history.append(Operation(called, time.monotonic(), kind, value))
            await self.finish(key)
            await asyncio.sleep(self.random.random() * PAUSE_S)

    async def write(self, key: str, value: str | None) -> None:
        """Write, or delete where *value* is None."""
        raise TypeError

    async def read(self, key: str) -> Any:
        """Read the newest."""
        raise TypeError

    async def finish(self, key: str) -> None:
        """Do what follows a call and is no part of the history."""


class TiercelClient(Client):
    """A task that uses the cache."""

    def __init__(self, name: str, seed: int, region: AsyncRegion, tokens: redis.asyncio.Redis) -> None:
        super().__init__(name, seed)
        self._region = region
        self._tokens = tokens

    async def write(self, key: str, value: str | None) -> None:
        handle = await (self._region.delete(key) if value is None else self._region.write(key, value))
        if value is not None:
            self.versions[value] = handle.version
            await self._tokens.set(f"token:{key}", handle.version)

    async def read(self, key: str) -> Any:
        return await self._region.read(key, None, consistency="strong")

    async def finish(self, key: str) -> None:
        token = int(await self._tokens.get(f"token:{key}") or 0)
        found = await self._region.read(key, None, consistency=read_your_writes(token))
        if found is not None:
            self.token_reads.append(TokenRead(token, found))


class NaiveClient(Client):
    """A task that does cache-aside."""

    def __init__(self, name: str, seed: int, store: Any, client: redis.asyncio.Redis) -> None:
        super().__init__(name, seed)
        self._store = store
        self._client = client

    async def write(self, key: str, value: str | None) -> None:
        await self._store.write(Change("acme", key, DELETED if value is None else value, 0))
        await self._client.delete(f"naive:{key}")

    async def read(self, key: str) -> Any:
        found = await self._client.get(f"naive:{key}")
        if found is not None:
            return found or None
        row = await self._store.read("acme", key)
        await asyncio.sleep(self.random.random() * PAUSE_S)
        await self._client.set(f"naive:{key}", "" if row is None else row.value)
        return None if row is None else row.value


def _work(kind: str, url: str, folder: str, number: int, operations: int, parent: Connection) -> None:
    parent.send(asyncio.run(_clients(kind, url, folder, number, operations)))


async def _clients(kind: str, url: str, folder: str, number: int, operations: int) -> list[tuple[Any, Any, Any]]:
    rows = f"sqlite:///{folder}/{kind}.db#items"
    plain = url.replace("redis+cluster://", "redis://")
    names = [f"p{number}t{task}" for task in range(TASKS)]
    async with redis.asyncio.Redis.from_url(plain, decode_responses=True) as client:
        if kind == "naive":
            store = await open_store(rows)
            clients: list[Client] = [NaiveClient(name, hash(name), store, client) for name in names]
            await asyncio.gather(*(each.run(operations) for each in clients))
            await store.aclose()
        else:
            item = RegionOptions(name="item", tiers=("local", "redis"), ttl_s=60.0, store=rows)
            options = CacheOptions(namespace="linear", redis=url, state_dir=f"{folder}/{number}")
            async with AsyncCache(Matrix.of(item, options)) as cache:
                region = cache.tenant("acme").region("item")
                clients = [TiercelClient(name, hash(name), region, client) for name in names]
                await asyncio.gather(*(each.run(operations) for each in clients))
    return [(each.histories, each.token_reads, each.versions) for each in clients]


class Histories(NamedTuple):
    """What all processes saw."""

    calls: dict[str, list[Operation]]
    token_reads: list[TokenRead]


def record(kind: str, url: str, operations: int) -> Histories:
    """Run the processes; return their histories by key."""
    context = multiprocessing.get_context("spawn")
    calls: dict[str, list[Operation]] = {}
    reads: list[tuple[int, Any]] = []
    versions: dict[Any, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        lines, processes = [], []
        for number in range(PROCESSES):
            mine, theirs = context.Pipe()
            processes.append(context.Process(target=_work, args=(kind, url, folder, number, operations, theirs)))
            processes[-1].start()
            lines.append(mine)
        for line, process in zip(lines, processes, strict=True):
            for histories, token_reads, written in line.recv():
                versions |= written
                reads += token_reads
                for key, history in histories.items():
                    calls.setdefault(key, []).extend(history)
            process.join()
    return Histories(calls, [TokenRead(asked, versions[value]) for asked, value in reads])


def altered(calls: dict[str, list[Operation]]) -> dict[str, list[Operation]]:
    """Return *calls* with one late read of each key giving what was overwritten long before."""
    changed = {}
    for key, history in calls.items():
        inorder = sorted(history)
        first = next(op.value for op in inorder if op.kind == "write")
        at = max(number for number, op in enumerate(inorder) if op.kind == "read" and op.value != first)
        changed[key] = [*inorder[:at], inorder[at]._replace(value=first), *inorder[at + 1 :]]
    return changed


def measure(url: str, operations: int) -> dict[str, Any]:
    """Record and check."""
    ours, naive = record("tiercel", url, operations), record("naive", url, operations)
    corrupted = altered(ours.calls)
    return {
        "operations": sum(map(len, ours.calls.values())),
        "keys": len(ours.calls),
        "unknown": sum(op.returned_s == UNKNOWN for history in ours.calls.values() for op in history),
        "not_linearizable": len(unexplained(ours.calls)),
        "token_reads": len(ours.token_reads),
        "tokens_broken": sum(given < asked for asked, given in ours.token_reads),
        "corrupted_detected": len(unexplained(corrupted)),
        "naive_not_linearizable": len(unexplained(naive.calls)),
    }


def holds(figures: dict[str, Any]) -> bool:
    """Say whether every history was explained, and every corrupted one was not."""
    kept = figures["not_linearizable"] == 0 and figures["tokens_broken"] == 0 and figures["token_reads"] > 0
    return bool(kept and figures["corrupted_detected"] == figures["keys"] and figures["naive_not_linearizable"] > 0)


def main() -> int:
    """Run the command line; exit status 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--operations", type=int, default=400, help="calls of each of the 12 tasks")
    parser.add_argument("--short", action="store_true", help="100 calls")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with RedisServer() as server:
        figures = measure(server.url, 100 if arguments.short else arguments.operations)
    print(json.dumps(figures) if arguments.json else ", ".join(f"{key} {value}" for key, value in figures.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
