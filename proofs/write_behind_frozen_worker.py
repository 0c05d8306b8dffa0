"""
A worker that is frozen past its lease, and thaws, loses nothing and reorders nothing.

One process journals; two workers share its single partition. The one that holds the lease is stopped (SIGSTOP) for
three leases, so that the other takes over, and let go on (SIGCONT) with the batch it still has in hand; then the
roles change. A trigger audits every change of a row in the store. Beside it the same without a version guard in the
store: the thawed worker must bring older rows back.

Run: ``python -m proofs.write_behind_frozen_worker [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from proofs.write_behind_exactly_once import AUDIT, repeats
from proofs.write_behind_harness import LEASE_S, Ledger, Scratch, Work, start_child, stored_numbers

JOURNAL = "tiercel-proof.journal"


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    freezes: int
    handovers: int
    acknowledged: int
    lost: int
    reordered: int


@contextmanager
def running(work: Work) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child; it is killed at the end, frozen or not."""
    process = start_child(work)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(way: str, freezes: int) -> Figures:
    """Freeze the worker that holds the lease, *freezes* times, then recover and compare."""
    with Scratch() as home:
        database = home / "store.db"
        produce = Work(
            home=str(home),
            store=f"sqlite:///{database}#proof",
            producers=4,
            rows=5,
            keys=50,
            partitions=1,
            flushes=False,
        )
        flush = replace(produce, way=way, producers=0, flushes=True)
        ledger = Ledger(produce.ledger, produce.producers)
        calm = replace(produce, flushes=True)
        asyncio.run(stored_numbers(calm))  # makes the tables
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(AUDIT)
        with ExitStack() as stack:
            stack.enter_context(running(produce))
            workers = {each.pid: each for each in [stack.enter_context(running(flush)) for _ in range(2)]}
            handovers = sum(freeze_once(home / JOURNAL, workers) for _ in range(freezes))
        time.sleep(2 * LEASE_S)
        numbers, _ = asyncio.run(stored_numbers(calm))
        return Figures(freezes, handovers, ledger.acknowledged, ledger.lost(numbers, produce.keys), repeats(database))


def freeze_once(journal: object, workers: dict[int, subprocess.Popen[bytes]]) -> bool:
    """Freeze the holder past its lease and let it go on; say whether the other took over."""
    holder = wait_for_holder(journal, workers)
    workers[holder].send_signal(signal.SIGSTOP)
    time.sleep(3 * LEASE_S)
    taken = wait_for_holder(journal, workers) != holder
    workers[holder].send_signal(signal.SIGCONT)
    time.sleep(LEASE_S)
    return taken


def wait_for_holder(journal: object, workers: dict[int, subprocess.Popen[bytes]]) -> int:
    """Return the process id in the lease's owner, ``host:pid:…``, once it is one of *workers*."""
    while True:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
            (owner,) = connection.execute("SELECT owner FROM partition").fetchone()
        holder = int((owner or "::").split(":")[1] or 0)
        if holder in workers:
            return holder
        time.sleep(0.02)


def main() -> int:
    """Run the command line; exit status 1 where a freeze lost or reordered something, or no worker took over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 freezes in place of 20")
    arguments = parser.parse_args()
    freezes = 3 if arguments.short else 20
    figures = {"tiercel": run("tiercel", freezes), "unguarded": run("unguarded", freezes)}
    if arguments.json:
        print(json.dumps({way: vars(each) for way, each in figures.items()}))
    else:
        for way, each in figures.items():
            print(f"{way}: {each}")
    ours, naive = figures.values()
    held = ours.lost == ours.reordered == 0 and ours.handovers > 0
    return 0 if held and naive.reordered > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
