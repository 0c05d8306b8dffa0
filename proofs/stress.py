"""
No stale fill under load: 16 writers and 48 readers on 200 Zipf keys, four nodes, a real Redis, and a slow store.

Half of the writes go through the region; the other half change the store behind its back and then invalidate. A
*strong* read must give what the last write that had ended anywhere left, or newer; an *eventual* read what the last
write of its own node left, or newer; once the load is over every node must agree with the store. A write whose
invalidation Redis did not take counts for its own node at once, and for the others once Redis has it: a second run,
in which Redis takes no write for 1.3 s every 3 s, makes many of these. The naive way is cache-aside on redis-py (get,
load, set; write, delete) under the same load, where every read asks Redis: all are held to the first rule.

Run: ``python -m proofs.stress [--seconds 30] [--short] [--json] [--url redis://…]``
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import itertools
import json
import math
import random
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import redis.asyncio

from tests.rig import RedisServer
from tiercel import AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions
from tiercel._paired import AsyncPoll
from tiercel._process import Process
from tiercel.errors import CacheError
from tiercel.typing import Change, Key, Outcome, Record

WRITERS = 16
READERS = 48
NODES = 4
KEYS = 200
STORE_S = 0.003
PAUSE_S = 0.002
DEAF_S = 1.3
"""Longer than a command may take: what is said meanwhile is queued, and comes into force late as well."""
DEAF_EVERY_S = 3.0
STRONG_EVERY = 4


class SlowStore:
    """Rows in this process whose reads and writes take up to 3 ms after they happened, as over a network."""

    def __init__(self) -> None:
        self._rows: dict[Key, tuple[Any, int]] = {}
        self.order: dict[Any, int] = {}
        """Value to its place among the writes of its key."""
        self._writes: dict[Key, int] = {}

    async def read(self, tenant: str, key: Key) -> Record | None:
        row = self._rows.get(key)
        await asyncio.sleep(random.random() * STORE_S)
        return None if row is None else Record(*row)

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Record]:
        rows = {key: Record(*self._rows[key]) for key in keys if key in self._rows}
        await asyncio.sleep(random.random() * STORE_S)
        return rows

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        await asyncio.sleep(random.random() * STORE_S)
        version = max(change.version, self._rows.get(change.key, (None, 0))[1] + 1)
        self._rows[change.key] = change.value, version
        self._writes[change.key] = self._writes.get(change.key, 0) + 1
        self.order[change.value] = self._writes[change.key]
        await asyncio.sleep(random.random() * STORE_S)
        return Outcome(applied=True, version=version)

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        return [await self.write(change, guard=guard) for change in changes]

    def newest(self, key: Key) -> int:
        """Return how often *key* was written."""
        return self._writes.get(key, 0)

    async def ping(self) -> None:
        return

    async def aclose(self) -> None:
        return


class Node(Protocol):
    """What the load does on one node."""

    async def read(self, key: str) -> Any: ...

    async def read_strong(self, key: str) -> Any: ...

    async def write(self, key: str, value: str) -> None: ...

    async def settled(self) -> None: ...


class TiercelNode:
    """A node with Tiercel."""

    def __init__(self, cache: AsyncCache, store: SlowStore) -> None:
        self._cache = cache
        self._region: AsyncRegion = cache.tenant("acme").region("item")
        self._store = store

    async def read(self, key: str) -> Any:
        return await self._region.read(key, None)

    async def read_strong(self, key: str) -> Any:
        return await self._region.read(key, None, consistency="strong")

    async def write(self, key: str, value: str) -> None:
        if random.random() < 0.5:
            await self._region.write(key, value)
        else:
            await self._store.write(Change("acme", key, value, 0))
            await self._region.remove(key)

    async def settled(self) -> None:
        """Wait until Redis took everything that this node said: until then other nodes may read old values."""
        poll = AsyncPoll(math.inf)
        while self._region.place.node.process.unsettled.count:
            await poll.again()

    def queued(self) -> int:
        """Return how many invalidations Redis did not take at once."""
        return self._cache.recorder.event_counts().get(("invalidation_queued", ""), 0)


class NaiveNode:
    """A node with cache-aside as everyone writes it first."""

    def __init__(self, client: redis.asyncio.Redis, store: SlowStore) -> None:
        self._client = client
        self._store = store

    async def read(self, key: str) -> Any:
        found = await self._client.get(f"naive:{key}")
        if found is not None:
            return found or None
        row = await self._store.read("acme", key)
        await self._client.set(f"naive:{key}", "" if row is None else row.value, ex=60)
        return None if row is None else row.value

    read_strong = read

    async def write(self, key: str, value: str) -> None:
        await self._store.write(Change("acme", key, value, 0))
        await self._client.delete(f"naive:{key}")

    async def settled(self) -> None:
        """Nothing is queued here."""


@dataclass
class Tally:
    """What the load saw."""

    reads: int = 0
    writes: int = 0
    failed: int = 0
    queued: int = 0
    stale_strong: int = 0
    stale_own: int = 0
    stale_at_end: int = 0
    behind_s: list[float] = field(default_factory=list)
    """For eventual reads that were behind another node's write: for how long that had been over."""

    def violations(self) -> int:
        """Reads that broke a promise."""
        return self.stale_strong + self.stale_own + self.stale_at_end

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        behind = sorted(self.behind_s)
        return {
            "reads": self.reads,
            "writes": self.writes,
            "failed": self.failed,
            "queued": self.queued,
            "violations": self.violations(),
            "stale_strong": self.stale_strong,
            "stale_own": self.stale_own,
            "stale_at_end": self.stale_at_end,
            "eventual_behind": len(behind),
            "behind_p99_ms": round(behind[int(len(behind) * 0.99)] * 1000, 1) if behind else 0.0,
            "behind_max_ms": round(behind[-1] * 1000, 1) if behind else 0.0,
        }


