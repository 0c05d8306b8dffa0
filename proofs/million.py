"""
99.99 % of a million requests are answered right and in time while twelve faults strike, one after the other.

An open loop of reads and writes (one in fifty) goes through one region on a Redis Cluster of 3 + 3 behind fault
proxies and a real PostgreSQL. A request is *bad* where its caller sees an error, gets another key's value or one older
than this node's last write that had ended, or waits longer than a second from the moment it was due. Promised: at most
83 bad of a million. Every defence is then left out in turn, in a shorter run over the same faults.

Run: ``python -m proofs.million [--requests 1000000] [--rate 2000] [--without all|NAME,…] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import psycopg

from tests.rig import PostgresServer
from tests.rig.redis import any_binary
from tiercel import AsyncCache, CacheOptions, JournalOptions, LocalOptions, Matrix, RegionOptions
from tiercel._async.region import AsyncRegion
from tiercel._core.breaker import Breaker
from tiercel._process import Process
from tiercel.drill.deployments import Cluster
from tiercel.drill.faults import faults_of
from tiercel.drill.members import Refusal
from tiercel.errors import CacheError
from tiercel.typing import MISS

DEADLINE_S = 1.0
KEYS = 20_000
WRITE_EVERY = 50
ALLOWED_SHARE = 83 / 1_000_000
FAULTS = ["+100 ms", "+500 ms", "deaf", "refused", "reset", "frozen", "flushed", "store restarted", "busy", "loading"]
FAULTS += ["oom", "killed"]
ROWS = f"""
CREATE TABLE items (tenant text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value jsonb,
    version bigint NOT NULL, deleted boolean NOT NULL DEFAULT false, PRIMARY KEY (tenant, key));
INSERT INTO items SELECT 'acme', 'k' || number, jsonb_build_array('k' || number, 0), 1, false
    FROM generate_series(0, {KEYS - 1}) AS number;
