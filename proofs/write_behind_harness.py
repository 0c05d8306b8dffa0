"""
What the write-behind proofs share: a workload whose acknowledgements survive a kill, and the naive ways beside ours.

A *producer* writes its numbers 1, 2, 3 … to its own keys in turn; before and after each call it notes in a
memory-mapped ledger what it attempts and what was acknowledged. The ledger is the parent's: it survives the child
however that dies. Afterwards every key must hold the newest acknowledged number, or a newer attempted one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tiercel._async.journals import AsyncJournal, open_journal
from tiercel._async.stores import open_store
from tiercel._async.writebehind import AsyncWriteBehind
from tiercel._core.clock import SystemClock
from tiercel._core.journal import JournalEntry, JournalSize, Lease
from tiercel.options import JournalOptions
from tiercel.typing import AsyncStore, Change, Key, Outcome

__all__ = ["Ledger", "Work", "open_behind", "start_child", "stored_numbers"]

TENANT = "acme"
LEASE_S = 0.5
_CELL = struct.Struct("<QQ")
_ROOT = Path(__file__).resolve().parent.parent


class Ledger:
    """Attempted and acknowledged numbers by producer, in a file that both processes map."""

    def __init__(self, path: Path, producers: int) -> None:
        size_bytes = _CELL.size * producers
        if not path.exists():
            path.write_bytes(bytes(size_bytes))
        self.producers = producers
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size_bytes)

    def cell(self, producer: int) -> tuple[int, int]:
        """Return (attempted, acknowledged) of a producer."""
        attempted, acknowledged = _CELL.unpack_from(self._map, producer * _CELL.size)
        return attempted, acknowledged

    def attempt(self, producer: int, number: int) -> None:
        """Note that numbers up to *number* are about to be written."""
        struct.pack_into("<Q", self._map, producer * _CELL.size, number)

    def acknowledge(self, producer: int, number: int) -> None:
        """Note that numbers up to *number* were acknowledged."""
        struct.pack_into("<Q", self._map, producer * _CELL.size + 8, number)

    @property
    def acknowledged(self) -> int:
        """Acknowledged writes of all producers."""
        return sum(self.cell(producer)[1] for producer in range(self.producers))

    def lost(self, numbers: Mapping[str, int], keys: int) -> int:
        """Count acknowledged writes that are neither stored nor overtaken by a newer number of their key."""
        missing = 0
        for producer in range(self.producers):
            attempted, acknowledged = self.cell(producer)
            for number in range(max(1, acknowledged - keys + 1), acknowledged + 1):
                stored = numbers.get(key_of(producer, number, keys), 0)
                missing += not number <= stored <= attempted
        return missing


def key_of(producer: int, number: int, keys: int) -> str:
    """Return the key that a producer's number goes to."""
    return f"{producer}-{number % keys}"


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    What a child does.

    Args:
        home: Folder of the journal and the ledger.
        store: URL of the store.
        way: ``tiercel``, ``memory-queue`` (acknowledged in memory, flushed behind), ``delete-first`` (leaves the
            journal before the store has it) or ``unguarded`` (the store applies whatever comes).
        durability: Of the file journal.
        producers: Concurrent writers.
        keys: Keys of each.
        rows: Rows a call.
        crash: ``after-store``: die by SIGKILL between a commit of the store and the advance of the journal.
        drains: On SIGTERM, drain before the end.
        flushes: Flush in this process; with ``producers=0`` it does nothing else.
        partitions: Queues of the journal.
        seconds: End by itself after this long; None to go on.
    """

    home: str
    store: str
    way: str = "tiercel"
    durability: str = "process"
    producers: int = 16
    keys: int = 2000
    rows: int = 20
    crash: str = ""
    drains: bool = False
    flushes: bool = True
    partitions: int = 4
    seconds: float | None = None

    @property
    def ledger(self) -> Path:
        """Where the ledger is."""
        return Path(self.home) / "ledger"


def start_child(work: Work, *, preload: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process that does *work*; *preload* is added to its environment."""
    program = "import sys; from proofs.write_behind_harness import child; child(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'src'}"} | dict(preload or {})
    return subprocess.Popen([sys.executable, "-c", program, json.dumps(asdict(work))], env=environment, cwd=_ROOT)


def child(text: str) -> None:
    """Do the work that *text* describes; the body of `start_child`."""
    asyncio.run(_work(Work(**json.loads(text))))


