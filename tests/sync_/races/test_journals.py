# Generated from tests/async_/races/test_journals.py by tools/unasync.py. Do not edit.
"""
Races of what happens later: writes that wait in a journal (R10, R17), batches that come reordered or twice (R11), notes
that are committed out of order (R12); each beside the naive way, which must lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.sync_.journals.test_flusher import Bench
from tests.sync_.races.conftest import MakeWorld, played
from tests.sync_.stores.conftest import OPENERS, StoreCase, schema_url, store_database
from tests.schedules import Stage, explore
from tiercel._sync.flusher import Flusher
from tiercel._sync.overlay import Overlay
from tiercel._sync.stores import open_store
from tiercel._core.coalesce import Slot
from tiercel._core.journal import FlushCounters, JournalEntry
from tiercel._gates import gate
from tiercel.options import JournalOptions
from tiercel.typing import DELETED, OutboxStore, Store, Change

__all__ = ["schema_url", "store_database"]

ELSEWHERE = JournalOptions(kind="memory", durability="memory", partitions=1, flush=False)
"""A journal that nobody flushes but the actor of a race."""


def evicted_before_its_flush(world: MakeWorld) -> Any:
    """
    Return a race of a reader with a write that waits, whose cached copies go.

    1. a write is journaled, acknowledged and cached
    2. its copies are evicted
    3. a reader finds nothing, loads the row from the store, which has the old one, and caches that
    """
    scene = world(strategy="write-behind", journal=ELSEWHERE)
    node, cache = scene.nodes[0], scene.caches[0]
    behind = node.place.core.behind
    assert behind is not None

    def race(stage: Stage) -> Any:
        key = scene.row(1)
        flusher = Flusher(
            behind._journal, scene.store, 0, "actor", ELSEWHERE, clock=cache._process.clock, counters=FlushCounters(),
            events=lambda _name, _fields: None, settled=behind._advance,
        )  # fmt: skip
        ended, seen = [False], list[Any]()

        def write() -> None:
            node.write(key, 2)
            scene.evict(key)
            node.place.drop_local(key)
            ended[0] = True

        def read() -> None:
            was_over = ended[0]
            value = node.read(key)
            seen.append(value if was_over else 2)

        stage.actor("writer", write)
        stage.actor("flusher", flusher.flush_once)
        stage.actor("reader", read)

        def check() -> str | None:
            seen.append(node.read(key, consistency="strong"))
            return None if seen == [2, 2] else "stale"

        return check

    return race


@pytest.mark.parametrize("far_url", ["memory", "redis"], indirect=True)
def test_r10_an_evicted_write_is_read_from_the_journal(world: MakeWorld) -> None:
    played(evicted_before_its_flush(world), "fill.loaded", "store.written", limit=200, exhaustive=False)


@pytest.mark.parametrize("far_url", ["memory"], indirect=True)
def test_r10_without_the_overlay_the_old_row_is_read(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_overlay: Overlay, _key: Any) -> None:
        return None

    monkeypatch.setattr(Overlay, "row", nothing)
    assert (explore(evicted_before_its_flush(world), 200)).violations["stale"] > 0


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with version guard."""
    opened: StoreCase = OPENERS[request.param](request, tmp_path)
    yield opened.store
    opened.store.close()


def reordered(store: Store, *, guard: bool) -> Any:
    """
    Return a race of batches of one row that workers deliver: put, delete, put, and the first one twice.

    1. put v1 is delivered, its answer is lost
    2. delete v2 and put v3 are delivered
    3. put v1 is delivered again
    """
    rows = [Change("acme", "", {"price": 1}, 1), Change("acme", "", DELETED, 2), Change("acme", "", {"price": 3}, 3)]
    keys = iter(range(1000))

    def race(stage: Stage) -> Any:
        key = f"k{next(keys)}"
        for number, change in enumerate([*rows, rows[0]]):
            stage.actor(f"worker {number}", partial(store.write_many, [change._replace(key=key)], guard=guard))

        def check() -> str | None:
            row = store.read("acme", key)
            return None if row is not None and row.value == {"price": 3} else "an older write won"

        return check

    return race


def test_r11_batches_reordered_or_twice_leave_the_newest(store: Store) -> None:
    explored = played(reordered(store, guard=True), "start")
    assert explored.schedules == 24


def test_r11_without_the_guard_an_older_write_wins(store: Store) -> None:
    assert (explore(reordered(store, guard=False))).violations["an older write won"] > 0


