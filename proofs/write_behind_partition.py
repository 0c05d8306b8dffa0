"""
An acknowledged write survives the loss of a Redis primary, partitions included, where ``durability = "replicated"``.

Writers journal in a primary with two replicas. The replicas are cut off, the writers go on against the old primary as
clients on its side of a partition do, then a replica is promoted and the old primary becomes its replica, which throws
away what it had accepted alone. Every acknowledged write must be in the new primary's journal. Beside it
``durability = "process"``, which acknowledges what the old primary alone has, and must lose.

Run: ``python -m proofs.write_behind_partition [--json] [--short]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from tests.rig import RedisServer, wait_until
from tiercel._async.journals import AsyncJournal, open_journal
from tiercel._async.link import open_link
from tiercel._async.stores import AsyncMemoryStore
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel.errors import StoreError
from tiercel.options import Durability, JournalOptions
from tiercel.testing import FaultProxy
from tiercel.typing import Key

WRITERS = 16
ROWS = 20
DURABLE = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")


@dataclass(frozen=True)
class Figures:
    """What one durability did."""

    acknowledged: int
    acknowledged_while_cut: int
    refused_while_cut: int
    lost: int


class Writers:
    """Writers that note what was acknowledged; every write has a key of its own."""

    def __init__(self) -> None:
        self.acknowledged: list[Key] = []
        self.refused = 0
        self._next = 0

    async def run(self, behind: AsyncWriteBehind, seconds: float) -> None:
        """Write for *seconds*."""
        ends = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*[self._write(behind, ends) for _ in range(WRITERS)])

    async def _write(self, behind: AsyncWriteBehind, ends: float) -> None:
        while asyncio.get_running_loop().time() < ends:
            keys: list[Key] = [str(self._next + place) for place in range(ROWS)]
            self._next += ROWS
            try:
                await behind.write_many("acme", dict.fromkeys(keys, "x" * 100))
            except StoreError:
                self.refused += ROWS
            else:
                self.acknowledged += keys


@contextlib.contextmanager
def primary_with_replicas() -> Iterator[tuple[RedisServer, FaultProxy, list[RedisServer]]]:
    """Start a primary and two replicas that reach it through a proxy."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(RedisServer(*DURABLE))
        proxy = stack.enter_context(FaultProxy(primary.port))
        place = ("--replicaof", f"127.0.0.1 {proxy.port}")
        replicas = [stack.enter_context(RedisServer(*DURABLE, *place)) for _ in range(2)]
        wait_until(lambda: str(primary.cli("INFO", "replication")).count("state=online") == 2, "both replicas online")
        yield primary, proxy, replicas


@contextlib.asynccontextmanager
async def writing(server: RedisServer, durability: Durability) -> AsyncIterator[tuple[AsyncWriteBehind, AsyncJournal]]:
    """Open write-behind on *server*; nothing flushes, so that the journal holds everything."""
    link = await open_link(server.url)
    options = JournalOptions(kind="redis", durability=durability, flush=False, max_pending=None, max_pending_bytes=None)
    journal = open_journal("proof", options, clock=SystemClock(), link=link)
    behind = AsyncWriteBehind("proof", options, AsyncMemoryStore(), journal, clock=SystemClock())
    await behind.start()
    try:
        yield behind, journal
    finally:
        await behind.aclose(0.0)
        await link.aclose()


async def run(durability: Durability, seconds: float) -> Figures:
    """Write before, during and after a partition; count what the new primary has not."""
    writers = Writers()
    with primary_with_replicas() as (primary, proxy, replicas):
        async with writing(primary, durability) as (behind, _):
            await writers.run(behind, seconds)
            before = len(writers.acknowledged)
            proxy.stop()
            await writers.run(behind, seconds)
        while_cut = len(writers.acknowledged) - before
        promote(primary, replicas)
        async with writing(replicas[0], "process") as (behind, journal):
            await writers.run(behind, seconds / 2)
            lost = await missing(journal, writers.acknowledged)
    return Figures(len(writers.acknowledged), while_cut, writers.refused, lost)


def promote(primary: RedisServer, replicas: list[RedisServer]) -> None:
    """Make the replica that has most the primary of all, first in *replicas*."""
    replicas.sort(key=lambda each: -int(str(each.cli("INFO", "replication")).split("slave_repl_offset:")[1].split()[0]))
    replicas[0].cli("REPLICAOF", "NO", "ONE")
    for other in (primary, replicas[1]):
        other.cli("REPLICAOF", "127.0.0.1", replicas[0].port)


async def missing(journal: AsyncJournal, keys: list[Key]) -> int:
    """Return how many of *keys* have no write in *journal*."""
    count = 0
    for start in range(0, len(keys), 500):
        chunk = keys[start : start + 500]
        count += len(chunk) - len(await journal.newest("acme", chunk))
    return count


def main() -> int:
    """Run the command line; exit status 1 where ``replicated`` lost something or ``process`` nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--short", action="store_true", help="1 s a phase in place of 10 s")
    arguments = parser.parse_args()
    seconds = 1.0 if arguments.short else 10.0
    durabilities: tuple[Durability, ...] = ("replicated", "process")
    figures = {durability: asyncio.run(run(durability, seconds)) for durability in durabilities}
    if arguments.json:
        print(json.dumps({name: vars(each) for name, each in figures.items()}))
    else:
        for name, each in figures.items():
            print(f"{name}: {each}")
    return 0 if figures["replicated"].lost == 0 and figures["process"].lost > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
