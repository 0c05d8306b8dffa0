"""
How long other processes' local copies outlive an invalidation: four processes, 10,000 invalidations, a real Redis.

One process invalidates, three hold local copies of every key. Printed are the median and the 99th percentile of the
time from the end of ``remove`` to the copy's end in each of them; the same with the backplane's connections killed
every 1,000 messages, and how many messages were lost; what a reader that was frozen (SIGSTOP) served once it went on,
beside a plain dictionary cleared by the same messages; and whether a stream trimmed under a frozen reader was noticed.

Run: ``python -m proofs.lag [--messages 10000] [--frozen-s 30] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from tests.rig import RedisServer
from tiercel import MISS, AsyncCache, AsyncRegion, CacheOptions, Matrix, RegionOptions
from tiercel._core.keys import KeySpace, decode_key
from tiercel._core.message import KeysFell, Message
from tiercel.options import BackplaneOptions

READERS = 3
BOUND_S = 5.0
KILL_EVERY = 1000
NAMESPACE = "lag"
HOT = "hot"


def _matrix(url: str, folder: str) -> Matrix:
    item = RegionOptions(name="item", tiers=("local", "redis"), ttl_s=600.0, max_staleness_s=BOUND_S)
    return Matrix.of(item, CacheOptions(namespace=NAMESPACE, redis=url, state_dir=folder))


@dataclass
class Reader:
    """A process with local copies; it answers its parent's commands."""

    cache: AsyncCache
    region: AsyncRegion
    applied: dict[Any, float] = field(default_factory=dict)
    naive: dict[str, Any] = field(default_factory=dict)
    reads: list[tuple[float, Any, Any]] = field(default_factory=list)
    watching: asyncio.Task[None] | None = None

    def listen_in(self) -> None:
        """Note when each message is applied, and clear the plain dictionary by it."""
        arrivals = self.cache._assembly.invalidator._arrivals  # noqa: SLF001  # no message is public
        apply = arrivals.apply

        def noted(message: Message) -> None:
            apply(message)
            if isinstance(message, KeysFell):
                for encoded in message.keys:
                    key = decode_key(encoded)
                    self.applied[key] = time.monotonic()
                    self.naive.pop(str(key), None)

        arrivals.apply = noted  # type: ignore[method-assign]

    async def fill(self, keys: list[str]) -> int:
        """Read every key into the local tier; return how many are there."""
        self.applied.clear()
        await self.region.get_many(keys)
        return sum(self.region.get_local(key) is not MISS for key in keys)

    async def report(self, keys: list[str]) -> tuple[dict[Any, float], int]:
        """Return when each message was applied, and how many copies are still there."""
        return dict(self.applied), sum(self.region.get_local(key) is not MISS for key in keys)

    async def watch(self, _: Any) -> None:
        """Read the hot key once a millisecond from now on."""
        self.reads.clear()
        self.naive[HOT] = await self.region.get(HOT)
        if self.watching is None:
            self.watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            moment = time.monotonic()
            self.reads.append((moment, self.region.get_local(HOT), self.naive.get(HOT)))
            await asyncio.sleep(0.001)

    async def seen(self, changed_at: float) -> dict[str, Any]:
        """Say what reads that began later than the bound after *changed_at* gave: the old value, or not."""
        late = [(mine, naive) for moment, mine, naive in self.reads if moment > changed_at + BOUND_S]
        after = [moment - changed_at for moment, mine, _ in self.reads if moment > changed_at and mine == "old"]
        counts = self.cache.recorder.event_counts()
        return {
            "late_reads": len(late),
            "old": sum(mine == "old" for mine, _ in late),
            "naive_old": sum(naive == "old" for _, naive in late),
            "last_old_after_s": round(max(after, default=0.0), 3),
            "gaps": counts.get(("backplane_gap", ""), 0),
        }


def _read(url: str, parent: Connection) -> None:
    asyncio.run(_serve(url, parent))