class Cursor:
    """A relay that remembers the last number it saw: the naive way."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last = 0

    def take(self) -> list[bytes]:
        """Return the notes after the last one."""
        with Connection.connect(self._url) as connection:
            found = connection.execute(
                b"SELECT id, payload FROM tiercel_outbox WHERE id > %s ORDER BY id", (self._last,)
            )
            notes = found.fetchall()
        self._last = max([self._last, *(number for number, _ in notes)])
        return [payload for _, payload in notes]


class Relay:
    """A relay as ours: claims, acts, deletes."""

    def __init__(self, store: OutboxStore) -> None:
        self._store = store

    def take(self) -> list[bytes]:
        """Return the notes that nobody holds, and delete them."""
        notes = self._store.read_notes(10)
        self._store.delete_notes([note.id for note in notes])
        return [note.payload for note in notes]


def late_commit(url: str, store: OutboxStore, relay: Relay | Cursor) -> Any:
    """
    Return a race of two transactions with a relay.

    1. transaction A takes number 1, transaction B number 2; B commits
    2. the relay reads up to 2
    3. A commits: its number is below what was read
    """

    def race(stage: Stage) -> Any:
        taken: list[bytes] = []

        def slow() -> None:
            with Connection.connect(url) as connection:
                connection.execute(b"INSERT INTO tiercel_outbox (payload) VALUES ('slow')")
                gate("note.uncommitted")

        def quick() -> None:
            store.write_many([Change("acme", "k", {"price": 1}, 1)], note=b"quick")

        def look() -> None:
            taken.extend(relay.take())

        stage.actor("slow", slow)
        stage.actor("quick", quick)
        stage.actor("relay", look)

        def check() -> str | None:
            taken.extend(relay.take())
            return None if sorted(taken) == [b"quick", b"slow"] else "missed"

        return check

    return race


@pytest.fixture
def outbox(schema_url: str) -> Iterator[tuple[str, OutboxStore]]:
    """The address of a database, and a store in it that keeps notes."""
    store = open_store(schema_url + "#products")
    assert isinstance(store, OutboxStore)
    yield schema_url, store
    store.close()


def test_r12_a_note_that_is_committed_late_is_delivered(outbox: tuple[str, OutboxStore]) -> None:
    url, store = outbox
    played(late_commit(url, store, Relay(store)), "note.uncommitted")


def test_r12_a_cursor_skips_what_is_committed_late(outbox: tuple[str, OutboxStore]) -> None:
    url, store = outbox
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM tiercel_outbox")
    assert (explore(late_commit(url, store, Cursor(url)))).violations["missed"] > 0


def poisoned(writes: Sequence[str]) -> Any:
    """
    Return a race of a flusher with writes of one row, some of which the store refuses.

    1. a good write and a bad one of the same row wait
    2. they are coalesced: the newest stays
    3. the store refuses it, it is parked; the good one is gone
    """

    def race(stage: Stage) -> Any:
        bench = Bench()
        bench.store.refuses = lambda change: change.value == "bad"

        def write() -> None:
            for value in writes:
                bench.write(("k", value))
                gate("write.journaled")

        def flush() -> None:
            for _ in range(2):
                bench.flush()
                gate("flush.ended")

        stage.actor("writer", write)
        stage.actor("flusher", flush)

        def check() -> str | None:
            bench.flush(10)
            stored, dead = bench.store.value("k"), bench.dead()
            return None if (stored, dead) == ("good", {"k": "bad"}) else "the good write is lost"

        return check

    return race


WRITES = [["good", "bad"], ["bad", "good", "bad"]]


@pytest.mark.parametrize("writes", WRITES)
def test_r17_a_poison_row_does_not_take_its_predecessor_along(writes: list[str]) -> None:
    played(poisoned(writes), "write.journaled", "flush.ended")


@pytest.mark.parametrize("writes", WRITES)
def test_r17_giving_up_what_was_coalesced_with_it_loses(
    writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(flusher: Flusher, slot: Slot, error: Exception) -> list[tuple[JournalEntry, str]]:
        del flusher._slots[slot.identity]
        return [(entry, str(error)) for entry in slot.entries]

    monkeypatch.setattr(Flusher, "_refuse", give_up)
    explored = explore(poisoned(writes))
    assert explored.violations["the good write is lost"] > 0
