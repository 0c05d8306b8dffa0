"""
Stampede: 4 processes × 25 callers ask for one cold key at once; how often is it loaded, and how long do they wait?

``python -m benchmarks.endtoend.stampede --json``. Every cache runs the same scene on the same Redis, one after the
other: all processes meet at a barrier, every caller asks, the loader takes 100 ms and counts itself in Redis.
``time_ratio`` is the slowest caller's wait over the load's own time: 1.0 is perfect, and a cache that polls pays for
its pauses here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis

from tests.rig import RedisServer

PROCESSES = 4
CALLERS = 25
LOAD_S = 0.1
Scene = Callable[[str, str, Any], list[float]]


class Counter:
    """Counts loads in Redis, for all processes."""

    def __init__(self, url: str, name: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._redis.ping()  # connected before anybody asks: the count is no part of what is measured
        self._name = f"loads:{name}"

    def load(self) -> dict[str, int]:
        """Count and take the time that a load takes; blocking."""
        self._redis.incr(self._name)
        time.sleep(LOAD_S)
        return {"answer": 42}

    async def aload(self) -> dict[str, int]:
        """Count and take the time that a load takes."""
        await asyncio.to_thread(self._redis.incr, self._name)
        await asyncio.sleep(LOAD_S)
        return {"answer": 42}

    @property
    def loads(self) -> int:
        """Loads so far."""
        return int(self._redis.get(self._name) or 0)


async def _ask_all(ask: Callable[[], Any], barrier: Any) -> list[float]:
    """Let 25 tasks ask at once, when every process is ready; return their waits."""
    await asyncio.to_thread(barrier.wait)

    async def one() -> float:
        started = time.perf_counter()
        answer = await ask()
        assert answer == {"answer": 42}, answer
        return time.perf_counter() - started

    return list(await asyncio.gather(*(one() for _ in range(CALLERS))))


def _ask_all_threads(ask: Callable[[], Any], barrier: Any) -> list[float]:
    """Let 25 threads ask at once, when every process is ready; return their waits."""
    waits: list[float] = []
    ready = threading.Barrier(CALLERS + 1)

    def one() -> None:
        ready.wait()
        started = time.perf_counter()
        answer = ask()
        assert answer == {"answer": 42}, answer
        waits.append(time.perf_counter() - started)

    threads = [threading.Thread(target=one) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    ready.wait()
    for thread in threads:
        thread.join()
    return waits


def _matrix(url: str, name: str, folder: str) -> Any:
    from tiercel import CacheOptions, Matrix, RegionOptions

    item = RegionOptions(name="item", tiers=("local", "redis"), ttl_s=60.0)
    return Matrix.of(item, CacheOptions(namespace=name, redis=url, state_dir=folder))


def tiercel_async(url: str, name: str, barrier: Any) -> list[float]:
    """Tiercel, awaitable façade."""
    from tiercel import AsyncCache

    async def run() -> list[float]:
        counter = Counter(url, name)
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncCache(_matrix(url, name, folder)) as cache:
                region = cache.tenant("acme").region("item")
                return await _ask_all(lambda: region.get_or_load("k", counter.aload), barrier)

    return asyncio.run(run())


def tiercel_threads(url: str, name: str, barrier: Any) -> list[float]:
    """Tiercel, blocking façade, 25 threads."""
    from tiercel import Cache

    counter = Counter(url, name)
    with tempfile.TemporaryDirectory() as folder, Cache(_matrix(url, name, folder)) as cache:
        region = cache.tenant("acme").region("item")
        return _ask_all_threads(lambda: region.get_or_load("k", counter.load), barrier)


def cashews_default(url: str, name: str, barrier: Any) -> list[float]:
    """cashews, plain decorator."""
    return _cashews(url, name, barrier, lock=False)


def cashews_lock(url: str, name: str, barrier: Any) -> list[float]:
    """cashews, ``lock=True``."""
    return _cashews(url, name, barrier, lock=True)


def _cashews(url: str, name: str, barrier: Any, *, lock: bool) -> list[float]:
    from cashews import Cache

    async def run() -> list[float]:
        counter, cache = Counter(url, name), Cache()
        cache.setup(url)

        @cache(ttl="60s", key=f"{name}:k", lock=lock)
        async def load() -> dict[str, int]:
            return await counter.aload()

        try:
            return await _ask_all(load, barrier)
        finally:
            await cache.close()

    return asyncio.run(run())


def aiocache_plain(url: str, name: str, barrier: Any) -> list[float]:
    """aiocache, ``cached`` on Redis."""
    return _aiocache(url, name, barrier, "cached")


def aiocache_stampede(url: str, name: str, barrier: Any) -> list[float]:
    """aiocache, ``cached_stampede`` (its RedLock)."""
    return _aiocache(url, name, barrier, "cached_stampede")


def _aiocache(url: str, name: str, barrier: Any, kind: str) -> list[float]:
    import aiocache
    from aiocache.serializers import JsonSerializer

    async def run() -> list[float]:
        counter, port = Counter(url, name), urlsplit(url).port
        options: dict[str, Any] = {"endpoint": "127.0.0.1", "port": port, "serializer": JsonSerializer(), "ttl": 60}
        if kind == "cached_stampede":
            options["lease"] = 5
        decorate = getattr(aiocache, kind)(
            cache=aiocache.Cache.REDIS, key_builder=lambda *_args, **_kwargs: f"{name}:k", **options
        )
        return await _ask_all(decorate(counter.aload), barrier)

    return asyncio.run(run())


def dogpile_lock(url: str, name: str, barrier: Any) -> list[float]:
    """dogpile.cache, distributed lock, 25 threads."""
    from dogpile.cache import make_region

    counter = Counter(url, name)
    region = make_region().configure(
        "dogpile.cache.redis", expiration_time=60, arguments={"url": url, "distributed_lock": True, "lock_timeout": 5}
    )
    return _ask_all_threads(lambda: region.get_or_create(f"{name}-k", counter.load), barrier)


def naive(url: str, name: str, barrier: Any) -> list[float]:
    """Get, load, set."""
    client, counter = redis.Redis.from_url(url), Counter(url, name)

    def ask() -> Any:
        found = client.get(f"{name}:k")
        if found is not None:
            return json.loads(found)
        value = counter.load()
        client.setex(f"{name}:k", 60, json.dumps(value))
        return value

    return _ask_all_threads(ask, barrier)


SCENES: dict[str, Scene] = {
    "tiercel": tiercel_async,
    "tiercel_threads": tiercel_threads,
    "cashews": cashews_default,
    "cashews_lock": cashews_lock,
    "aiocache": aiocache_plain,
    "aiocache_stampede": aiocache_stampede,
    "dogpile": dogpile_lock,
    "naive": naive,
}


def _child(scene: str, url: str, name: str, barrier: Any, answers: Any) -> None:
    try:
        answers.put(SCENES[scene](url, name, barrier))
    except Exception as error:
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")


def play(scene: str, url: str, number: int) -> dict[str, Any]:
    """Run one scene once; return its loads and the slowest caller's wait."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    name = f"{scene.replace('_', '-')}-{number}"
    children = [context.Process(target=_child, args=(scene, url, name, barrier, answers)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    errors = [answer for answer in found if isinstance(answer, str)]
    if errors:
        return {"error": errors[0]}
    slowest = max(wait for waits in found for wait in waits)
    return {"loads": Counter(url, name).loads, "slowest_s": slowest}


def measure(rounds: int, scenes: list[str]) -> dict[str, Any]:
    """Run every scene *rounds* times on one Redis; return medians."""
    figures: dict[str, Any] = {}
    with RedisServer() as server:
        for scene in scenes:
            runs = []
            for number in range(rounds):
                print(f"{scene} {number + 1}/{rounds}", file=sys.stderr)
                runs.append(play(scene, server.url, number))
            errors = [run["error"] for run in runs if "error" in run]
            if errors:
                figures[scene] = {"error": errors[0]}
                continue
            slowest = statistics.median(run["slowest_s"] for run in runs)
            figures[scene] = {
                "loads": max(run["loads"] for run in runs),
                "slowest_ms": round(slowest * 1000, 1),
                "time_ratio": round(slowest / LOAD_S, 2),
            }
    return {"callers": PROCESSES * CALLERS, "load_ms": LOAD_S * 1000, "rounds": rounds, **figures}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scene", action="append", choices=sorted(SCENES), help="only these")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.scene or list(SCENES))
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{figures['callers']} callers in {PROCESSES} processes, a load takes {figures['load_ms']:.0f} ms")
    for scene in (name for name in figures if isinstance(figures[name], dict)):
        row = figures[scene]
        words = (
            row.get("error") or f"{row['loads']:4d} loads   slowest {row['slowest_ms']:8.1f} ms   × {row['time_ratio']}"
        )
        print(f"{scene:20s} {words}")


if __name__ == "__main__":
    main()