class Load:
    """
    Writers and readers against some nodes.

    Args:
        nodes: Where they run.
        store: Knows in which order writes happened.
        seconds: How long.
        strong_every: Which of a reader's reads are strong: each of so many.
    """

    def __init__(
        self, nodes: Sequence[Node], store: SlowStore, seconds: float, strong_every: int = STRONG_EVERY
    ) -> None:
        self._nodes = nodes
        self._store = store
        self._strong_every = strong_every
        self._ends = time.monotonic() + seconds
        self._numbers = itertools.count()
        self._ended: dict[str, list[tuple[int, float]]] = {}
        """For each key the writes that ended: rising places with the time when each had ended."""
        self._own: list[dict[str, int]] = [{} for _ in nodes]
        self.tally = Tally()
        self._keys = [f"k{number}" for number in range(KEYS)]
        self._weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(KEYS)))

    def _key(self) -> str:
        return self._keys[bisect.bisect(self._weights, random.random() * self._weights[-1])]

    def _floor(self, key: str) -> int:
        ended = self._ended.get(key)
        return ended[-1][0] if ended else 0

    def _place(self, value: Any) -> int:
        return 0 if value is None else self._store.order[value]

    async def _write_on(self, number: int) -> None:
        while time.monotonic() < self._ends:
            key, value = self._key(), f"v{next(self._numbers)}"
            try:
                await self._nodes[number].write(key, value)
            except CacheError:
                self.tally.failed += 1
                continue
            place = self._store.order[value]
            self.tally.writes += 1
            self._own[number][key] = max(self._own[number].get(key, 0), place)
            await self._nodes[number].settled()
            if place > self._floor(key):
                self._ended.setdefault(key, []).append((place, time.monotonic()))
            await asyncio.sleep(random.random() * PAUSE_S)

    async def _read_on(self, number: int) -> None:
        node, own, tally = self._nodes[number], self._own[number], self.tally
        for turn in itertools.count():
            if time.monotonic() >= self._ends:
                return
            key, began = self._key(), time.monotonic()
            is_strong = turn % self._strong_every == 0
            least = own.get(key, 0)
            floor = max(self._floor(key), least)
            try:
                place = self._place(await (node.read_strong if is_strong else node.read)(key))
            except CacheError:
                tally.failed += 1
                continue
            tally.reads += 1
            tally.stale_strong += is_strong and place < floor
            tally.stale_own += not is_strong and place < least
            if place < floor and not is_strong:
                missed = next((at for ended, at in self._ended.get(key, ()) if ended > place), began)
                tally.behind_s.append(began - missed)
            if turn % 8 == 0:
                await asyncio.sleep(random.random() * PAUSE_S)

    async def run(self, settle_s: float = 1.0) -> Tally:
        """Run to the end, then compare every node with the store, *settle_s* later."""
        jobs = [self._write_on(number % len(self._nodes)) for number in range(WRITERS)]
        jobs += [self._read_on(number % len(self._nodes)) for number in range(READERS)]
        await asyncio.gather(*jobs)
        await asyncio.sleep(settle_s)
        for key in self._keys:
            places = [self._place(await node.read(key)) for node in self._nodes]
            self.tally.stale_at_end += sum(place != self._store.newest(key) for place in places)
        return self.tally


