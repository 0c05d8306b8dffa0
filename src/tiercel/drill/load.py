"""
The load of a drill: readers in an open loop and a writer, through a whole region, and what they saw.

*Open loop* means that a request begins when its time has come, whether earlier ones have ended or not, and that its
time counts from then on: a stall is seen by every request that it delays, and not by one alone.

A value is *wrong* where it is another key's; it is *late* where it is older than the last write of this node that had
ended when the read began.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiercel.typing import Change, Key, Outcome, Record

__all__ = ["Readable", "Rows", "Seen", "p99_s", "under_load"]

TICK_S = 0.005


class Readable(Protocol):
    """What is put under load: a region, or the naive way."""

    async def read(self, key: str) -> Any:
        """Return the row of *key*."""

    async def write(self, key: str, value: Any) -> Any:
        """Write the row of *key*."""


class Rows:
    """
    The store behind the region: rows in this process that take a while, as a database does.

    Args:
        pause_s: Time of one query.
    """

    def __init__(self, keys: Sequence[str], pause_s: float = 0.002) -> None:
        self.keys = keys
        self.reads = 0
        self.most_in_flight = 0
        self._in_flight = 0
        self._pause_s = pause_s
        self._rows: dict[Key, tuple[Any, int]] = {key: ([key, 0], 1) for key in keys}

    async def read(self, tenant: str, key: Key) -> Record | None:
        """Return the row after its pause."""
        return (await self.read_many(tenant, [key])).get(key)

    async def read_many(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Record]:
        """Return the rows that exist, after one pause."""
        self.reads += 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            rows = {key: Record(*self._rows[key]) for key in keys if key in self._rows}
            await asyncio.sleep(self._pause_s)
        finally:
            self._in_flight -= 1
        return rows

    async def write(self, change: Change, *, guard: bool = False) -> Outcome:
        """Apply a change, with a version above the last."""
        await asyncio.sleep(self._pause_s)
        version = max(change.version, self._rows.get(change.key, (None, 0))[1] + 1)
        self._rows[change.key] = change.value, version
        return Outcome(applied=True, version=version)

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        """Apply changes one by one."""
        return [await self.write(change, guard=guard) for change in changes]

    async def ping(self) -> None:
        """It is always there."""

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass
class Seen:
    """What callers saw since it was last `reset`."""

    wrong: int = 0
    late: int = 0
    reads: int = 0
    errors: list[str] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    write_errors: int = 0
    lags_s: list[float] = field(default_factory=list)
    """How late the loop itself was, measured beside the calls: a busy machine's share of a call's time."""

    def reset(self) -> None:
        """Begin anew."""
        for name, value in vars(Seen()).items():
            setattr(self, name, value)


def p99_s(values: Sequence[float]) -> float:
    """Return the 99th percentile, 0 for no values."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


@asynccontextmanager
async def under_load(
    region: Readable, keys: Sequence[str], rate: float, writes_per_s: float = 20.0
) -> AsyncIterator[Seen]:
    """Read *rate* keys a second and write a few; in the block's end what is under way is waited for."""
    seen, stop = Seen(), asyncio.Event()
    written: dict[str, int] = {}
    tasks = [
        asyncio.ensure_future(_readers(region, keys, rate, seen, written, stop)),
        asyncio.ensure_future(_writer(region, keys, writes_per_s, seen, written, stop)),
        asyncio.ensure_future(_watch_lag(seen, stop)),
    ]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _readers(
    region: Readable, keys: Sequence[str], rate: float, seen: Seen, written: dict[str, int], stop: asyncio.Event
) -> None:
    draw, running = random.Random(7), set[asyncio.Task[None]]()
    due = time.monotonic()
    while not stop.is_set():
        while due <= time.monotonic():
            task = asyncio.ensure_future(_read(region, draw.choice(keys), due, seen, written))
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*running)


async def _read(region: Readable, key: str, due: float, seen: Seen, written: dict[str, int]) -> None:
    least = written.get(key, 0)
    try:
        owner, number = await region.read(key)
        seen.wrong += owner != key
        seen.late += number < least
    except Exception as error:  # whatever a caller sees is what is counted
        seen.errors.append(f"{type(error).__name__}: {error}")
    seen.reads += 1
    seen.durations_s.append(time.monotonic() - due)


async def _writer(
    region: Readable, keys: Sequence[str], per_s: float, seen: Seen, written: dict[str, int], stop: asyncio.Event
) -> None:
    draw, number = random.Random(11), 0
    while per_s and not stop.is_set():
        key, number = draw.choice(keys), number + 1
        try:
            await region.write(key, [key, number])
            written[key] = number
        except Exception as error:
            seen.write_errors += 1
            seen.errors.append(f"write: {type(error).__name__}: {error}")
        await asyncio.sleep(1 / per_s)


async def _watch_lag(seen: Seen, stop: asyncio.Event) -> None:
    while not stop.is_set():
        started = time.monotonic()
        await asyncio.sleep(TICK_S)
        seen.lags_s.append(time.monotonic() - started - TICK_S)
