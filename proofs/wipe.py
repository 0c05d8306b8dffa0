"""
A wiped cache recovers: FLUSHALL under load, before a PostgreSQL whose queries take 50 ms, and each defence left out.

Twice as many reads a second as the database can answer come in an open loop, spread evenly over so many keys that
filling them all takes 20 s of all connections. A read is *good* where it gives the right value within its deadline of
1 s. Promised: 99 % good within 60 s of the wipe, and never more queries at the database than the limit.

Each variant leaves one defence out; ``single-flight alone`` is cache-aside on redis-py with one load a key, whose late
results are dropped.

Run: ``python -m proofs.wipe [--rate 2000] [--connections 50] [--only full,…] [--seconds 60] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest import mock

import psycopg
import redis.asyncio

from tests.rig import PostgresServer, RedisServer
from tiercel import AsyncCache, CacheOptions, LocalOptions, Matrix, RegionOptions
from tiercel._async.filler import AsyncFiller
from tiercel._async.guardedstore import AsyncGuardedStore
from tiercel._async.origingate import AsyncOriginGate
from tiercel._async.stores import open_store
from tiercel._core.limiter import LimiterOptions
from tiercel._core.tags import fresh_token
from tiercel._flights import Flight, Flights
from tiercel._process import Process
from tiercel.drill.load import p99_s
from tiercel.typing import AsyncStore, Key, Record

QUERY_S = 0.05
DEADLINE_S = 1.0
SLOW_VIEW = f"""
CREATE TABLE items (tenant text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value jsonb,
    version bigint NOT NULL, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (tenant, key));
INSERT INTO items SELECT 'acme', 'k' || number, to_jsonb('v' || number), 1, false
    FROM generate_series(0, %(keys)s - 1) AS number;
CREATE VIEW slow_items AS
    WITH nap AS MATERIALIZED (SELECT pg_sleep({QUERY_S})::text AS slept)
    SELECT items.* FROM items, nap WHERE nap.slept IS NOT NULL;
"""
IN_FLIGHT = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%slow_items%%'"


@dataclass(frozen=True)
class Load:
    """How hard the cache is used; the database bears half of *rate*."""

    rate: float
    connections: int
    seconds: float
    filled_in_s: float = 20.0

    @property
    def keys(self) -> int:
        """As many as all connections fill in `filled_in_s`."""
        return int(self.connections / QUERY_S * self.filled_in_s)


@dataclass(frozen=True)
class Variant:
    """What is left out."""

    single_flight: bool = True
    gate: bool = True
    stale: bool = False
    late_results: bool = True
    warm_up: bool = False


VARIANTS = {
    "full, with stale windows": Variant(stale=True),
    "full, nothing stale": Variant(),
    "full, warm-up": Variant(warm_up=True),
    "no single-flight": Variant(single_flight=False),
    "no origin gate": Variant(gate=False),
    "late results dropped": Variant(late_results=False),
    "no gate, late results dropped": Variant(gate=False, late_results=False),
}


@dataclass
class Tally:
    """Reads by the second after the wipe in which they began."""

    asked: dict[int, int] = field(default_factory=dict)
    good: dict[int, int] = field(default_factory=dict)
    wrong: int = 0
    durations_s: list[float] = field(default_factory=list)
    most_in_flight: int = 0
    hit_rates: list[tuple[float, float]] = field(default_factory=list)
    """Seconds after the wipe, and the part of the reads that Redis answered lately."""

    def note(self, second: int, *, is_good: bool) -> None:
        """Count a read."""
        self.asked[second] = self.asked.get(second, 0) + 1
        self.good[second] = self.good.get(second, 0) + is_good

    def goodput(self, first: int, last: int) -> float:
        """Return the share of good reads in the seconds from *first* to before *last*."""
        asked = sum(self.asked.get(second, 0) for second in range(first, last))
        return sum(self.good.get(second, 0) for second in range(first, last)) / max(1, asked)

    def hits_again_s(self) -> float | None:
        """Return when Redis, over two seconds, answered 95 % of the part of reads again that it answered before."""
        former = max((rate for at, rate in self.hit_rates if at < 0), default=1.0)
        after = [(at, rate) for at, rate in self.hit_rates if at >= 0]
        for number, (at, _) in enumerate(after):
            lately = [rate for _, rate in after[number : number + 4]]
            if sum(lately) / len(lately) >= 0.95 * former:
                return round(at, 1)
        return None

    def recovered_s(self, seconds: int) -> int | None:
        """Return the second from which on at least 99 % were good, to the end; None where that never came."""
        bad = [second for second in range(seconds) if self.goodput(second, second + 1) < 0.99]
        last = bad[-1] + 1 if bad else 0
        return last if last < seconds - 1 else None


class Reads(Protocol):
    """What is wiped."""

    async def read(self, key: str) -> Any: ...


class Apart(Flights):
    """A table of flights that shares none."""

    def enter(self, key: Any) -> tuple[Flight, bool]:
        return Flight(key), True


class Hasty:
    """A store whose reads are cancelled when their caller is gone: late results are dropped."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, tenant: str, key: Key) -> Record | None:
        async with asyncio.timeout(DEADLINE_S):
            return await self._store.read(tenant, key)


