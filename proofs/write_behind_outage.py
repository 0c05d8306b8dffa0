"""
A store outage loses nothing, and cannot exhaust memory.

Writes come at a steady rate while the store is out; it comes back, and what waited must be stored, drained at no less
than twice the rate at which it came. Then producers that are far quicker than the store run against the bound of the
journal: the process's memory in the second half of the run must stay within 5 % of the first half's end. Beside it a
queue in memory without a bound, which must grow.

Run: ``python -m proofs.write_behind_outage [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofs.write_behind_harness import Scratch
from tiercel._async.journals import open_journal
from tiercel._async.stores import open_store
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel.errors import StoreError
from tiercel.options import JournalOptions
from tiercel.typing import AsyncStore, Change, Outcome

RATE = 1500
"""Writes a second while the store is out."""
SINK_RATE = 500
"""Rows a second that the slow store takes."""
PRODUCERS = 8
VALUE = "x" * 1000


class Patient:
    """A store that can be out, or slow."""

    def __init__(self, inner: AsyncStore) -> None:
        self._inner = inner
        self.is_out = False
        self.rows_per_second: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        if self.is_out:
            raise StoreError("the store is out")
        if self.rows_per_second is not None:
            await asyncio.sleep(len(changes) / self.rows_per_second)
        return await self._inner.write_many(changes, guard=guard)

    async def ping(self) -> None:
        if self.is_out:
            raise StoreError("the store is out")


def resident_bytes() -> int:
    """Return this process's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def start(home: Path, **settings: Any) -> tuple[AsyncWriteBehind, Patient]:
    """Start write-behind to a patient store."""
    defaults: dict[str, Any] = {"kind": "file", "durability": "process", "interval_s": 0.05}
    options = JournalOptions(**(defaults | settings))
    store = Patient(await open_store(f"sqlite:///{home}/store.db#proof", timeout_s=30.0))
    journal = open_journal("proof", options, clock=SystemClock(), directory=home)
    behind = AsyncWriteBehind("proof", options, store, journal, clock=SystemClock())
    await behind.start()
    return behind, store


async def outage(home: Path, seconds: float) -> dict[str, float]:
    """Write at `RATE` through an outage, and measure loss and drain."""
    behind, store = await start(home, max_pending=1_000_000, retry_s=0.05, retry_max_s=1.0)
    store.is_out = True
    began, count = time.monotonic(), int(RATE * seconds)
    for number in range(0, count, 10):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        await behind.write_many("acme", {str(n): {"n": n, "text": VALUE} for n in range(number, number + 10)})
    came_s = time.monotonic() - began
    store.is_out = False
    began = time.monotonic()
    left = await behind.drain(600.0)
    drained_s = time.monotonic() - began
    await behind.aclose(0.0)
    lost = 0
    for number in range(0, count, 500):
        keys = [str(n) for n in range(number, min(number + 500, count))]
        lost += len(keys) - len(await store.read_many("acme", keys))
    await store.aclose()
    produced, drained = count / came_s, count / drained_s
    return {"written": count, "lost": lost, "left": left, "produced_per_s": produced, "drained_per_s": drained}


async def overload(home: Path, seconds: float, **settings: Any) -> dict[str, float]:
    """Write as quickly as the bound allows against a slow store; return memory at the half and its largest after."""
    behind, store = await start(home, batch_size=100, **settings)
    store.rows_per_second = SINK_RATE / 4
    ends = time.monotonic() + seconds
    count = 0

    async def produce(producer: int) -> None:
        nonlocal count
        while time.monotonic() < ends:
            await behind.write("acme", f"{producer}-{count}", {"n": count, "text": VALUE})
            count += 1
            await asyncio.sleep(0)

    async def watch() -> tuple[int, int]:
        await asyncio.sleep(seconds / 2)
        half = largest = resident_bytes()
        while time.monotonic() < ends - 0.1:
            await asyncio.sleep(0.1)
            largest = max(largest, resident_bytes())
        return half, largest

    watcher = asyncio.ensure_future(watch())
    await asyncio.gather(*[produce(producer) for producer in range(PRODUCERS)])
    half, largest = await watcher
    await behind.aclose(0.0)
    await store.aclose()
    return {"written": count, "half_bytes": half, "largest_bytes": largest, "growth": largest / half - 1.0}


def main() -> int:
    """Run the command line; exit status 1 where something was lost, drained slowly, or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="3 s outage and 6 s overload in place of 60 s and 300 s")
    arguments = parser.parse_args()
    out_s, overload_s = (3.0, 6.0) if arguments.short else (60.0, 300.0)
    figures: dict[str, dict[str, float]] = {}
    with Scratch() as home:
        figures["outage"] = asyncio.run(outage(home, out_s))
    with Scratch() as home:
        figures["overload"] = asyncio.run(overload(home, overload_s, max_pending=2_000))
    with Scratch() as home:
        unbound: dict[str, Any] = {
            "kind": "memory",
            "durability": "memory",
            "max_pending": None,
            "max_pending_bytes": None,
        }
        figures["naive"] = asyncio.run(overload(home, min(overload_s, 10.0), **unbound))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, each in figures.items():
            print(name, {field: round(value, 3) for field, value in each.items()})
    out, over, naive = figures.values()
    held = out["lost"] == out["left"] == 0 and out["drained_per_s"] >= 2 * out["produced_per_s"]
    return 0 if held and over["growth"] <= 0.05 < naive["growth"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
