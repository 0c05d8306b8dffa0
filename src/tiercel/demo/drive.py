"""
The drive: opens the storefront, lets visitors in from several tasks, runs what happens beside them, and counts.

Beside the visitors run a price feed (bursts of bulk writes), editors (a price changes and everything that shows it
falls) and a clock that ends the run. A page that fails is counted and named; it ends nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tiercel import AsyncCache, CacheError
from tiercel._async.stores import open_store
from tiercel._core.histogram import NANOSECONDS_PER_S, Histogram
from tiercel.demo.catalogue import SearchIndex, Shape, products_of, sku_of, user
from tiercel.demo.servers import Ground, Places, matrix_for
from tiercel.demo.storefront import Shop, Storefront
from tiercel.demo.workload import Request, Visitors
from tiercel.matrix import Matrix
from tiercel.typing import Change

DRIVERS = 16
FEED_EVERY_S, FEED_ITEMS = 1.0, 40
EDIT_EVERY_S = 0.4
SEED_BATCH = 1000
Tell = Callable[[str], None]


@dataclass(slots=True)
class Drive:
    """
    What happened so far.

    Attributes:
        pages: Pages served, by kind.
        failed: Pages that failed, by error.
        latency: Seconds a page took, by kind.
        seconds: How long visitors were let in.
        fed: Products that the feed changed.
        edited: Prices that editors changed.
    """

    pages: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    latency: dict[str, Histogram] = field(default_factory=dict)
    seconds: float = 0.0
    fed: int = 0
    edited: int = 0

    def note(self, request: Request, took_s: float) -> None:
        """Count a page."""
        self.pages[request.kind] += 1
        histogram = self.latency.get(request.kind)
        if histogram is None:
            histogram = self.latency[request.kind] = Histogram(NANOSECONDS_PER_S)
        histogram.observe(took_s)


@asynccontextmanager
async def opened(places: Places, found: Ground, shape: Shape, state: Path, tell: Tell) -> AsyncIterator[Storefront]:
    """Fill the databases, open the cache, publish the static files."""
    matrix = matrix_for(places, found, state)
    index = SearchIndex()
    tell(f"filling the databases: {shape.products:,} products, {shape.users:,} users, {shape.tenants} shops")
    await _fill(matrix, shape, index)
    async with AsyncCache(matrix) as cache:
        storefront = Storefront(cache, shape, index)
        await storefront.publish()
        yield storefront
    index.close()


async def _fill(matrix: Matrix, shape: Shape, index: SearchIndex) -> None:
    products = await open_store(str(matrix.store_url("product")))
    profiles = await open_store(str(matrix.store_url("profile")))
    try:
        for number, name in enumerate(shape.names()):
            for rows in _batches(products_of(shape, number)):
                index.add(name, rows)
                await products.write_many([Change(name, row["sku"], row, 1) for row in rows])
            rng = random.Random(f"{shape.seed}/users/{number}")
            users = (user(rng, str(each)) for each in range(shape.users_of(number)))
            for rows in _batches(users):
                await profiles.write_many([Change(name, row["id"], row, 1) for row in rows])
    finally:
        await products.aclose()
        await profiles.aclose()


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == SEED_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def run(storefront: Storefront, seconds: float, rate: float | None, drive: Drive) -> None:
    """
    Let visitors in for *seconds*.

    Args:
        storefront: The shops.
        seconds: How long.
        rate: Pages a second over all drivers; None for as fast as they are served.
        drive: Gets what happened.
    """
    started = time.monotonic()
    ends = started + seconds
    visitors = [_visitors(storefront, number, ends, rate, drive) for number in range(DRIVERS)]
    await asyncio.gather(*visitors, _feed(storefront, ends, drive), _edit(storefront, ends, drive))
    drive.seconds = time.monotonic() - started


async def _visitors(storefront: Storefront, stream: int, ends: float, rate: float | None, drive: Drive) -> None:
    visitors = Visitors(storefront.shape, stream)
    pause_s = DRIVERS / rate if rate else 0.0
    due = time.monotonic()
    while time.monotonic() < ends:
        for request in visitors.visit():
            if time.monotonic() >= ends:
                return
            await _page(storefront, request, drive)
            due += pause_s
            await asyncio.sleep(max(0.0, due - time.monotonic()) if rate else 0.0)


async def _page(storefront: Storefront, request: Request, drive: Drive) -> None:
    try:
        drive.note(request, await storefront.serve(request))
    except CacheError as error:
        drive.failed[f"{request.kind}: {type(error).__name__}: {error}"] += 1


async def _feed(storefront: Storefront, ends: float, drive: Drive) -> None:
    """Take over stock figures in bursts."""
    rng = random.Random(f"{storefront.shape.seed}/feed")
    while await _pause(FEED_EVERY_S, ends):
        number, shop = _any_shop(storefront, rng)
        count = storefront.shape.products_of(number)
        first = rng.randrange(count)
        skus = [sku_of((first + step) % count) for step in range(min(FEED_ITEMS, count))]
        drive.fed += await shop.feed(skus, rng)


async def _edit(storefront: Storefront, ends: float, drive: Drive) -> None:
    """Change prices, one at a time."""
    rng = random.Random(f"{storefront.shape.seed}/edits")
    while await _pause(EDIT_EVERY_S, ends):
        number, shop = _any_shop(storefront, rng)
        await shop.reprice(sku_of(rng.randrange(storefront.shape.products_of(number))), rng.uniform(0.8, 1.2))
        drive.edited += 1


def _any_shop(storefront: Storefront, rng: random.Random) -> tuple[int, Shop]:
    number = rng.randrange(len(storefront.shops))
    return number, storefront.shops[number]


async def _pause(seconds: float, ends: float) -> bool:
    """Wait; return whether the run goes on."""
    await asyncio.sleep(max(0.0, min(seconds, ends - time.monotonic())))
    return time.monotonic() < ends


def _replayed(key: str) -> dict[str, Any]:
    return {"sku": key, "replayed": True}


async def replay(storefront: Storefront, keys: Iterator[str], ends: float, drive: Drive) -> None:
    """Read the products that a trace names, in its order, until it ends or the time is up."""
    region = storefront.shops[0].products
    started = time.monotonic()
    for number, key in enumerate(keys):
        before = time.monotonic()
        await region.get_or_load(key, partial(_replayed, key))
        drive.note(Request("detail", 0, "trace", -1, key), time.monotonic() - before)
        if number % 256 == 0:
            await asyncio.sleep(0)
            if time.monotonic() >= ends:
                break
    drive.seconds = time.monotonic() - started
