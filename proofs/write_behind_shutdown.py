"""
A process that is told to stop under load brings what it acknowledged to the store before it goes.

A process with 16 producers is sent SIGTERM at a random moment, fifty times over; it must end by itself, with status 0
and within its deadline, and every acknowledged write must be in the store, the journal empty. Beside it a queue in
memory that stops at once, as an application without a drain does: it must lose.

Run: ``python -m proofs.write_behind_shutdown [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from dataclasses import dataclass

from proofs.write_behind_harness import TENANT, Ledger, Scratch, Work, key_of, start_child
from tiercel._async.stores import open_store
from tiercel.typing import Key

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Figures:
    """What one way did."""

    stops: int
    acknowledged: int
    lost: int
    slowest_s: float


def run(way: str, stops: int, *, drains: bool) -> Figures:
    """Stop *stops* times under load, comparing the store alone with the ledger after each."""
    chance = random.Random(7)
    slowest_s, lost = 0.0, 0
    with Scratch() as home:
        work = Work(home=str(home), store=f"sqlite:///{home}/store.db#proof", way=way, drains=drains)
        ledger = Ledger(work.ledger, work.producers)
        for _ in range(stops):
            slowest_s = max(slowest_s, stop_once(work, ledger, chance))
            lost += ledger.lost(asyncio.run(rows_of(work)), work.keys)
        return Figures(stops, ledger.acknowledged, lost, slowest_s)


def stop_once(work: Work, ledger: Ledger, chance: random.Random) -> float:
    """Start a child, send it SIGTERM under load, and return how long it took to end, in seconds."""
    before = ledger.acknowledged
    process = start_child(work)
    try:
        while ledger.acknowledged == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.6))
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    if code != 0:
        raise RuntimeError(f"the child ended with {code}")
    return time.monotonic() - began


async def rows_of(work: Work) -> dict[str, int]:
    """Return the stored number of every key."""
    store = await open_store(work.store)
    keys: list[Key] = [key_of(p, n, work.keys) for p in range(work.producers) for n in range(work.keys)]
    try:
        return {str(key): record.value["n"] for key, record in (await store.read_many(TENANT, keys)).items()}
    finally:
        await store.aclose()


def main() -> int:
    """Run the command line; exit status 1 where a stop lost something, or the naive stop nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 stops in place of 50")
    arguments = parser.parse_args()
    figures = {
        "tiercel": run("tiercel", 3 if arguments.short else 50, drains=True),
        "memory-queue": run("memory-queue", 3, drains=False),
    }
    if arguments.json:
        print(json.dumps({way: vars(each) for way, each in figures.items()}))
    else:
        for way, each in figures.items():
            print(f"{way}: {each}")
    return 0 if figures["tiercel"].lost == 0 and figures["memory-queue"].lost > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
