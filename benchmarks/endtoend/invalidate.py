"""
Mass invalidation: what it costs to make a million Redis entries fall by one tag, and what the tag costs every hit.

``python -m benchmarks.endtoend.invalidate --json``. ``million_keys_ms`` is the time of ``invalidate_tags`` by the
caller's clock; beside it, on the same server and the same entries, ``SCAN`` with ``DEL`` of everything that matches, as
it is done without tags. That the entries have fallen is checked on a sample. ``*_hit_us`` are one hit's time, with and
without a tag on the entry, in the local tier and in Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import redis.asyncio

from tests.rig import RedisServer
from tiercel import MISS, AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions
from tiercel._async.keeper import AsyncKeeper
from tiercel._async.looker import AsyncLooker
from tiercel._core.frame import pack
from tiercel._core.keys import hash64
from tiercel._core.tags import tag_hashes

TAG = "summer"
BATCH = 5000
SAMPLE = 1000
HITS = 1000
ROUNDS = 9
HOUR_MS = 3_600_000


async def fill(region: AsyncRegion, client: redis.asyncio.Redis, entries: int) -> None:
    """Put *entries* tagged entries into Redis, byte for byte as the region does, in large pipelines."""
    place = region.place
    hashes = tag_hashes(place.node.space, place.tenant, [TAG])
    stamps = await place.node.tags.stamps(place.tenant, region.options.name, hashes, place.core.tag_life_ms)
    now = int(time.time() * 1000)
    model = AsyncKeeper(place, AsyncLooker(place)).frame("k0", {"price": 990}, 0, stamps, 0.0)
    ends = now + HOUR_MS
    model = model._replace(created_ms=now, fresh_until_ms=ends, stale_until_ms=ends, kept_until_ms=ends)
    for start in range(0, entries, BATCH):
        async with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + BATCH, entries)):
                name = place.name(f"k{number}")
                pipe.set(name, pack(model._replace(key_hash=hash64(name))), px=HOUR_MS)
            await pipe.execute()
        if start % 100_000 == 0:
            print(f"filled {start:,}", file=sys.stderr)


async def sample(region: AsyncRegion, entries: int) -> int:
    """Return how many of a sample of the entries are hits."""
    keys = [f"k{number}" for number in range(0, entries, max(1, entries // SAMPLE))]
    return len(await region.get_many(keys))


async def scan_del(client: redis.asyncio.Redis, pattern: bytes) -> tuple[float, int]:
    """Delete what matches *pattern* as it is done without tags; return seconds and how many."""
    began, deleted = time.perf_counter(), 0
    batch: list[bytes] = []
    async for name in client.scan_iter(pattern, count=1000):
        batch.append(name)
        if len(batch) == 1000:
            deleted += await client.delete(*batch)
            batch.clear()
    if batch:
        deleted += await client.delete(*batch)
    return time.perf_counter() - began, deleted


async def hit_us(read: Callable[[], Awaitable[Any]]) -> float:
    """Return the mean time of a hit over a round of hits."""
    began = time.perf_counter()
    for _ in range(HITS):
        assert await read() is not MISS
    return (time.perf_counter() - began) / HITS * 1e6


async def hits(cache: AsyncCache) -> dict[str, float]:
    """Return what hits cost, with and without a tag: medians of rounds in turn."""
    rounds: dict[str, list[float]] = {}
    for tier, name in (("local", "near"), ("redis", "far")):
        region = cache.tenant("acme").region(name)
        await region.set("plain", 1)
        await region.set("tagged", 1, tags=[TAG])
        for _ in range(ROUNDS):
            for key in ("plain", "tagged"):
                rounds.setdefault(f"{tier}_{key}_hit_us", []).append(await hit_us(partial(region.get, key)))
    return {name: round(statistics.median(times), 2) for name, times in rounds.items()}


async def measure(url: str, entries: int) -> dict[str, Any]:
    """Fill, invalidate, check, fill anew, scan and delete."""
    near = RegionOptions(name="near", tiers=("local", "redis"), ttl_s=3600.0)
    far = RegionOptions(name="far", tiers=("redis",), ttl_s=3600.0, hot_keys=0)
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix.of(near, far, CacheOptions(namespace="mass", redis=url, state_dir=folder))
        async with AsyncCache(matrix) as cache, redis.asyncio.Redis.from_url(url) as client:
            region = cache.tenant("acme").region("far")
            await fill(region, client, entries)
            before = await sample(region, entries)
            await cache.tenant("acme").invalidate_tags("another")  # the first call compiles and connects
            began = time.perf_counter()
            await cache.tenant("acme").invalidate_tags(TAG)
            took_s = time.perf_counter() - began
            after = await sample(region, entries)
            scan_s, deleted = await scan_del(client, region.place.prefix + b"*")
            return {
                "entries": entries,
                "million_keys_ms": round(took_s * 1000, 3),
                "scan_del_ms": round(scan_s * 1000, 1),
                "ratio": round(scan_s / took_s),
                "deleted": deleted,
                "sampled_hits_before": before,
                "sampled_hits_after": after,
                **await hits(cache),
            }


def main() -> int:
    """Run the command line; exit status 1 where an entry outlived its tag."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with RedisServer() as server:
        figures = asyncio.run(measure(server.url, arguments.entries))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:22} {figure:,}")
    return 0 if figures["sampled_hits_after"] == 0 and figures["sampled_hits_before"] > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
