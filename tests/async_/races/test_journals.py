"""
Races of what happens later: writes that wait in a journal (R10, R17), batches that come reordered or twice (R11), notes
that are committed out of order (R12); each beside the naive way, which must lose.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from tests.async_.journals.test_flusher import Bench
from tests.async_.races.conftest import MakeWorld, played
from tests.async_.stores.conftest import OPENERS, StoreCase, schema_url, store_database
from tests.schedules import AsyncStage, async_explore
from tiercel._async.flusher import AsyncFlusher
from tiercel._async.overlay import AsyncOverlay
from tiercel._async.stores import open_store
from tiercel._core.coalesce import Slot
from tiercel._core.journal import FlushCounters, JournalEntry
from tiercel._gates import async_gate
from tiercel.options import JournalOptions
from tiercel.typing import DELETED, AsyncOutboxStore, AsyncStore, Change

__all__ = ["schema_url", "store_database"]

ELSEWHERE = JournalOptions(kind="memory", durability="memory", partitions=1, flush=False)
"""A journal that nobody flushes but the actor of a race."""


async def evicted_before_its_flush(world: MakeWorld) -> Any:
    """
    Return a race of a reader with a write that waits, whose cached copies go.

    1. a write is journaled, acknowledged and cached
    2. its copies are evicted
    3. a reader finds nothing, loads the row from the store, which has the old one, and caches that
    """
    scene = await world(strategy="write-behind", journal=ELSEWHERE)
    node, cache = scene.nodes[0], scene.caches[0]
    behind = node.place.core.behind
    assert behind is not None

    async def race(stage: AsyncStage) -> Any:
        key = await scene.row(1)
        flusher = AsyncFlusher(
            behind._journal, scene.store, 0, "actor", ELSEWHERE, clock=cache._process.clock, counters=FlushCounters(),
            events=lambda _name, _fields: None, settled=behind._advance,
        )  # fmt: skip
        ended, seen = [False], list[Any]()

        async def write() -> None:
            await node.write(key, 2)
            await scene.evict(key)
            node.place.drop_local(key)
            ended[0] = True

        async def read() -> None:
            was_over = ended[0]
            value = await node.read(key)
            seen.append(value if was_over else 2)

        stage.actor("writer", write)
        stage.actor("flusher", flusher.flush_once)
        stage.actor("reader", read)

        async def check() -> str | None:
            seen.append(await node.read(key, consistency="strong"))
            return None if seen == [2, 2] else "stale"

        return check

    return race


@pytest.mark.parametrize("far_url", ["memory", "redis"], indirect=True)
async def test_r10_an_evicted_write_is_read_from_the_journal(world: MakeWorld) -> None:
    await played(await evicted_before_its_flush(world), "fill.loaded", "store.written", limit=200, exhaustive=False)


@pytest.mark.parametrize("far_url", ["memory"], indirect=True)
async def test_r10_without_the_overlay_the_old_row_is_read(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_overlay: AsyncOverlay, _key: Any) -> None:
        return None

    monkeypatch.setattr(AsyncOverlay, "row", nothing)
    assert (await async_explore(await evicted_before_its_flush(world), 200)).violations["stale"] > 0


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncStore]:
    """A store with version guard."""
    opened: StoreCase = await OPENERS[request.param](request, tmp_path)
    yield opened.store
    await opened.store.aclose()


def reordered(store: AsyncStore, *, guard: bool) -> Any:
    """
    Return a race of batches of one row that workers deliver: put, delete, put, and the first one twice.

    1. put v1 is delivered, its answer is lost
    2. delete v2 and put v3 are delivered
    3. put v1 is delivered again
    """
    rows = [Change("acme", "", {"price": 1}, 1), Change("acme", "", DELETED, 2), Change("acme", "", {"price": 3}, 3)]
    keys = iter(range(1000))

    async def race(stage: AsyncStage) -> Any:
        key = f"k{next(keys)}"
        for number, change in enumerate([*rows, rows[0]]):
            stage.actor(f"worker {number}", partial(store.write_many, [change._replace(key=key)], guard=guard))

        async def check() -> str | None:
            row = await store.read("acme", key)
            return None if row is not None and row.value == {"price": 3} else "an older write won"

        return check

    return race


async def test_r11_batches_reordered_or_twice_leave_the_newest(store: AsyncStore) -> None:
    explored = await played(reordered(store, guard=True), "start")
    assert explored.schedules == 24


async def test_r11_without_the_guard_an_older_write_wins(store: AsyncStore) -> None:
    assert (await async_explore(reordered(store, guard=False))).violations["an older write won"] > 0


class Cursor:
    """A relay that remembers the last number it saw: the naive way."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last = 0

    async def take(self) -> list[bytes]:
        """Return the notes after the last one."""
        async with await AsyncConnection.connect(self._url) as connection:
            found = await connection.execute(
                b"SELECT id, payload FROM tiercel_outbox WHERE id > %s ORDER BY id", (self._last,)
            )
            notes = await found.fetchall()
        self._last = max([self._last, *(number for number, _ in notes)])
        return [payload for _, payload in notes]


