"""
What a hit, a set and an entry of the local tier cost, beside ``functools.lru_cache`` and the peers that can expire.

Ratios are medians within this run, so that they mean the same on a slow or busy machine. Hits are spread over 1,000
keys of a table of 10,000; ``lru_cache`` gets the same keys. Every peer in the table has a time to live, ``lru_cache``
has none.

Run: ``python -m benchmarks.micro.local [--json] [--quick]``
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import random
import sys
from collections.abc import Callable
from typing import Any, Literal

from benchmarks.micro import pressure
from benchmarks.micro.peers import async_peers, await_all, call_all, sync_peers, version_of
from benchmarks.micro.stopwatch import Rounds, run_rounds
from tiercel.errors import ConfigurationError
from tiercel.local import LocalTier, LocalView
from tiercel.options import LocalOptions

SIZE = 10_000
HOT = 100
TTL_S = 600.0
PACKAGES = ("cachetools", "cachebox", "theine", "moka-py", "dogpile.cache", "async-lru", "aiocache", "cashews")

Implementation = Literal["native", "reference"]


def body(key: str) -> str:
    return key


async def async_body(key: str) -> str:
    return key


def make_key(key: str) -> str:
    return "item:" + key


def never(key: Any, args: Any, kwargs: Any) -> Any:
    raise AssertionError(f"{key!r} was to be a hit")


async def never_async(key: Any, args: Any, kwargs: Any) -> Any:
    raise AssertionError(f"{key!r} was to be a hit")


def warm_view(implementation: Implementation, keys: list[str]) -> LocalView:
    """Return a view of a table of `SIZE` that holds *keys*, as they are and as `make_key` writes them."""
    view = LocalTier(implementation=implementation).table("bench", LocalOptions(max_entries=SIZE)).view("acme")
    for key in keys:
        view.set(key, key, ttl_s=TTL_S, version=1, tags=((1, 2),))
        view.set(make_key(key), key, ttl_s=TTL_S, version=1, tags=((1, 2),))
    return view


def implementations() -> list[Implementation]:
    """Return what is built here; the reference is always there."""
    try:
        LocalTier(implementation="native")
    except ConfigurationError:
        return ["reference"]
    return ["native", "reference"]


def hits(keys: list[str], rounds: int) -> Rounds:
    """Time hits: lru_cache, and each implementation read, called and awaited."""
    cached = functools.lru_cache(maxsize=SIZE)(body)
    plain = dict.fromkeys(keys, "value")
    candidates: dict[str, Callable[[], object]] = {
        "lru_cache": lambda: call_all(cached, keys),
        "dict.get": lambda: call_all(plain.get, keys),
    }
    for name in implementations():
        view = warm_view(name, keys)
        called = view.wrap(body, make_key, never)
        awaited = view.wrap_async(async_body, make_key, never_async)
        candidates[f"{name} get"] = functools.partial(call_all, view.get, keys)
        candidates[f"{name} decorated"] = functools.partial(call_all, called, keys)
        candidates[f"{name} awaited"] = functools.partial(await_all, awaited, keys)
    return run_rounds(candidates, HOT, rounds)


def peers_table(keys: list[str], rounds: int) -> dict[str, dict[str, float | str]]:
    """Return what a decorated hit costs with each peer, nanoseconds and multiples of lru_cache."""
    loop = asyncio.new_event_loop()
    few = keys[:100]
    cached = functools.lru_cache(maxsize=SIZE)(body)
    candidates: dict[str, Callable[[], object]] = {"functools.lru_cache": lambda: call_all(cached, few)}
    for name, function in sync_peers()[0].items():
        candidates[name] = functools.partial(call_all, function, few)
    for name, function in async_peers()[0].items():
        candidates[f"{name} (awaited)"] = functools.partial(await_all, function, few, loop)
    for name in implementations():
        view = warm_view(name, few)
        candidates[f"tiercel {name}"] = functools.partial(call_all, view.wrap(body, make_key, never), few)
        awaited = view.wrap_async(async_body, make_key, never_async)
        candidates[f"tiercel {name} (awaited)"] = functools.partial(await_all, awaited, few, loop)
    try:
        measured = run_rounds(candidates, len(few), rounds)
    finally:
        loop.close()
    return {
        name: {
            "decorated_ns": round(measured.median_ns(name), 1),
            "vs_lru_cache": round(measured.ratio(name, "functools.lru_cache"), 2),
        }
        for name in sorted(candidates, key=measured.median_ns)
    }


def evicting_sets(implementation: Implementation, size: int, rounds: int) -> Rounds:
    """Time sets of new keys into full tables of *size* entries: ours, and cachebox where it is installed."""
    keys = [f"key:{number}" for number in range(size * 4)]
    random.Random(1).shuffle(keys)
    view = LocalTier(implementation=implementation).table("bench", LocalOptions(max_entries=size)).view("acme")
    candidates: dict[str, Callable[[], object]] = {"ours": functools.partial(_set_all, view, keys)}
    try:
        import cachebox
    except ImportError:
        return run_rounds(candidates, len(keys), rounds)
    candidates["ttl"] = functools.partial(_store_all, cachebox.TTLCache(size, TTL_S), keys)
    candidates["lru"] = functools.partial(_store_all, cachebox.LRUCache(size), keys)
    return run_rounds(candidates, len(keys), rounds)


def _set_all(view: LocalView, keys: list[str]) -> None:
    put = view.set
    for key in keys:
        put(key, key, ttl_s=TTL_S)


def _store_all(cache: Any, keys: list[str]) -> None:
    for key in keys:
        cache[key] = key


def hit_figures(measured: Rounds) -> dict[str, float]:
    """Return the ratios of hits under the names that promises use."""
    figures: dict[str, float] = {}
    names = implementations()
    for verb in ("get", "decorated", "awaited"):
        figures[f"{verb}_vs_lru_cache"] = round(measured.ratio(f"{names[0]} {verb}", "lru_cache"), 3)
        figures[f"reference_{verb}_vs_lru_cache"] = round(measured.ratio(f"reference {verb}", "lru_cache"), 3)
    return figures


def set_figures(rounds: int) -> dict[str, float]:
    """Return what evicting sets cost, as multiples of cachebox's; only nanoseconds where it is not installed."""
    small = evicting_sets(implementations()[0], HOT * 10, rounds)
    large = evicting_sets(implementations()[0], SIZE, rounds)
    reference = evicting_sets("reference", HOT * 10, 3)
    figures = {
        "evicting_set_ns": round(small.median_ns("ours"), 1),
        "reference_evicting_set_ns": round(reference.median_ns("ours"), 1),
    }
    if "ttl" in small.ns:
        figures["evicting_set_vs_cachebox"] = round(small.ratio("ours", "ttl"), 3)
        figures["evicting_set_vs_cachebox_lru"] = round(small.ratio("ours", "lru"), 3)
        figures["evicting_set_of_10000_vs_cachebox"] = round(large.ratio("ours", "ttl"), 3)
    return figures