class DeleteFirst:
    """A naive journal: what is taken has left the queue before the store has it."""

    def __init__(self, inner: AsyncJournal) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def take(self, lease: Lease, after: int, limit: int, ttl_s: float) -> list[JournalEntry]:
        entries = await self._inner.take(lease, after, limit, ttl_s)
        await self._inner.settle(lease, entries, [])
        return entries

    async def settle(self, lease: Lease, done: Sequence[JournalEntry], parked: Sequence[Any]) -> JournalSize:
        return await self._inner.size()


class CrashAfterStore:
    """A store whose process dies between its commit and its answer."""

    def __init__(self, inner: AsyncStore, calls: int) -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        outcomes = await self._inner.write_many(changes, guard=guard)
        self._calls -= 1
        if self._calls <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes


class Unguarded:
    """A store that is asked for plain upserts."""

    def __init__(self, inner: AsyncStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write_many(self, changes: Sequence[Change], *, guard: bool = False) -> list[Outcome]:
        return await self._inner.write_many(changes, guard=False)


async def open_behind(work: Work) -> tuple[AsyncWriteBehind, AsyncStore]:
    """Start the write-behind that *work* describes."""
    memory = work.way == "memory-queue"
    options = JournalOptions(
        kind="memory" if memory else "file",
        durability="memory" if memory else work.durability,  # type: ignore[arg-type]  # from the command line
        interval_s=0.05,
        lease_s=LEASE_S,
        retry_s=0.02,
        batch_size=1000,
        partitions=work.partitions,
        flush=work.flushes,
    )
    store = await open_store(work.store, timeout_s=30.0)
    target: Any = Unguarded(store) if work.way == "unguarded" else store
    if work.crash == "after-store":
        target = CrashAfterStore(target, 3)
    journal: Any = open_journal("proof", options, clock=SystemClock(), directory=work.home)
    if work.way == "delete-first":
        journal = DeleteFirst(journal)
    behind = AsyncWriteBehind("proof", options, target, journal, clock=SystemClock())
    await behind.start()
    return behind, store


async def _work(work: Work) -> None:
    behind, store = await open_behind(work)
    ledger = Ledger(work.ledger, max(1, work.producers))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if work.seconds is not None:
        asyncio.get_running_loop().call_later(work.seconds, stop.set)
    await asyncio.gather(*[_produce(work, behind, ledger, producer, stop) for producer in range(work.producers)])
    await stop.wait()
    await behind.aclose(deadline_s=30.0 if work.drains else 0.0)
    await store.aclose()


async def _produce(work: Work, behind: AsyncWriteBehind, ledger: Ledger, producer: int, stop: asyncio.Event) -> None:
    ids = itertools.count(time.time_ns())
    number = ledger.cell(producer)[1]  # what was attempted and not acknowledged is attempted again
    while not stop.is_set():
        first, last = number + 1, number + work.rows
        numbers = range(first, last + 1)
        items: dict[Key, Any] = {key_of(producer, n, work.keys): {"n": n, "id": next(ids)} for n in numbers}
        ledger.attempt(producer, last)
        await behind.write_many(TENANT, items)
        ledger.acknowledge(producer, last)
        number = last


async def stored_numbers(work: Work) -> tuple[dict[str, int], int]:
    """Recover the journal, flush what it holds, and return the stored number of every key and what was left."""
    behind, store = await open_behind(work)
    left = await behind.drain(120.0)
    await behind.aclose()
    numbers: dict[str, int] = {}
    keys: list[Key] = [key_of(p, n, work.keys) for p in range(work.producers) for n in range(work.keys)]
    for start in range(0, len(keys), 500):
        found = await store.read_many(TENANT, keys[start : start + 500])
        numbers |= {str(key): record.value["n"] for key, record in found.items()}
    await store.aclose()
    return numbers, left


class Scratch:
    """A folder for one run, removed at its end; on the disk, not in memory, unless told."""

    def __init__(self, parent: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tiercel-proof-", dir=parent)

    def __enter__(self) -> Path:
        return Path(self._folder.name)

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @classmethod
    def in_memory(cls) -> Self:
        """Return a folder on a file system in memory, where there is one."""
        in_memory = "/dev/shm"  # noqa: S108  # a folder of our own is made in it
        return cls(in_memory if os.access(in_memory, os.W_OK) else None)