async def deafen(url: str, seconds: float) -> None:
    """Let Redis take no write for a while, again and again."""
    async with redis.asyncio.Redis.from_url(url) as client:
        ends = time.monotonic() + seconds - DEAF_S
        while time.monotonic() < ends:
            await client.client_pause(int(DEAF_S * 1000), all=False)
            await asyncio.sleep(DEAF_EVERY_S)


async def stress(url: str, seconds: float, settle_s: float = 1.0, *, is_deaf: bool = False) -> Tally:
    """Put the load on four nodes with Tiercel and the Redis at *url*, which may be deaf to writes now and then."""
    store = SlowStore()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        item = RegionOptions(name="item", tiers=("local", "redis"), ttl_s=60.0)
        options = CacheOptions(namespace=f"stress{secrets.token_hex(4)}", redis=url)
        nodes = []
        for number in range(NODES):
            own = replace(options, state_dir=f"{folder}/{number}")
            cache = AsyncCache(Matrix.of(item, own), stores={"item": store}, process=Process())
            await stack.enter_async_context(cache)
            nodes.append(TiercelNode(cache, store))
        deafening = asyncio.create_task(deafen(url, seconds)) if is_deaf else None
        tally = await Load(nodes, store, seconds).run(settle_s)
        if deafening is not None:
            await deafening
        for node in nodes:
            tally.queued += node.queued()
        return tally


async def stress_naive(url: str, seconds: float) -> Tally:
    """Put the load on cache-aside."""
    store = SlowStore()
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        await client.flushall()
        return await Load([NaiveNode(client, store) for _ in range(NODES)], store, seconds, strong_every=1).run()


def main() -> int:
    """Run the command line; exit status 1 where a promise was broken, or where the naive way broke none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--short", action="store_true", help="5 seconds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds = 5.0 if arguments.short else arguments.seconds
    with RedisServer() as server:
        ours = asyncio.run(stress(server.url, seconds))
        deaf = asyncio.run(stress(server.url, seconds, 3.0, is_deaf=True))
        naive = asyncio.run(stress_naive(server.url, seconds))
    rows = {"tiercel": ours.figures(), "deaf": deaf.figures(), "naive": naive.figures()}
    if arguments.json:
        print(json.dumps({"seconds": seconds, **rows}))
    else:
        print(f"{WRITERS} writers, {READERS} readers, {KEYS} keys, {NODES} nodes, {seconds:g} s")
        for name, row in rows.items():
            print(f"{name:8} " + ", ".join(f"{key} {value}" for key, value in row.items()))
    kept = ours.violations() == 0 and deaf.violations() == 0 and deaf.queued > 0
    return 0 if kept and naive.violations() > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