def measure(*, quick: bool) -> dict[str, Any]:
    """Return all figures."""
    rounds = 7 if quick else 41
    keys = [f"sku-{number}" for number in range(HOT)]
    measured_hits = hits(keys, rounds)
    scale = 20 if quick else 1
    native = implementations()[0]
    return {
        "implementation": native,
        "python": sys.version.split()[0],
        **hit_figures(measured_hits),
        **set_figures(max(rounds // 4, 3)),
        **pressure.memory(native, 1_000_000 // scale),
        **pressure.threads(native, rounds=3 if quick else 9),
        **pressure.worst_call(native, entries=1_000_000 // scale, operations=10_000_000 // scale),
        **pressure.neighbour(native),
        "ns": {name: round(measured_hits.median_ns(name), 1) for name in measured_hits.ns},
        "peers": peers_table(keys, max(rounds // 4, 3)),
        "versions": {package: version_of(package) for package in PACKAGES},
        "absent": sorted(sync_peers()[1] + async_peers()[1]),
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    for name, figure in figures.items():
        if not isinstance(figure, (dict, list)):
            print(f"{name:36} {figure}")
    print("\ndecorated call                        ns   × lru_cache")
    for name, row in figures["peers"].items():
        print(f"{name:30} {row['decorated_ns']:10,} {row['vs_lru_cache']:12,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the work, for a first look")
    options = parser.parse_args()
    figures = measure(quick=options.quick)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
