"""
A row that the store refuses stops only itself: it is parked with its reason, and the others are as quick as without
it.

Writes come at a steady rate; 2 in 1,000 break a CHECK constraint of the table. All of these must end as dead letters,
all others in the table, and the 99th percentile of the time from acknowledgement to the store must stay that of the
same run without poison. Beside it the naive flusher, which writes a batch in one transaction and repeats it where it
fails: it stops.

Run: ``python -m proofs.write_behind_poison [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.write_behind_harness import Scratch
from tiercel._async.journals import open_journal
from tiercel._async.stores import open_store
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel.options import JournalOptions
from tiercel.typing import Change

RATE = 1000
"""Writes a second."""
POISON_EVERY = 500
OPTIONS = JournalOptions(kind="file", durability="process", interval_s=0.05, retry_s=0.02, retry_max_s=0.2)


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    written: int
    poison: int
    parked: int
    stored: int
    p50_ms: float
    p99_ms: float


def make_table(database: Path) -> None:
    """Make the table with its constraint."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE proof (id TEXT PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= 0))")


def count_rows(database: Path) -> int:
    """Return how many rows are stored."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM proof").fetchone()[0])


def number_at(place: int, *, poison: bool) -> int:
    """Return the value of the write at *place*: below zero where it is poison."""
    return -place if poison and place % POISON_EVERY == POISON_EVERY // 2 else place


async def run(home: Path, seconds: float, *, poison: bool) -> Figures:
    """Write for *seconds* at `RATE`, wait for the flush, and measure."""
    database = home / "store.db"
    make_table(database)
    store = await open_store(f"sqlite:///{database}#proof?key=id")
    accepted: dict[Any, float] = {}
    waited: list[float] = []

    async def persisted(changes: Sequence[Change]) -> None:
        now = time.monotonic()
        waited.extend(now - accepted[change.key] for change in changes)

    journal = open_journal("proof", OPTIONS, clock=SystemClock(), directory=home)
    behind = AsyncWriteBehind("proof", OPTIONS, store, journal, clock=SystemClock(), on_persisted=persisted)
    await behind.start()
    began, count = time.monotonic(), int(RATE * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        accepted[str(number)] = time.monotonic()
        await behind.write("acme", str(number), {"n": number_at(number, poison=poison)})
    await behind.drain(60.0)
    parked = (await journal.size()).dead
    await behind.aclose(0.0)
    await store.aclose()
    waited.sort()
    p50_ms, p99_ms = (waited[int(len(waited) * share)] * 1000 for share in (0.5, 0.99))
    return Figures(count, count // POISON_EVERY if poison else 0, parked, count_rows(database), p50_ms, p99_ms)


def run_naive(home: Path, seconds: float) -> int:
    """Flush the same writes in whole batches, repeating one that fails; return how many rows were never stored."""
    database = home / "store.db"
    make_table(database)
    queue = [(str(place), number_at(place, poison=True)) for place in range(int(RATE * seconds))]
    ends = time.monotonic() + 1.0
    with closing(sqlite3.connect(database)) as connection:
        while queue and time.monotonic() < ends:
            try:
                with connection:
                    connection.executemany("INSERT INTO proof VALUES (?, ?)", queue[: OPTIONS.batch_size])
                del queue[: OPTIONS.batch_size]
            except sqlite3.IntegrityError:
                time.sleep(OPTIONS.retry_s)
    return len(queue)


def main() -> int:
    """Run the command line; exit status 1 where a row was lost, or poison delayed the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 s in place of 60 s")
    arguments = parser.parse_args()
    seconds = 3.0 if arguments.short else 60.0
    figures: dict[str, Figures] = {}
    for way in ("without poison", "with poison"):
        with Scratch() as home:
            figures[way] = asyncio.run(run(home, seconds, poison=way == "with poison"))
    with Scratch() as home:
        naive_left = run_naive(home, 3.0)
    if arguments.json:
        print(json.dumps({way: vars(each) for way, each in figures.items()} | {"naive_never_stored": naive_left}))
    else:
        for way, each in figures.items():
            print(f"{way}: {each}")
        print(f"naive: {naive_left} of {int(RATE * 3)} never stored")
    clean, ours = figures.values()
    complete = ours.parked == ours.poison and ours.stored == ours.written - ours.poison
    is_quick = ours.p99_ms <= 2.0 * clean.p99_ms + 100.0
    return 0 if complete and is_quick and naive_left > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
