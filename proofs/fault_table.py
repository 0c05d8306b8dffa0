"""
A sick Redis harms no caller: every fault of the drill through whole regions, on one server, a Cluster and Sentinels.

Readers in an open loop and a writer go through a region without local copies, so that every read asks Redis, while
refusals, silence, delays, a script, a reload, a full memory, a demoted primary, unserved slots and fail-overs strike.
Promised of each: no caller sees an error or a wrong value, the 99th percentile of a read stays within its deadline, the
breaker opens within 1 s, Redis serves again within 5 s, or within the node timeout and 3 s where another primary takes
over. The naive way is cache-aside on redis-py as it comes, on one server.

Run: ``python -m proofs.fault_table [--on standalone,cluster,sentinel] [--only deaf,…] [--seconds 3] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import redis.asyncio

from tests.rig.redis import any_binary
from tiercel.drill.deployments import Cluster, Deployment, Sentinel, Standalone
from tiercel.drill.faults import Fault, faults_of
from tiercel.drill.load import Rows, Seen, p99_s, under_load
from tiercel.drill.table import KEYS, Drill, Row, run_table
from tiercel.typing import Change

DEPLOYMENTS: dict[str, type[Deployment]] = {"standalone": Standalone, "cluster": Cluster, "sentinel": Sentinel}
GIVEN_UP_S = 10.0


class CacheAside:
    """The naive way: ask Redis, else the store, then tell Redis; a write deletes the key. As redis-py comes."""

    def __init__(self, client: redis.asyncio.Redis, rows: Rows) -> None:
        self._client = client
        self._rows = rows

    async def read(self, key: str) -> Any:
        async with asyncio.timeout(GIVEN_UP_S):
            found = await self._client.get(key)
            if found is not None:
                return json.loads(found)
            record = await self._rows.read("", key)
            assert record is not None
            await self._client.set(key, json.dumps(record.value))
        return record.value

    async def write(self, key: str, value: Any) -> None:
        await self._rows.write(Change("", key, value, 0))
        async with asyncio.timeout(GIVEN_UP_S):
            await self._client.delete(key)


async def strike_naive(deployment: Deployment, fault: Fault, drill: Drill) -> Seen:
    """Strike the naive way, and return what its callers saw."""
    keys = [f"k{number}" for number in range(KEYS)]
    client = redis.asyncio.Redis.from_url(deployment.url)
    async with under_load(CacheAside(client, Rows(keys)), keys, drill.rate) as seen:
        await asyncio.sleep(1.0)
        seen.reset()
        await asyncio.to_thread(fault.strike)
        await asyncio.sleep(drill.seconds)
        await asyncio.to_thread(fault.mend)
        await asyncio.sleep(1.0)
    await client.aclose()
    return seen


def naive_row(deployment: Deployment, name: str, drill: Drill) -> dict[str, Any]:
    """Return what the callers of the naive way saw of the fault *name*."""
    (fault,) = faults_of(deployment, [name])
    seen = asyncio.run(strike_naive(deployment, fault, drill))
    deployment.wait_well()
    p99_ms = round(p99_s(seen.durations_s) * 1e3, 1)
    return {"errors": len(seen.errors), "wrong": seen.wrong, "late": seen.late, "p99_ms": p99_ms}


def table(kinds: Sequence[str], only: Sequence[str], drill: Drill, *, shows: bool = True) -> list[dict[str, Any]]:
    """Run every fault on every deployment, and the naive way beside it on one server; return the lines."""
    lines: list[dict[str, Any]] = []
    for kind in kinds:
        with DEPLOYMENTS[kind](str(any_binary())) as deployment:
            for row in asyncio.run(run_table(deployment, drill, only)):
                naive = naive_row(deployment, row.fault, drill) if kind == "standalone" else None
                lines.append({**dataclasses.asdict(row), "naive": naive})
                if shows:
                    print(_line(row, naive), flush=True)
    return lines


def _line(row: Row, naive: dict[str, Any] | None) -> str:
    counts = f"{row.reads} reads, errors {row.errors}, wrong {row.wrong}, late {row.late}"
    times = f"p99 {row.p99_ms} ms (loop {row.lag_ms}), breaker {row.opened_s} s, well {row.recovered_s} s"
    beside = "" if naive is None else "; naive " + ", ".join(f"{key} {value}" for key, value in naive.items())
    verdict = "" if not row.broken else "  BROKEN: " + "; ".join((*row.broken, *row.examples))
    return f"{row.deployment:10} {row.fault:9} {counts}, {times}{beside}{verdict}"


def main() -> int:
    """Run the command line; exit status 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--on", default=",".join(DEPLOYMENTS))
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    only = [name for name in arguments.only.split(",") if name]
    drill = Drill(seconds=arguments.seconds)
    lines = table(arguments.on.split(","), only, drill, shows=not arguments.json)
    if arguments.json:
        print(json.dumps(lines))
    return 1 if any(line["broken"] for line in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
