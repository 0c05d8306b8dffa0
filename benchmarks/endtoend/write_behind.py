"""
How fast write-behind acknowledges, and how fast it empties its journal into a store.

*Bulk* (``rows_per_second``): rows in memory written by the store's `write_many` under the version guard. Beside it, in
turns, the same number of rows one statement each (a sample) and by the driver's own batch, likewise from memory:
``vs_single_row`` and ``vs_executemany``. PostgreSQL has fsync on.

*Flush* (``flushed_per_second``): rows are journaled in a local file, then timed on their whole way: read from the
journal, decoded, coalesced, written in bulk, removed from the journal. ``flushed_vs_executemany`` compares all that
with a driver that has its rows in memory and keeps no journal.

*Acknowledgement*: writes a second of 1 and 64 producers, one row a call, for each journal and durability, while nothing
flushes.

Run: ``python -m benchmarks.endtoend.write_behind [--rows 100000] [--rounds 3] [--seconds 3] [--only STORE] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.endtoend.bulk_stores import SINGLE_ROWS, Bench, elasticsearch, mongodb, postgres, profiles, rate
from proofs.write_behind_partition import primary_with_replicas
from tests.rig import PostgresServer, Unavailable
from tiercel._async.journals import open_journal as open_async_journal
from tiercel._async.link import open_link
from tiercel._async.stores.memory import AsyncMemoryStore
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel._sync.journals import open_journal
from tiercel._sync.writebehind import WriteBehind
from tiercel.options import JournalOptions
from tiercel.typing import Change

BATCH_ROWS: Final = 10_000
FLUSH_ROWS: Final = 2_500
"""Of each partition: small enough that a round's objects cost the garbage collector little."""
STORES: Final[dict[str, Callable[[], AbstractContextManager[Bench]]]] = {
    "postgres": postgres,
    "mongodb": mongodb,
    "elasticsearch": elasticsearch,
}
PRODUCERS: Final = (1, 64)
UNBOUND: Final[dict[str, Any]] = {"max_pending": None, "max_pending_bytes": None}


def behind_of(bench: Bench, home: Path, *, flush: bool) -> WriteBehind:
    """Return write-behind into the store of *bench*, on a journal file in *home*."""
    options = JournalOptions(batch_size=FLUSH_ROWS, flush=flush, **UNBOUND)
    journal = open_journal("bench", options, clock=SystemClock(), directory=home)
    return WriteBehind("bench", options, bench.store, journal, clock=SystemClock())


def flush_rate(bench: Bench, changes: Sequence[Change]) -> float:
    """Journal *changes*, then return how many a second reach the store."""
    with tempfile.TemporaryDirectory() as folder:
        filling = behind_of(bench, Path(folder), flush=False)
        filling.start()
        for start in range(0, len(changes), BATCH_ROWS):
            filling.write_many("acme", {change.key: change.value for change in changes[start : start + BATCH_ROWS]})
        filling.close()
        behind = behind_of(bench, Path(folder), flush=True)
        began = time.monotonic()
        behind.start()
        left = behind.drain(600.0)
        elapsed_s = time.monotonic() - began
        behind.close()
    if left:
        raise RuntimeError(f"{left} rows were not flushed: {behind.stats().last_error}")
    return len(changes) / elapsed_s


