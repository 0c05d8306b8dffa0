"""
A burst of invalidations at CloudFront: what each way loses, sends and pays under the real limits.

Products of 20 tenants change, some again and again (Zipf). Each has a page at the edge that must fall. The
distribution is the stand-in with CloudFront's limits: 3,000 items and 15 wildcards in progress, throttling after six
calls in a row without a Retry-After, idempotent references. Its clock is moved by hand, so hours of throttling take
seconds; ``took_s`` is on that clock. Ways:

* ``one_call_each``: an invalidation for each change, an error is logged and forgotten. The usual post-save hook.
* ``one_call_each_retried``: the same, waiting out every throttling.
* ``batches``: distinct paths by the thousand, an error is logged and forgotten.
* ``tiercel_exact``: the purge log without folding; ``tiercel``: as it comes.

A page that has not fallen when all is quiet is lost. Prices are list prices with the 1,000 free items used up.

Run: ``python -m benchmarks.endtoend.purge [--burst 100000] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

from tests.standins.cloudfront import CloudFrontModel, CloudFrontStandIn, Refusal
from tiercel._async.edge import open_edge
from tiercel._core.clock import ManualClock
from tiercel.cdn import planner
from tiercel.cdn.capabilities import CLOUDFRONT
from tiercel.cdn.overflow import fit_tags
from tiercel.cdn.purge import PurgeRequest
from tiercel.cdn.tagcodec import TagCodec

TENANTS = 20
PRODUCTS = 5_000
CALLERS = 64
Change = tuple[str, int]
CODEC = TagCodec()


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    way: str
    lost: int
    items_sent: int
    requests: int
    refused: int
    cost_usd: float
    took_s: float


class Pages:
    """The pages at the edge; an invalidation that completes makes them fall, by path or by tag."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.standing = set(changes)
        self._named: dict[str, set[Change]] = {}
        for change in self.standing:
            tenant, product = change
            tags = fit_tags(CODEC, tenant, [f"product:{product}"], CLOUDFRONT, 300.0).tags
            for name in (path_of(change), *(f"#{tag}" for tag in tags)):
                self._named.setdefault(name, set()).add(change)

    def fall(self, items: Sequence[str]) -> None:
        """Hear of a completed invalidation."""
        for item in items:
            self.standing -= self._named.get(item, set())


def path_of(change: Change) -> str:
    """Return the path of a product's page."""
    tenant, product = change
    return f"/{tenant}/p/{product}"


def burst(count: int) -> list[Change]:
    """Return *count* changes, the same in every run."""
    chance = random.Random(7)
    weights = [1 / (rank + 10) for rank in range(PRODUCTS)]
    products = chance.choices(range(PRODUCTS), weights, k=count)
    return [(f"tenant-{chance.randrange(TENANTS)}", product) for product in products]


def one_call_each(changes: Sequence[Change], model: CloudFrontModel, clock: ManualClock) -> None:
    """Purge each change by itself and forget errors; 1,000 changes a second."""
    for number, change in enumerate(changes):
        clock.advance(0.001)
        try:
            model.create(f"call-{number}", [path_of(change)])
        except Refusal:
            continue  # what this way does: a line in a log


def one_call_each_retried(changes: Sequence[Change], model: CloudFrontModel, clock: ManualClock) -> None:
    """Purge each change by itself, waiting out every refusal."""
    for number, change in enumerate(changes):
        while True:
            try:
                model.create(f"call-{number}", [path_of(change)])
                break
            except Refusal:
                clock.advance(2.0)


def batches(changes: Sequence[Change], model: CloudFrontModel, clock: ManualClock) -> None:
    """Purge distinct paths in batches of 1,000, one a second, and forget errors."""
    paths = sorted({path_of(change) for change in changes})
    for start in range(0, len(paths), 1000):
        clock.advance(1.0)
        try:
            model.create(f"batch-{start}", paths[start : start + 1000])
        except Refusal:
            continue  # what this way does: a line in a log


async def tiercel(changes: Sequence[Change], server: CloudFrontStandIn, clock: ManualClock, home: Path) -> float:
    """
    Purge each change by its tag, through boto3 and the log on disk; return acknowledged purges a second (real time).
    """
    url = f"s3+cloudfront://bucket/E1?endpoint={server.url}"
    edge = await open_edge(url, state_dir=home, clock=clock, start=False)
    assert edge.purger is not None
    waiting = iter(changes)

    async def caller() -> None:
        for tenant, product in waiting:
            await edge.purge(PurgeRequest(tags=[f"product:{product}"], tenant=tenant, keep_origin=True))

    started = time.perf_counter()
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    rate = len(changes) / (time.perf_counter() - started)
    counts = edge.purger.log.counts()
    while counts["pending"] or counts["batched"]:
        clock.advance(await edge.purger.step())
        counts = edge.purger.log.counts()
    await edge.aclose()
    return rate


@contextmanager
def folding(threshold: int | None) -> Iterator[None]:
    """Make the planner fold at *threshold*; None leaves it as it is."""
    table = dict(planner.FOLD_AT) if threshold is None else dict.fromkeys(planner.FOLD_AT, threshold)
    with mock.patch.object(planner, "FOLD_AT", table):
        yield


def figures(way: str, pages: Pages, model: CloudFrontModel, took_s: float) -> Figures:
    """Return what *model* saw, once everything in progress is complete."""
    cost_usd = model.billed * CLOUDFRONT.price_per_item
    refused = sum(model.refused.values())
    return Figures(way, len(pages.standing), model.billed, model.calls, refused, round(cost_usd, 2), round(took_s, 1))


def run(count: int) -> dict[str, object]:
    """Run every way over the same burst."""
    changes = burst(count)
    found: list[Figures] = []
    for naive in (one_call_each, one_call_each_retried, batches):
        clock, pages = ManualClock(), Pages(changes)
        model = CloudFrontModel(clock, on_complete=pages.fall)
        naive(changes, model, clock)
        took_s = clock.monotonic() - 1000.0
        clock.advance(60.0)
        model.settle()
        found.append(figures(naive.__name__, pages, model, took_s))
    rates = []
    for way, threshold in (("tiercel_exact", 10**9), ("tiercel", None)):
        clock, pages = ManualClock(), Pages(changes)
        model = CloudFrontModel(clock, on_complete=pages.fall)
        with tempfile.TemporaryDirectory() as home, CloudFrontStandIn(model) as server, folding(threshold):
            rates.append(asyncio.run(tiercel(changes, server, clock, Path(home))))
        found.append(figures(way, pages, model, clock.monotonic() - 1000.0))
    return {
        "burst": count,
        "distinct": len(set(changes)),
        "acknowledged_per_s": round(max(rates)),
        "ways": [asdict(one) for one in found],
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    with mock.patch.dict(os.environ, credentials):
        report = run(arguments.burst)
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"{report['burst']} invalidations of {report['distinct']} pages")
    print(f"{report['acknowledged_per_s']} acknowledged a second")
    ways = report["ways"]
    assert isinstance(ways, list)
    for one in ways:
        print("  ".join(f"{name}={value}" for name, value in one.items()))


if __name__ == "__main__":
    main()
