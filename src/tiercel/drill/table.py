"""
The fault table: every fault of a deployment under load, what was seen of it, and whether that is what was promised.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tiercel._async.cache import AsyncCache
from tiercel._async.region import AsyncRegion
from tiercel._core.linkoptions import LinkHealth
from tiercel._process import Process
from tiercel.drill.deployments import Deployment
from tiercel.drill.faults import Fault, faults_of
from tiercel.drill.load import Rows, Seen, p99_s, under_load
from tiercel.drill.members import LOOPBACK
from tiercel.matrix import Matrix
from tiercel.options import CacheOptions, RegionOptions

__all__ = ["Drill", "Promise", "Row", "run_fault", "run_table"]

KEYS = 96
SETTLE_S = 0.5
PATIENCE_S = 20.0
PAUSE_S = 0.01
TURNS = 4
"""Turns of the loop that a read takes, each as late as the machine is: beginning, time limit, store, end."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """
    What is promised of every fault.

    Args:
        deadline_s: The 99th percentile of a read, a tenth and the machine's own lateness apart.
        breaker_opens_s: From the strike, where the fault makes calls fail.
        recovers_s: From the mending until reads are served by Redis again.
        fails_over_s: From the strike, beyond the silence after which the deployment replaces a primary.
    """

    deadline_s: float = 0.25
    breaker_opens_s: float = 1.0
    recovers_s: float = 5.0
    fails_over_s: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Drill:
    """
    How a drill is run.

    Args:
        promise: What is judged.
        seconds: How long a fault lasts.
        rate: Reads a second.
        redis_timeout_s: How long a read waits for Redis before it turns to the store.
    """

    promise: Promise = field(default_factory=Promise)
    seconds: float = 3.0
    rate: float = 300.0
    redis_timeout_s: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Row:
    """
    One fault's line.

    Args:
        deployment: Its kind.
        fault: The fault's name.
        reads: Reads while it lasted and until all was well again.
        errors: Reads and writes that failed.
        wrong: Values of another key.
        late: Values older than a write that had ended.
        p99_ms: 99th percentile of a read's time while the fault lasted.
        lag_ms: 99th percentile of the loop's own lateness meanwhile.
        opened_s: After how long the victim's breaker opened; None where it did not.
        recovered_s: After how long reads were served by Redis again; from the strike where another primary took over.
        broken: What was promised and did not hold.
        examples: Texts of the first errors.
    """

    deployment: str
    fault: str
    reads: int
    errors: int
    wrong: int
    late: int
    p99_ms: float
    lag_ms: float
    opened_s: float | None
    recovered_s: float | None
    broken: tuple[str, ...]
    examples: tuple[str, ...] = ()


async def run_table(
    deployment: Deployment, drill: Drill, only: Iterable[str] = (), on_row: Callable[[Row], None] | None = None
) -> list[Row]:
    """Run every fault of *deployment*, or those named *only*, and return their lines."""
    names = [fault.name for fault in await asyncio.to_thread(faults_of, deployment, only)]
    rows = []
    for name in names:
        (fault,) = await asyncio.to_thread(faults_of, deployment, [name])  # the victim may be another one by now
        rows.append(await run_fault(deployment, fault, drill))
        if on_row is not None:
            on_row(rows[-1])
        await asyncio.to_thread(deployment.wait_well)
    return rows


async def run_fault(deployment: Deployment, fault: Fault, drill: Drill) -> Row:
    """Run one fault under load in a cache of its own, and judge it."""
    keys = [f"k{number}" for number in range(KEYS)]
    with tempfile.TemporaryDirectory(prefix="tiercel-drill-") as folder:
        matrix = _matrix(deployment.url, folder, drill)
        async with AsyncCache(matrix, stores={"item": Rows(keys)}, process=Process()) as cache:
            region = cache.tenant("drill").region("item")
            await region.read_many(keys)
            row = await _struck(cache, region, keys, deployment, fault, drill)
            if deployment.kind == "given":
                await (await region.invalidate_matching("*")).wait()
    return row


def _matrix(url: str, folder: str, drill: Drill) -> Matrix:
    region = RegionOptions(name="item", tiers=("redis",), ttl_s=60.0, load_timeout_s=2.0, hot_keys=0)
    cache = CacheOptions(
        namespace=f"drill-{secrets.token_hex(4)}", redis=url, state_dir=folder, redis_timeout_s=drill.redis_timeout_s
    )
    return Matrix.of(region, cache)


async def _struck(
    cache: AsyncCache, region: AsyncRegion, keys: list[str], deployment: Deployment, fault: Fault, drill: Drill
) -> Row:
    victim = f"{LOOPBACK}:{deployment.proxy.port}"
    async with under_load(region, keys, drill.rate) as seen:
        await _until(lambda: _is_well(cache), PATIENCE_S)
        await asyncio.sleep(SETTLE_S)
        seen.reset()
        opened = _opened(cache)
        struck_at = time.monotonic()
        await asyncio.to_thread(fault.strike)
        opened_s = await _until(lambda: _opened(cache) > opened, drill.seconds)
        replaced_s = await _replaced(cache, victim, struck_at, drill, fault) if fault.fails_over else None
        await asyncio.sleep(max(0.0, struck_at + drill.seconds - time.monotonic()))
        p99, lag = p99_s(seen.durations_s), p99_s(seen.lags_s)
        await asyncio.to_thread(fault.mend)
        mended_s = await _until(_served_by_redis(cache, region), PATIENCE_S)
        await asyncio.sleep(SETTLE_S)
    recovered_s = mended_s if replaced_s is None else replaced_s
    return _judged(deployment, fault, drill, seen, (p99, lag), (opened_s, recovered_s))


async def _replaced(cache: AsyncCache, victim: str, struck_at: float, drill: Drill, fault: Fault) -> float | None:
    """Return after how long another primary served in the victim's place; None where none did."""
    limit_s = PATIENCE_S if fault.loses_writes else drill.seconds
    waited_s = await _until(lambda: victim not in _primaries(cache) and _is_well(cache), limit_s)
    return None if waited_s is None else time.monotonic() - struck_at