async def _serve(url: str, parent: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncCache(_matrix(url, folder)) as cache:
            reader = Reader(cache, cache.tenant("acme").region("item"))
            reader.listen_in()
            while True:
                command, argument = await asyncio.to_thread(parent.recv)
                if command == "stop":
                    break
                parent.send(await getattr(reader, command)(argument))
            if reader.watching is not None:
                reader.watching.cancel()


class Readers:
    """The reading processes, as their parent sees them."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes = []
        self._lines: list[Connection] = []
        for _ in range(READERS):
            mine, theirs = context.Pipe()
            process = context.Process(target=_read, args=(url, theirs), daemon=True)
            process.start()
            self.processes.append(process)
            self._lines.append(mine)

    def ask(self, command: str, argument: Any) -> list[Any]:
        """Give every reader a command; return the answers."""
        for line in self._lines:
            line.send((command, argument))
        return [line.recv() for line in self._lines if line.poll(60.0)]

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the first reader."""
        os.kill(int(self.processes[0].pid or 0), number)

    def close(self) -> None:
        """End them."""
        for line in self._lines:
            line.send(("stop", None))
        for process in self.processes:
            process.join(10.0)


def _kill_listeners(server: RedisServer) -> int:
    """Close every connection that waits for the backplane; return how many."""
    lines = str(server.cli("CLIENT", "LIST")).splitlines()
    found = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    waiting = [client["id"] for client in found if client.get("cmd") == "xread"]
    for client in waiting:
        server.cli("CLIENT", "KILL", "ID", client)
    return len(waiting)


async def invalidate(region: AsyncRegion, readers: Readers, count: int, every: Callable[[int], None]) -> dict[str, Any]:
    """Invalidate *count* keys one by one; return how long copies elsewhere outlived that, and what was lost."""
    keys = [f"n{number}" for number in range(count)]
    for start in range(0, count, 1000):
        await region.set_many(dict.fromkeys(keys[start : start + 1000], "value"))
    await asyncio.sleep(1.0)
    filled = await asyncio.to_thread(readers.ask, "fill", keys)
    ended: dict[str, float] = {}
    for number, key in enumerate(keys):
        await region.remove(key)
        ended[key] = time.monotonic()
        every(number)
    await asyncio.sleep(3.0)
    answers = await asyncio.to_thread(readers.ask, "report", keys)
    lags = sorted(applied[key] - ended[key] for applied, _ in answers for key in keys if key in applied)
    return {
        "invalidations": count,
        "copies": sum(filled),
        "lost": count * READERS - len(lags),
        "copies_left": sum(left for _, left in answers),
        "p50_ms": round(max(0.0, lags[len(lags) // 2]) * 1000, 2),
        "p99_ms": round(lags[int(len(lags) * 0.99)] * 1000, 2),
        "max_ms": round(lags[-1] * 1000, 2),
    }


async def freeze(region: AsyncRegion, readers: Readers, seconds: float, change: Callable[[], None]) -> dict[str, Any]:
    """Freeze a reader, change its hot key meanwhile; return what it served when it went on."""
    await region.set(HOT, "old")
    await asyncio.sleep(0.5)
    await asyncio.to_thread(readers.ask, "watch", None)
    await asyncio.sleep(0.5)
    readers.send_signal(signal.SIGSTOP)
    await region.set(HOT, "new")
    changed_at = time.monotonic()
    await asyncio.sleep(min(1.0, seconds / 2))
    change()
    await asyncio.sleep(seconds - min(1.0, seconds / 2))
    readers.send_signal(signal.SIGCONT)
    await asyncio.sleep(max(2.0, BOUND_S + 2.0 - seconds))
    answers: list[dict[str, Any]] = await asyncio.to_thread(readers.ask, "seen", changed_at)
    return {"frozen_s": seconds, **answers[0]}


async def measure(server: RedisServer, messages: int, frozen_s: float) -> dict[str, Any]:
    """Run all parts."""
    space, partitions = KeySpace(NAMESPACE), BackplaneOptions().partitions
    readers, killed = Readers(server.url), [0]

    def kill(number: int) -> None:
        if number % KILL_EVERY == KILL_EVERY - 1:
            killed[0] += _kill_listeners(server)

    def trim() -> None:
        for number in range(partitions):
            server.cli("XTRIM", space.stream_key(number), "MAXLEN", "0")

    with tempfile.TemporaryDirectory() as folder:
        async with AsyncCache(_matrix(server.url, folder)) as cache:
            region = cache.tenant("acme").region("item")
            figures: dict[str, Any] = {"quiet": await invalidate(region, readers, messages, lambda _: None)}
            figures["killed"] = await invalidate(region, readers, messages, kill)
            figures["killed"]["connections_killed"] = killed[0]
            figures["frozen"] = await freeze(region, readers, frozen_s, lambda: None)
            figures["trimmed"] = await freeze(region, readers, 1.0, trim)
            await asyncio.to_thread(readers.close)
    return figures


def holds(figures: dict[str, Any]) -> bool:
    """Say whether every part kept its promise, and the plain dictionary did not."""
    lost = sum(figures[part]["lost"] + figures[part]["copies_left"] for part in ("quiet", "killed"))
    old = figures["frozen"]["old"] + figures["trimmed"]["old"]
    caught, naive = figures["trimmed"]["gaps"] > 0, figures["frozen"]["naive_old"] > 0
    return bool(lost == 0 and old == 0 and caught and naive)


def main() -> int:
    """Run the command line; exit status 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--frozen-s", type=float, default=30.0)
    parser.add_argument("--short", action="store_true", help="2,000 messages, frozen for 7 seconds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    messages, frozen_s = (2000, 7.0) if arguments.short else (arguments.messages, arguments.frozen_s)
    with RedisServer() as server:
        figures = asyncio.run(measure(server, messages, frozen_s))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for part, row in figures.items():
            print(f"{part:8} " + ", ".join(f"{key} {value}" for key, value in row.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