class CacheAside:
    """The naive way: redis-py, one load a key in this process, given up with its caller."""

    def __init__(self, client: redis.asyncio.Redis, store: AsyncStore) -> None:
        self._client = client
        self._store = store
        self._loads: dict[str, asyncio.Task[Any]] = {}

    async def read(self, key: str) -> Any:
        found = await self._client.get(key)
        if found is not None:
            return json.loads(found)
        task = self._loads.get(key)
        if task is None:
            task = self._loads[key] = asyncio.ensure_future(self._load(key))
            task.add_done_callback(lambda _: self._loads.pop(key, None))
        return await task

    async def _load(self, key: str) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            record = await self._store.read("acme", key)
        assert record is not None
        await self._client.set(key, json.dumps(record.value))
        return record.value


@contextlib.contextmanager
def everyone_loads() -> Iterator[None]:
    """Let every caller load whether somebody else does or not: leases are taken and not waited for."""

    async def lease(filler: Any, key: Key, look: Any, order: Any) -> tuple[int, None]:
        token = fresh_token()
        place = filler._place  # noqa: SLF001  # what is left out is inside it
        await place.core.far.begin_fill(place.name(key), token, place.core.lease_ms, b"")
        return token, None

    with mock.patch.object(AsyncFiller, "_lease", lease):
        yield


@contextlib.asynccontextmanager
async def opened(variant: Variant, load: Load, redis_url: str, database: str) -> AsyncIterator[tuple[Reads, Any]]:
    """Give a filled region of *variant*, and its counters."""
    base = await open_store(f"{database}#slow_items", pool_size=load.connections, timeout_s=10.0)
    gate = AsyncOriginGate("items", LimiterOptions.up_to(load.connections))
    store: Any = AsyncGuardedStore(base, gate, DEADLINE_S) if variant.gate else base
    store = store if variant.late_results else Hasty(store)
    with tempfile.TemporaryDirectory(prefix="tiercel-wipe-") as folder, contextlib.ExitStack() as stack:
        process = Process()
        if not variant.single_flight:
            process.flights = Apart()
            stack.enter_context(everyone_loads())
        async with AsyncCache(
            _matrix(variant, load, redis_url, folder), stores={"item": store}, process=process
        ) as cache:
            region = cache.tenant("acme").region("item")
            keys = [f"k{number}" for number in range(load.keys)]
            for start in range(0, len(keys), 500):
                await region.read_many(keys[start : start + 500])
            await asyncio.sleep(2.0 if variant.warm_up else 0.0)  # until the list of keys is saved
            yield region, cache.recorder.region("item")
    await base.aclose()


def _matrix(variant: Variant, load: Load, redis_url: str, folder: str) -> Matrix:
    stale = {"keep_s": 600.0, "soft_timeout_s": DEADLINE_S / 4} if variant.stale else {}
    region = RegionOptions(
        name="item",
        tiers=("local", "redis") if variant.stale else ("redis",),
        ttl_s=600.0,
        load_timeout_s=DEADLINE_S,
        local=LocalOptions(max_entries=load.keys),
        hot_keys=0,
        **stale,  # type: ignore[arg-type]
    )
    warm = load.keys if variant.warm_up else 0
    return Matrix.of(
        region,
        CacheOptions(redis=redis_url, state_dir=folder, warm_keys=warm, warm_every_s=1.0, warm_rate=load.rate * 2),
    )


@contextlib.asynccontextmanager
async def opened_naive(load: Load, redis_url: str, database: str) -> AsyncIterator[Reads]:
    """Give the naive way, filled."""
    store = await open_store(f"{database}#slow_items", pool_size=load.connections, timeout_s=10.0)
    client = redis.asyncio.Redis.from_url(redis_url)
    await client.mset({f"k{number}": json.dumps(f"v{number}") for number in range(load.keys)})
    yield CacheAside(client, store)
    await client.aclose()
    await store.aclose()


async def wipe(reads: Reads, load: Load, server: RedisServer, database: str, stats: Any = None) -> Tally:
    """Wipe Redis under load, and go on for the load's seconds."""
    tally, stop = Tally(), asyncio.Event()
    began = time.monotonic() + 2.0  # the wipe
    watcher = asyncio.ensure_future(_watch(database, tally, stop))
    reader = asyncio.ensure_future(_open_loop(reads, load, tally, began))
    hits = asyncio.ensure_future(_watch_hits(stats, tally, began, stop))
    await asyncio.sleep(2.0)
    await asyncio.to_thread(server.cli, "FLUSHALL")
    await reader
    stop.set()
    await asyncio.gather(watcher, hits)
    return tally


