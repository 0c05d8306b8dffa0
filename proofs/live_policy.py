"""
How soon other processes follow a change of the live policy: four processes, 200 changes, a real Redis.

One process changes a ttl again and again; the others note when each version was applied. Printed are the median and the
longest time from the change to its application in each process: told by message, and with every message lost, so that
only the look once a second finds it. The naive way is a node that listens and never looks: of the changes whose message
was lost it follows none.

Run: ``python -m proofs.live_policy [--changes 200] [--short] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.rig import RedisServer
from tiercel import AsyncCache, CacheOptions, Matrix, RegionOptions
from tiercel._async import policyfollower
from tiercel._async.policybook import AsyncPolicyBook
from tiercel._core.clock import SystemClock
from tiercel._core.policy import Draft

NODES = 4
BOUND_S = 2.0
SHARE_LOST = 10
"""One of so many changes is made with its message lost, for they take a second each."""
NAMESPACE = "live-policy"


def _matrix(url: str, name: str, folder: str) -> Matrix:
    options = CacheOptions(namespace=NAMESPACE, redis=url, node=name, state_dir=str(Path(folder) / name))
    return Matrix.of(RegionOptions(name="item", ttl_s=60.0), options)


async def follow(url: str, name: str, folder: str, looks: bool) -> None:
    """Be a node: print each version when it is applied, until standard input ends."""
    if not looks:
        policyfollower.POLL_S = 3600.0  # type: ignore[misc]  # the naive way: a node that only listens
    async with AsyncCache(_matrix(url, name, folder)) as cache:
        known = cache.policy.version
        print(json.dumps({"version": known}), flush=True)
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not ended.done():
            note = cache.policy.note()
            if note.version != known:
                known = note.version
                print(json.dumps({"version": known, "applied_s": note.applied_s}), flush=True)
            await asyncio.sleep(0.005)


class Follower:
    """A node in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.applied: dict[int, float] = {}
        self.up = asyncio.Event()

    async def listen(self) -> None:
        """Take up what it prints."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            self.applied[told["version"]] = told.get("applied_s", 0.0)
            self.up.set()

    async def has(self, version: int, timeout_s: float) -> bool:
        """Wait until it has applied *version*."""
        for _ in range(int(timeout_s / 0.01)):
            if version in self.applied:
                return True
            await asyncio.sleep(0.01)
        return False


@asynccontextmanager
async def followers(url: str, folder: str, count: int, *, looks: bool) -> AsyncIterator[list[Follower]]:
    """Run nodes."""
    made: list[Follower] = []
    listening: list[asyncio.Task[None]] = []
    for number in range(count):
        words = ("--node", url, f"{'node' if looks else 'naive'}-{number}", folder, "looks" if looks else "listens")
        pipe = asyncio.subprocess.PIPE
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proofs.live_policy", *words, stdin=pipe, stdout=pipe
        )
        made.append(Follower(started))
        listening.append(asyncio.create_task(made[-1].listen()))
    try:
        for one in made:
            await asyncio.wait_for(one.up.wait(), 60.0)
        yield made
    finally:
        for one in made:
            assert one.process.stdin is not None
            one.process.stdin.close()
            await one.process.wait()
        await asyncio.gather(*listening)


async def measure(url: str, changes: int) -> dict[str, Any]:
    """Change the policy *changes* times with messages, a tenth as often without, and once more for the naive way."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncCache(_matrix(url, "here", folder)) as cache:
            rows = cache.matrix.regions
            quiet = AsyncPolicyBook(cache.policy.book.store, SystemClock())
            async with followers(url, folder, NODES, looks=True) as nodes:
                told = await _delays(cache.policy.book, rows, nodes, changes)
                lost = await _delays(quiet, rows, nodes, max(2, changes // SHARE_LOST))
            async with followers(url, folder, 1, looks=False) as naive:
                missed = await _delays(quiet, rows, naive, 1)
    return {
        "nodes": NODES,
        "changes": changes,
        "by_message": _row(told),
        "message_lost": _row(lost),
        "naive_message_lost_followed": sum(delay is not None for delay in missed),
        "bound_s": BOUND_S,
    }


async def _delays(book: AsyncPolicyBook, rows: Any, nodes: list[Follower], changes: int) -> list[float | None]:
    """Return how long each node took for each change; None where it did not follow within twice the bound."""
    delays: list[float | None] = []
    for number in range(changes):
        document = await book.read()
        ttl_s = 10.0 + (document.version + number) % 50
        if document.stable.regions.get("item", {}).get("ttl_s") == ttl_s:
            ttl_s += 0.5
        changed = await book.propose(Draft(regions={"item": {"ttl_s": ttl_s}}), rows, by="proof")
        at_s = changed.history[-1].at_s
        for node in nodes:
            has = await node.has(changed.version, 2 * BOUND_S)
            delays.append(node.applied[changed.version] - at_s if has else None)
    return delays


def _row(delays: list[float | None]) -> dict[str, Any]:
    found = [delay for delay in delays if delay is not None]
    return {
        "followed": len(found),
        "missed": len(delays) - len(found),
        "median_ms": round(statistics.median(found) * 1e3, 1) if found else None,
        "longest_ms": round(max(found) * 1e3, 1) if found else None,
    }


def holds(figures: dict[str, Any]) -> bool:
    """Say whether every node followed every change in time, and the naive one did not."""
    rows = [figures["by_message"], figures["message_lost"]]
    in_time = all(row["missed"] == 0 and row["longest_ms"] <= BOUND_S * 1e3 for row in rows)
    return in_time and figures["naive_message_lost_followed"] == 0


def main() -> int:
    """Run the command line; exit status 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=2)[1])
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--short", action="store_true", help="20 changes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--node", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.node:
        url, name, folder, way = arguments.node
        asyncio.run(follow(url, name, folder, way == "looks"))
        return 0
    with RedisServer() as server:
        figures = asyncio.run(measure(server.url, 20 if arguments.short else arguments.changes))
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:28} {value}" for name, value in figures.items()))
    return 0 if holds(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
