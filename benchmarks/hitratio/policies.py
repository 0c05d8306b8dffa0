"""
Hit ratios of the local tier, of published policies and of packages on recorded accesses.

For every trace and size: how many per cent of the requests were hits. Sizes are per cent of the trace's unique keys.
Three forms: entries; entries with a time to live that would end a third of an LRU's entries (a request is a second;
packages are left out, for their clocks cannot be moved); and bytes, with sizes drawn from a lognormal distribution by
key.

*Regret* is how far ours is behind the best published policy of a cell, chosen afterwards, in points; never below zero.

Run: ``python -m benchmarks.hitratio.policies [--traces DIR] [--json] [--limit N] [--sizes 1,10] [--svg FILE]``
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from benchmarks.hitratio.baselines import POLICIES, Policy, clairvoyant_hits
from benchmarks.hitratio.chart import draw
from benchmarks.hitratio.packages import Ours, Reader, makers
from benchmarks.hitratio.traces import Trace, load_all, synthetic
from tiercel.options import LocalOptions

SIZES = (0.1, 1.0, 5.0, 10.0, 25.0)
LEAST_COMPARED = 100
MEDIAN_BYTES = 1_000
SIGMA = 1.0
OURS = "tiercel"

Ratios = dict[str, float]


def percent_of(hits: int, requests: list[int]) -> float:
    return round(100 * hits / len(requests), 3)


def read_all(reader: Reader, keys: Iterable[str]) -> int:
    """Return the hits of *reader*."""
    access = reader.access
    return sum(access(key) for key in keys)


def replay(policy: Policy, requests: list[int]) -> int:
    """Return the hits of *policy*."""
    access = policy.access
    return sum(access(key) for key in requests)


def replay_ttl(policy: Policy, requests: list[int], unique: int, ttl: int) -> int:
    """Return the hits of *policy* where an entry ends *ttl* requests after it was taken in."""
    ends = [0] * unique
    hits = 0
    for now, key in enumerate(requests):
        if ends[key] <= now:
            policy.remove(key)
        if policy.access(key):
            hits += 1
        else:
            ends[key] = now + ttl
    return hits


def ours_ttl(size: int, keys: list[str], ttl: int) -> int:
    """Return the hits of the local tier under the same rule."""
    ours = Ours(LocalOptions(max_entries=size), float(ttl))
    advance, access = ours.clock.advance, ours.access
    hits = 0
    for key in keys:
        hits += access(key)
        advance(1.0)
    return hits


def third_ends_within(requests: list[int], size: int) -> int:
    """Return the time to live that a third of an LRU's entries reach, in requests."""
    born: OrderedDict[int, int] = OrderedDict()
    lives = []
    for now, key in enumerate(requests):
        if key in born:
            born.move_to_end(key)
            continue
        born[key] = now
        if len(born) > size:
            _, start = born.popitem(last=False)
            lives.append(now - start)
    lives.sort()
    return max(1, lives[len(lives) * 2 // 3]) if lives else len(requests)


def bytes_of(unique: int) -> list[int]:
    """Return every key's size."""
    chance = Random(1)
    return [max(50, int(chance.lognormvariate(math.log(MEDIAN_BYTES), SIGMA))) for _ in range(unique)]


def lru_bytes(requests: list[int], weights: list[int], bound: int) -> int:
    """Return the hits of an LRU that is bounded by bytes."""
    held: OrderedDict[int, None] = OrderedDict()
    used = hits = 0
    for key in requests:
        if key in held:
            held.move_to_end(key)
            hits += 1
            continue
        held[key] = None
        used += weights[key]
        while used > bound:
            used -= weights[held.popitem(last=False)[0]]
    return hits


def in_entries(trace: Trace, size: int, keys: list[str]) -> Ratios:
    requests = trace.requests
    ratios = {OURS: percent_of(read_all(Ours(LocalOptions(max_entries=size)), keys), requests)}
    for name, make in POLICIES.items():
        ratios[name] = percent_of(replay(make(size), requests), requests)
    for name, make_package in makers()[0].items():
        ratios[name] = percent_of(read_all(make_package(size), keys), requests)
    ratios["clairvoyant"] = percent_of(clairvoyant_hits(requests, size), requests)
    return ratios


def with_ttl(trace: Trace, size: int, keys: list[str], ttl: int) -> Ratios:
    requests = trace.requests
    ratios = {OURS: percent_of(ours_ttl(size, keys, ttl), requests)}
    for name, make in POLICIES.items():
        ratios[name] = percent_of(replay_ttl(make(size), requests, trace.unique, ttl), requests)
    return ratios


def in_bytes(trace: Trace, percent: float, keys: list[str]) -> Ratios:
    overhead_bytes = 112
    sizes = bytes_of(trace.unique)
    costs = [size + overhead_bytes for size in sizes]
    bound = int(sum(costs) * percent / 100)
    weights = {str(key): size for key, size in enumerate(sizes)}
    ratios = {"LRU": percent_of(lru_bytes(trace.requests, costs, bound), trace.requests)}
    for name, objective in ((OURS, "objects"), (f"{OURS} objective=bytes", "bytes")):
        options = LocalOptions(max_entries=None, max_bytes=bound, objective=objective)  # type: ignore[arg-type]
        ratios[name] = percent_of(read_all(Ours(options, weights=weights), keys), trace.requests)
    return ratios


def cell(trace: Trace, percent: float) -> dict[str, Any]:
    """Measure one trace at one size."""
    size = trace.size_at(percent)
    texts = [str(number) for number in range(trace.unique)]
    keys = [texts[number] for number in trace.requests]
    ttl = third_ends_within(trace.requests, size)
    return {
        "trace": trace.name,
        "percent": percent,
        "entries": size,
        "hit_ratio": in_entries(trace, size, keys),
        "ttl_requests": ttl,
        "hit_ratio_ttl": with_ttl(trace, size, keys, ttl),
        "hit_ratio_bytes": in_bytes(trace, percent, keys),
    }


def regret(ratios: Ratios) -> float:
    """Return how far ours is behind the best published policy, points."""
    return max(0.0, max(ratios[name] for name in POLICIES) - ratios[OURS])


def summarize(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures that the promises name."""
    plain = [row["hit_ratio"] for row in cells]
    timed = [row["hit_ratio_ttl"] for row in cells]
    packages = [name for name in ("theine", "moka-py") if name in plain[0]]
    large = [row["hit_ratio"] for row in cells if row["entries"] >= LEAST_COMPARED]
    return {
        "mean_regret": round(fmean(map(regret, plain)), 3),
        "mean_regret_ttl": round(fmean(map(regret, timed)), 3),
        "mean_regret_of": {
            name: round(fmean(max(0.0, max(row[other] for other in POLICIES) - row[name]) for row in plain), 3)
            for name in POLICIES
        },
        "worst_against_lru": round(min(row[OURS] - row["LRU"] for row in plain), 3),
        "worst_against_lru_ttl": round(min(row[OURS] - row["LRU"] for row in timed), 3),
        "worst_against_packages": round(
            min((row[OURS] - row[name] for row in large for name in packages), default=0), 3
        ),
    }


def measure(traces: list[Trace], sizes: list[float], jobs: int) -> list[dict[str, Any]]:
    """Measure every cell, with a line of progress for each."""
    work = [(trace, percent) for trace in traces for percent in sizes]
    cells = []
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(cell, trace, percent) for trace, percent in work]
        for done, future in enumerate(waiting, 1):
            cells.append(future.result())
            row = cells[-1]
            print(
                f"{done}/{len(work)} {row['trace']} {row['percent']} %: {row['hit_ratio'][OURS]}",
                file=sys.stderr,
                flush=True,
            )
    return cells


def show(figures: dict[str, Any]) -> None:
    """Print the table for people."""
    names = list(figures["cells"][0]["hit_ratio"])
    print(f"{'trace':12} {'%':>5} {'entries':>7} " + " ".join(f"{name:>14}" for name in names))
    for row in figures["cells"]:
        ratios = " ".join(f"{row['hit_ratio'][name]:14.2f}" for name in names)
        print(f"{row['trace']:12} {row['percent']:5} {row['entries']:7} {ratios}")
    for name, figure in figures.items():
        if name != "cells":
            print(f"{name:24} {figure}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="a folder of recordings, one key a line; else an invented one")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="per cent of the unique keys")
    parser.add_argument("--limit", type=int, help="at most so many requests of each trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--svg", type=Path, help="draw the chart into this file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    traces = load_all(options.traces, options.limit) if options.traces else [synthetic()]
    cells = measure(traces, [float(size) for size in options.sizes.split(",")], options.jobs)
    figures = {**summarize(cells), "absent": makers()[1], "cells": cells}
    if options.svg:
        options.svg.write_text(draw(cells), encoding="utf-8")
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        show(figures)


if __name__ == "__main__":
    main()
