"""
What watching costs: the response time of a node under load while its dashboard is open and its metrics are scraped.

``python -m benchmarks.endtoend.dashboard --json``. One node takes 1,000 requests a second, open loop, each of two reads
from Redis and one from the local tier, timed from when it was due. The service runs in the same process, which is the
dearest way to run it. Quiet and watched spans take turns; in a watched one another process fetches the overview as an
open page does, and scrapes ``/metrics`` as often. ``p99_watched_vs_quiet`` is the median of the turns' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from tests.rig import RedisServer
from tests.rig.process import free_port
from tiercel import AsyncCache, AsyncRegion, Matrix
from tiercel.service.server import serve_dashboard

MATRIX: Final = """
[cache]
namespace = "watched"
redis = "{redis}"
state_dir = "{home}"

[regions.profile]
tiers = ["redis"]
ttl = "1h"
hot_keys = 0

[regions.product]
tiers = ["local", "redis"]
ttl = "1h"
"""
KEYS: Final = 1_000
PAGE_S: Final = 5.0
"""How often an open page and Prometheus ask."""

WATCH: Final = """
import sys, time, urllib.request
address, every_s = sys.argv[1], float(sys.argv[2])
print("watching", flush=True)
while True:
    for path in ("/", "/metrics"):
        urllib.request.urlopen(address + path, timeout=10).read()
    time.sleep(every_s)
"""


@asynccontextmanager
async def node(home: Path, redis: str) -> AsyncIterator[tuple[AsyncCache, str]]:
    """Open a filled cache with its service in the same process; yields it and the service's address."""
    port = free_port()
    async with AsyncCache(Matrix.from_text(MATRIX.format(redis=redis, home=home), base=Matrix())) as cache:
        for region in regions(cache):
            await region.set_many({f"k{number}": {"id": number, "text": "x" * 200} for number in range(KEYS)})
        serving = asyncio.create_task(serve_dashboard(cache, port))
        await asyncio.sleep(1.0)
        try:
            yield cache, f"http://127.0.0.1:{port}"
        finally:
            signal.raise_signal(signal.SIGTERM)  # the service takes it as a wish to end
            await serving


def regions(cache: AsyncCache) -> list[AsyncRegion]:
    """Return the two regions that requests read."""
    return [cache.tenant("acme").region(name) for name in ("profile", "product")]


async def request(profile: AsyncRegion, product: AsyncRegion, number: int, due_s: float, taken: list[float]) -> None:
    """Answer one request and note how long after it was due."""
    await profile.get(f"k{number % KEYS}")
    await profile.get(f"k{number * 7 % KEYS}")
    await product.get(f"k{number % KEYS}")
    taken.append(time.perf_counter() - due_s)


async def span_ms(cache: AsyncCache, rate: int, seconds: float) -> float:
    """Return the 99th percentile of *seconds* of requests at *rate* a second, milliseconds."""
    profile, product = regions(cache)
    taken: list[float] = []
    tasks = []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due_s = began + number / rate
        if due_s > time.perf_counter():
            await asyncio.sleep(due_s - time.perf_counter())
        tasks.append(asyncio.create_task(request(profile, product, number, due_s, taken)))
    await asyncio.gather(*tasks)
    return 1000 * quantiles(taken, n=100)[98]


async def watched_span_ms(cache: AsyncCache, address: str, rate: int, seconds: float) -> float:
    """Return the same while another process watches."""
    command = [sys.executable, "-c", WATCH, address, str(PAGE_S)]
    watcher = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert watcher.stdout is not None
        await watcher.stdout.readline()
        return await span_ms(cache, rate, seconds)
    finally:
        if watcher.returncode is not None:
            raise RuntimeError("the watcher ended: the service did not answer it")
        watcher.kill()
        await watcher.wait()


async def measure(rate: int, seconds: float, turns: int) -> dict[str, Any]:
    """Return the figures of *turns* pairs of spans."""
    quiet, watched = [], []
    with RedisServer() as server, tempfile.TemporaryDirectory() as home:
        async with node(Path(home), server.url) as (cache, address):
            await span_ms(cache, rate, 2.0)
            for _ in range(turns):
                quiet.append(await span_ms(cache, rate, seconds))
                watched.append(await watched_span_ms(cache, address, rate, seconds))
    ratios = [there / alone for there, alone in zip(watched, quiet, strict=True)]
    return {
        "requests_per_second": rate,
        "p99_quiet_ms": round(median(quiet), 2),
        "p99_watched_ms": round(median(watched), 2),
        "p99_watched_vs_quiet": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each span")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.rate, arguments.seconds, arguments.turns))
    print(json.dumps(figures, indent=None if arguments.json else 2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