def _served_by_redis(cache: AsyncCache, region: AsyncRegion) -> Callable[[], bool]:
    """Return a condition: every primary is well, and reads hit Redis again."""
    stats = cache.recorder.region(region.options.name)
    before = stats.tier("redis").hits
    return lambda: _is_well(cache) and stats.tier("redis").hits > before


def _links(cache: AsyncCache) -> LinkHealth:
    return cache.snapshot().links["redis"]


def _primaries(cache: AsyncCache) -> set[str]:
    return {name for name, node in _links(cache).nodes.items() if node.role == "primary"}


def _is_well(cache: AsyncCache) -> bool:
    return _links(cache).is_healthy


def _opened(cache: AsyncCache) -> int:
    return sum(node.breaker_opened for node in _links(cache).nodes.values())


async def _until(holds: Callable[[], bool], limit_s: float) -> float | None:
    """Return after how many seconds *holds* gave true; None where it did not within *limit_s*."""
    started = time.monotonic()
    while not holds():  # health sets no event
        if time.monotonic() - started >= limit_s:
            return None
        await asyncio.sleep(PAUSE_S)
    return time.monotonic() - started


def _judged(
    deployment: Deployment,
    fault: Fault,
    drill: Drill,
    seen: Seen,
    p99_and_lag_s: tuple[float, float],
    opened_and_recovered_s: tuple[float | None, float | None],
) -> Row:
    p99, lag = p99_and_lag_s
    opened_s, recovered_s = opened_and_recovered_s
    row = Row(
        deployment=deployment.kind,
        fault=fault.name,
        reads=seen.reads,
        errors=len(seen.errors),
        wrong=seen.wrong,
        late=seen.late,
        p99_ms=round(p99 * 1e3, 1),
        lag_ms=round(lag * 1e3, 1),
        opened_s=None if opened_s is None else round(opened_s, 2),
        recovered_s=None if recovered_s is None else round(recovered_s, 2),
        broken=(),
        examples=tuple(seen.errors[:3]),
    )
    return replace(row, broken=tuple(_broken(row, fault, drill.promise, deployment.fails_over_after_s)))


def _broken(row: Row, fault: Fault, promise: Promise, fails_over_after_s: float) -> Iterator[str]:
    """Name what was promised and did not hold."""
    if row.errors:
        yield f"{row.errors} callers saw an error"
    if row.wrong:
        yield f"{row.wrong} reads gave another key's value"
    if row.late and not fault.loses_writes:
        yield f"{row.late} reads gave what a write had replaced"
    if row.p99_ms > promise.deadline_s * 1100 + row.lag_ms * TURNS:
        yield f"a read took {row.p99_ms} ms"
    if fault.opens_breaker and (row.opened_s is None or row.opened_s > promise.breaker_opens_s):
        yield "the breaker did not open in time"
    limit_s = fails_over_after_s + promise.fails_over_s if fault.loses_writes else promise.recovers_s
    if row.recovered_s is None or row.recovered_s > limit_s:
        yield f"not well within {limit_s:g} s"
