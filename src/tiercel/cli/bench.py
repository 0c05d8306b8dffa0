"""
``tiercel bench``: how fast this machine reads and writes each tier of a matrix, one call at a time and many at once.

Everything happens in a namespace and regions of its own, which fall at the end; stores, journals and the application's
entries are not touched.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import click
from rich.table import Table

from tiercel._async.cache import AsyncCache
from tiercel._async.region import AsyncRegion
from tiercel.cli._cache import CONNECT_TIMEOUT_S
from tiercel.cli._exits import DONE
from tiercel.cli._matrix import load_matrix
from tiercel.cli._output import json_option, print_json, print_table, progress
from tiercel.matrix import Matrix
from tiercel.options import RegionOptions

__all__ = ["command"]

KEYS: Final = 1_000
AT_ONCE: Final = 64
LOCAL, FAR = "bench-local", "bench-redis"

Call = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """What one verb reached: microseconds a call (median, 99th percentile) and calls a second."""

    verb: str
    tier: str
    at_once: int
    median_us: float
    p99_us: float
    per_second: float


@click.command("bench")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--redis", help="URL of the shared tier, instead of the matrix's.")
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(min=0.05), help="Of each figure.")
@click.option(
    "--size", "size_bytes", default=200, show_default=True, type=click.IntRange(1, 1 << 20), help="Of a value."
)
@json_option
def command(file: Path | None, redis: str | None, seconds: float, size_bytes: int, as_json: bool) -> int:
    """
    Measure reads and writes of the local and the shared tier of the matrix FILE, as regions make them.

    Checks, tags and decoding are included. Without a Redis URL the shared tier is memory of this process.
    """
    matrix = _matrix(load_matrix(file), redis)
    figures = asyncio.run(_measured(matrix, seconds, size_bytes))
    if as_json:
        print_json({"figures": [dataclasses.asdict(figure) for figure in figures], "size_bytes": size_bytes})
    else:
        _show(figures, size_bytes)
    return DONE


def _matrix(matrix: Matrix, redis: str | None) -> Matrix:
    """Return a matrix of two regions in a namespace of its own, on the shared tier of *matrix*."""
    settings = replace(
        matrix.cache,
        namespace=f"bench-{secrets.token_hex(4)}",
        redis=redis or matrix.cache.redis,
        cdn=None,
        warm_keys=0,
    )
    local = RegionOptions(name=LOCAL, tiers=("local", "redis"), ttl_s=600.0)
    far = RegionOptions(name=FAR, tiers=("redis",), ttl_s=600.0, hot_keys=0)
    return Matrix().overlay(local, far, settings)


async def _measured(matrix: Matrix, seconds: float, size_bytes: int) -> list[Figure]:
    async with AsyncCache(matrix, connect_timeout_s=CONNECT_TIMEOUT_S) as cache:
        tenant = cache.tenant("bench")
        local, far = tenant.region(LOCAL), tenant.region(FAR)
        shared = "memory" if matrix.cache.redis is None else "redis"
        value = {"text": "x" * size_bytes}
        try:
            for region in (local, far):
                await region.set_many({f"k{number}": value for number in range(KEYS)})
                await region.get_many([f"k{number}" for number in range(KEYS)])
            return [
                await _one("read", "local", 1, seconds, _reading(local)),
                await _one("read", shared, 1, seconds, _reading(far)),
                await _one("read", shared, AT_ONCE, seconds, _reading(far)),
                await _one("write", shared, 1, seconds, _writing(far, value)),
                await _one("write", shared, AT_ONCE, seconds, _writing(far, value)),
            ]
        finally:
            await local.clear()
            await far.clear()


def _reading(region: AsyncRegion) -> Call:
    return region.get


def _writing(region: AsyncRegion, value: dict[str, str]) -> Call:
    return lambda key: region.set(key, value)


async def _one(verb: str, tier: str, at_once: int, seconds: float, call: Call) -> Figure:
    """Return how *call* does with *at_once* callers in a closed loop."""
    progress(f"{verb}, {tier}, {at_once} at once")
    taken: list[float] = []
    began = time.perf_counter()

    async def caller(first: int) -> None:
        number = first
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            await call(f"k{number % KEYS}")
            taken.append(time.perf_counter() - started)
            number += 7
            if tier == "local" and not number % 1024:
                await asyncio.sleep(0)

    await asyncio.gather(*[caller(first) for first in range(at_once)])
    elapsed_s = time.perf_counter() - began
    p99_s = quantiles(taken, n=100)[98] if len(taken) > 1 else taken[0]
    return Figure(verb, tier, at_once, _us(median(taken)), _us(p99_s), round(len(taken) / elapsed_s, 1))


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 2)


def _show(figures: list[Figure], size_bytes: int) -> None:
    table = Table("verb", "tier", "at once", "median µs", "p99 µs", "a second", title=f"values of {size_bytes} bytes")
    for one in figures:
        row = (one.verb, one.tier, f"{one.at_once}", f"{one.median_us:,.1f}", f"{one.p99_us:,.1f}")
        table.add_row(*row, f"{one.per_second:,.0f}")
    print_table(table)