class Relay:
    """A relay as ours: claims, acts, deletes."""

    def __init__(self, store: AsyncOutboxStore) -> None:
        self._store = store

    async def take(self) -> list[bytes]:
        """Return the notes that nobody holds, and delete them."""
        notes = await self._store.read_notes(10)
        await self._store.delete_notes([note.id for note in notes])
        return [note.payload for note in notes]


async def late_commit(url: str, store: AsyncOutboxStore, relay: Relay | Cursor) -> Any:
    """
    Return a race of two transactions with a relay.

    1. transaction A takes number 1, transaction B number 2; B commits
    2. the relay reads up to 2
    3. A commits: its number is below what was read
    """

    async def race(stage: AsyncStage) -> Any:
        taken: list[bytes] = []

        async def slow() -> None:
            async with await AsyncConnection.connect(url) as connection:
                await connection.execute(b"INSERT INTO tiercel_outbox (payload) VALUES ('slow')")
                await async_gate("note.uncommitted")

        async def quick() -> None:
            await store.write_many([Change("acme", "k", {"price": 1}, 1)], note=b"quick")

        async def look() -> None:
            taken.extend(await relay.take())

        stage.actor("slow", slow)
        stage.actor("quick", quick)
        stage.actor("relay", look)

        async def check() -> str | None:
            taken.extend(await relay.take())
            return None if sorted(taken) == [b"quick", b"slow"] else "missed"

        return check

    return race


@pytest.fixture
async def outbox(schema_url: str) -> AsyncIterator[tuple[str, AsyncOutboxStore]]:
    """The address of a database, and a store in it that keeps notes."""
    store = await open_store(schema_url + "#products")
    assert isinstance(store, AsyncOutboxStore)
    yield schema_url, store
    await store.aclose()


async def test_r12_a_note_that_is_committed_late_is_delivered(outbox: tuple[str, AsyncOutboxStore]) -> None:
    url, store = outbox
    await played(await late_commit(url, store, Relay(store)), "note.uncommitted")


async def test_r12_a_cursor_skips_what_is_committed_late(outbox: tuple[str, AsyncOutboxStore]) -> None:
    url, store = outbox
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM tiercel_outbox")
    assert (await async_explore(await late_commit(url, store, Cursor(url)))).violations["missed"] > 0


async def poisoned(writes: Sequence[str]) -> Any:
    """
    Return a race of a flusher with writes of one row, some of which the store refuses.

    1. a good write and a bad one of the same row wait
    2. they are coalesced: the newest stays
    3. the store refuses it, it is parked; the good one is gone
    """

    async def race(stage: AsyncStage) -> Any:
        bench = Bench()
        bench.store.refuses = lambda change: change.value == "bad"

        async def write() -> None:
            for value in writes:
                await bench.write(("k", value))
                await async_gate("write.journaled")

        async def flush() -> None:
            for _ in range(2):
                await bench.flush()
                await async_gate("flush.ended")

        stage.actor("writer", write)
        stage.actor("flusher", flush)

        async def check() -> str | None:
            await bench.flush(10)
            stored, dead = bench.store.value("k"), await bench.dead()
            return None if (stored, dead) == ("good", {"k": "bad"}) else "the good write is lost"

        return check

    return race


WRITES = [["good", "bad"], ["bad", "good", "bad"]]


@pytest.mark.parametrize("writes", WRITES)
async def test_r17_a_poison_row_does_not_take_its_predecessor_along(writes: list[str]) -> None:
    await played(await poisoned(writes), "write.journaled", "flush.ended")


@pytest.mark.parametrize("writes", WRITES)
async def test_r17_giving_up_what_was_coalesced_with_it_loses(
    writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(flusher: AsyncFlusher, slot: Slot, error: Exception) -> list[tuple[JournalEntry, str]]:
        del flusher._slots[slot.identity]
        return [(entry, str(error)) for entry in slot.entries]

    monkeypatch.setattr(AsyncFlusher, "_refuse", give_up)
    explored = await async_explore(await poisoned(writes))
    assert explored.violations["the good write is lost"] > 0