async def _open_loop(reads: Reads, load: Load, tally: Tally, began: float) -> None:
    draw, running = random.Random(5), set[asyncio.Task[None]]()
    due = time.monotonic()
    while due < began + load.seconds:
        while due <= time.monotonic():
            task = asyncio.ensure_future(_read(reads, f"k{draw.randrange(load.keys)}", due, tally, began))
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / load.rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*running)


async def _read(reads: Reads, key: str, due: float, tally: Tally, began: float) -> None:
    is_right = False
    try:
        value = await reads.read(key)
        is_right = value == "v" + key[1:]
        tally.wrong += not is_right
    except Exception:  # noqa: S110  # whatever a caller sees, the read was not good
        pass
    took_s = time.monotonic() - due
    tally.durations_s.append(took_s)
    tally.note(int(due - began) if due >= began else -1, is_good=is_right and took_s <= DEADLINE_S * 1.1)


async def _watch_hits(stats: Any, tally: Tally, began: float, stop: asyncio.Event) -> None:
    """Ask the region's counters twice a second what part of the reads was answered without a load."""
    while stats is not None and not stop.is_set():
        reads, hits = stats.slow_reads, stats.slow_hits
        await asyncio.sleep(0.5)
        if stats.slow_reads > reads:
            rate = (stats.slow_hits - hits) / (stats.slow_reads - reads)
            tally.hit_rates.append((time.monotonic() - began, rate))


async def _watch(database: str, tally: Tally, stop: asyncio.Event) -> None:
    """Ask the database itself how many queries it runs."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        while not stop.is_set():
            row = await (await connection.execute(IN_FLIGHT.replace("%%", "%").encode())).fetchone()
            tally.most_in_flight = max(tally.most_in_flight, row[0] - 1 if row else 0)
            await asyncio.sleep(0.05)


def figures(tally: Tally, load: Load) -> dict[str, Any]:
    """Return what is told of a run."""
    seconds = int(load.seconds)
    return {
        "goodput_before": round(tally.goodput(-1, 0), 4),
        "goodput_first_10_s": round(tally.goodput(0, min(10, seconds)), 4),
        "goodput_all": round(tally.goodput(0, seconds), 4),
        "goodput_last_5_s": round(tally.goodput(seconds - 5, seconds), 4),
        "good_99_after_s": tally.recovered_s(seconds),
        "hit_rate_95_after_s": tally.hits_again_s(),
        "most_queries_at_once": tally.most_in_flight,
        "limit": load.connections,
        "wrong": tally.wrong,
        "p99_ms": round(p99_s(tally.durations_s) * 1e3),
    }


def run(name: str, load: Load, redis_server: RedisServer, postgres: PostgresServer) -> dict[str, Any]:
    """Run one variant, or the naive way, on a database of its own."""
    with postgres.database() as database:
        with psycopg.connect(database, autocommit=True) as connection:
            for statement in SLOW_VIEW.replace("%(keys)s", str(load.keys)).split(";\n"):
                connection.execute(statement.encode())
        redis_server.flush()
        return asyncio.run(_run(name, load, redis_server, database))


async def _run(name: str, load: Load, server: RedisServer, database: str) -> dict[str, Any]:
    if name == "single-flight alone":
        async with opened_naive(load, server.url, database) as naive:
            return figures(await wipe(naive, load, server, database), load)
    async with opened(VARIANTS[name], load, server.url, database) as (region, stats):
        return figures(await wipe(region, load, server, database, stats), load)


def holds(name: str, row: Mapping[str, Any]) -> bool:
    """Say whether what is promised of *name* is there."""
    if not name.startswith("full"):
        return True
    return row["wrong"] == 0 and row["good_99_after_s"] is not None and row["most_queries_at_once"] <= row["limit"]


def main() -> int:
    """Run the command line; exit status 1 where the promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="", help="names of variants, separated by semicolons")
    parser.add_argument("--short", action="store_true", help="a fifth of the rate and of the connections, 30 seconds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load = Load(arguments.rate, arguments.connections, arguments.seconds)
    load = Load(load.rate / 5, load.connections // 5, 30.0) if arguments.short else load
    names = [name for name in arguments.only.split(";") if name] or [*VARIANTS, "single-flight alone"]
    rows: dict[str, dict[str, Any]] = {}
    with RedisServer() as server, PostgresServer(fsync=False) as postgres:
        for name in names:
            rows[name] = run(name, load, server, postgres)
            if not arguments.json:
                print(f"{name:30} " + ", ".join(f"{key} {value}" for key, value in rows[name].items()), flush=True)
    if arguments.json:
        print(json.dumps({"rate": load.rate, "keys": load.keys, "rows": rows}))
    return 0 if all(holds(name, row) for name, row in rows.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