"""

BASE = RegionOptions(
    name="item",
    tiers=("local", "redis"),
    ttl_s=600.0,
    local_ttl_s=5.0,
    keep_s=3600.0,
    load_timeout_s=0.9,
    soft_timeout_s=0.25,
    strategy="write-behind",
    journal=JournalOptions(interval_s=0.05),
    local=LocalOptions(max_entries=5_000),
)


@dataclass(frozen=True)
class Defences:
    """What stands between the faults and the callers."""

    region: RegionOptions = BASE
    redis_timeout_s: float = 0.1
    breaker: bool = True
    store_connections: int = 20
    warms: bool = True


WITHOUT: dict[str, Defences] = {
    "time limit for Redis": Defences(redis_timeout_s=30.0),
    "breaker": Defences(breaker=False),
    "stale windows": Defences(replace(BASE, keep_s=0.0, soft_timeout_s=None)),
    "local tier": Defences(replace(BASE, tiers=("redis",), local_ttl_s=None, hot_keys=0)),
    "warm-up": Defences(warms=False),
    "write-behind": Defences(replace(BASE, strategy="write-through", journal=None)),
    "all of them": Defences(
        replace(
            BASE,
            tiers=("redis",),
            local_ttl_s=None,
            hot_keys=0,
            keep_s=0.0,
            soft_timeout_s=None,
            strategy="write-through",
            journal=None,
        ),
        redis_timeout_s=30.0,
        breaker=False,
        warms=False,
    ),
}


@dataclass
class Tally:
    """What callers got."""

    requests: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    """By fault and what was bad."""
    fault: str = "none"
    longest_s: float = 0.0

    def note(self, fault: str, why: str | None, took_s: float) -> None:
        """Count a request that was due under *fault*."""
        self.requests += 1
        self.longest_s = max(self.longest_s, took_s)
        if why is None and took_s > DEADLINE_S:
            why = "too late"
        if why is not None:
            self.bad[f"{fault}: {why}"] += 1


class Caller:
    """Sends the requests, when each is due."""

    def __init__(self, region: AsyncRegion, tally: Tally) -> None:
        self._region = region
        self._tally = tally
        self._written: dict[str, int] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._draw = random.Random(3)

    async def run(self, requests: int, rate: float) -> None:
        """Send *requests* at *rate* a second, whether earlier ones have ended or not."""
        due = time.monotonic()
        for number in range(requests):
            wait_s = due - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif number % 100 == 0:
                await asyncio.sleep(0)  # behind time: those that were sent need a turn as well
            key = f"k{int(KEYS * self._draw.random() ** 3)}"
            self._send(self._write(key, number, due) if number % WRITE_EVERY == 0 else self._read(key, due))
            due += 1 / rate
        await asyncio.gather(*self._running)

    def _send(self, request: Any) -> None:
        task = asyncio.ensure_future(request)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _read(self, key: str, due: float) -> None:
        least, fault, why = self._written.get(key, 0), self._tally.fault, None
        try:
            value = await self._region.read(key, MISS)
            if value is MISS or value[0] != key:
                why = "wrong"
            elif value[1] < least:
                why = "older than a write that had ended"
        except Exception as error:  # whatever a caller sees is what is counted
            why = type(error).__name__
        self._tally.note(fault, why, time.monotonic() - due)

    async def _write(self, key: str, number: int, due: float) -> None:
        fault, why = self._tally.fault, None
        try:
            await self._region.write(key, [key, number])
            self._written[key] = number
        except Exception as error:  # as above
            why = f"write {type(error).__name__}"
        self._tally.note(fault, why, time.monotonic() - due)


@dataclass
class Ground:
    """What is struck."""

    cluster: Cluster
    postgres: PostgresServer

    def strike(self, name: str) -> Callable[[], None]:
        """Begin the fault *name*, and return what ends it."""
        if name == "flushed":
            for member in self.cluster.members:
                with contextlib.suppress(Refusal):  # a replica takes no orders
                    member.ask("FLUSHALL")
            return lambda: None
        if name == "store restarted":
            self.postgres.restart()
            return lambda: None
        (fault,) = faults_of(self.cluster, [name])
        fault.strike()
        return fault.mend


async def schedule(ground: Ground, tally: Tally, seconds: float, names: Sequence[str]) -> None:
    """Strike every fault once, spread evenly over *seconds*; each lasts a quarter of its share, at least a second."""
    share_s = seconds / (len(names) + 1)
    began = time.monotonic()
    for number, name in enumerate(names):
        await asyncio.sleep(max(0.0, began + (number + 0.5) * share_s - time.monotonic()))
        tally.fault = name
        mend = await asyncio.to_thread(ground.strike, name)
        await asyncio.sleep(max(1.0, share_s / 4))
        await asyncio.to_thread(mend)
        await asyncio.to_thread(ground.cluster.wait_well)
    tally.fault = "none"


@contextlib.contextmanager
def breaker_stays_closed() -> Iterator[None]:
    """Let no breaker open."""
    with mock.patch.object(Breaker, "failed", return_value=None):
        yield


@contextlib.asynccontextmanager
async def opened(defences: Defences, url: str, database: str) -> AsyncIterator[AsyncRegion]:
    """Give a region of its own with *defences*, filled."""
    with tempfile.TemporaryDirectory(prefix="tiercel-million-") as folder, contextlib.ExitStack() as stack:
        if not defences.breaker:
            stack.enter_context(breaker_stays_closed())
        matrix = Matrix.of(
            replace(defences.region, store=f"{database}#items"),
            CacheOptions(
                redis=url,
                state_dir=folder,
                redis_timeout_s=defences.redis_timeout_s,
                store_connections=defences.store_connections,
                warm_keys=KEYS if defences.warms else 0,
                warm_every_s=5.0,
                warm_rate=5000.0,
            ),
        )
        async with AsyncCache(matrix, process=Process(), drain_s=30.0) as cache:
            region = cache.tenant("acme").region("item")
            for start in range(0, KEYS, 200):
                with contextlib.suppress(CacheError):  # a busy machine: the load itself fills what is left
                    await region.read_many([f"k{number}" for number in range(start, start + 200)])
            yield region


async def million(
    ground: Ground, defences: Defences, requests: int, rate: float, database: str, names: Sequence[str]
) -> Tally:
    """Send *requests* through *defences* while every fault of *names* strikes once."""
    tally = Tally()
    async with opened(defences, ground.cluster.url, database) as region:
        faults = asyncio.ensure_future(schedule(ground, tally, requests / rate, names))
        await Caller(region, tally).run(requests, rate)
        await faults
    return tally


def run(defences: Defences, requests: int, rate: float, names: Sequence[str] = FAULTS) -> dict[str, Any]:
    """Run one million, or less, on servers of its own; return the figures."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(str(any_binary())))
        postgres = stack.enter_context(PostgresServer(fsync=False))
        database = stack.enter_context(postgres.database())
        with psycopg.connect(database, autocommit=True) as connection:
            for statement in ROWS.strip().split(";\n"):
                connection.execute(statement.encode())
        tally = asyncio.run(million(Ground(cluster, postgres), defences, requests, rate, database, names))
    bad = sum(tally.bad.values())
    return {
        "requests": tally.requests,
        "bad": bad,
        "bad_of_a_million": round(bad / max(1, tally.requests) * 1e6),
        "longest_ms": round(tally.longest_s * 1e3),
        "by_fault": dict(tally.bad.most_common(12)),
    }


def main() -> int:
    """Run the command line; exit status 1 where the promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument(
        "--without", default="all", help="defences to leave out, by name; 'none' for the full run alone"
    )
    parser.add_argument("--shortened", type=int, default=60_000, help="requests of the runs without a defence")
    parser.add_argument("--short", action="store_true", help="30,000 requests at 500 a second, all defences on")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    requests, rate = (30_000, 500.0) if arguments.short else (arguments.requests, arguments.rate)
    names = {"all": list(WITHOUT), "none": []}.get(arguments.without, arguments.without.split(","))
    rows = {"every defence": run(Defences(), requests, rate)}
    for name in [] if arguments.short else names:
        rows[f"without {name}"] = run(WITHOUT[name], arguments.shortened, rate / 2)
    if arguments.json:
        print(json.dumps(rows))
    else:
        for name, row in rows.items():
            print(f"{name:30} " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    whole = rows["every defence"]
    return 0 if whole["bad"] <= max(1, ALLOWED_SHARE * whole["requests"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
