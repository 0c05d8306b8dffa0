"""
What a read from Redis costs: alone, with 64 tasks, with 8 threads, 100 keys at once, and through a whole region.

Every figure is measured in rounds in which the clients take turns, so that a busy machine hurts all of them; a ratio is
the median of the rounds' ratios (how many times longer the peer takes). Microseconds an operation are medians, too:
``us`` by the clock on the wall, ``cpu_us`` of this process. ``ceiling`` is redis-benchmark on the same server.

Run: ``python -m benchmarks.micro.redis [--rounds 7] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from benchmarks.micro.redis_clients import (
    CACHES,
    CLIENTS,
    THREADED,
    AsyncClient,
    Client,
)
from tests.rig import RedisServer

SIZES = (200, 2048)
TASKS = 64
THREADS = 8
OPERATIONS = 6_400
KEYS = [f"key:{number}" for number in range(100)]
# Microseconds an operation, on the wall and of the CPU.
Cost: TypeAlias = tuple[float, float]
Figures: TypeAlias = dict[str, Any]


async def timed(operations: int, work: Callable[[], Awaitable[Any]]) -> Cost:
    """Return what one of *operations* in *work* costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return (time.perf_counter() - wall) / operations * 1e6, (time.process_time() - cpu) / operations * 1e6


async def sequential(client: AsyncClient) -> Cost:
    """One task, one read after the other."""

    async def work() -> None:
        for number in range(OPERATIONS // 4):
            await client.get(KEYS[number % 100])

    return await timed(OPERATIONS // 4, work)


async def concurrent(client: AsyncClient) -> Cost:
    """`TASKS` tasks, each one read after the other."""

    async def task(first: int) -> None:
        for number in range(OPERATIONS // TASKS):
            await client.get(KEYS[(first + number) % 100])

    async def work() -> None:
        await asyncio.gather(*[task(first) for first in range(TASKS)])

    return await timed(OPERATIONS, work)


async def many(client: AsyncClient) -> Cost:
    """A hundred keys in one call, by call."""

    async def work() -> None:
        for _ in range(OPERATIONS // 100):
            await client.get_many(KEYS)

    return await timed(OPERATIONS // 100, work)


def threaded(client: Client) -> Cost:
    """`THREADS` threads, each one read after the other."""

    def work(first: int) -> None:
        for number in range(OPERATIONS // THREADS):
            client.get(KEYS[(first + number) % 100])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(THREADS)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - wall) / OPERATIONS * 1e6, (time.process_time() - cpu) / OPERATIONS * 1e6


async def compare(
    url: str,
    contenders: Mapping[str, type[AsyncClient]],
    size_bytes: int,
    rounds: int,
    scenario: Callable[[AsyncClient], Awaitable[Cost]],
) -> dict[str, list[Cost]]:
    """Return each contender's cost by round; the first round warms up and is not counted."""
    clients = {name: kind() for name, kind in contenders.items()}
    for client in clients.values():
        await client.open(url, KEYS, size_bytes)
    costs: dict[str, list[Cost]] = {name: [] for name in clients}
    for turn in range(rounds + 1):
        for name, client in clients.items():
            cost = await scenario(client)
            if turn:
                costs[name].append(cost)
    for client in clients.values():
        await client.close()
    return costs


def compare_threads(url: str, size_bytes: int, rounds: int) -> dict[str, list[Cost]]:
    """As `compare`, for the blocking clients."""
    clients = {name: kind() for name, kind in THREADED.items()}
    for client in clients.values():
        client.open(url, KEYS, size_bytes)
    costs: dict[str, list[Cost]] = {name: [] for name in clients}
    for turn in range(rounds + 1):
        for name, client in clients.items():
            cost = threaded(client)
            if turn:
                costs[name].append(cost)
    for client in clients.values():
        client.close()
    return costs


def figures_of(title: str, costs: Mapping[str, list[Cost]]) -> Figures:
    """Return the medians of each contender, and how many times Tiercel's cost the others take."""
    figures: Figures = {}
    for name, rounds in costs.items():
        figures[f"{title}_us_{name}"] = round(statistics.median(wall for wall, _ in rounds), 2)
        figures[f"{title}_cpu_us_{name}"] = round(statistics.median(cpu for _, cpu in rounds), 2)
        if name != "tiercel":
            own = costs["tiercel"]
            ratio = statistics.median(wall / ours for (wall, _), (ours, _) in zip(rounds, own, strict=True))
            cpu_ratio = statistics.median(cpu / ours for (_, cpu), (_, ours) in zip(rounds, own, strict=True))
            figures[f"{title}_vs_{name}"] = round(ratio, 2)
            figures[f"{title}_cpu_vs_{name}"] = round(cpu_ratio, 2)
    return figures


def ceiling(port: int, size_bytes: int) -> Figures:
    """Return the server's own limits as redis-benchmark sees them: GETs a second, unpipelined and 64 at once."""
    program = shutil.which("redis-benchmark")
    if program is None:
        return {"ceiling": "redis-benchmark is not installed"}
    figures: Figures = {}
    for name, pipeline in (("ceiling_get_per_s", 1), ("ceiling_pipelined_get_per_s", 64)):
        command = [program, "-p", str(port), "-t", "set,get", "-n", "50000", "-c", "16", "-q", "--csv"]
        command += ["-d", str(size_bytes), "-P", str(pipeline)]
        output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        found = re.search(r'"GET","([0-9.]+)"', output)
        figures[name] = float(found.group(1)) if found else None
    return figures


def measure(size_bytes: int, rounds: int) -> Figures:
    """Return every figure for values of *size_bytes*."""
    figures: Figures = {}
    with RedisServer() as server:
        runs: list[tuple[str, Mapping[str, type[AsyncClient]], Callable[[AsyncClient], Awaitable[Cost]]]] = [
            ("concurrent", CLIENTS, concurrent),
            ("sequential", CLIENTS, sequential),
            ("many", CLIENTS, many),
            ("read_concurrent", CACHES, concurrent),
            ("read_sequential", CACHES, sequential),
            ("read_many", CACHES, many),
        ]
        for title, contenders, scenario in runs:
            costs = asyncio.run(compare(server.url, contenders, size_bytes, rounds, scenario))
            figures |= figures_of(title, costs)
        figures |= figures_of("threads", compare_threads(server.url, size_bytes, rounds))
        figures |= ceiling(server.port, size_bytes)
    return figures


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    by_size = {size_bytes: measure(size_bytes, arguments.rounds) for size_bytes in SIZES}
    # The first size's figures stand at the top, where checks look for them.
    report: Figures = {**by_size[SIZES[0]], "by_size_bytes": by_size}
    if arguments.json:
        print(json.dumps(report))
        return
    for size_bytes, figures in by_size.items():
        print(f"values of {size_bytes} bytes")
        for name, value in figures.items():
            print(f"  {name:40} {value}")


if __name__ == "__main__":
    main()