def measure_store(bench: Bench, rows: int, rounds: int) -> dict[str, float]:
    """Return the rates into one store, and ratios to the plain ways: medians of *rounds* that take turns."""

    def write_many(changes: Sequence[Change]) -> None:
        if not all(outcome.applied for outcome in bench.store.write_many(changes, guard=True)):
            raise RuntimeError(f"{bench.name}: rows were not written")

    taken: dict[str, list[float]] = {"flush": [], "ours": [], "single": [], "batch": []}
    for turn in range(rounds):
        first = 4 * turn * rows
        taken["flush"].append(flush_rate(bench, profiles(rows, first)))
        taken["ours"].append(rate(write_many, profiles(rows, first + 3 * rows), BATCH_ROWS))
        taken["single"].append(rate(bench.write_one, profiles(SINGLE_ROWS, first + rows), BATCH_ROWS))
        taken["batch"].append(rate(bench.write_batch, profiles(rows, first + 2 * rows), BATCH_ROWS))
    return {
        "rows_per_second": median(taken["ours"]),
        "single_row_per_second": median(taken["single"]),
        "driver_batch_per_second": median(taken["batch"]),
        "vs_single_row": median(map(truediv, taken["ours"], taken["single"])),
        "vs_executemany": median(map(truediv, taken["ours"], taken["batch"])),
        "flushed_per_second": median(taken["flush"]),
        "flushed_vs_single_row": median(map(truediv, taken["flush"], taken["single"])),
        "flushed_vs_executemany": median(map(truediv, taken["flush"], taken["batch"])),
    }


@contextlib.asynccontextmanager
async def acknowledging(options: JournalOptions, **places: Any) -> AsyncIterator[AsyncWriteBehind]:
    """Open write-behind that nothing flushes."""
    clock = SystemClock()
    url = places.pop("redis", None)
    link = await open_link(url) if url else None
    journal = open_async_journal("bench", options, clock=clock, link=link, **places)
    behind = AsyncWriteBehind("bench", options, AsyncMemoryStore(), journal, clock=clock)
    try:
        await behind.start()
        yield behind
    finally:
        await behind.aclose(0.0)
        if link is not None:
            await link.aclose()


async def acknowledgements(behind: AsyncWriteBehind, producers: int, seconds: float) -> float:
    """Return writes a second of *producers*, one row a call."""
    count = 0
    ends = time.monotonic() + seconds

    async def produce(producer: int) -> None:
        nonlocal count
        while time.monotonic() < ends:
            await behind.write("acme", f"{producer}-{count % 1000}", {"name": "User", "age": count})
            count += 1

    began = time.monotonic()
    await asyncio.gather(*[produce(producer) for producer in range(producers)])
    return count / (time.monotonic() - began)


async def measure_journal(kind: Any, durability: Any, seconds: float, **places: Any) -> dict[str, float]:
    """Return acknowledgements a second by number of producers."""
    options = JournalOptions(kind=kind, durability=durability, flush=False, **UNBOUND)
    async with acknowledging(options, **places) as behind:
        return {str(count): await acknowledgements(behind, count, seconds) for count in PRODUCERS}


def measure_journals(seconds: float) -> dict[str, dict[str, float]]:
    """Return acknowledgements a second for each journal and durability."""
    figures = {"memory": asyncio.run(measure_journal("memory", "memory", seconds))}
    for durability in ("process", "always"):
        with tempfile.TemporaryDirectory() as folder:
            figures[f"file {durability}"] = asyncio.run(measure_journal("file", durability, seconds, directory=folder))
    with PostgresServer() as server:
        for durability in ("process", "always"):
            with server.database() as url:
                figures[f"postgres {durability}"] = asyncio.run(
                    measure_journal("postgres", durability, seconds, url=url)
                )
    for durability in ("process", "always", "replicated"):
        with primary_with_replicas() as (primary, _, _):
            if durability == "always":
                primary.cli("CONFIG", "SET", "appendfsync", "always")
            figures[f"redis {durability}"] = asyncio.run(
                measure_journal("redis", durability, seconds, redis=primary.url)
            )
    return figures


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each acknowledgement figure")
    parser.add_argument("--only", choices=[*STORES, "journals"], help="one store, or the acknowledgements alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, open_bench in STORES.items():
        if arguments.only in (None, name):
            try:
                with open_bench() as bench:
                    figures[name] = measure_store(bench, arguments.rows, arguments.rounds)
            except Unavailable as reason:
                figures[name] = {"unavailable": str(reason)}
    if arguments.only in (None, "journals"):
        figures["acknowledgements_per_second"] = measure_journals(arguments.seconds)
    if arguments.json:
        print(json.dumps(figures.pop("postgres", {}) | figures))
    else:
        print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
