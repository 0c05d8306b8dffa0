"""
What observing costs: a decorated hit with everything on against all off, and one scrape of many tenants.

*On* is a monitor that samples, keeps the time series and evaluates the built-in alerts, and an exporter that is
scraped, both ten times as often as by default. *Off* is the same cache with neither. Times are CPU time of the whole
process, the observing threads included, so that neighbours do not count; rounds of both alternate, the ratio is that
of the medians.

Run: ``python -m benchmarks.micro.observe [--json] [--quick]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tiercel import Cache, Matrix, RegionOptions
from tiercel.local import LocalTier
from tiercel.observe import Recorder
from tiercel.observe.monitor import Monitor
from tiercel.observe.prometheus import exposition
from tiercel.observe.snapshot import Snapshot, take_snapshot

REGIONS = 8
TENANTS = 1000
SAMPLE_S = 1.0
SCRAPE_S = 1.5


def measure(rounds: int, calls: int) -> dict[str, float]:
    """Return the median seconds of a hit, off and on, and their ratio."""
    with Cache(Matrix.of(RegionOptions(name="query", tiers=("local",)))) as cache:

        @cache.tenant("acme").region("query").cached(key="item:{number}")
        def answer(number: int) -> int:
            return number

        answer(7)
        times: dict[str, list[float]] = {"off": [], "on": []}
        for _ in range(rounds):
            times["off"].append(_time(answer, calls))
            with observed(cache.snapshot):
                times["on"].append(_time(answer, calls))
    off_s, on_s = (statistics.median(times[name]) / calls for name in ("off", "on"))
    return {"hit_off_ns": off_s * 1e9, "hit_on_ns": on_s * 1e9, "hit_on_vs_off": on_s / off_s}


@contextmanager
def observed(take: Callable[[], Snapshot]) -> Iterator[None]:
    """Run a monitor and a scraper beside the block."""
    matrix = Matrix.defaults()
    stopped = threading.Event()

    def scrape() -> None:
        while not stopped.wait(SCRAPE_S):
            exposition(take())

    scraper = threading.Thread(target=scrape)
    with Monitor(take, matrix.alerts, replace(matrix.alerting, interval_s=SAMPLE_S)):
        scraper.start()
        yield
        stopped.set()
        scraper.join()


def _time(answer: Callable[[int], int], calls: int) -> float:
    started_s = time.process_time()
    for _ in range(calls):
        answer(7)
    return time.process_time() - started_s


def scrape(rounds: int) -> dict[str, float]:
    """Return the milliseconds of a scrape of `REGIONS` regions with `TENANTS` tenants each, and its series."""
    recorder = Recorder()
    for region in range(REGIONS):
        stats = recorder.region(f"region-{region}")
        for tier in ("redis", "cdn"):
            stats.tier(tier).latency.observe(0.001)
        for tenant in range(TENANTS):
            for outcome in ("hit", "miss", "load"):
                recorder.tenant_seen(stats.region, f"tenant-{tenant}", outcome)
    times, text = [], b""
    for _ in range(rounds):
        started_s = time.process_time()
        text = exposition(take_snapshot(recorder, 0.0))
        times.append(time.process_time() - started_s)
    series = sum(1 for line in text.splitlines() if not line.startswith(b"#"))
    return {"scrape_ms": statistics.median(times) * 1e3, "scrape_max_ms": max(times) * 1e3, "scrape_series": series}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    options = parser.parse_args(arguments)
    rounds, calls = (3, 1_000_000) if options.quick else (7, 20_000_000)
    results: dict[str, object] = {"implementation": LocalTier().implementation}
    results |= measure(rounds, calls) | scrape(20)
    if options.json:
        print(json.dumps(results))
    else:
        for name, value in results.items():
            print(f"{name:<16}{value if isinstance(value, str) else f'{value:.3f}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
