"""The local tier under pressure: a million entries, many threads, all expiring at once, a neighbour that scans."""

from __future__ import annotations

import gc
import itertools
import random
import resource
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.micro.stopwatch import collector_off
from tiercel._core.clock import ManualClock
from tiercel.local import LocalTier, LocalView
from tiercel.options import LocalOptions
from tiercel.typing import MISS

__all__ = ["memory", "neighbour", "threads", "worst_call"]

Implementation = Literal["native", "reference"]
TTL_S = 600.0


def resident_bytes() -> int:
    """Return the memory that the process has in use; its peak where the system does not tell."""
    try:
        with Path("/proc/self/statm").open(encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory(implementation: Implementation, entries: int) -> dict[str, float]:
    """Return what an entry takes beside its key and value, by what the process grew by."""
    keys = [f"k{number}" for number in range(entries)]
    view = LocalTier(implementation=implementation).table("bench", LocalOptions(max_entries=entries)).view("acme")
    gc.collect()
    before = resident_bytes()
    for key in keys:
        view.set(key, keys, ttl_s=TTL_S)
    grown = resident_bytes() - before
    held = sum(view.get(key) is not MISS for key in keys)
    return {"bytes_per_entry": round(grown / held, 1), "bytes_per_entry_entries": held}


def threads(implementation: Implementation, *, rounds: int, readers: int = 4) -> dict[str, float]:
    """Return the throughput of several reading threads together as a part of one thread's."""
    keys = [f"k{number}" for number in range(1_000)]
    view = LocalTier(implementation=implementation).table("bench", LocalOptions()).view("acme")
    for key in keys:
        view.set(key, key, ttl_s=TTL_S)
    ratios = []
    for _ in range(rounds):
        alone = _reads_per_s(view, keys, 1)
        ratios.append(_reads_per_s(view, keys, readers) / alone)
    return {"threads_4_vs_1": round(median(ratios), 3)}


def _reads_per_s(view: LocalView, keys: list[str], readers: int) -> float:
    """Read for a while; reads a second of CPU time, so that other processes do not count."""
    gate = threading.Barrier(readers + 1)

    def read() -> None:
        get = view.get
        gate.wait()
        for _ in range(400):
            for key in keys:
                get(key)

    workers = [threading.Thread(target=read) for _ in range(readers)]
    for worker in workers:
        worker.start()
    gate.wait()
    started = time.process_time()
    for worker in workers:
        worker.join()
    return readers * 400 * len(keys) / (time.process_time() - started)


def worst_call(implementation: Implementation, *, entries: int, operations: int) -> dict[str, float]:
    """
    Return the slowest single call of a mix over a full table, with all its entries expiring half-way.

    CPU time of the thread, so that the scheduler does not count; the collector is off, for it visits every container of
    the process whatever the cache is.
    """
    clock = ManualClock()
    tier = LocalTier(clock=clock, implementation=implementation)
    view = tier.table("bench", LocalOptions(max_entries=entries)).view("acme")
    chance = random.Random(1)
    keys = [f"k{number}" for number in range(entries * 2)]
    for key in keys[:entries]:
        view.set(key, 1, ttl_s=TTL_S)
    worst = {"get": 0, "set": 0, "delete": 0, "sweep": 0}
    with collector_off():
        for half in range(2):
            picks = [chance.randrange(len(keys)) for _ in range(1 << 20)]
            for number, pick in zip(range(operations // 2), itertools.cycle(picks), strict=False):
                name, spent = _one_call(tier, view, keys[pick], number)
                worst[name] = max(worst[name], spent)
            if not half:
                clock.advance(TTL_S)
    return {"worst_call_us": round(max(worst.values()) / 1000, 1)} | {
        f"worst_{name}_us": round(spent / 1000, 1) for name, spent in worst.items()
    }


def _one_call(tier: LocalTier, view: LocalView, key: str, number: int) -> tuple[str, int]:
    clock = time.thread_time_ns
    kind = number & 15
    if kind < 10:
        started = clock()
        view.get(key)
        return "get", clock() - started
    if kind < 14:
        started = clock()
        view.set(key, 1, ttl_s=TTL_S)
        return "set", clock() - started
    if kind == 14:
        started = clock()
        view.delete(key)
        return "delete", clock() - started
    started = clock()
    tier.sweep()
    return "sweep", clock() - started


def neighbour(implementation: Implementation) -> dict[str, Any]:
    """Return by how many points a tenant's hit rate moves when its neighbour scans at a hundred times its rate."""
    figures: dict[str, Any] = {}
    for share in (1.0, 0.5):
        alone = _hit_rate(implementation, share, scans=0)
        beside = _hit_rate(implementation, share, scans=100)
        figures[f"neighbour_points_share_{share:g}"] = round(abs(alone - beside), 2)
    figures["neighbour_points"] = figures["neighbour_points_share_0.5"]
    return figures


def _hit_rate(implementation: Implementation, share: float, *, scans: int, requests: int = 30_000) -> float:
    """Return the hit rate, in points, of Zipf requests for 10,000 keys beside *scans* scanned keys a request."""
    chance = random.Random(7)
    weights = list(itertools.accumulate(1 / (rank + 10) ** 0.9 for rank in range(10_000)))
    options = LocalOptions(max_entries=2_000, tenant_share=share)
    table = LocalTier(implementation=implementation).table("bench", options)
    shop, scanner = table.view("shop"), table.view("scanner")
    wanted = chance.choices(range(10_000), cum_weights=weights, k=requests)
    hits = 0
    for number, rank in enumerate(wanted):
        key = f"p{rank}"
        if shop.get(key) is not MISS:
            hits += number >= requests // 3
        else:
            shop.set(key, rank, ttl_s=TTL_S)
        for scan in range(number * scans, (number + 1) * scans):
            if scanner.get(f"s{scan}") is MISS:
                scanner.set(f"s{scan}", 0, ttl_s=TTL_S)
    return 100 * hits / (requests - requests // 3)
