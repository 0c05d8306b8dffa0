"""The local tier under pressure: a million entries, many threads, all expiring at once, a neighbour that scans."""

from __future__ import annotations

import gc
import itertools
import random
import resource
import sys
import threading
import time
from array import array
from collections.abc import Callable
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
    """
    Return the throughput of several reading threads together as a part of one thread's.

    Beside it the same of a plain dictionary: what the interpreter's own lock costs.
    """
    keys = [f"k{number}" for number in range(1_000)]
    view = LocalTier(implementation=implementation).table("bench", LocalOptions()).view("acme")
    for key in keys:
        view.set(key, key, ttl_s=TTL_S)
    reads: dict[str, Callable[[str], object]] = {
        "threads_4_vs_1": view.get,
        "threads_4_vs_1_of_a_dict": dict.fromkeys(keys, 1).get,
    }
    ratios: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(rounds):
        for name, get in reads.items():
            alone = _reads_per_s(get, keys, 1)
            ratios[name].append(_reads_per_s(get, keys, readers) / alone)
    return {name: round(median(taken), 3) for name, taken in ratios.items()}


def _reads_per_s(get: Callable[[str], object], keys: list[str], readers: int) -> float:
    """Read for a while; reads a second of CPU time, so that other processes do not count."""
    gate = threading.Barrier(readers + 1)

    def read() -> None:
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


def worst_call(implementation: Implementation, *, entries: int, operations: int, runs: int = 3) -> dict[str, float]:
    """
    Return the slowest single call of a mix over a full table, with all its entries expiring half-way.

    CPU time of the thread, so that the scheduler does not count; the collector is off, for it visits every container of
    the process whatever the cache is. The same calls are made in *runs* tables and the fastest of each call counts:
    what the cache does is the same each time, what the machine does meanwhile is not. ``worst_call_one_run_us`` is the
    slowest without that.
    """
    fastest = array("Q", [2**63]) * operations
    slowest = [_spend(implementation, entries, fastest) for _ in range(runs)]
    worst = dict.fromkeys(("get", "set", "delete", "sweep"), 0)
    for number, spent in enumerate(fastest):
        name = _NAMES[number & 15]
        worst[name] = max(worst[name], spent)
    return {
        "worst_call_us": round(max(worst.values()) / 1000, 1),
        "worst_call_one_run_us": round(median(slowest) / 1000, 1),
    } | {f"worst_{name}_us": round(spent / 1000, 1) for name, spent in worst.items()}


_NAMES = ("get",) * 10 + ("set",) * 4 + ("delete", "sweep")
"""What the sixteen kinds of calls in turn are."""


def _spend(implementation: Implementation, entries: int, fastest: array[int]) -> int:
    """Make as many calls as *fastest* has places, lower its times to theirs, and return the slowest of this run."""
    clock = ManualClock()
    tier = LocalTier(clock=clock, implementation=implementation)
    view = tier.table("bench", LocalOptions(max_entries=entries)).view("acme")
    chance = random.Random(1)
    keys = [f"k{number}" for number in range(entries * 2)]
    for key in keys[:entries]:
        view.set(key, 1, ttl_s=TTL_S)
    slowest = 0
    with collector_off():
        picks = [chance.randrange(len(keys)) for _ in range(1 << 20)]
        for number, pick in zip(range(len(fastest)), itertools.cycle(picks), strict=False):
            if number == len(fastest) // 2:
                clock.advance(TTL_S)
            spent = _one_call(tier, view, keys[pick], number)
            slowest = max(slowest, spent)
            fastest[number] = min(fastest[number], spent)
    return slowest


def _one_call(tier: LocalTier, view: LocalView, key: str, number: int) -> int:
    clock = time.thread_time_ns
    name = _NAMES[number & 15]
    started = clock()
    if name == "get":
        view.get(key)
    elif name == "set":
        view.set(key, 1, ttl_s=TTL_S)
    elif name == "delete":
        view.delete(key)
    else:
        tier.sweep()
    return clock() - started


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
